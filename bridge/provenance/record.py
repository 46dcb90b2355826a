"""The step that a conversion adds to the chain of the file it writes."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.digests import digest_of, sha256_of
from bridge.facts import CARD, FORMAT, PROVENANCE, SHA256
from bridge.formats import Format
from bridge.lower import Writer
from bridge.plugins import DISTRIBUTION
from bridge.provenance.card import card_of, with_verification
from bridge.provenance.chain import provenance_of
from bridge.report import Report
from bridge.route import Route
from bridge.weightfile import FileTensor

if TYPE_CHECKING:
    from bridge.quantize.file import Step
    from bridge.trials import Sampling
    from bridge.verify import Proof, Verification

__all__ = ["Making", "Record", "files_of_model", "paths_of_model"]

DIGESTED = 2**26
"""Bytes of the largest file that is read for its digest alone."""
CORE = ("onnx", "onnx-ir", "numpy")
"""Packages that every conversion uses."""
LISTED = 64
"""Elements of the longest list that is noted."""
PATH = re.compile(r"(?:~|[A-Za-z]:)?[\\/](?:[^\s\\/:;,='\"()]+[\\/])+")


@dataclass(frozen=True)
class Making:
    """Wishes on what a file says of itself: `card` are the fields of a model card; with `measured` what
    verification measures is added to it; `reproducible` leaves out what is another in each run. `changes` are
    those made to the model on the way, for the chain."""

    card: dict[str, Any] | None = None
    measured: bool = False
    reproducible: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, card: str | Path | Mapping[str, Any] | None, measured: bool, reproducible: bool) -> Making:
        """Wishes of a user who names a card's file, or its fields. Raises as `card_of` does."""
        return cls(None if card is None else card_of(card), measured, reproducible)


class Record:
    """The chain and the card of a file that is being written."""

    def __init__(
        self, making: Making, model: ir.Model, source: dict[str, Any], versions: dict[str, str]
    ) -> None:
        self.making = making
        self.before = provenance_of(model).steps
        self.card = card_of(model) if making.card is None else making.card
        self.step: dict[str, Any] = {}
        if not making.reproducible:
            self.step["made"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.step |= {"versions": versions, "source": source}

    @classmethod
    def of_route(cls, making: Making, way: Route, model: ir.Model) -> Record:
        """Record of a conversion, whose source was just read as `model`."""
        reader = way.reader
        name = Path(reader.source).resolve().name if reader.is_file else type(reader.source).__name__
        source: dict[str, Any] = {"name": scrubbed(name), "format": reader.format.name}
        if reader.is_file:
            source["files"] = files_of_model(Path(reader.source), model)
        record = cls(
            making, model, source, versions_of((reader.format, "importer"), (way.writer.format, "exporter"))
        )
        options = reader.options | way.writer.options
        given = {name: noted(options.get(name, value)) for name, value in way.given.items()}
        fixed = {"dims": {**(reader.dims or {}), **making.changes.get("dims", {})}}
        changed = {**making.changes, **(fixed if fixed["dims"] else {})}
        changes = {name: noted(value) for name, value in changed.items()}
        record.step |= {"options": given} if given else {}
        record.step |= {"changes": changes} if changes else {}
        return record

    @classmethod
    def of_hub(cls, making: Making, model: ir.Model, target: Writer, given: Mapping[str, Any]) -> Record:
        """Record of a hub model in memory that is saved."""
        digest = SHA256.get(model)
        name = model.graph.name or "model"
        source: dict[str, Any] = {"name": scrubbed(name), "format": FORMAT.get(model) or "hub"}
        source |= {"files": {"source": {"sha256": digest}}} if digest else {}
        record = cls(making, model, source, versions_of((target.format, "exporter")))
        record.step |= {"options": {name: noted(value) for name, value in given.items()}} if given else {}
        return record

    def stamp(self, model: ir.Model, target: Writer, report: Report) -> None:
        """Give a lowered model the metadata that are written with it."""
        self.step["target"] = {"format": target.format.name}
        if target.exporter.version_title is not str:
            self.step["target"]["version"] = target.exporter.version_title(target.version)
        self.step["operators"] = report.counts()
        PROVENANCE.set(model, [*self.before, self.step])
        if self.card or self.making.measured:
            CARD.set(model, self.card)

    def complete(
        self,
        target: Writer,
        path: Path,
        model: ir.Model,
        report: Report,
        verification: Verification | None,
        proof: Proof | None,
        quantizing: Step | None,
    ) -> None:
        """Add to the metadata of a file written what was measured on it."""
        if quantizing is not None and quantizing.result is not None:
            self.step["quantization"] = _quantized(quantizing)
        if verification is not None and proof is not None:
            self.step["verification"] = _measured(verification, proof.sampling, self.making.reproducible)
        if (verification is None and quantizing is None) or PROVENANCE.get(model) is None:
            return
        if target.exporter.annotate is None:
            report.notes.append(f"{target.format.title} files do not say what verification measured")
            return
        entries = {PROVENANCE.key: PROVENANCE.encode([*self.before, self.step])}
        if self.making.measured and verification is not None:
            entries[CARD.key] = CARD.encode(with_verification(self.card, self.step["verification"]))
        target.exporter.annotate(path, entries)


def versions_of(*parts: tuple[Format, str]) -> dict[str, str]:
    """Versions of bridge, of the packages every conversion uses, and of those that parts of formats need."""
    found = {DISTRIBUTION: _installed(DISTRIBUTION)} | {name: _installed(name) for name in CORE}
    for fmt, name in parts:
        part = fmt.part(name)
        if part is not None and part.requires:
            found |= {package: version for package, version in fmt.installed().items() if version}
    return found


@functools.cache
def _installed(package: str) -> str:
    return importlib.metadata.version(package)


def files_of_model(path: Path, model: ir.Model) -> dict[str, dict[str, Any]]:
    """Bytes and digest of each file of a model, by its path in its folder; no digest of a large one that its
    importer did not read from end to end."""
    files = paths_of_model(path, model)
    told = {} if path.is_dir() else {path: SHA256.get(model)}
    base = path if path.is_dir() else path.parent
    found = {}
    for file in files:
        size = file.stat().st_size
        digest = told.get(file) or (sha256_of(file) if size <= DIGESTED else "")
        name = file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name
        found[scrubbed(name)] = {"bytes": size} | ({"sha256": digest} if digest else {})
    return found


def paths_of_model(path: Path, model: ir.Model | None = None) -> list[Path]:
    """The files of a folder, or a file and those beside it that hold weights of the hub model read from
    it."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    weights = hub.weights(model) if model is not None else []
    return sorted({path, *(t.file.path for t in weights if isinstance(t, FileTensor))})


def _quantized(step: Step) -> dict[str, Any]:
    """The scheme of a quantization, its samples, and what it kept."""
    done, asked = step.result, step.asked
    assert done is not None
    told: dict[str, Any] = {"scheme": done.scheme, "samples": done.samples, "random": done.random}
    told |= {"calibration": noted(asked.calibration)} if asked.calibration is not None else {}
    told |= {"method": asked.method} if step.scheme.is_static else {}
    told |= {"keep_float": list(asked.keep_float)} if asked.keep_float else {}
    told |= {"returned": list(done.returned)} if done.returned else {}
    return told | ({} if done.sqnr is None else {"sqnr": rounded(done.sqnr)})


def _measured(done: Verification, sampling: Sampling, reproducible: bool) -> dict[str, Any]:
    """The results of a verification, against which runtime, with which inputs. The last places of errors
    change with where arrays lie in memory: what is to be reproducible has the verdicts alone."""
    if sampling.data:
        inputs: dict[str, Any] = {"arrays": len(sampling.data), "sha256": arrays_digest(sampling.data)}
    else:
        inputs = {"seeds": list(sampling.seeds), "settings": list(done.settings)}
        inputs |= {"ranges": {n: list(r) for n, r in sampling.ranges.items()}} if sampling.ranges else {}
    rows: dict[str, dict[str, Any]] = {
        o.name: {"problem": o.problem} if o.problem else {} for o in done.outputs
    }
    for output in () if reproducible else done.outputs:
        errors = {"max_abs": rounded(output.max_abs), "max_rel": rounded(output.max_rel)}
        rows[output.name] |= errors | {"cosine": round(output.cosine, 6)}
    told = {"engines": list(done.engines), "ok": done.ok, "inputs": inputs, "outputs": rows}
    return told | ({"notes": [scrubbed(note) for note in done.notes]} if done.notes else {})


def arrays_digest(data: Any) -> str:
    """The digest of arrays by name, one set or several: of their dtypes, shapes and elements."""
    parts = []
    for arrays in data:
        for name, value in arrays.items():
            array = np.asarray(value)
            plain = array.tolist() if array.dtype == object else array.tobytes()
            parts.append((name, str(array.dtype), array.shape, plain))
    return digest_of(*parts).hex()


def rounded(number: float) -> float | str:
    """Three digits of a number, as JSON has it."""
    return float(f"{number:.3g}") if math.isfinite(number) else str(number)


def noted(value: Any) -> Any:
    """A value as JSON has it, without paths and without what is long."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, Path):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): noted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)) and len(value) <= LISTED:
        return [noted(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: noted(getattr(value, name)) for name in value.__dataclass_fields__}
    size = f" of {len(value)}" if hasattr(value, "__len__") else ""
    return f"{type(value).__name__}{size}"


def scrubbed(text: str) -> str:
    """Text without the folders of paths that are on this machine, and without characters that a file cannot
    hold."""

    def bare(found: re.Match[str]) -> str:
        first = re.split(r"[\\/]", found[0])[1]
        return "" if found[0][0] not in "\\/" or Path("/", first).is_dir() else found[0]

    words = re.split(r"([\s;,=]+)", PATH.sub(bare, text))
    named = [Path(word).name if "/" in word and Path(word).exists() else word for word in words]
    return "".join(c if c.isprintable() else " " for c in "".join(named))
