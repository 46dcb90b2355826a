"""Noise: numbers of quantized models vary in their own runtime, those of half precision are rounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import BridgeError
from bridge.runtime import HubSession
from bridge.session import Outputs, Session
from bridge.trials import Trial

__all__ = ["Noise", "is_noisy", "noise_of"]

QUANTIZING = frozenset(
    ["ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear"]
)
SPLIT = {ir.DataType.FLOAT16: 13, ir.DataType.BFLOAT16: 16}
"""The bits of a float32 that floats of 16 bits lack."""
HALVES = tuple(SPLIT)
FACTOR = 2.0
VARIES, ROUNDS = "its own runtime varies by", "rounding to 16 bits changes in it"


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


def is_noisy(model: ir.Model) -> bool:
    """True if something in the model is rounded to integers, or read from them, or to floats of 16 bits."""
    return _is_quantized(model) or _has_halves(model)


def _is_quantized(model: ir.Model) -> bool:
    return any(node.op_type in QUANTIZING for node in hub.all_nodes(model))


def _has_halves(model: ir.Model) -> bool:
    return any(value.dtype in HALVES for node in hub.all_nodes(model) for value in node.outputs)


def noise_of(session: Session, model: ir.Model, asked: list[Trial]) -> dict[str, Noise]:
    """The noise of each output on these inputs: of a quantized model by what its runtime answers otherwise
    and for inputs moved in their last place, of half precision by what it is in float32."""
    found: dict[str, Noise] = {}
    for cause, answers in _others(session, model, asked):
        errors: dict[str, list[np.ndarray]] = {}
        for trial, other in zip(asked, answers, strict=True):
            for name, value in trial.expected.items():
                if other is not None and (error := _error(value, other.get(name))) is not None:
                    errors.setdefault(name, []).append(error)
        for name, parts in errors.items():
            noise = Noise(
                float(max(e.max(initial=0) for e in parts)),
                float(max(np.sqrt(np.mean(e**2)) if e.size else 0.0 for e in parts)),
                cause,
            )
            found[name] = max(found.get(name, noise), noise, key=lambda n: n.rms)
    return found


def _others(
    session: Session, model: ir.Model, asked: list[Trial]
) -> Iterator[tuple[str, list[Outputs | None]]]:
    """What else could be the answers, and why."""
    inputs = [trial.inputs for trial in asked]
    if _is_quantized(model):
        for variant in session.variants():
            yield VARIES, _answers(variant, inputs)
        yield VARIES, _answers(session, [_moved(given) for given in inputs])
    if _has_halves(model):
        yield ROUNDS, _answers(HubSession(in_single(model)), inputs)
        yield ROUNDS, _answers(HubSession(in_single(model, rounded=True)), inputs)


def _answers(session: Session, inputs: list[dict[str, Any]]) -> list[Outputs | None]:
    found: list[Outputs | None] = []
    for given in inputs:
        try:
            found.append(session.run(given))
        except BridgeError:
            found.append(None)
    return found


def _moved(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs, every float32 and float64 of them the next one above or below it."""
    rng = np.random.default_rng(0)
    return {
        name: np.nextafter(a, rng.choice(np.array([-np.inf, np.inf], a.dtype), a.shape)).astype(a.dtype)
        if isinstance(a, np.ndarray) and a.dtype in (np.float32, np.float64)
        else a
        for name, a in inputs.items()
    }


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
        for value, dtype in halves if rounded else ():
            _round(graph, value, dtype)
    return single


def _round(graph: ir.Graph, value: ir.Value, dtype: ir.DataType) -> None:
    """Have all that reads a value read it with as many bits as `dtype` has: x·c - (x·c - x), by Veltkamp."""
    readers, place = list(value.uses()), [i for i, v in enumerate(graph.outputs) if v is value]
    nodes = list(graph)
    later = next(i for i, node in enumerate(nodes, 1) if node is value.producer())
    op = hub.Builder(graph, before=nodes[later] if later < len(nodes) else None)
    largest = float(ml_dtypes.finfo(dtype.numpy()).max)
    bounded = op.Clip(value, -largest, largest) if dtype == ir.DataType.FLOAT16 else value
    spread = op.Mul(bounded, float(2 ** SPLIT[dtype] + 1))
    result = op.Sub(spread, op.Sub(spread, bounded))
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
