"""Words are counted, and dates told in days and seconds, as the specification says."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from documents import column, document, scores, write

import bridge
from bridge.errors import BridgeError, UnsupportedModel

TEXTS = [
    "The sun shines, the Sun is red.",
    "sun",
    "no such thing",
    "Red sun red sun (red) sun!",
    "sunny sunday",
    " ",
    "",
]


def text_document(expression: str, kind: str = "double", functions: str = "") -> str:
    fields = '<DataField name="t" optype="categorical" dataType="string"/>'
    output = (
        f'<Output><OutputField name="out" feature="transformedValue" dataType="{kind}" '
        f'optype="continuous">{expression}</OutputField></Output>'
    )
    text = (
        '<RegressionModel functionName="regression"><MiningSchema><MiningField '
        f'name="t"/></MiningSchema>{output}<RegressionTable intercept="0"/></RegressionModel>'
    )
    return document(
        text, fields, f"<TransformationDictionary>{functions}</TransformationDictionary>" if functions else ""
    )


def values_of(folder: Path, text: str, values: Sequence[str]) -> list[Any]:
    """The output of a document that reads the field `t`, by record."""
    return scores(write(folder, text), {"t": column(values)})["out"]


@pytest.mark.parametrize(
    ("attributes", "term", "counts"),
    [
        ("", "sun", [2, 1, 0, 3, 0, 0]),
        ('isCaseSensitive="true"', "sun", [1, 1, 0, 3, 0, 0]),
        ('localTermWeights="binary"', "sun", [1, 1, 0, 1, 0, 0]),
        ("", "red sun", [0, 0, 0, 3, 0, 0]),
        ("", "sun red sun", [0, 0, 0, 2, 0, 0]),
        ("", "c++", [0, 0, 0, 0, 0, 0]),
    ],
)
def test_terms_are_counted(attributes, term, counts, tmp_path):
    text = text_document(f'<TextIndex textField="t" {attributes}><Constant>{term}</Constant></TextIndex>')
    found = values_of(tmp_path, text, TEXTS)
    assert found[:-1] == counts
    assert math.isnan(found[-1])


def test_terms_may_come_through_a_function(tmp_path):
    function = (
        '<DefineFunction name="f" optype="continuous"><ParameterField name="a"/><ParameterField name="term"/>'
        '<TextIndex textField="a" localTermWeights="logarithmic"><FieldRef '
        'field="term"/></TextIndex></DefineFunction>'
    )
    text = text_document(
        '<Apply function="f"><FieldRef field="t"/><Constant>sun</Constant></Apply>', functions=function
    )
    assert values_of(tmp_path, text, TEXTS[:3]) == pytest.approx([math.log10(3), math.log10(2), 0])


@pytest.mark.parametrize(
    ("attributes", "inner", "why"),
    [
        ('localTermWeights="augmentedNormalizedTermFrequency"', "", "all other terms"),
        ('tokenize="false"', "", "not parted"),
        ('wordSeparatorCharacterRE="a.*b"', "", "no set of characters"),
        ("", "<row><string>suns?</string><stem>sun</stem><regex>true</regex></row>", "regular expressions"),
        ("", "<row><string>red sun</string><stem>sun</stem></row>", "phrases"),
    ],
)
def test_other_ways_of_counting_are_refused(attributes, inner, why, tmp_path):
    with pytest.raises(UnsupportedModel, match=why):
        bridge.load(write(tmp_path, text_document(text_index(attributes, "sun", inner))))


def text_index(attributes: str, term: str, rows: str = "", attributes_of_normalization: str = "") -> str:
    table = f"<TextIndexNormalization {attributes_of_normalization}><InlineTable>{rows}</InlineTable></TextIndexNormalization>"
    return (
        f'<TextIndex textField="t" {attributes}>{table if rows else ""}<Constant '
        f'dataType="string">{term}</Constant></TextIndex>'
    )


WORDS = ["sun", "sum", "su", "suns", "nus", "s", "sunny", "snu", "SUN", "un.", "(gun)", "soon", "sn", "", "."]


def edit_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@pytest.mark.parametrize("distance", [0, 1, 2, 3])
@pytest.mark.parametrize("count_hits", ["allHits", "bestHits"])
def test_misspelt_words_count_within_a_distance(distance, count_hits, tmp_path):
    texts = [*WORDS, " ".join(WORDS), "gun sum fun", "none here"]
    expected = []
    for text in texts:
        words = [w.strip("().").lower() for w in text.split()]
        off = [edit_distance(w, "sun") for w in words if w]
        hits = [d for d in off if d <= distance]
        expected.append(sum(d == min(hits) for d in hits) if count_hits == "bestHits" else len(hits))
    found = values_of(
        tmp_path,
        text_document(text_index(f'maxLevenshteinDistance="{distance}" countHits="{count_hits}"', "sun")),
        texts,
    )
    assert found == [
        w if t else pytest.approx(math.nan, nan_ok=True) for w, t in zip(expected, texts, strict=True)
    ]


def test_the_distance_of_a_phrase_is_that_of_all_its_words(tmp_path):
    texts = ["red sun", "rod sun", "rod sum", "rd su", "red moon", "a red sum b rod sun"]
    assert values_of(tmp_path, text_document(text_index('maxLevenshteinDistance="1"', "red sun")), texts) == [
        1,
        1,
        0,
        0,
        0,
        2,
    ]
    assert values_of(tmp_path, text_document(text_index('maxLevenshteinDistance="2"', "red sun")), texts) == [
        1,
        1,
        1,
        1,
        0,
        2,
    ]


@pytest.mark.parametrize(
    ("pattern", "term", "counts"),
    [
        (",", "a b", [1, 1, 0]),
        (",", "c", [1, 0, 0]),
        ("[,;]", "c", [1, 1, 0]),
        (r"[\s,;]+", "b", [1, 2, 1]),
        (r"\|", "b", [0, 0, 1]),
    ],
)
def test_words_are_parted_as_the_document_says(pattern, term, counts, tmp_path):
    texts = ["a b,c", "a b,b;c", "a|b"]
    attributes = f'wordSeparatorCharacterRE="{pattern}"'
    if term == "a b":
        with pytest.raises(UnsupportedModel, match="phrase"):
            bridge.load(write(tmp_path, text_document(text_index('wordSeparatorCharacterRE="[,;]"', term))))
        return
    if pattern == r"[\s,;]+":
        counts = [1, 2, 0]
    assert values_of(tmp_path, text_document(text_index(attributes, term)), texts) == counts


def test_words_are_normalized_one_by_one(tmp_path):
    rows = (
        "<row><string>suns</string><stem>sun</stem></row><row><string>moons</string><stem>suns</stem></row>"
    )
    texts = ["suns sun", "moons", "Suns, moons.", "stars"]
    assert values_of(tmp_path, text_document(text_index("", "sun", rows)), texts) == [2, 0, 1, 0]
    assert values_of(tmp_path, text_document(text_index("", "suns", rows)), texts) == [0, 1, 1, 0]
    again = 'recursive="true"'
    assert values_of(tmp_path, text_document(text_index("", "sun", rows, again)), texts) == [2, 1, 2, 0]


DAYS = ["2003-04-01", "1960-01-01", "1960-02-29", "1899-12-31", "2400-03-01", "0001-01-01", "1970-01-01"]
CLOCK = "T12:34:56"


@pytest.mark.parametrize("year", [1960, 1970, 2000])
def test_days_since_a_year(year, tmp_path):
    text = text_document('<Apply function="dateDaysSinceYear"><FieldRef field="t"/><Constant '
        f'dataType="integer">{year}</Constant></Apply>', "integer")  # fmt: skip
    expected = [(dt.date.fromisoformat(d) - dt.date(year, 1, 1)).days for d in DAYS]
    assert values_of(tmp_path, text, DAYS) == expected
    assert values_of(tmp_path, text, [d + CLOCK for d in DAYS]) == expected
    assert all(math.isnan(v) for v in values_of(tmp_path, text, ["", "yesterday", "12:00:00", "03-04-01"]))


def test_seconds_since_a_year_and_since_midnight(tmp_path):
    text = text_document('<Apply function="dateSecondsSinceYear"><FieldRef field="t"/><Constant '
        'dataType="integer">1960</Constant></Apply>', "integer")  # fmt: skip
    start = dt.datetime(1960, 1, 1)
    expected = [(dt.datetime.fromisoformat(d + CLOCK) - start).total_seconds() for d in DAYS]
    assert values_of(tmp_path, text, [d + CLOCK for d in DAYS]) == expected
    text = text_document(
        '<Apply function="dateSecondsSinceMidnight"><FieldRef field="t"/></Apply>', "integer"
    )
    assert values_of(tmp_path, text, ["12:34:56", "1999-01-01T00:00:01", "1999-01-01"]) == [45296, 1, 0]


def test_a_year_must_be_known(tmp_path):
    text = text_document(
        '<Apply function="dateDaysSinceYear"><FieldRef field="t"/><FieldRef field="t"/></Apply>'
    )
    with pytest.raises(BridgeError, match="constant year"):
        bridge.load(write(tmp_path, text))


@pytest.mark.parametrize(("start", "count"), [(1, 1), (3, 4), (5, 60)])
def test_parts_of_any_text_are_taken_by_character(start, count, tmp_path):
    whole = ["漢字かな交じり文", "abc", "한국어 텍스트", "éàü—“x”", "Ωμέγα КОТ", "a\nb\tc d"]
    numbers = "".join(f'<Constant dataType="integer">{n}</Constant>' for n in (start, count))
    text = text_document(f'<Apply function="substring"><FieldRef field="t"/>{numbers}</Apply>', "string")
    found = values_of(tmp_path, text.replace('optype="continuous">', 'optype="categorical">'), whole)
    assert found == [value[start - 1 : start - 1 + count] for value in whole]


def test_a_character_that_java_counts_as_two_fails_the_run(tmp_path):
    numbers = '<Constant dataType="integer">1</Constant>' * 2
    text = text_document(f'<Apply function="substring"><FieldRef field="t"/>{numbers}</Apply>', "string")
    path = write(tmp_path, text.replace('optype="continuous">', 'optype="categorical">'))
    with pytest.raises(BridgeError):
        bridge.run(bridge.load(path), {"t": column(["😀"])})
