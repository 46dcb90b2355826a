"""The whole flow: detect → import → passes → legalise → check → export → verify → report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from bridge import hub
from bridge.errors import UnsupportedModel, stage
from bridge.load import Reader, uncollected
from bridge.lower import Writer, writer
from bridge.measured import notes
from bridge.output import atomic, require_free, unless_model
from bridge.report import Report
from bridge.route import Route, route

if TYPE_CHECKING:
    from bridge.trials import Sampling
    from bridge.verify import Proof, Verification

__all__ = ["Conversion", "check", "convert", "save", "written"]


@dataclass(frozen=True)
class Conversion:
    """A file written: where, what happened to each operator, and how it compared if that was asked."""

    path: Path
    report: Report
    verification: Verification | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        compared = self.verification.to_dict() if self.verification else None
        return {"path": str(self.path), "report": self.report.to_dict(), "verification": compared}

    def __str__(self) -> str:
        lines = [f"{self.path} written.", str(self.report)]
        return "\n".join([*lines, str(self.verification)] if self.verification else lines)


def convert(
    src: Any,
    dst: str | Path | None = None,
    *,
    to: str | None = None,
    source: str | None = None,
    overwrite: bool = False,
    verify: bool | Sampling = False,
    keep: bool = False,
    dims: dict[str, int] | None = None,
    **options: Any,
) -> Conversion:
    """Convert a model file or live object to another format.

    `to` is the target's name, found from the suffix of `dst` when omitted; without `dst` the file is named
    after `src`, in the current directory. Options are those the source's importer and the target's exporter
    declare (`bridge formats NAME`). With `verify`, source and result run on the same inputs and must agree,
    or nothing is written; with `keep` it is written all the same. The inputs are random, at two settings of
    the lengths that vary, or those that a `bridge.trials.Sampling` says. `dims` gives symbolic dimensions
    of the inputs their lengths, by name.

    Raises UnreadableFile, UnknownFormat, UnsupportedModel, MissingDependency, DestinationExists,
    InvalidOption, WriteFailed, VerificationFailed, TooLarge, InternalError: all BridgeErrors.
    """
    way = route(src, dst, to=to, source=source, dims=dims, options=options)
    return written(way, overwrite, verify, keep)


def written(
    way: Route,
    overwrite: bool,
    verify: bool | Sampling,
    keep: bool,
    change: Callable[[ir.Model], ir.Model] | None = None,
) -> Conversion:
    """Write what a route leads to. What `change` makes of the hub model is written in its place, and is
    what verification holds it to. Raises as `convert` does."""
    require_free(way.writer.path, overwrite, unless_model(way.writer.format))
    steps = ("import", "legalise", "export", *["verify"] * bool(verify))
    report = Report(way.reader.format.name, way.writer.format.name, model=str(way.reader), steps=steps)
    with report.timed("import"):
        model = way.reader.read()
    report.notes.extend(hub.noted(model))
    if change is not None:
        model = change(model)
    proof = _proof(way.writer, way.reader if change is None else model, model, verify) if verify else None
    return _write(model, way.writer, report, overwrite, proof, keep)


def _proof(target: Writer, source: Reader | ir.Model, model: ir.Model, verify: bool | Sampling) -> Proof:
    from bridge.trials import Sampling  # takes 0.1 s with what it needs, which only verification does
    from bridge.verify import Proof

    return Proof(target, source, model, verify if isinstance(verify, Sampling) else None)


def save(
    model: ir.Model, dst: str | Path, *, to: str | None = None, overwrite: bool = False, **options: Any
) -> Conversion:
    """Write a hub model as a file. The model handed in is left as it was. Raises as `convert` does."""
    target = writer(dst, to, options)
    require_free(target.path, overwrite, unless_model(target.format))
    report = Report("hub", target.format.name, model=model.graph.name or "model")
    return _write(model.clone(), target, report, overwrite)


def check(
    src: Any, *, to: str, source: str | None = None, dims: dict[str, int] | None = None, **options: Any
) -> Report:
    """Report on what converting `src` would do to each operator; nothing is written.

    `blockers` of the report lists every operator that cannot cross; `notes` tells of operators not every
    measured case of which survives. Raises as `convert` does, but not UnsupportedModel for what the target
    refuses.
    """
    way = route(src, to=to, source=source, dims=dims, options=options)
    report = Report(way.reader.format.name, way.writer.format.name)
    try:
        model = way.reader.read()
    except UnsupportedModel as error:
        report.blockers.extend(error.blockers)
        return report
    measured = notes(f"{report.source}:{report.target}", map(hub.qualified, hub.all_nodes(model)))
    with way.writer.extended, stage(f"Converting the model to {way.writer.format.title}"):
        way.writer.lower(model, report)
    report.notes.extend([*hub.noted(model), *measured])
    return report


def _write(
    model: ir.Model,
    target: Writer,
    report: Report,
    overwrite: bool,
    proof: Proof | None = None,
    keep: bool = False,
) -> Conversion:
    """Lower the model and write it. If verification fails the file is discarded, unless
    `keep`."""
    verification = None
    try:
        with (
            uncollected(),
            target.extended,
            report.timed("legalise"),
            stage(f"Converting the model to {target.format.title}"),
        ):
            target.lower(model, report)
        report.require()
        with atomic(target.path, overwrite, unless_model(target.format)) as temporary:
            size = sum(tensor.nbytes for tensor in hub.weights(model))
            with uncollected(), report.timed("export", (temporary.parent, size)):
                target.write(model, temporary, report)
            if proof is not None:
                with report.timed("verify"):
                    verification = proof.of(temporary, model)
                if not keep:
                    verification.require(target.path)
    except ModuleNotFoundError as error:
        raise target.format.missing(error) from error
    if verification is not None:
        verification.require(target.path, written=True)
    return Conversion(target.path, report, verification)
