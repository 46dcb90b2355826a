"""A hub model quantized: ranges observed, kernels planned, weights rounded, and the result measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.detect import of_target
from bridge.errors import InvalidOption, VerificationFailed, near_miss
from bridge.inputs.data import Images
from bridge.load import load
from bridge.passes import settle
from bridge.quant import is_dequantize, is_quantize
from bridge.quantize.accuracy import Accuracy, Meter, worst
from bridge.quantize.auto import returned_layers
from bridge.quantize.insert import insert
from bridge.quantize.interface import expose_integers, interface_of
from bridge.quantize.layers import quantize_weights
from bridge.quantize.observe import Watched, observed
from bridge.quantize.place import plan
from bridge.quantize.ranges import METHODS, Observed
from bridge.quantize.result import Quantization
from bridge.quantize.samples import Samples, samples_of
from bridge.quantize.schemes import Holding, Scheme, held_by, scheme_of
from bridge.quantize.standard import STANDARD
from bridge.quantize.storage import stored_bytes
from bridge.runtime import HubSession

__all__ = ["Quantizing", "quantize"]


BEST = "best"
TRIED = ("mse", "minmax")
"""Methods of which `best` takes the one that keeps most."""
FEW = 8
"""Samples that methods are compared on, at most."""


@dataclass(frozen=True)
class Quantizing:
    """A quantization that is asked for, as `bridge.quantize` takes it."""

    scheme: str
    calibration: Any = None
    method: str = "best"
    keep_float: Sequence[str] = ()
    min_sqnr: float | None = None
    min_agreement: float | None = None
    auto: bool = False
    integer_io: bool = False
    images: Images = field(default_factory=Images)
    seed: int = 0

    def __post_init__(self) -> None:
        scheme_of(self.scheme)
        if self.integer_io and not scheme_of(self.scheme).is_static:
            raise InvalidOption(f"{self.scheme} quantizes no activations: its inputs and outputs are floats.")
        if self.method not in (BEST, *METHODS):
            raise InvalidOption(f"method={self.method!r} is not one of {', '.join((BEST, *METHODS))}.")
        if self.auto and self.min_sqnr is None and self.min_agreement is None:
            raise InvalidOption("auto needs what is to be reached: min_sqnr or min_agreement.")
        if self.calibration is None and (self.min_sqnr is not None or self.min_agreement is not None):
            raise InvalidOption("min_sqnr and min_agreement are measured on data: give calibration.")
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 1:
            raise InvalidOption(f"min_agreement={self.min_agreement} is not a part from 0 to 1.")

    @classmethod
    def taken(
        cls, scheme: str, calibration: Any, options: dict[str, Any]
    ) -> tuple[Quantizing, dict[str, Any]]:
        """A quantization that is asked for, and the options of others. Raises InvalidOption."""
        names = {f.name for f in fields(cls)} - {"scheme", "calibration"}
        own = {name: value for name, value in options.items() if name in names}
        asked = cls(scheme, calibration, **own)
        return asked, {name: value for name, value in options.items() if name not in names}

    def holds(self, outputs: Sequence[Accuracy]) -> bool:
        """True if every output keeps what is asked."""
        return all(
            (self.min_sqnr is None or o.sqnr >= self.min_sqnr)
            and (self.min_agreement is None or o.agreement is None or o.agreement >= self.min_agreement)
            for o in outputs
        )


def quantize(
    model: Any,
    scheme: str,
    *,
    calibration: Any = None,
    to: str | None = None,
    method: str = "best",
    keep_float: Sequence[str] = (),
    min_sqnr: float | None = None,
    min_agreement: float | None = None,
    auto: bool = False,
    integer_io: bool = False,
    images: Images | None = None,
    seed: int = 0,
) -> Quantization:
    """Quantize a hub model, or what `bridge.load` reads; the model handed in is left as it was.

    `scheme` is one of `bridge.quantize.schemes.SCHEMES`; `to` names the format whose kernels it is for,
    ONNX Runtime's where it is omitted. `calibration` is data as `samples_of` takes it, arrays of the dtypes
    and shapes of the inputs; static schemes observe the ranges of activations on it, by `method` (the better
    of mse and minmax where it is omitted), and a tenth is held back to measure on. `images` says how pictures
    become numbers. What `keep_float` names, by name, pattern or kind of operator, stays float. An
    output below `min_sqnr` dB, or whose greatest element agrees in less than `min_agreement` of the rows, is
    refused; with `auto` layers return to float until none is, those first that gain most per byte. With
    `integer_io` inputs and outputs are integers, where a static scheme quantizes them at once.

    Raises InvalidOption for a scheme the target does not hold, or a static one without data; InvalidInput for
    data the model does not take; VerificationFailed where the result keeps less than is asked;
    ExecutionFailed.
    """
    asked = Quantizing(
        scheme,
        calibration,
        method,
        keep_float,
        min_sqnr,
        min_agreement,
        auto,
        integer_io,
        images or Images(),
        seed,
    )
    source = model.clone() if isinstance(model, ir.Model) else load(model)
    schemes, title = STANDARD, "ONNX Runtime"
    if to is not None:
        target = of_target(None, to)
        exporter = target.resolve("exporter")
        schemes, title = exporter.schemes(exporter.parse({}, target.title)), target.title
    return quantized_for(source, asked, held_by(schemes, scheme_of(scheme), title))


def quantized_for(model: ir.Model, asked: Quantizing, holding: Holding) -> Quantization:
    """A model, which is changed, quantized for one target. Raises as `quantize` does."""
    scheme = scheme_of(asked.scheme)
    if asked.calibration is None and scheme.is_static:
        raise InvalidOption(
            f"{scheme.name} needs the ranges of activations, which are observed on data.",
            "Give calibration=… (--calibration DATA), or 'random' (--calibration random), by which the "
            "accuracy is unknown.",
        )
    samples = None
    if asked.calibration is not None:
        samples = samples_of(model, asked.calibration, asked.images, asked.seed)
    for step in holding.prepare():
        step(model)
    settle(model)
    name_nodes(model)
    work = Work(model, scheme, holding, asked, samples)
    work.require_known()
    if scheme.is_static:
        assert samples is not None
        work.ranges = {v.name or "": o for v, o in observed(model, samples.rows(samples.used)).items()}
        work.choose_method()
    return work.result()


def name_nodes(model: ir.Model) -> None:
    """A name for every node that has none: that of its first output."""
    for node in hub.all_nodes(model):
        node.name = node.name or node.outputs[0].name


@dataclass
class Work:
    """One quantization: of which model, with what, and the ranges of its values by name."""

    model: ir.Model
    scheme: Scheme
    holding: Holding
    asked: Quantizing
    samples: Samples | None
    ranges: dict[str, Observed] = field(default_factory=dict)
    method: str = TRIED[0]

    @cached_property
    def floats(self) -> HubSession:
        """The float model, opened."""
        return HubSession(self.model)

    def choose_method(self) -> None:
        """Take the method asked for; the best of several is that of the least noise on a few samples that
        ranges were observed on."""
        assert self.samples is not None
        few = self.samples.used[:: -(-len(self.samples.used) // FEW)]

        def kept(method: str) -> float:
            self.method = method
            found = worst(self.measure(self.without(), few))
            return found.sqnr if found is not None else 0.0

        self.method = max(TRIED, key=kept) if self.asked.method == BEST else self.asked.method

    def require_known(self) -> None:
        """Raise InvalidOption for a name of keep_float that nothing has."""
        every = [n for node in hub.all_nodes(self.model) for n in names_of(node)]
        for pattern in self.asked.keep_float:
            if not any(fnmatchcase(name, pattern) for name in every):
                raise InvalidOption(
                    f"keep_float: no operator is called {pattern!r}, or of that kind.",
                    near_miss(pattern, every).strip(),
                )

    def without(self, returned: Sequence[str] = (), only: Sequence[str] | None = None) -> ir.Model:
        """The model quantized but for what stays float: what was asked to, what is `returned`, all that is
        not among `only`. Layers go by the names of their nodes."""
        model = self.model.clone()
        kept = {
            node
            for node in hub.all_nodes(model)
            if node.name in returned
            or any(fnmatchcase(n, p) for n in names_of(node) for p in self.asked.keep_float)
            or (only is not None and node.name not in only)
        }
        if not self.scheme.is_static:
            quantize_weights(model, self.holding, self.scheme, kept)
        else:
            values = {v.name: v for v in [*model.graph.inputs, *(v for n in model.graph for v in n.outputs)]}
            ranges = {values[name]: seen for name, seen in self.ranges.items()}
            found = plan(model.graph, self.holding, self.scheme, ranges, kept, self.method)
            insert(model, found, self.holding, self.scheme)
            if self.asked.integer_io:
                expose_integers(model)
        settle(model)
        return model

    def measure(self, model: ir.Model, places: Sequence[int] | None = None) -> tuple[Accuracy, ...]:
        """The accuracy of the outputs of a quantized model on the samples held back, or on those at
        `places`."""
        assert self.samples is not None
        session, meter, face = HubSession(model), Meter(), interface_of(self.model, model)
        for row in self.samples.rows(self.samples.held if places is None else places):
            meter.add(self.floats.run(row), face.floats(session.run(face.given(row))))
        return meter.accuracies()

    def layers(self, model: ir.Model) -> tuple[Accuracy, ...]:
        """The accuracy of each value that a quantized model has in common with the float one."""
        assert self.samples is not None
        read = {v.name or "": v for node in model.graph for v in node.outputs}
        shown: dict[str, str] = {}
        face = interface_of(self.model, model)
        for node in self.model.graph:
            for value in node.outputs:
                name = value.name or ""
                if value.dtype == ir.DataType.FLOAT and name in read and name not in face.outputs:
                    shown[name] = _as_read(read[name])
        first, second, meter = Watched(self.model, shown), Watched(model, shown.values()), Meter()
        for row in self.samples.rows(self.samples.held):
            expected, found = first.run(row), second.run(face.given(row))
            meter.add({n: expected[n] for n in shown}, {n: found[o] for n, o in shown.items()})
        return meter.accuracies()

    def result(self) -> Quantization:
        """The quantized model, measured. Raises VerificationFailed where it keeps less than is asked."""
        model = self.without()
        if self.samples is None:
            return self._made(model, (), ())
        outputs, returned = self.measure(model), list[str]()
        if self.asked.auto and not self.asked.holds(outputs):
            returned = returned_layers(self)
            model = self.without(returned)
            outputs = self.measure(model)
        made = self._made(model, outputs, returned)
        if not self.asked.holds(outputs):
            raise VerificationFailed(
                f"The model keeps less than is asked when it is quantized as {self.scheme.name}.\n{made}",
                "auto=True (--auto) returns layers to float until it holds; keep_float= names some.",
            )
        return made

    def _made(self, model: ir.Model, outputs: tuple[Accuracy, ...], returned: Sequence[str]) -> Quantization:
        layers = self.layers(model) if self.samples is not None else ()
        sizes = tuple(round(stored_bytes(m)) for m in (self.model, model))
        return Quantization(
            model=model,
            scheme=self.scheme.name,
            outputs=outputs,
            layers=layers,
            returned=tuple(returned),
            sizes=sizes,
            samples=0 if self.samples is None else self.samples.count,
            random=self.samples is not None and self.samples.random,
            notes=tuple(self._notes(model, outputs)),
        )

    def _notes(self, model: ir.Model, outputs: Sequence[Accuracy]) -> list[str]:
        notes = interface_of(self.model, model).notes()
        if self.samples is None:
            notes.append("the accuracy was not measured: no calibration data was given")
        elif self.samples.random:
            notes.append("the samples are random: the accuracy on real data is unknown")
        elif self.samples.count == 1:
            notes.append("there is one sample only: it is calibrated on and measured on")
        constant = [o.name for o in outputs if self.ranges and _is_constant(self.ranges.get(o.name))]
        notes += [f"the output {name} is constant on the samples" for name in constant]
        return notes


def _is_constant(seen: Observed | None) -> bool:
    """True for a value that was one number, which its histogram shows only where that is zero."""
    return seen is not None and seen.low == seen.high == 0.0


def names_of(node: ir.Node) -> list[str]:
    """Names that a node may be called by: its own, that of its origin, those of its outputs, and its kind."""
    return [n for n in (node.name, hub.origin(node).name, *(v.name for v in node.outputs), node.op_type) if n]


def _as_read(value: ir.Value) -> str:
    """The name of a value as those after it read it: dequantized, where it is quantized."""
    quantize = next((u.node for u in value.uses() if is_quantize(u.node)), None)
    dequantize = None
    if quantize is not None:
        dequantize = next((u.node for u in quantize.outputs[0].uses() if is_dequantize(u.node)), None)
    return (value if dequantize is None else dequantize.outputs[0]).name or ""
