"""Opset steps keep what a model computes, or refuse by name."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from build import hub_from_text, model_of_nodes

import bridge
from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.inputs import random_inputs
from bridge.passes.opset import down, up
from bridge.passes.opset.down import lower
from bridge.verify import compare

NEWEST = 26


ROI = "(float[1,1,4,4] x, float[1,4] r, int64[1] b) => (float[1,1,2,2] y) "


@pytest.mark.parametrize(
    ("graph", "target", "word"),
    [
        (ROI + "{ y = RoiAlign <output_height: int = 2, output_width: int = 2> (x, r, b) }", 11, "half_pixel"),
        ("(float[2] x, bool t) => (float[2] y) { r = Constant <value_float: float = 0.5> () y = Dropout "
            "(x, r, t) }", 11, "inputs"),
        ('(float[4] x) => (float[6] y) { p = Constant <value_ints: ints = [1, 1]> () y = Pad <mode: string '
            '= "wrap"> (x, p) }', 18, "wrap"),
        ("(float[2] x, double[2] e) => (float[2] y) { y = Pow (x, e) }", 11, "double"),
        ("(float[2,3] x, float[3] s) => (int8[2,3] y) <int8[3] z = {0, 0, 0}> { y = QuantizeLinear (x, s, "
            "z) }", 12, "per tensor"),
    ],
)  # fmt: skip
def test_what_an_older_opset_cannot_say_is_refused(graph, target, word):
    with pytest.raises(UnsupportedModel, match=word):
        lower(hub_from_text(graph, NEWEST), target)


def test_steps_that_read_types_are_marked():
    """Types are inferred before the lift for the sake of these alone."""
    reading = {"dtype", "shape", "rank", "rank_of", "type"}
    for (name, opset), step in up.STEPS.items():
        assert not reading & set(step.__code__.co_names) or up.TYPED.get(name, 0) >= opset, (
            f"{name} at {opset}"
        )


def test_an_old_softmax_behind_an_untyped_value_keeps_its_axis():
    graph = "(float[2,3,4] x) => (float[2,3,4] y) { a = Relu (x) y = Softmax <axis: int = 2> (a) }"
    assert [node.op_type for node in hub_from_text(graph, 12).graph] == ["Relu", "Softmax"]


LOWERED = {
    "Squeeze": "(float[2,1,4] x) => (float[2,4] y) { i = Constant <value_ints: ints = [-2]> () y = Squeeze "
    "(x, i) }",
    "Unsqueeze": "(float[2,4] x) => (float[2,1,4,1] y) { i = Constant <value_ints: ints = [1, -1]> () y = "
    "Unsqueeze (x, i) }",
    "ReduceSum": "(float[2,4] x) => (float[4] y) { i = Constant <value_ints: ints = [0]> () y = ReduceSum "
    "<keepdims: int = 0> (x, i) }",
    "ReduceSum of nothing": "(float[2,4] x) => (float[2,4] y) { y = ReduceSum <noop_with_empty_axes: int = 1> "
    "(x) }",
    "ReduceMax of all": "(float[2,4] x) => (float y) { y = ReduceMax <keepdims: int = 0> (x) }",
    **{
        f"Reduce{name}": f"(float[2,3,4] x) => (float[2,1,4] y) {{ a = Abs (x) i = Constant <value_ints: ints "
        f"= [1]> () y = Reduce{name} (a, i) }}"
        for name in up.REDUCTIONS
    },
    "Split sizes": "(float[2,6] x) => (float[2,1] a, float[2,5] b) { i = Constant <value_ints: ints = [1, 5]> "
    "() a, b = Split <axis: int = 1> (x, i) }",
    "Split unevenly": "(float[5,2] x) => (float[3,2] a, float[2,2] b) { a, b = Split <num_outputs: int = 2> "
    "(x) }",
    "LogSoftmax": "(float[2,3,4] x) => (float[2,3,4] y) { y = LogSoftmax <axis: int = 0> (x) }",
    "Dropout": "(float[2,3] x) => (float[2,3] y, bool[2,3] m) { r = Constant <value_float: float = 0.5> () y, "
    "m = Dropout (x, r) }",
    "Shape": "(float[2,3,4] x) => (int64[2] y) { y = Shape <start: int = 1> (x) }",
    "Shape from the end": "(float[n,3,4] x) => (int64[1] y) { y = Shape <start: int = -3, end: int = -2> (x) "
    "}",
    "Pad": "(float[2,3] x) => (float[2,6] y) { p = Constant <value_ints: ints = [1, 2]> () i = Constant "
    "<value_ints: ints = [-1]> () y = Pad (x, p, , i) }",
    "Resize by scales": "(float[1,1,2,2] x) => (float[1,1,4,4] y) { s = Constant <value_floats: floats = "
    "[1.0, 1.0, 2.0, 2.0]> () y = Resize (x, , s) }",
    "Resize of some axes": "(float[n,4,4,2] x) => (float[n,7,3,2] y) { t = Transpose <perm: ints = [0, 3, 1, "
    "2]> (x) s = Constant <value_ints: ints = [3, 7]> () r = Resize <mode: string = "
    '"linear", axes: ints = [-1, 2]> (t, , , s) y = Transpose <perm: ints = [0, 2, 3, '
    "1]> (r) }",
    "Resize of some axes by scales": "(float[n,4,4,2] x) => (float[n,8,12,2] y) { t = Transpose <perm: ints = "
    "[0, 3, 1, 2]> (x) s = Constant <value_floats: floats = [2.0, 3.0]> () r "
    '= Resize <mode: string = "linear", axes: ints = [2, 3]> (t, , s) y = '
    "Transpose <perm: ints = [0, 2, 3, 1]> (r) }",
    "Gelu": "(float[2,3] x) => (float[2,3] y) { y = Gelu (x) }",
    "LayerNormalization": "(float[2,3] x, float[3] s, float[3] b) => (float[2,3] y) { y = LayerNormalization "
    "(x, s, b) }",
    "LayerNormalization of some axes": "(float[n,2,3] x, float[2,3] s) => (float[n,2,3] y) { y = "
    "LayerNormalization <axis: int = 1, epsilon: float = 0.1> (x, s) }",
    "RMSNormalization": "(float[2,3] x, float[3] s) => (float[2,3] y) { y = RMSNormalization (x, s) }",
    "RMSNormalization in half": "(float16[2,3] x, float16[3] s) => (float16[2,3] y) { y = RMSNormalization "
    "<axis: int = 1, epsilon: float = 0.1> (x, s) }",
    "Resize to sizes": "(float[1,1,4,4] x) => (float[1,1,3,6] y) { s = Constant <value_ints: ints = [1, 1, 3, "
    '6]> () y = Resize <mode: string = "linear"> (x, , , s) }',
}


def test_every_step_down_has_a_case():
    covered = {word for graph in LOWERED.values() for word in graph.replace("(", " ").split()}
    elsewhere = {"DFT", "GridSample", "RoiAlign", "Softmax", "Hardmax"}
    assert set(down.STEPS) - covered == elsewhere


@pytest.mark.parametrize(
    ("graph", "target"),
    [
        ("(float[1,8,1] x) => (float[1,5,2] y) { y = DFT <onesided: int = 1> (x) }", 17),
        ("(float[1,8,3,1] x) => (float[1,8,3,2] y) { i = Constant <value: tensor = int64 {-3}> () y = DFT "
            "(x, , i) }", 19),
        ('(float[1,1,4,4] x, float[1,3,3,2] g) => (float[1,1,3,3] y) { y = GridSample <mode: string = '
            '"cubic"> (x, g) }', 16),
        ("(float[1,1,4,4] x, float[1,3,3,2] g) => (float[1,1,3,3] y) { y = GridSample (x, g) }", 19),
    ],
)  # fmt: skip
def test_what_has_no_form_at_11_is_lowered_as_far_as_it_goes(graph, target, tmp_path):
    model = hub_from_text(graph, NEWEST)
    inputs = random_inputs(model)
    path = bridge.save(model, tmp_path / "m.onnx", opset=target).path
    assert compare(bridge.run(model, inputs), bridge.run(path, inputs)).ok
    with pytest.raises(UnsupportedModel):
        bridge.save(model, tmp_path / "n.onnx", opset=11)


def test_every_blocker_of_an_older_opset_is_named():
    model = hub_from_text("(float[1,8,1] x, float[1,1,4,4] i, float[1,3,3,2] g) => (float[1,8,2] y, "
        "float[1,1,3,3] z) { y = DFT (x) z = GridSample (i, g) }", NEWEST)  # fmt: skip
    with pytest.raises(UnsupportedModel) as refusal:
        lower(model, 11)
    assert {b.op for b in refusal.value.blockers} == {"DFT", "GridSample"}


@pytest.mark.parametrize(("is_test", "fine"), [(1, True), (0, False), (None, False)])
def test_training_below_opset_7_is_refused(is_test, fine):
    given = "" if is_test is None else f"<is_test: int = {is_test}>"
    graph = f"(float[2,3] x) => (float[2,3] y) {{ y = Dropout {given} (x) }}"
    if fine:
        assert [node.op_type for node in hub_from_text(graph, 6).graph] in ([], ["Identity"])
        return
    with pytest.raises(UnsupportedModel, match="training mode"):
        hub_from_text(graph, 6)


@pytest.mark.parametrize(
    "graph",
    [
        ROI
        + "{ y = RoiAlign <output_height: int = 2, output_width: int = 2, coordinate_transformation_mode: "
        'string = "output_half_pixel"> (x, r, b) }',
        "(float[2,3,4] x) => (float[2,3,4] y) { y = Softmax <axis: int = 1> (x) }",
        "(float[2,3,4] x) => (float[2,3,4] y) { y = Hardmax <axis: int = -3> (x) }",
        "(float[2,6] x) => (float[2,2] a, float[2,2] b, float[2,2] c) { a, b, c = Split <axis: int = 1, "
        "num_outputs: int = 3> (x) }",
        "(float[2,6] x) => (float[2,1] y) { i = Constant <value_ints: ints = [-1]> () y = ReduceMean (x, "
        "i) }",
        "(float[2,6] x) => (float[2,6] y) { y = Gelu (x) }",
        "(float[2,4,3] x, float[4] s, float[4] b) => (float[2,4,3] y) { y = GroupNormalization "
        "<num_groups: int = 2> (x, s, b) }",
        *LOWERED.values(),
    ],
)
@pytest.mark.parametrize("target", [11, 13, 17, 18, 21])
def test_lowering_keeps_the_numbers(graph, target, tmp_path):
    model = hub_from_text(graph, NEWEST)
    inputs = random_inputs(model)
    before = bridge.run(model, inputs)
    path = bridge.save(model, tmp_path / "m.onnx", opset=target).path
    assert onnx.load(path).opset_import[0].version == target
    result = compare(before, bridge.run(path, inputs))
    assert result.ok, str(result)


@pytest.mark.parametrize("live", [True, False])
def test_a_constant_may_not_read_outside_the_folder(tmp_path, live):
    (tmp_path / "secret").write_bytes(np.ones(2, np.float32).tobytes())
    tensor = onnx.TensorProto(data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    node = onnx.helper.make_node("Constant", [], ["y"], value=tensor)
    proto = model_of_nodes(node, {}, {"y": (np.float32, [2])})
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(UnreadableFile):
        bridge.load(proto if live else path)
