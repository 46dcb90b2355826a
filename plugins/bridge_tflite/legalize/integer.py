"""DequantizeLinear → operator → QuantizeLinear as one integer kernel, scales and zero points kept.

What is left between marked quantizations at the end is the operator as TFLite has it, and becomes its integer form in the domain of
INTEGER. Such a node says in its attributes what each of its tensors is quantized by: `scales` and `zeros` of its data inputs, then
of its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.facts import QUANTIZED
from bridge.hub import const, rank_of
from bridge.quant import QuantParams, is_dequantize, is_quantize
from bridge_tflite.export_ops.common import INTEGER, NHWC, TFLITE
from bridge_tflite.legalize.bodies import give
from bridge_tflite.legalize.quantize import (
    WEIGHTS,
    Weights,
    kept,
    kept_input,
    kernel_params,
)

T = ir.DataType
BYTES = (T.INT8, T.UINT8)
ALL = (*BYTES, T.INT16)
MOVERS = frozenset(
    [
        "Flatten",
        "Identity",
        "ReduceMax",
        "ReduceMin",
        "Reshape",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
        f"{NHWC}::DepthToSpace",
        f"{NHWC}::MaxPool",
        f"{NHWC}::SpaceToDepth",
        f"{TFLITE}::BatchToSpace",
        f"{TFLITE}::BroadcastTo",
        f"{TFLITE}::ExpandDims",
        f"{TFLITE}::Gather",
        f"{TFLITE}::GatherND",
        f"{TFLITE}::MirrorPad",
        f"{TFLITE}::Pad",
        f"{TFLITE}::Reshape",
        f"{TFLITE}::SpaceToBatch",
        f"{TFLITE}::StridedSlice",
    ]
)
JOINERS = frozenset(["Concat", "Max", "Min"])
SOFTMAX = {T.INT8: (1 / 256, -128), T.UINT8: (1 / 256, 0), T.INT16: (1 / 32768, 0)}
LOG_SOFTMAX = {T.INT8: (16 / 256, 127), T.UINT8: (16 / 256, 255)}
SIGMOID = {T.INT8: (1 / 256, -128), T.UINT8: (1 / 256, 0), T.INT16: (1 / 32768, 0)}
TANH = {T.INT16: (1 / 32768, 0)}


@dataclass(frozen=True)
class Kernel:
    """An integer kernel: its dtypes, how many inputs are data (None: all), and its own parameters of the result:
    those of `fixed`, those of its input where it is `alike`, else any."""

    dtypes: Sequence[ir.DataType] = ALL
    data: int | None = 1
    fixed: dict[Any, tuple[float, int]] | None = None
    alike: bool = False
    ranks: int = 4


KERNELS = {
    **dict.fromkeys(
        [f"{domain}{name}" for domain in ("", f"{TFLITE}::") for name in ("Add", "Sub", "Mul")],
        Kernel(data=None),
    ),
    **dict.fromkeys(("Relu", f"{TFLITE}::Relu6", "LeakyRelu"), Kernel()),
    **dict.fromkeys(("HardSwish", "Gelu"), Kernel(BYTES)),
    **dict.fromkeys(("Elu", "Exp", "Log"), Kernel((T.INT8,))),
    "Abs": Kernel((T.INT8, T.INT16)),
    "PRelu": Kernel(BYTES, data=2),
    "Sigmoid": Kernel(fixed=SIGMOID),
    "Tanh": Kernel(fixed=TANH),
    "Softmax": Kernel(fixed=SOFTMAX),
    "LogSoftmax": Kernel(BYTES, fixed=LOG_SOFTMAX),
    **dict.fromkeys(("MatMul", f"{TFLITE}::BatchMatMul"), Kernel((T.INT8, T.INT16), data=None)),
    "ReduceMean": Kernel(),
    "ReduceSum": Kernel(BYTES),
    f"{NHWC}::AveragePool": Kernel(alike=True),
    f"{TFLITE}::ResizeBilinear": Kernel(alike=True),
    f"{TFLITE}::ResizeNearestNeighbor": Kernel(alike=True),
}
LAYERS: dict[str, int] = {
    f"{NHWC}::Conv": 0,
    f"{TFLITE}::Conv": 0,
    f"{TFLITE}::FullyConnected": 0,
    f"{TFLITE}::TransposeConv": 1,
}
WIDTH = {T.INT8: T.INT32, T.UINT8: T.INT32, T.INT16: T.INT64}


class IntegerKernels(ir.passes.InPlacePass):
    """1. A QuantizeLinear rises over an operator that only moves or joins elements, and a DequantizeLinear sinks below one.

    2. Quantizing what was just dequantized alike is nothing; dequantized otherwise, it is a change of scale.
    3. An operator between dequantized inputs and a quantized output, which LiteRT computes on integers with these
       parameters, is computed so; where its kernel has parameters of its own no coarser than those asked for, a change of scale
       follows.
    4. What quantization is left between floats and integers is QUANTIZE or DEQUANTIZE.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        if not any(kept(n) for n in graph):
            return ir.passes.PassResult(model, False)
        for node in reversed(list(graph)):
            if node.graph is graph and is_quantize(node) and kept(node):
                _rise(graph, node)
        for node in list(graph):
            if node.graph is graph:
                _step(graph, node)
        _drop_unread(graph)
        for node in list(graph):
            if (is_quantize(node) or is_dequantize(node)) and kept(node):
                _edge(graph, node)
        give(model)
        return ir.passes.PassResult(model, True)


def _drop_unread(graph: ir.Graph) -> None:
    for node in reversed(list(graph)):
        if not any(v.uses() or v.is_graph_output() for v in node.outputs):
            graph.remove(node, safe=True)


def _alone(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _rise(graph: ir.Graph, node: ir.Node) -> None:
    """Quantize the inputs of what moves or joins elements, instead of its result."""
    value = node.inputs[0]
    above = value.producer()
    if above is None or not _alone(value) or len(above.outputs) > 1:
        return
    name, given = hub.qualified(above), kernel_params(node)
    joined = name in JOINERS and len(above.inputs) > 0
    moved = name in MOVERS and name != "Tile" and not kept_input(above.inputs[0])
    moved = moved and not (name == f"{TFLITE}::Pad" and len(above.inputs) > 2)
    if given is None or not (joined or moved):
        return
    count = len(above.inputs) if joined else 1
    op = hub.Builder(graph, before=above, source=hub.origin(node))
    lows = [_lowered(op, v, node, given) for v in above.inputs[:count]]
    made = _made(above, [*lows, *above.inputs[count:]], [given] * count, given)
    _put(graph, made, above, node)
    for low in lows:
        if low.producer() is not None:
            _rise(graph, low.producer())


def _lowered(op: hub.Builder, value: Any, node: ir.Node, given: QuantParams) -> ir.Value:
    """`value` quantized as `node` does: a constant now."""
    array = const(value)
    if array is not None:
        return op.const(given.quantize(array))
    low = op.QuantizeLinear(value, *node.inputs[1:])
    low.type, low.shape = ir.TensorType(given.dtype), value.shape
    QUANTIZED.set(low.producer(), True)
    return low


def _made(node: ir.Node, inputs: list, given: list[QuantParams], out: QuantParams) -> ir.Node:
    """The integer form of `node`, whose results are quantized as `out`."""
    made = ir.Node(
        INTEGER,
        node.op_type,
        inputs,
        list(node.attributes.values()),
        num_outputs=len(node.outputs),
        metadata_props=dict(node.metadata_props),
    )
    for name, declared in (schema.attributes if (schema := hub.schema(node)) is not None else {}).items():
        if declared.default_value.type:
            made.attributes.setdefault(name, ir.serde.deserialize_attribute(declared.default_value))
    every = [*given, *[out] * len(node.outputs)]
    made.attributes["scales"] = ir.AttrFloat32s("scales", [float(p.scale) for p in every])
    made.attributes["form"] = ir.AttrString("form", hub.qualified(node))
    made.attributes["zeros"] = ir.AttrInt64s("zeros", [int(p.zero_point) for p in every])
    for new, old in zip(made.outputs, node.outputs, strict=True):
        new.type, new.shape = ir.TensorType(out.dtype), old.shape
    return made


def _put(graph: ir.Graph, made: ir.Node, node: ir.Node, below: ir.Node) -> None:
    """`made` in place of `node` and of `below`, which quantized its result."""
    new, old = made.outputs[0], below.outputs[0]
    graph.insert_before(below, made)
    new.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(below, safe=True)
    if not node.outputs[0].uses():
        graph.remove(node, safe=True)


def _step(graph: ir.Graph, node: ir.Node) -> None:
    if is_quantize(node):
        if kept(node) and kept_input(node.inputs[0]):
            _rescale(graph, node)
        return
    name = hub.qualified(node)
    if not node.inputs or node.domain == INTEGER:
        return
    if name in ("ArgMax", "ArgMin") and kept_input(node.inputs[0]):
        integers = node.inputs[0].producer().inputs[0]
        if integers is not None and integers.dtype in BYTES:
            node.replace_input_with(0, integers)
    elif name in MOVERS and kept_input(node.inputs[0]):
        _sink(graph, node, 1)
    elif name in JOINERS and _same_below(node):
        _sink(graph, node, len(node.inputs))
    elif len(node.outputs) == 1 and _alone(node.outputs[0]):
        below = next(iter(node.outputs[0].uses())).node
        if is_quantize(below) and kept(below):
            _integer(graph, node, below, kernel_params(below))


def _rescale(graph: ir.Graph, node: ir.Node) -> None:
    """Quantizing what was dequantized alike is nothing, otherwise a change of scale."""
    above, asked = node.inputs[0].producer(), kernel_params(node)
    source, given = above.inputs[0], kernel_params(above)
    assert given is not None
    assert asked is not None
    if given == asked and not node.outputs[0].is_graph_output():
        ir.convenience.replace_all_uses_with(node.outputs[0], source)
        graph.remove(node, safe=True)
    elif given == asked:
        plain = ir.Node("", "Identity", [source], num_outputs=1)
        _put(graph, _made(_shaped(plain, source), [source], [given], asked), above, node)
    elif T.INT16 not in (given.dtype, asked.dtype) or asked.dtype != T.UINT8:
        made = _made(
            _shaped(ir.Node("", "Quantize", [source], num_outputs=1), source), [source], [given], asked
        )
        made.metadata_props.update(node.metadata_props)
        _put(graph, made, above, node)


def _shaped(node: ir.Node, like: Any) -> ir.Node:
    node.outputs[0].shape = like.shape
    return node


def _same_below(node: ir.Node) -> bool:
    if not all(kept_input(v) for v in node.inputs):
        return False
    return len({kernel_params(v.producer()) for v in node.inputs}) == 1


def _sink(graph: ir.Graph, node: ir.Node, count: int) -> None:
    """Move the integers themselves, and dequantize what comes out."""
    dequantize = node.inputs[0].producer()
    given = kernel_params(dequantize)
    rest: Any = list(node.inputs[count:])
    if hub.qualified(node) == f"{TFLITE}::Pad" and len(rest) > 1 and rest[1] is not None:
        rest[1] = _filling(graph, rest[1], given)
        if rest[1] is None:
            return
    data = [v.producer().inputs[0] for v in node.inputs[:count]]
    made = _made(node, [*data, *rest], [given] * count, given)  # type: ignore[list-item]
    graph.insert_before(node, made)
    for new, old in zip(made.outputs, node.outputs, strict=True):
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        result = op.DequantizeLinear(new, *dequantize.inputs[1:])
        result.type, result.shape = old.type, old.shape
        QUANTIZED.set(result.producer(), True)
        result.name, old.name = old.name, None
        ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _filling(graph: ir.Graph, value: ir.Value, given: QuantParams) -> ir.Value | None:
    """The padding value as an integer: the lowest for the lowest float, else one that stands for it exactly."""
    number = const(value)
    if number is None:
        return None
    made = given.quantize(number.reshape(()))
    exact = given.dequantize(made) == number.reshape(())
    lowest = number.item() < -3e38
    return hub.Builder(graph).const(made.reshape(())) if exact or lowest else None


def _integer(graph: ir.Graph, node: ir.Node, below: ir.Node, asked: QuantParams) -> None:
    name = hub.qualified(node)
    if name in LAYERS:
        found = _layer(graph, node, asked)
        if found is not None:
            inputs, given = found
            _put(graph, _made(node, inputs, given, asked), node, below)
        return
    kernel = KERNELS.get(name)
    if kernel is None or asked.dtype not in kernel.dtypes:
        return
    count = len(node.inputs) if kernel.data is None else kernel.data
    operands = [_operand(graph, v, asked.dtype) for v in node.inputs[:count]]
    if any(o is None for o in operands) or max(rank_of(v) or 0 for v in node.inputs[:count]) > kernel.ranks:
        return
    if name.endswith("MatMul") and min(rank_of(v) or 0 for v in node.inputs) < 2:
        return
    if name in ("ReduceMean", "ReduceSum") and (len(node.inputs) < 2 or const(node.inputs[1]) is None):
        return
    given = [p for _, p in operands]  # type: ignore[misc]
    own = given[0] if kernel.alike else _fixed(kernel, asked)
    if own.scale > asked.scale * np.float32(1.0001):
        return
    made = _made(node, [*(v for v, _ in operands), *node.inputs[count:]], given, own)  # type: ignore[misc]
    if own == asked:
        _put(graph, made, node, below)
        return
    graph.insert_before(below, made)
    change = ir.Node("", "Quantize", [made.outputs[0]], num_outputs=1)
    _put(graph, _made(_shaped(change, made.outputs[0]), [made.outputs[0]], [own], asked), node, below)


def _fixed(kernel: Kernel, asked: QuantParams) -> QuantParams:
    """The kernel's own parameters: those asked for, unless it knows one pair only."""
    if kernel.fixed is None or asked.dtype not in kernel.fixed:
        return asked
    scale, zero = kernel.fixed[asked.dtype]
    return QuantParams.of(scale, zero, asked.dtype)


def _operand(graph: ir.Graph, value: Any, kind: ir.DataType) -> tuple[ir.Value, QuantParams] | None:
    """An input as integers of dtype `kind`; a constant of one element, or one that remembers its integers, too."""
    if kept_input(value):
        given = kernel_params(value.producer())
        return (value.producer().inputs[0], given) if given is not None and given.dtype == kind else None
    array, held = const(value), value.meta.get(WEIGHTS)
    op = hub.Builder(graph)
    if held is not None and held.params.per_tensor and held.params.dtype == kind:
        valid = held.integers.shape == array.shape and (kind != T.INT16 or held.params.symmetric)
        return (op.const(held.integers), held.params) if valid else None
    if array is None or array.size != 1 or not np.isfinite(array).all():
        return None
    number = array.astype(np.float32)
    zero = 128 if kind == T.UINT8 else 0
    scale = np.abs(number).reshape(())[()] or np.float32(1)
    return op.const((np.sign(number) + zero).astype(kind.numpy())), QuantParams.of(scale, zero, kind)


def _layer(graph: ir.Graph, node: ir.Node, asked: QuantParams) -> Any:
    """Inputs and their parameters of a layer: int8 weights around zero, for uint8 ones with one zero point, and a bias by the
    product of both scales."""
    x, weights = node.inputs[:2]
    if rank_of(weights) == 5:
        return None
    held, axis = weights.meta.get(WEIGHTS), LAYERS[hub.qualified(node)]
    given = kernel_params(x.producer()) if kept_input(x) else None
    if held is None or given is None or given.dtype != asked.dtype:
        return None
    held = _fitting(held, given.dtype, axis)
    if held is None:
        return None
    place = 3 if axis else 2
    bias = node.inputs[place] if len(node.inputs) > place else None
    scales = held.params.scale.reshape(-1)
    found = _bias(bias, given.scale * scales, held.integers.shape[axis], WIDTH[given.dtype])
    if found is None:
        return None
    integers, steps = found
    op = hub.Builder(graph)
    node.attributes["weight_scales"] = ir.AttrFloat32s("weight_scales", [float(s) for s in scales])
    node.attributes["bias_scales"] = ir.AttrFloat32s("bias_scales", [float(s) for s in steps])
    node.attributes["weight_zero"] = ir.AttrInt64("weight_zero", int(held.params.zero_point.flat[0]))
    between = node.inputs[2:place]
    inputs = [x.producer().inputs[0], op.const(held.integers), *between, op.const(integers)]
    return inputs, [given]


def _fitting(held: Weights, kind: ir.DataType, axis: int) -> Weights | None:
    """The weights as the kernel for activations of `kind` takes them."""
    params = held.params
    if kind == T.UINT8:
        if params.dtype == T.INT8 and params.symmetric and params.per_tensor:
            integers = (held.integers.astype(np.int16) + 128).astype(np.uint8)
            return Weights(integers, QuantParams.of(params.scale, 128, T.UINT8))
        return held if params.dtype == T.UINT8 and params.per_tensor else None
    return held if params.dtype == T.INT8 and params.symmetric and params.axis in (None, axis) else None


def _bias(
    bias: Any, scale: np.ndarray, width: int, kind: ir.DataType
) -> tuple[np.ndarray, np.ndarray] | None:
    """The bias in steps of `scale`, and these steps: its own integers and scale where it remembers them and they are those; None
    where there is no room."""
    if bias is None:
        return np.zeros(width, kind.numpy()), scale
    if const(bias) is None:
        return None
    own = bias.meta.get(WEIGHTS)
    if own is not None and own.params.dtype == T.INT32:
        steps = own.params.scale.reshape(-1)
        if np.allclose(steps, scale, rtol=1e-6, atol=0):
            return own.integers.reshape(-1).astype(
                kind.numpy()
            ), steps if steps.shape == scale.shape else scale
    numbers = np.asarray(const(bias), np.float64).reshape(-1)
    steps = np.rint(numbers / scale.astype(np.float64))
    room = 2.0**31 - 1 if kind == T.INT32 else 2.0**39
    return None if np.abs(steps).max(initial=0) >= room else (steps.astype(kind.numpy()), scale)


def _edge(graph: ir.Graph, node: ir.Node) -> None:
    given = kernel_params(node)
    assert given is not None
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    old = node.outputs[0]
    result = op.node(
        node.op_type.removesuffix("Linear"),
        node.inputs[0],
        _domain=INTEGER,
        _dtype=old.dtype,
        _shape=old.shape,
        scales=[float(given.scale)],
        zeros=[int(given.zero_point)],
    )
    result.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
