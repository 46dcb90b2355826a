"""Strings: lookups, patterns, n-grams."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import i, s

PUNCTUATION = r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']'


def strings(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    words = s("Ab", "cd", "e")
    return {
        "StringJoin": (lambda x, y: raw.StringJoin(inputs=[x, y], separator="-"), words, words),
        "StringLower": (lambda x: raw.StringLower(input=x, encoding="utf-8"), words),
        "StringUpper": (lambda x: raw.StringUpper(input=x, encoding="utf-8"), words),
        "StaticRegexFullMatch": (lambda x: raw.StaticRegexFullMatch(input=x, pattern="[a-z]+"), words),
        "StringToNumber": (lambda x: raw.StringToNumber(string_tensor=x), s("1.5", "-2", "3e2")),
        "StringSplitV2": (lambda x: raw.StringSplitV2(input=x, sep=","), s("a,b", "c", "d,e,f")),
        "AsString": (lambda x: raw.AsString(input=x), i(4)),
        "Equal strings": (lambda x, y: raw.Equal(x=x, y=y), words, s("Ab", "x", "")),
    }


def regular_expressions(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    lines = s("a.b,c", "", "..", "no stop é.É", ",x, y ,", "a-b_c[d]\\e'")
    table = lines[:4].reshape(2, 2)

    def regex_replace(pattern: str, rewrite: str, **more: Any) -> Any:
        return lambda x: raw.StaticRegexReplace(input=x, pattern=pattern, rewrite=rewrite, **more)

    def string_split(delimiter: str, skip: bool = True) -> Any:
        return lambda x: raw.StringSplit(input=x, delimiter=delimiter, skip_empty=skip)

    return {
        "StaticRegexReplace": (regex_replace(r"\.", ""), lines),
        "StaticRegexReplace text": (regex_replace("b,", "<>"), lines),
        "StaticRegexReplace once": (regex_replace(",", "é", replace_global=False), lines),
        "StaticRegexReplace punctuation": (regex_replace(PUNCTUATION, ""), lines),
        "StaticRegexReplace spaces": (regex_replace(r"\s", " "), s("a\tb c\n", "", "  ")),
        "StaticRegexReplace range": (regex_replace("[a-c0-2.]", "."), lines),
        "StaticRegexReplace table": (regex_replace(r"[,.]", "; "), table),
        "StaticRegexReplace ways": (regex_replace("b|,|x", "-"), lines),
        "StringSplitV2 empty": (lambda x: raw.StringSplitV2(input=x, sep=","), s("", ",", "a,,b")),
        "StringSplitV2 spaces": (lambda x: raw.StringSplitV2(input=x, sep=""), s("", " ", " a  b ")),
        "StringSplitV2 once": (
            lambda x: raw.StringSplitV2(input=x, sep=",", maxsplit=1),
            s("a,b,c", "d", ""),
        ),
        "RegexReplace": (lambda x: raw.RegexReplace(input=x, pattern=",", rewrite=", "), lines),
        "StringLower of bytes": (lambda x: raw.StringLower(input=x), lines),
        "StringUpper of bytes": (lambda x: raw.StringUpper(input=x), table),
        "StringLower table": (
            lambda x: raw.StringLower(input=x, encoding="utf-8"),
            s("Aé", "", "c", "D").reshape(2, 2),
        ),
        "StringSplit": (string_split(","), lines),
        "StringSplit empty": (string_split(",", skip=False), lines),
        "StringSplit several": (string_split(",. "), lines),
    }


def word_ngrams(tf: Any) -> dict[str, tuple]:
    raw, words, splits = tf.raw_ops, s("a", "bc", "d", "e", "", "g"), np.array([0, 3, 3, 4, 6])

    def string_ngrams(
        *widths: int, separator: str = " ", pad: int = 0, left: str = "", right: str = "", at: Any = splits
    ) -> Any:
        return lambda x: list(
            raw.StringNGrams(
                data=x,
                data_splits=at,
                separator=separator,
                ngram_widths=list(widths),
                left_pad=left,
                right_pad=right,
                pad_width=pad,
                preserve_short_sequences=False,
            )
        )

    return {
        "StringNGrams": (string_ngrams(2), words),
        "StringNGrams widths": (string_ngrams(1, 3, 2, separator=""), words),
        "StringNGrams padded": (string_ngrams(2, 3, pad=-1, left="<", right=">"), words),
        "StringNGrams padded once": (string_ngrams(4, pad=1, left="<", right=">", separator="-"), words),
        "StringNGrams short": (string_ngrams(9), words),
        "StringNGrams narrow": (string_ngrams(2, 1, at=splits.astype(np.int32)), words),
    }
