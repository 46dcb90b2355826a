"""DequantizeLinear → operator → QuantizeLinear as one integer kernel with the same scales and zero points.

At the end, the operators between marked quantizations are those of TFLite, and become their integer forms in
the domain of INTEGER. The attributes `scales` and `zeros` of such a node hold the parameters of its data
inputs, then of its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.facts import FORMAT, QUANTIZED
from bridge.hub import const, held, rank_of
from bridge.quant import QuantParams, is_dequantize, is_quantize
from bridge_tflite.export_ops import ops as written
from bridge_tflite.export_ops.common import INTEGER, NHWC, TFLITE
from bridge_tflite.kept_weights import WEIGHTS, Weights, kept
from bridge_tflite.legalize.bodies import add_bodies
from bridge_tflite.legalize.quantize import (
    has_marked_producer,
    is_marked,
    kernel_params,
)

T = ir.DataType
BYTE_DTYPES = (T.INT8, T.UINT8)
ALL_DTYPES = (*BYTE_DTYPES, T.INT16)
DATA_MOVEMENT = frozenset(
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
JOINING = frozenset(["Concat", "Max", "Min"])
SOFTMAX = {T.INT8: (1 / 256, -128), T.UINT8: (1 / 256, 0), T.INT16: (1 / 32768, 0)}
LOG_SOFTMAX = {T.INT8: (16 / 256, 127), T.UINT8: (16 / 256, 255)}
SIGMOID = {T.INT8: (1 / 256, -128), T.UINT8: (1 / 256, 0), T.INT16: (1 / 32768, 0)}
TANH = {T.INT16: (1 / 32768, 0)}


@dataclass(frozen=True)
class Kernel:
    """An integer kernel: its dtypes, the number of data inputs (None: all), and what it requires of its
    output parameters.

    `fixed` are the only ones it knows; with `same_as_input` they are those of its input; else they are free.
    """

    dtypes: Sequence[ir.DataType] = ALL_DTYPES
    data: int | None = 1
    fixed: dict[Any, tuple[float, int]] | None = None
    same_as_input: bool = False
    ranks: int = 4


KERNELS = {
    **dict.fromkeys(
        [f"{domain}{name}" for domain in ("", f"{TFLITE}::") for name in ("Add", "Sub", "Mul")],
        Kernel(data=None),
    ),
    **dict.fromkeys(("Relu", f"{TFLITE}::Relu6", "LeakyRelu"), Kernel()),
    **dict.fromkeys(("HardSwish", "Gelu"), Kernel(BYTE_DTYPES)),
    **dict.fromkeys(("Elu", "Exp", "Log"), Kernel((T.INT8,))),
    "Abs": Kernel((T.INT8, T.INT16)),
    "PRelu": Kernel(BYTE_DTYPES, data=2),
    "Sigmoid": Kernel(fixed=SIGMOID),
    "Tanh": Kernel(fixed=TANH),
    "Softmax": Kernel(fixed=SOFTMAX),
    "LogSoftmax": Kernel(BYTE_DTYPES, fixed=LOG_SOFTMAX),
    **dict.fromkeys(("MatMul", f"{TFLITE}::BatchMatMul"), Kernel((T.INT8, T.INT16), data=None)),
    "ReduceMean": Kernel(),
    "ReduceSum": Kernel(BYTE_DTYPES),
    f"{NHWC}::AveragePool": Kernel(same_as_input=True),
    f"{TFLITE}::ResizeBilinear": Kernel(same_as_input=True),
    f"{TFLITE}::ResizeNearestNeighbor": Kernel(same_as_input=True),
}
LAYERS: dict[str, int] = {
    f"{NHWC}::Conv": 0,
    f"{TFLITE}::Conv": 0,
    f"{TFLITE}::FullyConnected": 0,
    f"{TFLITE}::TransposeConv": 1,
}
BIAS_DTYPE = {T.INT8: T.INT32, T.UINT8: T.INT32, T.INT16: T.INT64}


class IntegerKernels(ir.passes.InPlacePass):
    """1. A QuantizeLinear moves above a data-moving or joining operator, and a DequantizeLinear below one.

    2. A QuantizeLinear after a DequantizeLinear of equal parameters is removed; of others, it is a
       requantization where the scales are the same, or the source is a TFLite file. LiteRT's own rounds
       twice, which is a quantum off in a fifth of all elements: others go through floats.
    3. An operator between dequantized inputs and a quantized output becomes an integer kernel if LiteRT has
       one for these parameters, and a kernel of floats that takes it in this form. A kernel with fixed
       parameters is one whose scale is the requested one.
    4. The remaining quantizations between floats and integers become QUANTIZE and DEQUANTIZE.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        if not any(is_marked(n) for n in graph):
            return ir.passes.PassResult(model, False)
        for node in reversed(list(graph)):
            if node.graph is graph and is_quantize(node) and is_marked(node):
                _rise(graph, node)
        rounds_twice = FORMAT.get(model) == "tflite"
        for node in list(graph):
            if node.graph is graph:
                _rewrite(graph, node, rounds_twice)
        _drop_unread(graph)
        for node in list(graph):
            if (is_quantize(node) or is_dequantize(node)) and is_marked(node):
                _write_boundary(graph, node)
        add_bodies(model)
        return ir.passes.PassResult(model, True)


def _drop_unread(graph: ir.Graph) -> None:
    for node in reversed(list(graph)):
        if not any(v.uses() or v.is_graph_output() for v in node.outputs):
            graph.remove(node, safe=True)


def _has_single_use(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _rise(graph: ir.Graph, node: ir.Node) -> None:
    """Quantize the inputs of a data-moving or joining operator instead of its result."""
    value = node.inputs[0]
    above = value.producer()
    if above is None or not _has_single_use(value) or len(above.outputs) > 1:
        return
    name, params = hub.qualified(above), kernel_params(node)
    joined = name in JOINING and len(above.inputs) > 0
    moved = name in DATA_MOVEMENT and name != "Tile" and not has_marked_producer(above.inputs[0])
    moved = moved and not (name == f"{TFLITE}::Pad" and len(above.inputs) > 2)
    if params is None or not (joined or moved):
        return
    count = len(above.inputs) if joined else 1
    op = hub.Builder(graph, before=above, source=hub.origin(node))
    operands = [_quantize_input(op, v, node, params) for v in above.inputs[:count]]
    integer = _integer_node(above, [*operands, *above.inputs[count:]], [params] * count, params)
    _replace(graph, integer, above, node)
    for operand in operands:
        if operand.producer() is not None:
            _rise(graph, operand.producer())


def _quantize_input(op: hub.Builder, value: Any, node: ir.Node, params: QuantParams) -> ir.Value:
    """`value` quantized as `node` does; a constant is quantized now."""
    array = const(value)
    if array is not None:
        return op.const(params.quantize(array))
    quantized = op.QuantizeLinear(value, *node.inputs[1:])
    quantized.type, quantized.shape = ir.TensorType(params.dtype), value.shape
    QUANTIZED.set(quantized.producer(), True)
    return quantized


def _integer_node(
    node: ir.Node, inputs: list, input_params: list[QuantParams], output_params: QuantParams
) -> ir.Node:
    """Integer form of `node` whose outputs have the parameters `output_params`."""
    integer = ir.Node(
        INTEGER,
        node.op_type,
        inputs,
        list(node.attributes.values()),
        num_outputs=len(node.outputs),
        metadata_props=dict(node.metadata_props),
    )
    for name, declared in (schema.attributes if (schema := hub.schema(node)) is not None else {}).items():
        if declared.default_value.type:
            integer.attributes.setdefault(name, ir.serde.deserialize_attribute(declared.default_value))
    all_params = [*input_params, *[output_params] * len(node.outputs)]
    integer.attributes["scales"] = ir.AttrFloat32s("scales", [float(p.scale) for p in all_params])
    integer.attributes["form"] = ir.AttrString("form", hub.qualified(node))
    integer.attributes["zeros"] = ir.AttrInt64s("zeros", [int(p.zero_point) for p in all_params])
    for new, old in zip(integer.outputs, node.outputs, strict=True):
        new.type, new.shape = ir.TensorType(output_params.dtype), old.shape
    return integer


def _replace(graph: ir.Graph, replacement: ir.Node, node: ir.Node, below: ir.Node) -> None:
    """Put `replacement` in place of `node` and of `below`, the QuantizeLinear after it."""
    new, old = replacement.outputs[0], below.outputs[0]
    graph.insert_before(below, replacement)
    new.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(below, safe=True)
    if not node.outputs[0].uses():
        graph.remove(node, safe=True)


def _rewrite(graph: ir.Graph, node: ir.Node, rounds_twice: bool) -> None:
    if is_quantize(node):
        if is_marked(node) and has_marked_producer(node.inputs[0]):
            _rescale(graph, node, rounds_twice)
        return
    name = hub.qualified(node)
    if not node.inputs or node.domain == INTEGER:
        return
    if name in ("ArgMax", "ArgMin") and has_marked_producer(node.inputs[0]):
        integers = node.inputs[0].producer().inputs[0]
        if integers is not None and integers.dtype in BYTE_DTYPES:
            node.replace_input_with(0, integers)
    elif name in DATA_MOVEMENT and has_marked_producer(node.inputs[0]):
        _sink(graph, node, 1)
    elif name in JOINING and _shares_params(node):
        _sink(graph, node, len(node.inputs))
    elif len(node.outputs) == 1 and _has_single_use(node.outputs[0]):
        below = next(iter(node.outputs[0].uses())).node
        if is_quantize(below) and is_marked(below):
            _use_integer_kernel(graph, node, below, kernel_params(below))


def _rescale(graph: ir.Graph, node: ir.Node, rounds_twice: bool) -> None:
    """Remove a QuantizeLinear after a DequantizeLinear of equal parameters; else make it a requantization, if
    it may round twice or rounds nothing."""
    above, target = node.inputs[0].producer(), kernel_params(node)
    source, current = above.inputs[0], kernel_params(above)
    assert current is not None
    assert target is not None
    if current == target and not node.outputs[0].is_graph_output():
        ir.convenience.replace_all_uses_with(node.outputs[0], source)
        graph.remove(node, safe=True)
    elif current == target:
        identity = ir.Node("", "Identity", [source], num_outputs=1)
        _replace(
            graph, _integer_node(_with_shape(identity, source), [source], [current], target), above, node
        )
    elif (rounds_twice or _is_same(current.scale, target.scale)) and (
        T.INT16 not in (current.dtype, target.dtype) or target.dtype != T.UINT8
    ):
        requantize = _integer_node(
            _with_shape(ir.Node("", "Quantize", [source], num_outputs=1), source), [source], [current], target
        )
        requantize.metadata_props.update(node.metadata_props)
        _replace(graph, requantize, above, node)


def _with_shape(node: ir.Node, like: Any) -> ir.Node:
    node.outputs[0].shape = like.shape
    return node


def _shares_params(node: ir.Node) -> bool:
    if not all(has_marked_producer(v) for v in node.inputs):
        return False
    return len({kernel_params(v.producer()) for v in node.inputs}) == 1


def _sink(graph: ir.Graph, node: ir.Node, count: int) -> None:
    """Move the integers, and dequantize the result."""
    dequantize = node.inputs[0].producer()
    params = kernel_params(dequantize)
    others: Any = list(node.inputs[count:])
    if hub.qualified(node) == f"{TFLITE}::Pad" and len(others) > 1 and others[1] is not None:
        others[1] = _integer_pad_value(graph, others[1], params)
        if others[1] is None:
            return
    data = [v.producer().inputs[0] for v in node.inputs[:count]]
    integer = _integer_node(node, [*data, *others], [params] * count, params)  # type: ignore[list-item]
    graph.insert_before(node, integer)
    for new, old in zip(integer.outputs, node.outputs, strict=True):
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        result = op.DequantizeLinear(new, *dequantize.inputs[1:])
        result.type, result.shape = old.type, old.shape
        QUANTIZED.set(result.producer(), True)
        result.name, old.name = old.name, None
        ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _integer_pad_value(graph: ir.Graph, value: ir.Value, params: QuantParams) -> ir.Value | None:
    """Padding value as an integer: the lowest for the lowest float, else an exact one; None if there is
    none."""
    pad_value = const(value)
    if pad_value is None:
        return None
    integer = params.quantize(pad_value.reshape(()))
    exact = params.dequantize(integer) == pad_value.reshape(())
    lowest = pad_value.item() < -3e38
    return hub.Builder(graph).const(integer.reshape(())) if exact or lowest else None


def _use_integer_kernel(graph: ir.Graph, node: ir.Node, below: ir.Node, target: QuantParams) -> None:
    name = hub.qualified(node)
    if name in written and written.refusal(name, node) is not None:
        return
    if name in LAYERS:
        layer = _layer_inputs(graph, node, target)
        if layer is not None:
            inputs, operand_params = layer
            _replace(graph, _integer_node(node, inputs, operand_params, target), node, below)
        return
    kernel = KERNELS.get(name)
    if kernel is None or target.dtype not in kernel.dtypes:
        return
    count = len(node.inputs) if kernel.data is None else kernel.data
    candidates = [_operand(graph, v, target.dtype) for v in node.inputs[:count]]
    operands = [o for o in candidates if o is not None]
    if len(operands) < count or max(rank_of(v) or 0 for v in node.inputs[:count]) > kernel.ranks:
        return
    if name.endswith("MatMul") and min(rank_of(v) or 0 for v in node.inputs) < 2:
        return
    if name in ("ReduceMean", "ReduceSum") and (len(node.inputs) < 2 or held(node.inputs[1]) is None):
        return
    operand_params = [p for _, p in operands]
    output_params = operand_params[0] if kernel.same_as_input else _output_params(kernel, target)
    if not _is_same(output_params.scale, target.scale):
        return
    inputs = [*(v for v, _ in operands), *node.inputs[count:]]
    integer = _integer_node(node, inputs, operand_params, output_params)
    if output_params == target:
        _replace(graph, integer, node, below)
        return
    graph.insert_before(below, integer)
    change = ir.Node("", "Quantize", [integer.outputs[0]], num_outputs=1)
    _replace(
        graph,
        _integer_node(_with_shape(change, integer.outputs[0]), [integer.outputs[0]], [output_params], target),
        node,
        below,
    )


def _is_same(own: np.ndarray, requested: np.ndarray) -> bool:
    """True if integers of one scale are those of the other."""
    return bool(np.isclose(own, requested, rtol=1e-4).all())


def _output_params(kernel: Kernel, target: QuantParams) -> QuantParams:
    """Output parameters of the kernel: the requested ones, unless it has fixed ones."""
    if kernel.fixed is None or target.dtype not in kernel.fixed:
        return target
    scale, zero = kernel.fixed[target.dtype]
    return QuantParams.of(scale, zero, target.dtype)


def _operand(graph: ir.Graph, value: Any, dtype: ir.DataType) -> tuple[ir.Value, QuantParams] | None:
    """Input as integers of `dtype` with its parameters: dequantized, a constant with kept integers, or a
    constant of one element."""
    if has_marked_producer(value):
        params = kernel_params(value.producer())
        return (value.producer().inputs[0], params) if params is not None and params.dtype == dtype else None
    array, stored = const(value), None if value is None else kept(graph, value, dtype)
    op = hub.Builder(graph)
    if stored is not None:
        valid = dtype != T.INT16 or stored.params.symmetric
        return (op.const(stored.integers), stored.params) if valid else None
    if array is None or array.size != 1 or not np.isfinite(array).all():
        return None
    scalar = array.astype(np.float32)
    zero = 128 if dtype == T.UINT8 else 0
    scale = np.abs(scalar).reshape(())[()] or np.float32(1)
    return op.const((np.sign(scalar) + zero).astype(dtype.numpy())), QuantParams.of(scale, zero, dtype)


def _layer_inputs(graph: ir.Graph, node: ir.Node, target: QuantParams) -> Any:
    """Inputs of an integer layer and the parameters of its data: symmetric int8 weights (uint8 with one zero
    point for uint8 data), and a bias with the product of both scales."""
    x, weights = node.inputs[:2]
    if rank_of(weights) == 5:
        return None
    stored, axis = weights.meta.get(WEIGHTS), LAYERS[hub.qualified(node)]
    params = kernel_params(x.producer()) if has_marked_producer(x) else None
    if stored is None or params is None or params.dtype != target.dtype:
        return None
    stored = _kernel_weights(stored, params.dtype, axis)
    if stored is None:
        return None
    bias_index = 3 if axis else 2
    bias = node.inputs[bias_index] if len(node.inputs) > bias_index else None
    scales = stored.params.scale.reshape(-1)
    integer_bias = _integer_bias(
        bias, params.scale * scales, stored.integers.shape[axis], BIAS_DTYPE[params.dtype]
    )
    if integer_bias is None:
        return None
    integers, steps = integer_bias
    op = hub.Builder(graph)
    node.attributes["weight_scales"] = ir.AttrFloat32s("weight_scales", [float(s) for s in scales])
    node.attributes["bias_scales"] = ir.AttrFloat32s("bias_scales", [float(s) for s in steps])
    node.attributes["weight_zero"] = ir.AttrInt64("weight_zero", int(stored.params.zero_point.flat[0]))
    between = node.inputs[2:bias_index]
    inputs = [x.producer().inputs[0], op.const(stored.integers), *between, op.const(integers)]
    return inputs, [params]


def _kernel_weights(stored: Weights, dtype: ir.DataType, axis: int) -> Weights | None:
    """Weights as the kernel for activations of `dtype` takes them, or None."""
    params = stored.params
    if dtype == T.UINT8:
        if params.dtype == T.INT8 and params.symmetric and params.per_tensor:
            integers = (stored.integers.astype(np.int16) + 128).astype(np.uint8)
            return Weights(integers, QuantParams.of(params.scale, 128, T.UINT8))
        return stored if params.dtype == T.UINT8 and params.per_tensor else None
    return stored if params.dtype == T.INT8 and params.symmetric and params.axis in (None, axis) else None


def _integer_bias(
    bias: Any, scale: np.ndarray, width: int, dtype: ir.DataType
) -> tuple[np.ndarray, np.ndarray] | None:
    """Bias in steps of `scale`, and these steps; None if it does not fit. Kept integers of an equal scale are
    used as they are."""
    if bias is None:
        return np.zeros(width, dtype.numpy()), scale
    if held(bias) is None:
        return None
    stored = bias.meta.get(WEIGHTS)
    if stored is not None and stored.params.dtype == T.INT32:
        steps = stored.params.scale.reshape(-1)
        if np.allclose(steps, scale, rtol=1e-6, atol=0):
            integers = stored.integers.reshape(-1).astype(dtype.numpy())
            return integers, steps if steps.shape == scale.shape else scale
    numbers = np.asarray(const(bias), np.float64).reshape(-1)
    steps = np.rint(numbers / scale.astype(np.float64))
    limit = 2.0**31 - 1 if dtype == T.INT32 else 2.0**39
    return None if np.abs(steps).max(initial=0) >= limit else (steps.astype(dtype.numpy()), scale)


def _write_boundary(graph: ir.Graph, node: ir.Node) -> None:
    params = kernel_params(node)
    assert params is not None
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    old = node.outputs[0]
    result = op.node(
        node.op_type.removesuffix("Linear"),
        node.inputs[0],
        _domain=INTEGER,
        _dtype=old.dtype,
        _shape=old.shape,
        scales=[float(params.scale)],
        zeros=[int(params.zero_point)],
    )
    result.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
