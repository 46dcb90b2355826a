"""Noise: numbers of quantized models vary in their own runtime, those of half precision are rounded, and
those whose digits cancel depend on every rounding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import BridgeError
from bridge.runtime import HubSession
from bridge.session import Outputs, Session
from bridge.traits import MOVES_DATA, is_a
from bridge.trials import Trial

__all__ = ["Noise", "has_halves", "is_quantized", "is_rounded", "noise_of"]

QUANTIZING = frozenset(
    ["ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear"]
)
SPLIT = {ir.DataType.FLOAT16: 13, ir.DataType.BFLOAT16: 16}
"""The bits of a float32 that floats of 16 bits lack."""
HALVES = tuple(SPLIT)
ARITHMETIC = {
    "Add", "BatchNormalization", "Conv", "ConvTranspose", "DequantizeLinear", "Div", "Gemm", "MatMul", "Mul",
    "QuantizeLinear", "Sub",
}  # fmt: skip
"""Operators in which a weight may move in its last place, and nothing but numbers does."""
FACTOR = 2.0
SEEDS = range(6)
VARIES, ROUNDS = "its own runtime varies by", "rounding to 16 bits changes in it"
CANCELS = "the last place of its intermediate numbers decides"
JITTERED = 3
"""Times a model is computed with other last places."""
RESULT = "the runtime of the result varies by"


@dataclass(frozen=True)
class Noise:
    """The way an output moves, at most and as the root of the mean square, when its own runtime computes it
    otherwise; `cause` says how."""

    peak: float
    rms: float
    cause: str = VARIES

    def allows(self, largest: float, rms: float) -> bool:
        """True for an error of another runtime that is no more than both runtimes may be off."""
        return largest <= FACTOR * self.peak and rms <= FACTOR * self.rms

    def words(self, step: float) -> str:
        amount = f"{self.peak / step:.3g} quanta of {step:.3g}" if step else f"{self.peak:.3g}"
        return f"twice the {amount} that {self.cause}"


def is_rounded(model: ir.Model) -> bool:
    """True if something in the model is rounded to integers, or read from them, or to floats of 16 bits."""
    return is_quantized(model) or has_halves(model)


def is_quantized(model: ir.Model) -> bool:
    """True if something in the model is rounded to integers, or read from them."""
    return any(node.op_type in QUANTIZING for node in hub.all_nodes(model))


def has_halves(model: ir.Model) -> bool:
    """True if the model computes in floats of 16 bits."""
    return any(value.dtype in HALVES for node in hub.all_nodes(model) for value in node.outputs)


def noise_of(
    session: Session, model: ir.Model, asked: list[Trial], result: Session, answers: list[Outputs]
) -> dict[str, Noise]:
    """The noise of each output on these inputs: of a quantized model by what its runtime answers otherwise,
    and when its weights move in their last place, and by what the runtime of the `result` answers otherwise
    than `answers`; of half precision by what it is in float32; of all others by what it is when every number
    that an operator makes moves in its last place."""
    found: dict[str, Noise] = {}
    inputs = [trial.inputs for trial in asked]
    others = _variants(result) if is_quantized(model) else ()
    of_result = ((RESULT, zip(answers, _answers(other, inputs), strict=True)) for other in others)
    for cause, pairs in itertools.chain(_pairs(session, model, asked), of_result):
        errors: dict[str, list[np.ndarray]] = {}
        for one, other in pairs:
            for name, value in (one or {}).items():
                if other is not None and (error := _error(value, other.get(name))) is not None:
                    errors.setdefault(name, []).append(error)
        for name, parts in errors.items():
            peak = float(max(e.max(initial=0) for e in parts))
            rms = float(max(np.sqrt(np.mean(e**2)) if e.size else 0.0 for e in parts))
            before = found.get(name, Noise(0.0, 0.0, cause))
            cause_of = cause if rms > before.rms else before.cause
            found[name] = Noise(max(peak, before.peak), max(rms, before.rms), cause_of)
    return found


Answers = list[Outputs | None]


def _pairs(
    session: Session, model: ir.Model, asked: list[Trial]
) -> Iterator[tuple[str, Iterable[tuple[Outputs | None, Outputs | None]]]]:
    """Answers that differ by noise alone, and its cause."""
    inputs = [trial.inputs for trial in asked]
    expected: Answers = [trial.expected for trial in asked]
    plain = [] if has_halves(model) and not is_quantized(model) else _answers(HubSession(model), inputs)
    if is_quantized(model):
        for variant in _variants(session):
            yield VARIES, zip(expected, _answers(variant, inputs), strict=True)
        for seed in SEEDS if any(answer and not answer.refusal for answer in plain) else ():
            moved = _answers(HubSession(with_moved_weights(model, seed)), inputs)
            yield VARIES, zip(plain, moved, strict=True)
    if has_halves(model):
        for rounded in (False, True):
            single = HubSession(in_single(model, rounded))
            yield ROUNDS, zip(expected, _answers(single, inputs), strict=True)
    else:
        floats = [_floats(answer) for answer in plain]
        for seed in range(JITTERED):
            moved = _answers(HubSession(with_moved_results(model, seed)), inputs)
            yield CANCELS, zip(floats, moved, strict=True)


def _floats(answer: Outputs | None) -> Outputs | None:
    """The answer without what is no float: a label has no last place."""
    if answer is None:
        return None
    kept = {n: v for n, v in answer.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"}
    return Outputs(kept, answer.engine, answer.refusal)


def _variants(session: Session) -> Iterator[Session]:
    """The ways a runtime may compute the file otherwise, as far as it opens it so."""
    with suppress(BridgeError):
        yield from session.variants()


def _answers(session: Session, inputs: list[dict[str, Any]]) -> Answers:
    found: Answers = []
    for given in inputs:
        try:
            found.append(session.run(given))
        except BridgeError:
            found.append(None)
    return found


def _beside(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The float above or below each that is finite."""
    with np.errstate(all="ignore"):
        moved = np.nextafter(array, rng.choice(np.array([-np.inf, np.inf], array.dtype), array.shape))
    return np.where(np.isfinite(array) & np.isfinite(moved), moved, array).astype(array.dtype)


def with_moved_weights(model: ir.Model, seed: int) -> ir.Model:
    """The model with every float32 that it multiplies with or adds the next one above or below it."""
    moved, rng = model.clone(), np.random.default_rng(seed)
    for graph in moved.graphs():
        for value in graph.initializers.values():
            tensor, readers = value.const_value, {use.node.op_type for use in value.uses()}
            if tensor is not None and tensor.dtype == ir.DataType.FLOAT and readers <= ARITHMETIC:
                value.const_value = ir.tensor(_beside(tensor.numpy(), rng), name=value.name)
    return moved


def with_moved_results(model: ir.Model, seed: int) -> ir.Model:
    """The model with every float32 that an operator computes the same, or a place or two above or below."""
    moved = model.clone()
    step = float(np.finfo(np.float32).eps)

    def jitter(op: hub.Builder, value: ir.Value) -> ir.Value:
        place = float(seed + JITTERED * len(places))
        places.append(place)
        return op.Mul(value, op.RandomUniformLike(value, low=1 - step, high=1 + step, seed=place))

    places: list[float] = []
    for node, after in _with_next(moved.graph):
        for value in node.outputs if not is_a(node, MOVES_DATA) else ():
            if isinstance(value.type, ir.TensorType) and value.dtype == ir.DataType.FLOAT:
                _read_instead(moved.graph, value, after, jitter)
    return moved


def _with_next(graph: ir.Graph) -> list[tuple[ir.Node, ir.Node | None]]:
    nodes = list(graph)
    return list(zip(nodes, [*nodes[1:], None], strict=True))


def in_single(model: ir.Model, rounded: bool = False) -> ir.Model:
    """The model with float32 wherever it has floats of 16 bits; `rounded`, with their precision after every
    operator, which ONNX Runtime itself may leave out."""
    single = model.clone()
    for graph in single.graphs():
        halves = []
        for value in (*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs)):
            if value.const_value is not None and value.const_value.dtype in HALVES:
                value.const_value = ir.tensor(value.const_value.numpy().astype(np.float32), name=value.name)
            if isinstance(value.type, ir.TensorType) and value.dtype in HALVES:
                halves += [(value, value.dtype)] if value.producer() is not None else []
                value.type = ir.TensorType(ir.DataType.FLOAT)
        for node in graph:
            _widen_attributes(node)
        after = dict(_with_next(graph))
        for value, dtype in halves if rounded else ():
            producer = value.producer()
            assert producer is not None
            _read_instead(graph, value, after[producer], partial(_round, dtype=dtype))
    return single


def _round(op: hub.Builder, value: ir.Value, dtype: ir.DataType) -> ir.Value:
    """A value with as many bits as `dtype` has: x·c - (x·c - x), by Veltkamp."""
    largest = float(ml_dtypes.finfo(dtype.numpy()).max)
    bounded = op.Clip(value, -largest, largest) if dtype == ir.DataType.FLOAT16 else value
    spread = op.Mul(bounded, float(2 ** SPLIT[dtype] + 1))
    return op.Sub(spread, op.Sub(spread, bounded))


def _read_instead(
    graph: ir.Graph,
    value: ir.Value,
    after: ir.Node | None,
    build: Callable[[hub.Builder, ir.Value], ir.Value],
) -> None:
    """Have all that reads a value read what `build` makes of it, before the node `after`."""
    readers, place = list(value.uses()), [i for i, v in enumerate(graph.outputs) if v is value]
    result = build(hub.Builder(graph, before=after), value)
    result.type, result.shape = value.type, value.shape
    for use in readers:
        use.node.replace_input_with(use.idx, result)
    for index in place:
        result.name, value.name = value.name, hub.fresh_name(graph, "exact")
        graph.outputs[index] = result


def _widen_attributes(node: ir.Node) -> None:
    for name, attribute in list(node.attributes.items()):
        value = attribute.value
        if attribute.type == ir.AttributeType.TENSOR and value.dtype in HALVES:
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(value.numpy().astype(np.float32)))
        elif name in ("to", "dtype", "output_dtype", "precision") and value in map(int, HALVES):
            node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))


def _error(value: Any, other: Any) -> np.ndarray | None:
    if not isinstance(value, np.ndarray) or not isinstance(other, np.ndarray) or value.shape != other.shape:
        return None
    if value.dtype.kind in "OSUc":
        return None
    difference = np.abs(value.astype(np.float64) - other.astype(np.float64))
    return difference[np.isfinite(difference)]
