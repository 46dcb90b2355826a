"""Trees as text inside a document, so that a forest is never a million elements at once.

A FoldedNode stands for the root Node of a TreeModel and holds its source. Plain trees, whose nodes hold a
threshold and nodes, are listed from it as they are; others are unfolded into elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from lxml import etree

from bridge.errors import UnreadableFile
from bridge_pmml.reader import Element, describe, secure_parser

FOLDED = "FoldedNode"
ENCODING = re.compile(rb"<\?xml[^>]*\bencoding\s*=\s*[\"'](?!utf-8|us-ascii)", re.IGNORECASE)
PREFIX = re.compile(rb"xmlns:([\w.-]+)\s*=")
OTHERS = ((b"!", b"<!"), (b"?", b"<?"), (b"]", b"]]>"))
"""What is neither tag nor text, and a sign of each by which it is sooner known not to be there."""
MODEL, NODE = re.compile(rb"<TreeModel\b"), re.compile(rb"<Node\b")
LONGEST = 8_000_000
"""The most bytes of a tree that is folded: libxml2 takes no text over ten million."""
MARKUP = re.compile(
    r"\s+(?P<more>[\w.-]+)\s*=\s*"
    r"|(?:\s*(?P<end>/?>))?(?:\s*(?:</Node\s*>|<Node\s*>|<True\s*/>))*\s*"
    r"(?:<(?P<tag>Node|SimplePredicate)\s+(?P<name>[\w.-]+)\s*=\s*)?"
)
"""What may be between two values: an attribute goes on a tag, or its end, tags without attributes, and the
next."""
TAGS, ENDS = (None, "Node", "SimplePredicate"), (None, ">", "/>")
"""Tags of attributes, and how each ends before what is in it or comes next."""
TESTED, NOTHING = ("operator", "field", "value"), dict[str, str]()


def fold_trees(content: bytes) -> bytes:
    """The document with a FoldedNode for each tree, lines as before. One in which a tag may not be what it
    looks like stays as it is: with comments, CDATA, prefixes or another encoding than UTF-8."""
    prefixes = PREFIX.findall(content[:4096])
    if ENCODING.search(content[:4096]) or any(s in content and content.find(m, 5) > 0 for s, m in OTHERS):
        return content
    if content.count(b"xmlns") != len(prefixes) or any(b"<%s:" % prefix in content for prefix in prefixes):
        return content
    pieces, done = [], 0
    for start, end in _root_nodes(content):
        if end - start < LONGEST and content.find(b"<Extension", start, end) < 0:
            pieces += [content[done:start], b"<FoldedNode><![CDATA[", content[start:end], b"]]></FoldedNode>"]
            done = end
    return b"".join([*pieces, content[done:]])


def _root_nodes(content: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of the outermost nodes of trees."""
    done = 0
    while model := MODEL.search(content, done):
        done = content.find(b"</TreeModel>", model.end())
        if done < 0:
            return
        start, last = NODE.search(content, model.end(), done), content.rfind(b"</Node>", model.end(), done)
        if start is not None and start.start() < last:
            yield start.start(), last + len(b"</Node>")


def unfold(node: Element) -> Element:
    """A Node, with its elements in place of a FoldedNode. Raises UnreadableFile."""
    if node.tag != FOLDED:
        return node
    parser = secure_parser()
    try:
        parser.feed(b"<_>%s%s</_>" % (b"\n" * (node.sourceline - 1), node.text.encode()))
        found = list(parser.close())
    except etree.XMLSyntaxError as error:
        raise UnreadableFile(f"{describe(node.getparent())} is not well-formed XML: {error}") from error
    for element in found:
        node.addprevious(element)
    node.getparent().remove(node)
    return found[0]


@dataclass(frozen=True)
class Listing:
    """The nodes of a tree in document order: their attributes, by `get`, the place of the node above each,
    -1 for the root; of their predicates whether each is always true, and the texts of operator, field and
    value, None where it has none."""

    nodes: list[Any]
    parents: np.ndarray
    always: np.ndarray
    operators: np.ndarray
    fields: np.ndarray
    values: np.ndarray


def listed(source: str) -> Listing | None:
    """The nodes of a plain tree, whose tags are few and its attributes many; None for one of other tags.

    What is between two quotes is a value, none of which XML reads as another; what is not is one of a few
    strings, each read once.
    """
    parts = source.split('"')
    texts = dict.fromkeys(parts[::2])
    kinds, shape = [MARKUP.fullmatch(text) for text in texts], _shape(source.encode())
    if shape is None or "&" in source or "'" in source or not all(kinds):
        return None
    parents, always = shape
    place = dict(zip(texts, range(len(texts)), strict=True))
    codes = np.fromiter(map(place.__getitem__, parts[::2]), np.int64)
    for sign in "<\n\t":
        if np.array([text.count(sign) for text in texts])[codes].sum() != source.count(sign):
            return None
    columns = _by_attribute(kinds, codes, np.array(parts[1::2], object))
    if columns is None:
        return None
    nodes, tests = [NOTHING] * len(parents), np.full((3, len(parents)), None, object)
    for (tag, name), (places, values) in columns.items():
        if tag == "Node":
            for node, value in zip(places.tolist(), values.tolist(), strict=True):
                nodes[node] = {**nodes[node], name: value} if nodes[node] else {name: value}
        elif name in TESTED:
            tests[TESTED.index(name), places] = values
    return Listing(nodes, parents, always, *tests)


def _by_attribute(
    kinds: list[Any], codes: np.ndarray, values: np.ndarray
) -> dict[tuple[Any, Any], tuple[np.ndarray, np.ndarray]] | None:
    """The nodes that have each attribute of each tag, and its values there, from what is before each value
    and behind the last; None for tags that are not closed as they should be, or have an attribute twice."""
    names = list(dict.fromkeys(mark["name"] or mark["more"] for mark in kinds))
    opens, tags, name, ends, goes_on = np.array(
        [
            (
                mark[0].count("<Node"),
                TAGS.index(mark["tag"]),
                names.index(mark["name"] or mark["more"]),
                ENDS.index(mark["end"]),
                mark["more"] is not None,
            )
            for mark in kinds
        ]
    ).T[:, codes]
    tag = tags[np.maximum.accumulate(np.where(tags, np.arange(len(codes)), 0))]
    last = names.index(None) if None in names else -1
    right = (name[:-1] != last).all() and name[-1] == last and not ends[0] and not goes_on[0]
    if not right or (ends[1:] != np.where(goes_on[1:], 0, tag[:-1])).any():
        return None
    node, key = np.cumsum(opens) - 1, (tag * len(names) + name)[:-1]
    columns = {}
    for each in np.unique(key).tolist():
        here = np.flatnonzero(key == each)
        if (np.diff(node[here]) < 1).any():
            return None
        columns[TAGS[each // len(names)], names[each % len(names)]] = node[here], values[here]
    return columns


def _shape(content: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """The node above each, and whether its predicate is True, from the first letters of tags; None where a
    node does not begin with its predicate, or has two."""
    text = np.frombuffer(content, np.uint8)
    at = np.flatnonzero(text[:-2] == ord("<"))
    first, second = text[at + 1], text[at + 2]
    opens, ends = first == ord("N"), (first == ord("/")) & (second == ord("N"))
    tests = (first == ord("S")) | (first == ord("T"))
    if not (opens | ends | tests).all() or opens.sum() != ends.sum() or opens.sum() != tests.sum():
        return None
    steps = np.cumsum(opens.astype(np.int64) - ends)
    if not tests[np.flatnonzero(opens) + 1].all() or (steps[:-1] < 1).any():
        return None
    depth, size = steps[opens], int(opens.sum())
    keys = np.sort(depth * size + np.arange(size))
    parents = keys[np.searchsorted(keys, (depth - 1) * size + np.arange(size)) - 1] % size
    parents[0] = -1
    return parents, first[tests] == ord("T")
