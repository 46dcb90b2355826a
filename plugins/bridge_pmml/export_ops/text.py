"""Terms of text. A term is counted by the marks put where it begins, in a text that is parted as its
analyzer parts it."""

from __future__ import annotations

import re
from typing import Any

from bridge.ops import OpTable
from bridge.terms import BREAK, OPERATOR, Terms, members
from bridge_pmml.document import Cols, Document, Ref

ops = OpTable()

MARK, BETWEEN = "_", "  "
NOTHING = "$1"
WORD = r"\w"
NO_WORD = r"^\p{L}\p{N}_"


@ops.op(OPERATOR)
def count_terms(doc, node, text):
    """Columns of how often each term occurs."""
    what, (field,) = Terms.of(node), text.items
    if what.lowercase:
        field = doc.apply("lowercase", field, data_type="string")
    parted = {"word": words, "char": letters, "char_wb": letters_of_words}[what.analyzer](doc, field, what)
    length = doc.apply("stringLength", parted, data_type="integer")
    return Cols([count(doc, parted, length, place(what, term)) for term in what.terms])


def replace(doc: Document, field: Ref, pattern: str, by: str) -> Ref:
    """A text with each match replaced; one that is missing is no term."""
    return doc.apply("replace", field, pattern, by, data_type="string", mapMissingTo=BREAK)


def count(doc: Document, parted: Ref, length: Ref, pattern: str) -> Any:
    if not pattern:
        return 0.0
    marked = replace(doc, parted, pattern, MARK)
    return doc.apply("-", doc.apply("stringLength", marked, data_type="integer"), length)


def place(what: Terms, term: str) -> str:
    """An expression that matches the nothing before a term; an empty one for a term that never occurs."""
    if BREAK in term:
        return ""
    if what.analyzer == "word":
        return f"(?= {escaped(BETWEEN.join(what.tokens(term)))} )"
    return f"(?s)(?={escaped(term)})"


def escaped(text: str) -> str:
    """A text as an expression, all but letters and digits by their codes: PMML4S reads but a part of a
    constant that has entities or brackets."""
    return re.sub(r"[^\w ]", lambda found: f"\\x{{{ord(found[0]):X}}}", text)


def words(doc: Document, field: Ref, what: Terms) -> Ref:
    """The tokens, a blank before and after each, without those that are too short and the words left out
    where phrases are counted."""
    others = NO_WORD if what.characters == WORD else "^" + members(what.characters)
    parted = replace(doc, field, f"[{others}]+", BETWEEN)
    parted = replace(doc, parted, r"^|\z", " ")
    left_out = []
    if what.shortest > 1:
        left_out.append(rf"() \S{{1,{what.shortest - 1}}}(?= )")
    if what.stop_words:
        left_out.append(f"() (?:{'|'.join(map(escaped, what.stop_words))})(?= )")
    if what.max_n == 1 or not left_out:
        return parted
    for pattern in left_out:
        parted = replace(doc, parted, pattern, NOTHING)
    return replace(doc, parted, " +", BETWEEN)


def spaces() -> str:
    return f"[{members(chr(92) + 's')}]"


def letters(doc: Document, field: Ref, what: Terms) -> Ref:
    return replace(doc, field, spaces() + "{2,}", " ")


def letters_of_words(doc: Document, field: Ref, what: Terms) -> Ref:
    """Each word with a blank before and after it, and a break between two."""
    field = replace(doc, field, f"()^{spaces()}+", NOTHING)
    field = replace(doc, field, rf"(){spaces()}+\z", NOTHING)
    field = replace(doc, field, spaces() + "+", f" {BREAK} ")
    return replace(doc, field, r"(?s)^(.+)\z", " $1 ")
