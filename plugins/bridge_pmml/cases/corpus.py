"""Text models: every weighting and similarity by the formulas, in NumPy."""

from __future__ import annotations

import numpy as np

from bridge_pmml.cases.common import active, case

TERMS = ("cat", "dog", "bird", "fish")
FIELDS = "".join(f'<DataField name="{t}" optype="continuous" dataType="double"/>' for t in TERMS)
CORPUS = np.array([[3.0, 0, 1, 2], [0, 2, 4, 1], [1, 1, 0, 0], [0, 5, 0, 7], [6, 0, 2, 3]])
RECORDS = np.array([[1.0, 0, 0, 1], [0, 3, 0, 4], [2, 2, 0, 0], [0, 1, 5, 0], [9, 1, 3, 4], [1, 1, 1, 1]])
LOCAL_TERM_WEIGHTS = {
    "termFrequency": lambda c: c,
    "binary": lambda c: (c > 0) * 1.0,
    "logarithmic": lambda c: np.log10(1 + c),
    "augmentedNormalizedTermFrequency": lambda c: 0.5 * ((c > 0) + c / c.max(axis=1, keepdims=True)),
}
DOCUMENT_COUNTS = (CORPUS > 0).sum(axis=0)
GLOBAL_TERM_WEIGHTS = {
    "none": np.ones(4),
    "inverseDocumentFrequency": np.log10(5 / DOCUMENT_COUNTS),
    "GFIDF": CORPUS.sum(axis=0) / DOCUMENT_COUNTS,
    "normal": 1 / np.sqrt((CORPUS**2).sum(axis=0)),
    "probabilisticInverse": np.log10((5 - DOCUMENT_COUNTS) / DOCUMENT_COUNTS),
}


def text_model(normalization: str, similarity: str, output: str = "") -> str:
    documents = "".join(f'<TextDocument id="d{i}" name="Document {i}"/>' for i in range(len(CORPUS)))
    rows = "".join(f'<Array type="real" n="4">{" ".join(map(str, row))}</Array>' for row in CORPUS)
    return (
        f'<TextModel functionName="clustering" numberOfTerms="4" numberOfDocuments="{len(CORPUS)}">'
        f"<MiningSchema>{active(TERMS)}</MiningSchema>{output}"
        f'<TextDictionary><Taxonomy name="t"><ChildParent><InlineTable/></ChildParent></Taxonomy>'
        f'<Array type="string" n="4">{" ".join(TERMS)}</Array></TextDictionary>'
        f"<TextCorpus>{documents}</TextCorpus>"
        f'<DocumentTermMatrix><Matrix nbRows="{len(CORPUS)}" nbCols="4">{rows}</Matrix></DocumentTermMatrix>'
        f'{normalization}<TextModelSimiliarity similarityType="{similarity}"/></TextModel>'
    )


def nearest_documents(
    local_weights: str, global_weights: str, normalized: bool, similarity: str
) -> tuple[list[str], list[float]]:
    """The nearest document of each record asked, and how near it is."""
    a, b = (
        LOCAL_TERM_WEIGHTS[local_weights](c) * GLOBAL_TERM_WEIGHTS[global_weights] for c in (RECORDS, CORPUS)
    )
    if normalized:
        a, b = (m / np.sqrt((m * m).sum(axis=1, keepdims=True)) for m in (a, b))
    if similarity == "cosine":
        lengths = np.sqrt((a * a).sum(axis=1))[:, None] * np.sqrt((b * b).sum(axis=1))[None]
        similarities = a @ b.T / lengths
        best = similarities.argmax(axis=1)
    else:
        similarities = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2))
        best = similarities.argmin(axis=1)
    return [f"d{i}" for i in best], similarities[np.arange(len(best)), best].tolist()


def declare(name: str, text: str, *expected: list) -> None:
    inputs = {t: RECORDS[:, i].tolist() for i, t in enumerate(TERMS)}
    case(f"TextModel {name}", "TextModel", text, expected, fields=FIELDS, words=True, **inputs)


for _local_weights in LOCAL_TERM_WEIGHTS:
    for _global_weights in GLOBAL_TERM_WEIGHTS:
        for _normalized in (False, True):
            for _similarity in ("cosine", "euclidean"):
                if _similarity == "euclidean" and not _normalized and "nverse" in _global_weights:
                    continue
                _normalization = (
                    f'<TextModelNormalization localTermWeights="{_local_weights}" '
                    f'globalTermWeights="{_global_weights}" '
                    f'documentNormalization="{"cosine" if _normalized else "none"}"/>'
                )
                declare(
                    f"{_local_weights} {_global_weights} {'unit ' * _normalized}{_similarity}",
                    text_model(_normalization, _similarity),
                    *nearest_documents(_local_weights, _global_weights, _normalized, _similarity),
                )
_OUTPUT = (
    "<Output>"
    '<OutputField name="name" feature="predictedDisplayValue" optype="categorical" dataType="string"/>'
    '<OutputField name="id" feature="entityId" optype="categorical" dataType="string"/>'
    '<OutputField name="third" feature="affinity" value="d2" optype="continuous" dataType="double"/></Output>'
)
_IDS, _ = nearest_documents("termFrequency", "none", False, "cosine")
_THIRD = (RECORDS @ CORPUS[2] / np.linalg.norm(RECORDS, axis=1) / np.linalg.norm(CORPUS[2])).tolist()
declare("outputs", text_model("", "cosine", _OUTPUT), [f"Document {i[1:]}" for i in _IDS], _IDS, _THIRD)
_DEFAULT = nearest_documents("termFrequency", "inverseDocumentFrequency", False, "cosine")
declare("normalized by default", text_model("<TextModelNormalization/>", "cosine"), *_DEFAULT)
case(
    "TextModel of no terms, or of one that is missing",
    "TextModel",
    text_model("", "cosine"),
    [["", "d4", ""], [None, 6 / 7, None]],
    fields=FIELDS,
    words=True,
    cat=[0, 1, None],
    dog=[0, 0, 1],
    bird=[0, 0, 0],
    fish=[0, 0, 0],
)
