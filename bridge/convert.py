"""The whole flow: detect → import → passes → legalise → check → export → verify → report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from bridge import hub
from bridge.edits import Edits, edited
from bridge.errors import InvalidOption, UnsupportedModel, VerificationFailed, stage
from bridge.load import uncollected
from bridge.lower import Writer, writer
from bridge.measured import notes
from bridge.output import atomic, require_free, unless_model
from bridge.page.content import Content
from bridge.page.fragments import Shown
from bridge.provenance.record import Making, Record
from bridge.report import Report
from bridge.route import Route, route
from bridge.summary import size_on_disk

if TYPE_CHECKING:
    from bridge.quantize.file import Step
    from bridge.quantize.result import Quantization
    from bridge.trials import Sampling
    from bridge.verify import Proof, Verification

__all__ = ["Conversion", "check", "convert", "save", "written"]


@dataclass(frozen=True)
class Conversion(Shown):
    """A file written: where, what happened to each operator, how it compared if that was asked, and how
    accurate it is if it was quantized."""

    path: Path
    report: Report
    verification: Verification | None = None
    quantization: Quantization | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        compared = self.verification.to_dict() if self.verification else None
        quantized = {"quantization": self.quantization.to_dict()} if self.quantization else {}
        return {"path": str(self.path), "report": self.report.to_dict(), "verification": compared} | quantized

    def content(self) -> Content:
        """That of the report, of the verification and of the quantization, as far as there are."""
        content = self.report.content()
        for part in (self.verification, self.quantization):
            content = content if part is None else content.and_of(part.content())
        return replace(content, title=f"{Path(self.report.model).name} → {self.path.name}")

    def __str__(self) -> str:
        parts = [f"{self.path} written.", self.report, self.verification, self.quantization]
        return "\n".join(str(part) for part in parts if part is not None)


def convert(
    src: Any,
    dst: str | Path | None = None,
    *,
    to: str | None = None,
    source: str | None = None,
    overwrite: bool = False,
    verify: bool | Sampling = False,
    keep: bool = False,
    dims: Mapping[str, int | str] | None = None,
    quantize: str | None = None,
    calibration: Any = None,
    card: str | Path | Mapping[str, Any] | None = None,
    card_results: bool = False,
    reproducible: bool = False,
    profile: str | None = None,
    **options: Any,
) -> Conversion:
    """Convert a model file or live object to another format.

    `to` is the target's name, found from the suffix of `dst` when omitted; without `dst` the file is named
    after `src`, in the current directory. Options are those the source's importer and the target's exporter
    declare (`bridge formats NAME`). With `verify`, source and result run on the same inputs and must agree,
    or nothing is written; with `keep` it is written all the same. The inputs are random, at two settings of
    the lengths that vary, or those that a `bridge.trials.Sampling` says. `dims` gives dimensions
    of the inputs, by name or as `INPUT:AXIS`, their lengths or other names. The fields of
    `bridge.edits.Edits` are options too, which change the interface; what is verified then is the edited
    model, as the hub holds it.

    With `quantize`, a scheme, the hub model is quantized for the target on `calibration`, as
    `bridge.quantize` does, whose other arguments go among the options; with `verify` the file is compared
    with the quantized hub model, and measured against the float source on the samples held back.

    What is written says in its metadata where it comes from (`bridge.provenance.chain`); `reproducible`
    leaves out what is another in each run. `card` is a model card that goes with it, a file in YAML or its
    fields (`bridge.provenance.card`), in the place of the source's own; with `card_results` what `verify`
    measures is added to it.

    A `profile` (`bridge profiles`) is what a deployment takes: it chooses options of the target, and what it
    does not take of the file written is a blocker.

    Raises UnreadableFile, UnknownFormat, UnsupportedModel, MissingDependency, DestinationExists,
    InvalidOption, InvalidInput, InvalidCard, WriteFailed, VerificationFailed, TooLarge, InternalError: all
    BridgeErrors.
    """
    making = Making.of(card, card_results and bool(verify), reproducible)
    fixed = {name: n for name, n in (dims or {}).items() if not isinstance(n, str) and ":" not in name}
    changed = {name: n for name, n in (dims or {}).items() if name not in fixed}
    edits, others = Edits.taken(options | {"dims": changed})
    change = (lambda model: edited(model, edits)) if edits != Edits() else None
    making = replace(making, changes={name: value for name, value in vars(edits).items() if value})
    if quantize is None:
        if calibration is not None:
            raise InvalidOption("calibration needs a scheme of quantization.", "Such as: quantize='int8'.")
        way = route(src, dst, to=to, source=source, dims=fixed, options=others, profile=profile)
        return written(way, overwrite, verify, keep, change, making=making)
    from bridge.quantize.core import Quantizing  # takes 0.2 s with what it needs, which others do without
    from bridge.quantize.file import Step

    asked, others = Quantizing.taken(quantize, calibration, others)
    way = route(src, dst, to=to, source=source, dims=fixed, options=others, profile=profile)
    step = Step(way.writer, asked)
    both = step if change is None else lambda model: step(change(model))
    return replace(written(way, overwrite, verify, keep, both, step, making), quantization=step.result)


def written(
    way: Route,
    overwrite: bool,
    verify: bool | Sampling,
    keep: bool,
    change: Callable[[ir.Model], ir.Model] | None = None,
    quantizing: Step | None = None,
    making: Making | None = None,
) -> Conversion:
    """Write what a route leads to. What `change` makes of the hub model is written in its place, and is
    what verification holds it to; what `quantizing` makes is measured too; `making` is on its metadata.
    Raises as `convert` does."""
    require_free(way.writer.path, overwrite, unless_model(way.writer.format))
    steps = ("import", "legalise", "export", *["verify"] * bool(verify))
    report = Report(way.reader.format.name, way.writer.format.name, model=str(way.reader), steps=steps)
    with report.timed("import"):
        model = way.reader.read()
    report.notes.extend(hub.noted(model))
    record = Record.of_route(making or Making(), way, model)
    if way.reader.is_file:
        report.bytes["source"] = size_on_disk(Path(way.reader.source), model)
    if change is not None:
        model = change(model)
    if not verify:
        return _write(model, way.writer, report, overwrite, record, quantizing=quantizing)
    from bridge.trials import Sampling  # takes 0.1 s with what it needs, which only verification does
    from bridge.verify import Proof

    sampling, judge = verify if isinstance(verify, Sampling) else Sampling(), None
    if quantizing is not None:
        sampling, judge = quantizing.sampling(sampling), quantizing.judge
    proof = Proof(way.writer, way.reader if change is None else model, model, sampling, judge)
    return _write(model, way.writer, report, overwrite, record, proof, keep, quantizing)


def save(
    model: ir.Model,
    dst: str | Path,
    *,
    to: str | None = None,
    overwrite: bool = False,
    card: str | Path | Mapping[str, Any] | None = None,
    reproducible: bool = False,
    **options: Any,
) -> Conversion:
    """Write a hub model as a file. The model handed in is left as it was. `card` and `reproducible` are as
    `convert` has them, and so is what is raised."""
    target = writer(dst, to, options)
    require_free(target.path, overwrite, unless_model(target.format))
    report = Report("hub", target.format.name, model=model.graph.name or "model")
    record = Record.of_hub(Making.of(card, False, reproducible), model, target, options)
    return _write(model.clone(), target, report, overwrite, record)


def check(
    src: Any,
    *,
    to: str | None = None,
    source: str | None = None,
    dims: dict[str, int] | None = None,
    profile: str | None = None,
    **options: Any,
) -> Report:
    """Report on what converting `src` would do to each operator; nothing is written.

    With a `profile`, `to` may be omitted, and the blockers are also those of what that deployment takes.

    `blockers` of the report lists every operator that cannot cross; `notes` tells of operators not every
    measured case of which survives. Raises as `convert` does, but not UnsupportedModel for what the target
    refuses.
    """
    way = route(src, to=to, source=source, dims=dims, options=options, profile=profile)
    report = Report(way.reader.format.name, way.writer.format.name, model=str(way.reader))
    try:
        model = way.reader.read()
    except UnsupportedModel as error:
        report.blockers.extend(error.blockers)
        return report
    measured = notes(f"{report.source}:{report.target}", map(hub.qualified, hub.all_nodes(model)))
    with way.writer.extended, stage(f"Converting the model to {way.writer.format.title}"):
        way.writer.lower(model, report)
    report.notes.extend([*hub.noted(model), *measured])
    if profile is not None and report.ok:
        _try_to_write(model, way.writer, report)
    return report


def _try_to_write(model: ir.Model, target: Writer, report: Report) -> None:
    """Write a lowered model where it is thrown away, and list in the report what the profile refuses."""
    with TemporaryDirectory() as folder:
        try:
            target.write(model, Path(folder) / target.path.name, report)
        except UnsupportedModel as error:
            report.blockers.extend(error.blockers)
        except ModuleNotFoundError as error:
            raise target.format.missing(error) from error


def _write(
    model: ir.Model,
    target: Writer,
    report: Report,
    overwrite: bool,
    record: Record,
    proof: Proof | None = None,
    keep: bool = False,
    quantizing: Step | None = None,
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
            record.stamp(model, target, report)
            with uncollected(), report.timed("export", (temporary.parent, size)):
                target.write(model, temporary, report)
            report.require()
            if proof is not None:
                with report.timed("verify"):
                    verification = proof.of(temporary, model)
                if not keep:
                    verification.require(target.path, report.model)
                if quantizing is not None:
                    quantizing.measure(temporary, model, keep)
            record.complete(target, temporary, model, report, verification, proof, quantizing)
            report.bytes["result"] = size_on_disk(temporary.parent)
        if verification is not None:
            verification.require(target.path, report.model, written=True)
    except ModuleNotFoundError as error:
        raise target.format.missing(error) from error
    except (UnsupportedModel, VerificationFailed) as error:
        error.result = Conversion(target.path, report, verification)
        raise
    return Conversion(target.path, report, verification)
