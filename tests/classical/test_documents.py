"""Documents are parted into terms, counted and weighed as scikit-learn does, in every format that has text."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.errors import ExecutionFailed, UnsupportedModel
from bridge.load import reader
from bridge.runtime import open_session
from bridge.terms import members

pytest.importorskip("skl2onnx")

from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

DOCUMENTS = [
    "The cat sat on the mat, the cat!",
    "Dogs and cats aren't friends; the dog is _not_ x2",
    "A über-cool Straße café",
    "",
    "cat dog cat dog the the the",
    "2 cats 22 dogs 3.5 birds x",
    "naïve  résumé\n\ncat\tÜnï 漢字 КОТ",
    "cat’s “dog” — isn’t a b c d",
    "  ]weird[ (x) $1 \\d ^ a&b <c>  ",
]
UNSEEN = [*DOCUMENTS, "Cat\x01cat \xa0dog", "nothing known", "mat on sat cat the", " ", "😀 cat 😀"]
LABELS = np.arange(len(DOCUMENTS)) % 3

VECTORIZERS = {
    "counts": CountVectorizer(),
    "in capitals too": CountVectorizer(lowercase=False),
    "seen or not": CountVectorizer(binary=True, ngram_range=(1, 2)),
    "words left out": CountVectorizer(stop_words="english"),
    "phrases around words left out": TfidfVectorizer(stop_words="english", ngram_range=(1, 3)),
    "phrases of long words": CountVectorizer(token_pattern=r"(?u)\b\w{3,}\b", ngram_range=(2, 2)),
    "characters": CountVectorizer(analyzer="char", ngram_range=(1, 3)),
    "characters of words": TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5)),
    "letters": CountVectorizer(token_pattern=r"[a-z]+"),
    "words of letters": CountVectorizer(token_pattern=r"\b[a-z]+\b"),
    "parts between blanks": CountVectorizer(token_pattern=r"\S+", ngram_range=(1, 2)),
    "split": CountVectorizer(tokenizer=str.split, token_pattern=None),
    "a vocabulary": CountVectorizer(vocabulary=["the", "cat", "New york", "on the"], stop_words="english"),
    "weights": TfidfVectorizer(),
    "logarithms": TfidfVectorizer(sublinear_tf=True, norm="l1", use_idf=False),
    "no norm": TfidfVectorizer(norm=None, max_features=6, min_df=2),
}


def answers(source, documents, target, folder):
    path = bridge.convert(source, folder / f"m.{target}", to=target).path
    inputs = {"X": np.array(documents, object).reshape(-1, 1)}
    return open_session(reader(path, target)).run(inputs)


@pytest.mark.parametrize("target", ["onnx", "pmml", "savedmodel"])
@pytest.mark.parametrize("what", list(VECTORIZERS))
def test_documents_are_classified_as_the_pipeline_does(what, target, tmp_path):
    source = make_pipeline(VECTORIZERS[what], LogisticRegression()).fit(DOCUMENTS, LABELS)
    found = answers(source, UNSEEN, target, tmp_path)
    assert found["label"].ravel().tolist() == source.predict(UNSEEN).tolist()
    assert np.abs(np.asarray(found["probabilities"]) - source.predict_proba(UNSEEN)).max() < 1e-12


@pytest.mark.parametrize("target", ["coreml", "tflite", "torchscript"])
@pytest.mark.parametrize("what", list(VECTORIZERS))
def test_formats_that_make_no_text_refuse_documents(what, target, tmp_path):
    source = make_pipeline(VECTORIZERS[what], LogisticRegression()).fit(DOCUMENTS, LABELS)
    with pytest.raises(UnsupportedModel):
        bridge.convert(source, tmp_path / "m", to=target)


@pytest.mark.parametrize("target", ["onnx", "pmml"])
def test_terms_stand_beside_one_another_and_beside_numbers(target, tmp_path):
    frame = pd.DataFrame({"text": DOCUMENTS, "n": np.arange(len(DOCUMENTS), dtype=float)})
    both = FeatureUnion([("w", TfidfVectorizer()), ("c", CountVectorizer(analyzer="char", max_features=9))])
    columns = ColumnTransformer([("t", both, "text"), ("n", StandardScaler(), ["n"])])
    source = make_pipeline(columns, DecisionTreeClassifier(random_state=0)).fit(frame, LABELS)
    path = bridge.convert(source, tmp_path / f"m.{target}", to=target).path
    inputs = {"text": frame[["text"]].to_numpy(object), "n": frame[["n"]].to_numpy()}
    found = open_session(reader(path, target)).run(inputs)
    assert found["label"].ravel().tolist() == source.predict(frame).tolist()


def test_weights_may_be_a_step_of_their_own(tmp_path):
    steps = (CountVectorizer(), TfidfTransformer(sublinear_tf=True), Normalizer("max"), MultinomialNB())
    source = make_pipeline(*steps).fit(DOCUMENTS, LABELS)
    found = answers(source, UNSEEN, "onnx", tmp_path)
    assert found["label"].tolist() == source.predict(UNSEEN).tolist()


def test_what_is_verified_is_the_pipeline_itself(tmp_path):
    source = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(DOCUMENTS, LABELS)
    done = bridge.convert(source, tmp_path / "m.onnx", verify=True)
    assert done.verification.ok
    assert "Pipeline" in done.verification.engines[0]


@pytest.mark.parametrize(
    ("vectorizer", "why"),
    [
        (CountVectorizer(strip_accents="unicode"), "strips accents"),
        (CountVectorizer(preprocessor=str.upper), "function of its own"),
        (CountVectorizer(token_pattern=r"[a-z]+|\d+"), "runs of characters of one set"),
        (CountVectorizer(tokenizer=lambda t: t.split(",")), "function of its own"),
        (CountVectorizer(token_pattern="[^,]+", ngram_range=(1, 2)), "blanks inside"),
    ],
)
def test_what_onnx_has_no_operator_for_is_refused(vectorizer, why):
    source = make_pipeline(vectorizer, LogisticRegression()).fit(DOCUMENTS, LABELS)
    with pytest.raises(UnsupportedModel, match=why):
        bridge.load(source)


def test_a_hashing_vectorizer_is_refused():
    source = make_pipeline(HashingVectorizer(n_features=8), LogisticRegression()).fit(DOCUMENTS, LABELS)
    with pytest.raises(UnsupportedModel, match="hashes terms"):
        bridge.load(source)


def test_a_capital_whose_lower_case_depends_on_its_place_fails_the_run(tmp_path):
    source = make_pipeline(CountVectorizer(), LogisticRegression()).fit(DOCUMENTS, LABELS)
    with pytest.raises(ExecutionFailed):
        answers(source, ["ΟΔΟΣ"], "onnx", tmp_path)


def test_word_characters_are_letters_digits_and_the_underscore():
    """PMML says the set by the names of Unicode."""
    ranges = re.findall(r"\\x\{(\w+)\}-\\x\{(\w+)\}", members(r"\w"))
    listed = {c for first, last in ranges for c in range(int(first, 16), int(last, 16) + 1)}
    codes = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
    named = {c for c in codes if unicodedata.category(chr(c))[0] in "LN" or chr(c) == "_"}
    assert listed == named
