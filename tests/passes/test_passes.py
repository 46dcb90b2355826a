"""Passes keep what a model computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
import pytest
from build import assert_unchanged, hub_from_builder, hub_from_text, model_from_text, operators, without
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_ir.passes.common import RemoveUnusedNodesPass

import bridge
from bridge import hub
from bridge.inputs import random_inputs
from bridge.lower import legalize, tidy
from bridge.passes.affine import FoldAffine
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.channels_last import ChannelsLast
from bridge.passes.dense import MergeFlattenedMatMul
from bridge.passes.fold import FoldConstants, evaluate
from bridge.passes.gelu import RaiseGelu
from bridge.passes.reshapes import MergeReshapes
from bridge.passes.shapes import InferShapes
from bridge.passes.transposes import SinkTransposes
from bridge.verify import compare


@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool"])
def test_channels_last_keeps_the_numbers(op, rank):
    space = ",".join(["7"] * (rank - 2))
    kernel = ", ".join(["3"] * (rank - 2))
    inputs = "x, w" if op == "Conv" else "x"
    weight = f", float[4,2,{','.join(['3'] * (rank - 2))}] w" if op == "Conv" else ""
    model = hub_from_text(
        f"(float[1,2,{space}] x{weight}) => (y) {{ y = {op} <kernel_shape: ints = [{kernel}]> ({inputs}) }}".replace(
            "=> (y)", f"=> (float[1,{4 if op == 'Conv' else 2},{','.join(['5'] * (rank - 2))}] y)"
        )
    )
    assert_unchanged(model, ChannelsLast())
    assert any(node.domain == hub.NHWC for node in model.graph)


def test_the_body_of_a_twin_serves_whatever_attributes_it_has():
    graph = "g (float[1,2,7,7] x, float[4,2,3,3] w) => (float[1,4,h,v] y) {{ y = Conv {} (x, w) }}"
    model, strided = (
        hub_from_text(graph.format(a)) for a in ("", '<auto_pad = "SAME_UPPER", strides = [2, 2]>')
    )
    ChannelsLast()(model)
    twin = next(node for node in model.graph if node.domain == hub.NHWC)
    twin.attributes["auto_pad"] = ir.AttrString("auto_pad", "SAME_UPPER")
    twin.attributes["strides"] = ir.AttrInt64s("strides", [2, 2])
    for node in model.graph:
        node.outputs[0].shape = None
    inputs = random_inputs(strided)
    assert compare(bridge.run(strided, inputs), bridge.run(model, inputs)).ok


def test_a_body_of_what_a_target_takes_is_nothing_to_fall_back_on():
    model = hub_from_text("g (float[2] x) => (float[2] y) { y = Abs (x) }")
    body = ir.Function("bridge.some", "Abs", graph=model.graph.clone(), attributes=[])
    model.functions[body.identifier()] = body
    model.graph[0].domain = "bridge.some"
    legalize(model, [], lambda node: False)
    assert [hub.qualified(node) for node in model.graph] == ["bridge.some::Abs"]


def test_nothing_is_inferred_where_lengths_are_those_of_the_inputs():
    named = hub_from_text("g (float[N,3] x) => (float[N,3] y) { z = Abs (x) y = Neg (z) }")
    InferShapes()(named)
    assert not InferShapes()(named).modified
    own = hub_from_text("g (float[N,3] x) => (float[M,3] y) { z = Abs (x) y = Neg (z) }")
    assert InferShapes()(own).modified


def test_a_length_once_known_stays_known():
    graph = "g (float[N,6] x, int64[2] to) => (float[a,b] y) { z = Reshape (x, to) y = Abs (z) }"
    model = hub_from_text(graph)
    reshaped = model.graph[0].outputs[0]
    reshaped.shape = ir.Shape(["M", 3])
    InferShapes()(model)
    assert list(reshaped.shape)[1] == 3


def test_nodes_that_are_alike_have_shapes_of_their_own():
    graph = hub_from_text("g (float[N,3] x) => (float[N,3] y) { y = Neg (x) }").graph
    op = hub.Builder(graph)
    one, other = op.Abs(graph.inputs[0]), op.Abs(graph.inputs[0])
    one.shape[1], one.dtype = 7, ir.DataType.INT64
    assert (other.dtype, list(op.Abs(graph.inputs[0]).shape)[1], list(other.shape)[1]) == (
        ir.DataType.FLOAT,
        3,
        3,
    )
    assert op.Reshape(graph.inputs[0], np.array([-1, 1])).shape[1] == 1
    assert op.Reshape(graph.inputs[0], np.array([-1, 3])).shape[1] == 3


def test_what_a_target_takes_keeps_the_shape_it_was_made_with():
    model = hub_from_text("g (float[N] x) => (float[N] y) { z = Abs (x) y = Neg (z) }")
    body = hub_from_text(
        "g (float[A] x) => (float[B] y) { z = NonZero (x) f = Flatten (z) y = Cast <to = 1> (f) }"
    ).graph
    made = ir.Function("bridge.some", "Abs", graph=body, attributes=[])
    model.functions[made.identifier()] = made
    node = model.graph[0]
    node.domain, before = "bridge.some", node.outputs[0].shape
    model.graph.opset_imports["bridge.some"] = 1
    InferShapes()(model)
    assert node.outputs[0].shape == before
    assert made.identifier() in model.functions


def test_a_residual_block_keeps_only_the_boundary_transposes():
    model = hub_from_text(
        """(float[1,2,6,6] x, float[2,2,1,1] w) => (float[1,2] z) {
        a = Conv (x, w) b = Relu (a) c = Conv (b, w) d = Add (c, b)
        p = GlobalAveragePool (d) s = Sigmoid (p) m = Mul (d, s) e = Conv (m, w)
        q = ReduceMax <keepdims: int = 0> (e, axes) z = Identity (q) }""".replace(
            "{\n", "\n<int64[2] axes = {2, 3}> {\n", 1
        )
    )
    assert_unchanged(model, without("GlobalAveragePool"), ChannelsLast(), SinkTransposes(), SinkTransposes())
    assert operators(model).count("Transpose") == 1


def test_twins_with_and_without_a_bias_share_a_body():
    model = hub_from_text(
        """(float[1,2,6,6] x, float[2,2,3,3] w, float[2] b) => (float[1,2,2,2] y)
        { a = Conv (x, w) y = Conv (a, w, b) }"""
    )
    assert_unchanged(model, ChannelsLast())
    assert len(model.functions) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.permutations(range(4)),
    st.sampled_from(["Softmax", "ReduceSum", "Concat", "Pad", "Slice", "Add", "Where"]),
    st.integers(-4, 3),
)
def test_transposes_sink_through_operators_of_any_axis(perm, op, axis):
    shape = [2, 3, 4, 5]
    turned = [shape[i] for i in perm]
    bodies = {
        "Softmax": f"y = Softmax <axis: int = {axis}> (t)",
        "ReduceSum": f"i = Constant <value_ints = [{axis}]> () y = ReduceSum (t, i)",
        "Concat": f"y = Concat <axis: int = {axis}> (t, t)",
        "Pad": "i = Constant <value_ints = [0,1,2,0,1,0,0,2]> () y = Pad (t, i)",
        "Slice": "s = Constant <value_ints = [1]> () e = Constant <value_ints = [9]> () i = Constant "
        f"<value_ints = [{axis}]> () y = Slice (t, s, e, i)",
        "Add": f"c = Constant <value_floats = [{', '.join(f'{n}.5' for n in range(turned[3]))}]> () y = Add "
        "(c, t)",
        "Where": "z = CastLike (t, t) b = Cast <to = 9> (t) y = Where (b, t, z)",
    }
    dims = ",".join(map(str, shape))
    model = hub_from_text(
        f"(float[{dims}] x) => (float[a,b,c,d] y) {{ t = Transpose <perm: ints = {list(perm)}> (x) "
        f"{bodies[op]} }}"
    )
    assert_unchanged(model, SinkTransposes())


@pytest.mark.parametrize(
    "formula",
    [
        "d = Div (x, a) e = Erf (d) s = Add (e, o) m = Mul (x, s) z = Mul (m, h)",
        "d = Div (x, a) e = Erf (d) s = Add (o, e) m = Mul (x, h) z = Mul (s, m)",
        "d = Div (x, a) e = Erf (d) s = Add (e, o) m = Mul (h, s) z = Mul (x, m)",
        "v = Neg (x) d = Div (v, a) e = Erf (d) s = Sub (o, e) m = Mul (h, x) z = Mul (m, s)",
        "d = Div (x, a) v = Neg (d) e = Erf (v) s = Sub (o, e) m = Mul (h, x) z = Mul (m, s)",
    ],
)
def test_gelu_is_raised_from_its_formula(formula):
    model = hub_from_text(
        f"(float[2,5] x) => (float[2,5] z) <float a = {{1.4142135}}, float o = {{1.0}}, float h = "
        f"{{0.5}}> {{ {formula} }}"
    )
    assert_unchanged(model, RaiseGelu())
    assert "Gelu" in operators(model)


@pytest.mark.parametrize(
    "formula",
    [
        "d = Div (x, a) e = Erf (d) s = Add (e, o) m = Mul (w, s) z = Mul (m, h)",
        "d = Div (x, a) e = Erf (d) s = Sub (o, e) m = Mul (x, s) z = Mul (m, h)",
        "v = Neg (x) d = Div (v, a) e = Erf (d) s = Add (e, o) m = Mul (x, s) z = Mul (m, h)",
        "v = Neg (x) d = Div (v, a) e = Erf (d) s = Sub (e, o) m = Mul (x, s) z = Mul (m, h)",
    ],
)
def test_gelu_is_not_raised_from_another_formula(formula):
    model = hub_from_text(
        "(float[2,5] x, float[2,5] w) => (float[2,5] z) <float a = {1.4142135}, float o = {1.0}, float h "
        "= {0.5}> "
        f"{{ {formula} }}"
    )
    RaiseGelu()(model)
    assert "Gelu" not in operators(model)


EXTENTS = "d = Shape (x) l = Gather <axis: int = 0> (d, first) t = Concat <axis: int = 0> (l, n)"
ROWS = "t = Concat <axis: int = 0> (rest, three, n)"


@pytest.mark.parametrize(
    ("shape", "formula", "merged"),
    [
        ("b, 3, 4", EXTENTS, True),
        ("b, 3, 4", ROWS, True),
        ("b, c, 4", ROWS, False),
        ("3, 2, 4", ROWS, False),
        ("b, 3, 2", EXTENTS, False),
    ],
)
def test_a_dense_layer_over_more_dimensions_is_one_product(shape: str, formula: str, merged: bool) -> None:
    model = hub_from_text(
        f"(float[{shape}] x, float[4, 5] w) => (float[p, q, 5] z) <int64[2] s = {{-1, 4}}, int64[2] first "
        f"= {{0, 1}}, "
        f"int64[1] n = {{5}}, int64[1] rest = {{-1}}, int64[1] three = {{3}}> "
        f"{{ {formula} f = Reshape (x, s) p = MatMul (f, w) z = Reshape (p, t) }}"
    )
    if not merged:
        assert not MergeFlattenedMatMul()(model).modified
        return
    assert_unchanged(model, MergeFlattenedMatMul(), tidy)
    assert operators(model) == ["MatMul"]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("states", [False, True])
def test_lstm_unrolls(direction, layout, states):
    d = 2 if direction == "bidirectional" else 1
    x, state = ("5,2,3", f"{d},2,4") if layout == 0 else ("2,5,3", f"2,{d},4")
    extra = f", float[{state}] h0, float[{state}] c0" if states else ""
    call = "x, w, r, b" + (", , h0, c0" if states else "")
    y = f"5,{d},2,4" if layout == 0 else f"2,5,{d},4"
    model = hub_from_text(
        f"(float[{x}] x, float[{d},16,3] w, float[{d},16,4] r, float[{d},32] b{extra}) => "
        f"(float[{y}] y, float[{state}] h, float[{state}] c) "
        f'{{ y, h, c = LSTM <hidden_size: int = 4, direction: string = "{direction}", layout: int = '
        f"{layout}> ({call}) }}"
    )
    inputs = random_inputs(model)
    from onnx.reference import ReferenceEvaluator

    reference = (
        ReferenceEvaluator(__import__("onnx_ir").to_proto(model)).run(None, inputs)
        if direction == "forward"
        else None
    )
    before = bridge.run(model, inputs) if layout == 0 else None
    without("LSTM")(model)
    assert "LSTM" not in operators(model)
    found = list(bridge.run(model, inputs).values())
    for expected in filter(None, [reference, list(before.values()) if before else None]):
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "weights", "host", "y"),
    [
        ("1,4,5,5", "6,2,3,3", "Conv <group: int = 2>", "1,6,3,3"),
        ("1,4,5,5", "4,3,3,3", "ConvTranspose <group: int = 2>", "1,6,7,7"),
        ("2,4", "6,4", "Gemm <transB: int = 1, alpha: float = 0.5>", "2,6"),
        ("2,4", "4,6", "MatMul", "2,6"),
    ],
)
@pytest.mark.parametrize("bias", ["", ", a"])
def test_batch_normalization_folds_into_the_weights(x, weights, host, y, bias):
    if host == "MatMul" and bias:
        pytest.skip("a product has no bias")
    rng = np.random.default_rng(0)
    shape = [int(n) for n in weights.split(",")]

    def values(*size: int) -> str:
        return ", ".join(f"{v:.4f}" for v in rng.uniform(0.5, 1.5, size).ravel())

    constants = ", ".join(f"float[6] {n} = {{{values(6)}}}" for n in ("s", "b", "m", "v", "a"))
    model = hub_from_text(
        f"(float[{x}] x) => (float[{y}] y) <float[{weights}] w = {{{values(*shape)}}}, {constants}> "
        f"{{ h = {host} (x, w{bias}) y = BatchNormalization (h, s, b, m, v) }}"
    )
    assert_unchanged(model, FoldBatchNormalization())
    assert "BatchNormalization" not in operators(model)


@settings(max_examples=60, deadline=None)
@given(dims=st.lists(st.integers(0, 3), min_size=1, max_size=5), data=st.data())
def test_reshapes_join_and_transposes_of_ones_are_reshapes(dims, data):
    perm = data.draw(st.permutations(range(len(dims))))
    axis = data.draw(st.integers(0, len(dims)))
    model = hub_from_text(
        f"(float{dims} x) => (float[] y) {{ a = Transpose <perm = {perm}> (x) "
        f"b = Unsqueeze <axes = [{axis}]> (a) y = Flatten <axis = {axis}> (b) }}",
        opset=11,
    )
    assert_unchanged(model, MergeReshapes(), RemoveUnusedNodesPass())
    order = [p for p in perm if dims[p] != 1]
    assert order != sorted(order) or "Transpose" not in operators(model)
    assert len(set(operators(model)) - {"Transpose"}) <= 1


def test_scales_and_offsets_of_channels_join_the_convolution() -> None:
    rng = np.random.default_rng(0)

    def build(op: hub.Builder, x: ir.Value) -> ir.Value:
        y = op.Conv(x, op.const(rng.random((3, 2, 3, 3)).astype(np.float32)))
        y = op.Mul(op.const(rng.random((1, 3, 1, 1)).astype(np.float32)), y)
        y = op.Sub(y, op.const(rng.random((3, 1, 1)).astype(np.float32)))
        return op.Add(y, op.const(rng.random((1, 1, 3, 3)).astype(np.float32)))

    model = hub_from_builder(build, {"x": (np.float32, [1, 2, 5, 5])})
    before = model.clone()
    FoldAffine()(model)
    assert [n.op_type for n in model.graph] == ["Conv", "Add"]
    assert bridge.verify(before, model).ok


@pytest.mark.parametrize(
    ("op", "arrays"),
    [
        ("Range", [np.int64(0), np.int64(2**31), np.int64(1)]),
        ("Expand", [np.float32(1), np.int64([2**20, 2**20])]),
        ("Tile", [np.float32([1, 2]), np.int64([2**31])]),
    ],
)
def test_what_would_fill_the_memory_is_not_folded(op, arrays):
    values = [ir.Value(name=f"v{i}", const_value=ir.tensor(np.asarray(a))) for i, a in enumerate(arrays)]
    assert evaluate(ir.Node("", op, values, num_outputs=1)) is None


def test_an_operator_without_an_input_it_needs_is_not_folded():
    axes = ir.Value(name="axes", const_value=ir.tensor(np.zeros(1, np.int64)))
    assert evaluate(ir.Node("", "Unsqueeze", [None, axes], num_outputs=1)) is None


def test_one_walk_folds_all_that_follows_from_a_constant():
    proto = model_from_text(
        """(float[2,3] x) => (float[n] y) {
        s = Shape (x)  t = Concat <axis: int = 0> (s, s)  p = Pad (x, t)
        q = Shape (p)  m = ReduceProd <keepdims: int = 1> (q)  f = Reshape (p, m)  y = Neg (f)
    }""",
        opset=26,
    )
    model = ir.from_proto(proto)
    for step in (InferShapes(), FoldConstants(), RemoveUnusedNodesPass()):
        step(model)
    assert operators(model) == ["Pad", "Reshape", "Neg"]
    assert hub.shape_of(model.graph[1].outputs[0]) == [54]


def test_float_weights_between_quantized_activations_stay_float():
    """ONNX Runtime would quantize them to 8 bits by itself."""
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((3, 4, 3, 3)) * 1e-3).astype(np.float32)
    weights[0, 0, 0, 0] = 1.0
    proto = model_from_text(
        "(float[1,4,6,6] x) => (float[1,3,4,4] y) <float s = {0.01}, int8 z = {0}, float t = {0.0001}> "
        "{ a = QuantizeLinear (x, s, z) b = DequantizeLinear (a, s, z) c = Conv (b, w) "
        "d = QuantizeLinear (c, t, z) y = DequantizeLinear (d, t, z) }",
        w=weights,
    )
    x = (rng.standard_normal((1, 4, 6, 6)) * 0.5).astype(np.float32)
    x[:, 0] = 0
    found = bridge.run(bridge.load(proto), {"x": x})["y"]
    want = onnx.reference.ReferenceEvaluator(proto).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, want, atol=1.01e-4)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("stride", [1, 2])
def test_dilated_pools_with_automatic_padding_are_padded_by_their_reach(op, auto, stride):
    graph = (
        f"(float[1,1,9] x) => (float[1,1,n] y) {{ y = {op} <kernel_shape=[4], dilations=[2], "
        f'strides=[{stride}], auto_pad="{auto}"> (x) }}'
    )
    x = np.arange(9, dtype=np.float32)[None, None]
    reach, combine = 7, np.nanmax if op == "MaxPool" else np.nanmean
    total = (-(-9 // stride) - 1) * stride + reach - 9
    before = total // 2 if auto == "SAME_UPPER" else -(-total // 2)
    held = np.pad(x[0, 0], (before, total - before), constant_values=np.nan)
    expected = [combine(held[at : at + reach : 2]) for at in range(0, len(held) - reach + 1, stride)]
    found = bridge.run(hub_from_text(graph), {"x": x})["y"]
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)


def test_an_input_of_many_elements_is_not_told_one_by_one():
    model = hub_from_text(
        "(int64[268435456] x) => (int64[k] y) <int64[1] a = {1}> { u = Unsqueeze (x, a) y = Squeeze (u, a) }"
    )
    assert len(model.graph.outputs[0].shape) == 1


def test_constants_that_do_not_fit_are_left_alone():
    x = ir.Value(name="x", const_value=ir.tensor(np.zeros((2, 3), np.float32)))
    y = ir.Value(name="y", const_value=ir.tensor(np.zeros((4,), np.float32)))
    assert evaluate(ir.Node("", "Add", [x, y])) is None


@pytest.mark.parametrize(
    ("node", "kept"),
    [
        ("Mul (x, one)", False),
        ("Mul (ones, x)", False),
        ("Div (x, ones)", False),
        ("Sub (x, zero)", False),
        ("Div (one, x)", True),
        ("Sub (zero, x)", True),
        ("Mul (x, wide)", True),
        ("Mul (x, two)", True),
    ],
)
def test_arithmetic_that_changes_nothing_disappears(node, kept):
    arrays = {"one": np.ones(()), "ones": np.ones((1, 3)), "zero": np.zeros(3), "wide": np.ones((2, 1, 3))}
    proto = model_from_text(
        f"(float[N,3] x) => (float[A,B] z) {{ a = Relu (x) y = {node.replace('x', 'a')} z = Tanh (y) }}",
        **{name: a.astype(np.float32) for name, a in {**arrays, "two": np.full(3, 2)}.items()},
    )
    if "wide" in node:
        proto.graph.output[0].type.tensor_type.shape.dim.add().dim_param = "C"
    found = [n.op_type for n in bridge.load(proto).graph]
    assert found == (["Relu", node.split()[0], "Tanh"] if kept else ["Relu", "Tanh"])
