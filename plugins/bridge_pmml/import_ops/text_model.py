"""TextModel: the document of a corpus most like one whose terms a record counts.

A record has a numeric field for each term of the dictionary, named as the term: how often it stands in the
document. The rows of the document-term matrix are counts of the same terms. Both are weighed alike before
they are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.ops import OpTable
from bridge.report import Blocker
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, child, children, describe, need_child, read_matrix, text, words
from bridge_pmml.results import Result
from bridge_pmml.values import DOUBLE, Columns

ops = OpTable()
LOGARITHMS = ("inverseDocumentFrequency", "probabilisticInverse")


def refuse_element(node: Element, why: str) -> UnsupportedModel:
    return UnsupportedModel("A model cannot be read:", [Blocker(node.tag, describe(node), "", why)])


@ops.op("TextModel")
def text_model(scope: Scope, node: Element) -> Result:
    columns, op = scope.columns, scope.columns.op
    terms = words(need_child(need_child(node, "TextDictionary"), "Array"))
    documents = children(need_child(node, "TextCorpus"), "TextDocument")
    counts = read_matrix(need_child(need_child(node, "DocumentTermMatrix"), "Matrix"))
    if counts.shape != (len(documents), len(terms)) or not counts.size:
        raise UnreadableFile(
            f"{describe(node)}: a matrix {counts.shape} of {len(documents)} documents, {len(terms)} terms."
        )
    unknown = [t for t in terms if not scope.knows(t)]
    if unknown:
        raise refuse_element(
            node, f"is given no field that counts {unknown[0]!r}; how text is parted it does not say"
        )
    normalization, similarity_type = child(node, "TextModelNormalization"), similarity(node)
    weights = global_weights(normalization, counts)
    if similarity_type == "euclidean" and needs_log_base(normalization):
        raise refuse_element(node, "measures distances of logarithms whose base PMML does not say")
    local = (
        "termFrequency" if normalization is None else normalization.get("localTermWeights", "termFrequency")
    )
    rows = local_weights(local, counts) * weights
    x = op.Mul(
        hub_local_weights(columns, local, columns.concat_numbers([scope.get(t) for t in terms])),
        op.const(weights[None]),
    )
    if similarity_type == "cosine" or has_unit_documents(normalization):
        x, rows = normalize_rows(columns, x), rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if np.isnan(rows).any():
        raise refuse_element(node, "holds a document without terms, which is like none")
    return nearest(columns, node, x, rows, similarity_type)


def similarity(node: Element) -> str:
    element = child(node, "TextModelSimiliarity")
    similarity_type = None if element is None else element.get("similarityType")
    if similarity_type not in ("cosine", "euclidean"):
        raise refuse_element(node, "does not say how documents are compared")
    return similarity_type


def has_unit_documents(normalization: Element | None) -> bool:
    return normalization is not None and normalization.get("documentNormalization", "none") == "cosine"


def needs_log_base(normalization: Element | None) -> bool:
    """True if the base of logarithms matters. It scales every weight, so normalized documents do not
    depend on it."""
    weighting = (
        "none"
        if normalization is None
        else normalization.get("globalTermWeights", "inverseDocumentFrequency")
    )
    return weighting in LOGARITHMS and not has_unit_documents(normalization)


def global_weights(normalization: Element | None, counts: np.ndarray) -> np.ndarray:
    """The global weight of each term in the corpus. Without TextModelNormalization all weigh the same."""
    weighting = (
        "none"
        if normalization is None
        else normalization.get("globalTermWeights", "inverseDocumentFrequency")
    )
    there = (counts > 0).sum(axis=0)
    with np.errstate(all="ignore"):
        weights = {
            "none": np.ones(counts.shape[1]),
            "inverseDocumentFrequency": np.log(len(counts) / there),
            "GFIDF": counts.sum(axis=0) / there,
            "normal": 1 / np.sqrt((counts**2).sum(axis=0)),
            "probabilisticInverse": np.log((len(counts) - there) / there),
        }.get(weighting)
    if weights is None or (normalization is not None and not np.isfinite(weights).all()):
        raise refuse_element(
            normalization, f"weighs terms by {weighting}, which is not finite for all of them"
        )
    return weights


def local_weights(weighting: str, counts: np.ndarray) -> np.ndarray:
    """Local weights of stored counts."""
    there = (counts > 0).astype(float)
    if weighting == "binary":
        return there
    if weighting == "logarithmic":
        return np.log10(1 + counts)
    if weighting == "augmentedNormalizedTermFrequency":
        return 0.5 * (there + counts / np.maximum(counts.max(axis=1, keepdims=True), 1e-300))
    return counts


def hub_local_weights(columns: Columns, weighting: str, x: Any) -> Any:
    """`locally_known` of a record's counts."""
    op, zero = columns.op, columns.scalar(0.0)
    if weighting in ("binary", "augmentedNormalizedTermFrequency"):
        there = op.Where(op.IsNaN(x), x, op.Cast(op.Greater(x, zero), to=DOUBLE))
        if weighting == "binary":
            return there
        most = op.Max(op.ReduceMax(x, np.array([1])), columns.scalar(1e-300))
        return op.Mul(columns.scalar(0.5), op.Add(there, op.Div(x, most)))
    if weighting == "logarithmic":
        return op.Mul(op.Log(op.Add(columns.scalar(1.0), x)), columns.scalar(1 / np.log(10)))
    return x


def normalize_rows(columns: Columns, x: Any) -> Any:
    """Rows of length one; missing where a row is zero."""
    op = columns.op
    return op.Div(x, op.Sqrt(op.ReduceSum(op.Mul(x, x), np.array([1]))))


def nearest(columns: Columns, node: Element, x: Any, rows: np.ndarray, similarity_type: str) -> Result:
    """The most similar document, the first of several, and its similarity or distance."""
    op = columns.op
    if similarity_type == "cosine":
        scores = op.MatMul(x, op.const(rows.T.copy()))
    else:
        differences = op.Sub(op.Unsqueeze(x, np.array([1])), op.const(rows[None]))
        scores = op.Sqrt(op.ReduceSum(op.Mul(differences, differences), np.array([2]), keepdims=0))
    gone = op.ReduceMax(op.Cast(op.IsNaN(scores), to=6), np.array([1]))
    there = op.Equal(gone, np.array([[0]], np.int32))
    best = op.node("ArgMax" if similarity_type == "cosine" else "ArgMin", scores, axis=1, keepdims=1)
    documents = children(need_child(node, "TextCorpus"), "TextDocument")
    ids = [text(d, "id") for d in documents]
    document = columns.blank(columns.by_row(best, ids), there).with_(values=tuple(ids))
    score = columns.number(op.GatherElements(scores, best, axis=1))
    result = Result("clustering", document, labels=tuple(ids), entities=[document], affinity=score)
    result.affinities = {name: columns.number(columns.gather_column(scores, i)) for i, name in enumerate(ids)}
    if all(d.get("name") for d in documents):
        names = columns.by_row(best, [d.get("name", "") for d in documents])
        result.display = columns.blank(names, there)
    result.defaults = {
        "document": document,
        "similarity" if similarity_type == "cosine" else "distance": score,
    }
    return result
