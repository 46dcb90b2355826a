"""The bill of materials of a model file: CycloneDX's, for machine learning."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bridge.errors import MissingDependency
from bridge.plugins import DISTRIBUTION

if TYPE_CHECKING:
    from bridge.summary import Summary

__all__ = ["bill_of_materials"]


def bill_of_materials(summary: Summary, name: str) -> dict[str, Any]:
    """A bill of materials of the model called `name`, in CycloneDX 1.6 as plain values: the model with its
    card, its files, the models it was converted from as its pedigree, and the software that did it.

    The same file gives the same bill. Raises MissingDependency.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.output.json import JsonV1Dot6
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "A bill of materials needs the package 'cyclonedx-python-lib', which is not installed.",
            f"Install it with: pip install '{DISTRIBUTION}[bom]'",
        ) from error
    content = json.dumps([name, summary.files], sort_keys=True)
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, content))
    model = _model_component(summary, name)
    bom.metadata.component = model
    software = list(_software(summary))
    bom.metadata.tools.components.update(software)
    bom.components.update(_file(path, facts) for path, facts in summary.files.items())
    bom.register_dependency(model, list(bom.components))
    told = json.loads(JsonV1Dot6(bom).output_as_string())
    told["metadata"].pop("timestamp", None)
    told["metadata"]["component"]["modelCard"] = _model_card(summary)
    return told


def _model_component(summary: Summary, name: str) -> Any:
    """The component that the model is."""
    from cyclonedx.factory.license import LicenseFactory
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType, Pedigree
    from cyclonedx.model.contact import OrganizationalContact

    card = summary.card.fields
    told = {"format": summary.format, "parameters": summary.parameters, "bytes": summary.bytes}
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=card.get("name", name),
        version=card.get("version"),
        description=card.get("description"),
        bom_ref=f"model:{name}",
        licenses=[LicenseFactory().make_from_string(card["license"])] if card.get("license") else None,
        authors=[
            OrganizationalContact(name=author["name"], email=author.get("email"))
            for author in card.get("authors", ())
        ],
        properties=[Property(name=f"bridge:{key}", value=str(value)) for key, value in told.items()],
        pedigree=Pedigree(ancestors=list(_ancestors(summary))) if summary.provenance.steps else None,
    )


def _ancestors(summary: Summary) -> Iterator[Any]:
    """The models that this one was converted from, the newest first, with the digests of their files."""
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    for number, step in enumerate(reversed(summary.provenance.steps)):
        source = step.get("source", {})
        digests = {
            path: facts["sha256"] for path, facts in source.get("files", {}).items() if "sha256" in facts
        }
        yield Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            name=str(source.get("name", "?")),
            bom_ref=f"ancestor:{number}",
            hashes=_hashes(next(iter(digests.values()))) if len(digests) == 1 else None,
            properties=[
                Property(name="bridge:format", value=str(source.get("format", "?"))),
                *(Property(name=f"bridge:sha256:{path}", value=digest) for path, digest in digests.items()),
            ],
        )


def _software(summary: Summary) -> Iterator[Any]:
    """The software of every conversion, once a version."""
    from cyclonedx.model.component import Component, ComponentType

    used = {
        (name, version)
        for step in summary.provenance.steps
        for name, version in step.get("versions", {}).items()
    }
    for name, version in sorted(used):
        yield Component(
            type=ComponentType.LIBRARY, name=name, version=version, bom_ref=f"pypi:{name}@{version}"
        )


def _file(path: str, facts: dict[str, Any]) -> Any:
    from cyclonedx.model.component import Component, ComponentType

    hashes = _hashes(facts["sha256"]) if "sha256" in facts else None
    return Component(type=ComponentType.FILE, name=path, bom_ref=f"file:{path}", hashes=hashes)


def _hashes(digest: str) -> list[Any]:
    from cyclonedx.model import HashAlgorithm, HashType

    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)]


def _model_card(summary: Summary) -> dict[str, Any]:
    """CycloneDX's model card: inputs and outputs, data, metrics, considerations."""
    card = summary.card.fields
    use = card.get("intended_use", {})
    data = card.get("training", {}).get("data", [])
    parameters = {
        "inputs": [{"format": str(port)} for port in summary.inputs],
        "outputs": [{"format": str(port)} for port in summary.outputs],
        "datasets": [{"type": "dataset", "name": row["name"]} for row in data],
    }
    considerations = {
        "users": use.get("users", []),
        "useCases": use.get("uses", []),
        "technicalLimitations": [*card.get("limitations", []), *use.get("out_of_scope", [])],
        "ethicalConsiderations": [
            {"name": row["name"]} | ({"mitigationStrategy": row["mitigation"]} if "mitigation" in row else {})
            for row in card.get("ethical_considerations", [])
        ],
    }
    metrics = [_metric(row) for row in card.get("metrics", [])]
    told = {
        "modelParameters": {key: value for key, value in parameters.items() if value},
        "quantitativeAnalysis": {"performanceMetrics": metrics} if metrics else {},
        "considerations": {key: value for key, value in considerations.items() if value},
    }
    return {key: value for key, value in told.items() if value}


def _metric(row: dict[str, Any]) -> dict[str, Any]:
    found = {"type": row["name"]} | {key: str(row[key]) for key in ("value", "slice") if key in row}
    bounds = {f"{end}Bound": str(row[end]) for end in ("lower", "upper") if end in row}
    return found | ({"confidenceInterval": bounds} if bounds else {})
