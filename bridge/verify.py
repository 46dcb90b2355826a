"""Compare two models on the same inputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub, plugins
from bridge.comparison import Comparison, Verification, compare, quanta, worst_of
from bridge.errors import BridgeError, ExecutionFailed, InvalidInput, VerificationFailed, first_line
from bridge.facts import LAYOUT
from bridge.formats import Face
from bridge.inputs.lengths import Lengths
from bridge.inputs.values import Ranges
from bridge.load import Reader, reader
from bridge.lower import Writer
from bridge.noise import Noise, is_rounded, noise_of
from bridge.page.graph import Graph, graph_of
from bridge.remote import warm
from bridge.runtime import HubSession, Outputs, Session, open_session, open_source
from bridge.trials import Sampling, Trial, shown, trials

__all__ = ["Comparison", "Proof", "Verification", "compare", "verify"]

LOGGER = logging.getLogger("bridge")


def verify(
    reference: Any,
    candidate: Any,
    inputs: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    *,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
    lossy: float | None = None,
    reference_source: str | None = None,
    candidate_source: str | None = None,
    dims: dict[str, int] | None = None,
    ranges: Ranges | None = None,
    runtime: str = "",
    reference_options: dict[str, Any] | None = None,
    candidate_options: dict[str, Any] | None = None,
) -> Verification:
    """Run two models (hub models or paths) on `inputs`, or on random ones of two seeds, and compare every
    output.

    Names, shapes and dtypes must be the same. Floats agree within rtol 1e-3 and atol 1e-4 (1e-2 each for
    16-bit floats) unless given, or within `lossy` times the largest element of the output; integers,
    strings and booleans exactly; NaN and infinity in the same places. An output that the reference
    quantizes as its last step agrees within one step (`quanta`), any output of a quantized model within
    what the reference's own runtime varies by, one of half precision within what its rounding changes.
    Random inputs have the lengths `dims` gives symbolic dimensions by name, others two lengths each, and
    values within `ranges`, by input. `runtime="reference"` lets onnx.reference judge what ONNX Runtime
    refuses. The sources name formats, `reference_options` and `candidate_options` are those each is read
    with.

    Raises InvalidInput, ExecutionFailed and what `load` raises.
    """
    first = _hub_or_reader(reference, reference_source, reference_options)
    second = _hub_or_reader(candidate, candidate_source, candidate_options)
    given = [inputs] if isinstance(inputs, dict) else inputs or ()
    sampling = Sampling((seed, seed + 1), dims or {}, ranges or {}, given, runtime)
    judge = Judge(first)
    asked = judge.trials(Lengths(judge.model if not given else _EMPTY, sampling.dims), sampling)
    session = open_session(second)
    try:
        return replace(compared(judge, session, asked, sampling, rtol, atol, lossy), graph=judge.graph)
    except (ExecutionFailed, InvalidInput) as error:
        _require_inputs(list(asked[0].inputs), session, error)
        raise


def _require_inputs(names: list[str], session: Session, error: BridgeError) -> None:
    """Raise InvalidInput where the inputs of a model that did not run have other names than these."""
    own = [port.name for port in session.inputs]
    if own and not set(names) <= set(own):
        raise InvalidInput(
            f"The two models do not have the same inputs: {', '.join(names)} and {', '.join(own)}.",
            "Is each the model that was meant?",
        ) from error


_EMPTY = ir.Model(ir.Graph([], [], nodes=[]), ir_version=hub.IR_VERSION)


def _hub_or_reader(
    model: Any, source: str | None, options: dict[str, Any] | None = None
) -> ir.Model | Reader:
    return model if isinstance(model, ir.Model) else reader(model, source, options)


Drawn = Callable[[dict[str, Any]], dict[str, Any]]


class Judge:
    """The answer to what a source computes: its own runtime or framework; the hub model read from it where
    that refuses it, or where it has none."""

    def __init__(self, source: ir.Model | Reader, model: ir.Model | None = None) -> None:
        self._source, self._model = source, model
        self.session: Session = HubSession(source) if isinstance(source, ir.Model) else self._opened(source)
        self.notes: list[str] = []
        self._lenient = self._passed_over = False
        self._read: HubSession | None = None

    @property
    def model(self) -> ir.Model:
        """The hub model of the source."""
        if self._model is None:
            self._model = self._source if isinstance(self._source, ir.Model) else self._source.read()
        return self._model

    @property
    def graph(self) -> Graph | None:
        """The graph of the source, where it was read."""
        model = self._source if isinstance(self._source, ir.Model) else self._model
        return None if model is None else graph_of(model)

    def _opened(self, source: Reader) -> Session:
        in_file = source.is_file and source.format.runtime
        return open_session(source) if in_file else open_source(source, self.model)

    def trials(
        self,
        lengths: Lengths,
        sampling: Sampling,
        drawn: Drawn = lambda inputs: inputs,
        of_source: Drawn = lambda inputs: inputs,
    ) -> list[Trial]:
        """Answers of the source, as `bridge.trials.trials` finds them. Where its runtime opens it, lengths
        it does not run are not asked of another one, until no others are left."""
        try:
            return trials(lambda inputs: self.run(of_source(inputs)), lengths, sampling, drawn)
        except ExecutionFailed:
            if not self._passed_over:
                raise
        self._lenient = True
        return trials(lambda inputs: self.run(of_source(inputs)), lengths, sampling, drawn)

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """The source's answer. Raises as sessions do."""
        if self.session.refusal and not isinstance(self.session, HubSession):
            outputs = self._as_read(inputs)
            if outputs is not None:
                return outputs
        outputs = self.session.run(inputs)
        if outputs.refusal and not self.session.refusal and not self._lenient:
            self._passed_over = True
            raise ExecutionFailed(outputs.refusal)
        if outputs.refusal:
            self._note(f"The source was run by {outputs.engine}: {first_line(outputs.refusal)}")
        return outputs

    def _as_read(self, inputs: dict[str, Any]) -> Outputs | None:
        """Outputs of the hub model in ONNX Runtime; None where it refuses that too."""
        self._read = self._read or HubSession(self.model, "as bridge reads it, ")
        try:
            outputs = self._read.run(inputs)
        except BridgeError:
            return None
        if outputs.refusal:
            return None
        self._note(f"The source was run as bridge reads it: {first_line(self.session.refusal)}")
        return outputs

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def noise(
        self, asked: list[Trial], result: Session, answers: list[Outputs], near: bool
    ) -> dict[str, Noise]:
        """Noise of the source, by output; empty for one that is neither quantized nor of half precision, and
        whose result is not `near`."""
        try:
            if near or is_rounded(self.model):
                return noise_of(self._read or self.session, self.model, asked, result, answers)
        except BridgeError:
            pass
        return {}

    def quanta(self) -> dict[str, float]:
        try:
            return quanta(self.model)
        except BridgeError:
            return {}


NEAR = 0.999
"""The cosine from which a result may be the same but for its last places."""


def compared(
    judge: Judge,
    candidate: Session,
    asked: list[Trial],
    sampling: Sampling,
    rtol: float | None = None,
    atol: float | None = None,
    lossy: float | None = None,
) -> Verification:
    """The Verification of a candidate on what was asked of its judge. Raises as sessions do."""
    answers = []
    for number, trial in enumerate(asked, 1):
        LOGGER.debug("verify: the result on inputs %d of %d", number, len(asked))
        answers.append(candidate.run(trial.inputs))
    refusal = next((a.refusal for a in answers if a.refusal), "")
    own = refusal and answers[0].engine.startswith("onnx.reference") and not isinstance(candidate, HubSession)
    if own and sampling.runtime != "reference":
        raise ExecutionFailed(
            f"ONNX Runtime does not run the file. {refusal}",
            "runtime='reference' (--runtime reference) lets onnx.reference judge it instead.",
        )
    unjudged = _unjudged(judge, asked, answers)
    pairs = [
        (trial.expected, Outputs({n: v for n, v in a.items() if n not in unjudged}, a.engine, a.refusal))
        for trial, a in zip(asked, answers, strict=True)
    ]
    result = worst_of([compare(a, b, rtol, atol, lossy=lossy) for a, b in pairs])
    if not result.ok and (steps := judge.quanta()):
        result = worst_of([compare(a, b, rtol, atol, steps, lossy) for a, b in pairs])
    near = all(row.ok or (row.problem == "differs" and row.cosine > NEAR) for row in result.outputs)
    if not result.ok and (noise := judge.noise(asked, candidate, answers, near)):
        result = worst_of([compare(a, b, rtol, atol, steps, lossy, noise) for a, b in pairs])
    notes = [*judge.notes]
    if unjudged:
        notes.append(
            f"{asked[0].expected.engine} does not compute {', '.join(unjudged)}, so nothing judges it."
        )
    if refusal:
        notes.append(f"The result was run by {answers[0].engine}: {first_line(refusal)}")
    return replace(result, settings=tuple(t.setting for t in asked), notes=tuple(notes))


def _unjudged(judge: Judge, asked: list[Trial], answers: list[Outputs]) -> list[str]:
    """Outputs of the model that the runtime of its source leaves out."""
    given = {name for trial in asked for name in trial.expected}
    found = {name for answer in answers for name in answer}
    declared = {value.name for value in judge.model.graph.outputs} if found - given else set()
    return sorted((found - given) & declared) if given & found else []


PIXELS = (0.0, 255.0)


@dataclass(frozen=True)
class View:
    """Inputs and outputs of a file, where options make them differ from the source's."""

    face: Face
    source: ir.Model
    lowered: ir.Model

    def drawn(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs with whole numbers for pixels."""
        return {n: np.rint(a) if n in self.face.pixels else a for n, a in inputs.items()}

    def of_source(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The source's inputs: what an image is scaled to."""
        return {n: self.face.pixels[n](a) if n in self.face.pixels else a for n, a in inputs.items()}

    def of_file(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The file's inputs: in its layout."""
        return self._moved("input", inputs)

    def as_source(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """The file's outputs under the names and in the layout of the source."""
        return self._moved("output", self._named(outputs))

    def _named(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Outputs that are inputs passed on have the source's names: a format may give those another one."""
        wanted = {v.name or "": v.is_graph_input() for v in self.source.graph.outputs}
        if len(wanted) != len(outputs):
            return outputs
        pairs = zip(wanted.items(), outputs.items(), strict=True)
        return {
            (own if passed and own not in outputs and name not in wanted else name): array
            for (own, passed), (name, array) in pairs
        }

    def _moved(self, side: str, arrays: dict[str, Any]) -> dict[str, Any]:
        perms = {name: LAYOUT.of(f"{side}:{name}").get(self.lowered) for name in arrays}
        return {n: a if perms[n] is None else np.transpose(a, perms[n]) for n, a in arrays.items()}


class Seen(Session):
    """A file's session, with inputs and outputs as its source has them."""

    def __init__(self, session: Session, view: View) -> None:
        self.session, self.view = session, view

    def run(self, inputs: dict[str, Any]) -> Outputs:
        outputs = self.session.run(self.view.of_file(inputs))
        self.engine = outputs.engine
        return Outputs(self.view.as_source(outputs), outputs.engine, outputs.refusal)

    def variants(self) -> Iterator[Session]:
        for variant in self.session.variants():
            yield Seen(variant, self.view)


class Proof:
    """The source's answers, to compare a file with that is about to take its place: the source in its own
    runtime or framework, else the hub model as imported, on inputs both can take."""

    def __init__(
        self,
        target: Writer,
        source: Reader | ir.Model,
        model: ir.Model,
        sampling: Sampling | None = None,
        judge: Callable[[Reader | ir.Model, ir.Model], Judge] | None = None,
    ) -> None:
        self.writer, self.sampling = target, sampling or Sampling()
        # The source's runtime knows nothing of the operators whose bodies plugins bring
        bodies = {function.identifier() for function in plugins.functions()}
        foreign = any(node.op_identifier() in bodies for node in hub.all_nodes(model))
        self.model = model.clone()
        asked = source if isinstance(source, Reader) and not foreign else self.model
        self.judge = (judge or Judge)(asked, self.model)
        warm(self.writer.format)

    def of(self, path: Path, lowered: ir.Model) -> Verification:
        """Compare the file at `path` that the route's writer made of the model `lowered` is. Raises
        ExecutionFailed where the source does not run, VerificationFailed where the file does not."""
        face = self.writer.exporter.face(self.model, self.writer.options)
        view = View(face, self.model, lowered)
        ranges = dict.fromkeys(face.pixels, PIXELS) | dict(self.sampling.ranges)
        asked = self.judge.trials(
            Lengths(self.model, self.sampling.dims, face.limits, face.shapes),
            replace(self.sampling, ranges=ranges),
            view.drawn,
            view.of_source,
        )
        try:
            candidate = Seen(open_session(reader(path, self.writer.format.name)), view)
            return compared(self.judge, candidate, asked, self.sampling, lossy=self.writer.tolerance)
        except ExecutionFailed as error:
            at = "; ".join(dict.fromkeys(shown(t.setting) for t in asked if t.setting))
            raise VerificationFailed(
                f"What was written does not run{f' at {at}' if at else ''}, though its source does. {error}"
            ) from error
