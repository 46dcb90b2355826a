"""The extensions of PMML that JPMML defines: those that became PMML are read as what they became, those that
change no value are noted, the others are refused."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.report import Blocker
from bridge_pmml.models import MODELS
from bridge_pmml.reader import Element, describe

EXTENDED = (
    *MODELS,
    *("PMML", "DataField", "MiningField", "Segmentation", "OutputField", "RegressionTable"),
    *("NeuralLayer", "TextIndex", "TextIndexNormalization", "Apply", "DefineFunction"),
)
BECAME = {
    "x-invalidValueReplacement": "invalidValueReplacement",
    "x-missingPredictionTreatment": "missingPredictionTreatment",
    "x-missingThreshold": "missingThreshold",
}
VALUES = {
    "missingValueTreatment": ("x-returnInvalid",),
    "multipleModelMethod": ("x-weightedMedian", "x-weightedSum"),
}
PREFIX = "x-"
REPORTS = ("report", "x-report")
READ = ("x-leakage",)
DEFAULT = ("x-mathContext", "double")
NOTES = {
    "x-baseVersion": "x-baseVersion was ignored: it names the version a document was made from",
    "x-mathContext": "x-mathContext was ignored: numbers are computed in double precision",
    "x-reportField": "outputs that report how others were computed were left out",
}
REFUSED = {
    "x-targetField": "gives the answers of several targets, an extension of JPMML",
    "x-wordRE": "finds words by a regular expression, an extension of JPMML which no tensor operator does",
}


def standardize(root: Element) -> dict[str, Element]:
    """Give attributes and values that became PMML the names they have there, leave reports out, and tell the
    other extensions by name, with the first element of each."""
    found: dict[str, Element] = {}
    for node in list(root.iter(*EXTENDED)):
        for name in node.attrib:
            if name in BECAME:
                node.set(BECAME[name], node.attrib.pop(name))
            elif name.startswith(PREFIX):
                found.setdefault(name, node)
            elif node.get(name) in VALUES.get(name, ()):
                node.set(name, node.get(name).removeprefix(PREFIX))
        if node.tag == "OutputField" and node.get("feature") in REPORTS:
            node.getparent().remove(node)
    return found


def blockers(found: dict[str, Element]) -> Iterator[Blocker]:
    """Extensions that change values and are not read."""
    for name, node in found.items():
        if name in REFUSED:
            yield Blocker(f"{node.tag} {name}", describe(node), "", REFUSED[name])


def notes(found: dict[str, Element]) -> list[str]:
    """A sentence on each extension that was ignored."""
    return [
        NOTES.get(name, f"{name} was ignored: it is no attribute of PMML")
        for name, node in found.items()
        if name not in READ and (name, node.get(name)) != DEFAULT
    ]
