"""Text models: every weighting and similarity by the formulas, in NumPy."""

from __future__ import annotations

import numpy as np

from bridge_pmml.cases.common import active, case

TERMS = ("cat", "dog", "bird", "fish")
FIELDS = "".join(f'<DataField name="{t}" optype="continuous" dataType="double"/>' for t in TERMS)
CORPUS = np.array([[3.0, 0, 1, 2], [0, 2, 4, 1], [1, 1, 0, 0], [0, 5, 0, 7], [6, 0, 2, 3]])
ASKED = np.array([[1.0, 0, 0, 1], [0, 3, 0, 4], [2, 2, 0, 0], [0, 1, 5, 0], [9, 1, 3, 4], [1, 1, 1, 1]])
LOCAL = {
    "termFrequency": lambda c: c,
    "binary": lambda c: (c > 0) * 1.0,
    "logarithmic": lambda c: np.log10(1 + c),
    "augmentedNormalizedTermFrequency": lambda c: 0.5 * ((c > 0) + c / c.max(axis=1, keepdims=True)),
}
HELD = (CORPUS > 0).sum(axis=0)
GLOBAL = {
    "none": np.ones(4),
    "inverseDocumentFrequency": np.log10(5 / HELD),
    "GFIDF": CORPUS.sum(axis=0) / HELD,
    "normal": 1 / np.sqrt((CORPUS**2).sum(axis=0)),
    "probabilisticInverse": np.log10((5 - HELD) / HELD),
}


def text_model(said: str, similarity: str, output: str = "") -> str:
    documents = "".join(f'<TextDocument id="d{i}" name="Document {i}"/>' for i in range(len(CORPUS)))
    rows = "".join(f'<Array type="real" n="4">{" ".join(map(str, row))}</Array>' for row in CORPUS)
    return (
        f'<TextModel functionName="clustering" numberOfTerms="4" numberOfDocuments="{len(CORPUS)}">'
        f"<MiningSchema>{active(TERMS)}</MiningSchema>{output}"
        f'<TextDictionary><Taxonomy name="t"><ChildParent><InlineTable/></ChildParent></Taxonomy>'
        f'<Array type="string" n="4">{" ".join(TERMS)}</Array></TextDictionary>'
        f"<TextCorpus>{documents}</TextCorpus>"
        f'<DocumentTermMatrix><Matrix nbRows="{len(CORPUS)}" nbCols="4">{rows}</Matrix></DocumentTermMatrix>'
        f'{said}<TextModelSimiliarity similarityType="{similarity}"/></TextModel>'
    )


def compared(local: str, weights: str, unit: bool, similarity: str) -> tuple[list[str], list[float]]:
    """The nearest document of each record asked, and how near it is."""
    a, b = (LOCAL[local](c) * GLOBAL[weights] for c in (ASKED, CORPUS))
    if unit:
        a, b = (m / np.sqrt((m * m).sum(axis=1, keepdims=True)) for m in (a, b))
    if similarity == "cosine":
        lengths = np.sqrt((a * a).sum(axis=1))[:, None] * np.sqrt((b * b).sum(axis=1))[None]
        near = a @ b.T / lengths
        best = near.argmax(axis=1)
    else:
        near = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2))
        best = near.argmin(axis=1)
    return [f"d{i}" for i in best], near[np.arange(len(best)), best].tolist()


def declare(name: str, text: str, *want: list) -> None:
    inputs = {t: ASKED[:, i].tolist() for i, t in enumerate(TERMS)}
    case(f"TextModel {name}", "TextModel", text, want, fields=FIELDS, words=True, **inputs)


for _local in LOCAL:
    for _weights in GLOBAL:
        for _unit in (False, True):
            for _similarity in ("cosine", "euclidean"):
                if _similarity == "euclidean" and not _unit and "nverse" in _weights:
                    continue
                _said = (
                    f'<TextModelNormalization localTermWeights="{_local}" globalTermWeights="{_weights}" '
                    f'documentNormalization="{"cosine" if _unit else "none"}"/>'
                )
                declare(
                    f"{_local} {_weights} {'unit ' * _unit}{_similarity}",
                    text_model(_said, _similarity),
                    *compared(_local, _weights, _unit, _similarity),
                )
_OUTPUT = (
    "<Output>"
    '<OutputField name="name" feature="predictedDisplayValue" optype="categorical" dataType="string"/>'
    '<OutputField name="id" feature="entityId" optype="categorical" dataType="string"/>'
    '<OutputField name="third" feature="affinity" value="d2" optype="continuous" dataType="double"/></Output>'
)
_IDS, _ = compared("termFrequency", "none", False, "cosine")
_THIRD = (ASKED @ CORPUS[2] / np.linalg.norm(ASKED, axis=1) / np.linalg.norm(CORPUS[2])).tolist()
declare("outputs", text_model("", "cosine", _OUTPUT), [f"Document {i[1:]}" for i in _IDS], _IDS, _THIRD)
_DEFAULT = compared("termFrequency", "inverseDocumentFrequency", False, "cosine")
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
