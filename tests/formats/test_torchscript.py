"""TorchScript passes the conformance tests; its files are readable code with weights under their names."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from build import model_from_text, model_of_nodes, save_as, spec_of
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
from bridge.matrix import measure
from bridge.testing import FormatTests

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

IF = """g (float[n] x, bool c) => (float[n] y) {
  y = If (c) <
    then_branch = t () => (float[n] a) { a = Add (x, x) },
    else_branch = e () => (float[n] b) { b = Neg (x) }
  >
}"""
LOOP = """g (float[n] x, int64 steps) => (float[n] y, float[k, n] all) {
  yes = Constant <value = bool {1}> ()
  y, all = Loop (steps, yes, x) <body = b (int64 i, bool go, float[n] s)
    => (bool again, float[n] t, float[n] u) {
    again = Identity (go) t = Add (s, x) u = Mul (t, t)
  }>
}"""
LAYER = """g (float[batch, 4] x) => (float[batch, 3] y)
<float[3, 4] "fc.0.weight" = {1,2,3,4,5,6,7,8,9,10,11,12}, float[3] "fc.0.bias" = {1,2,3}>
{ y = Gemm <transB = 1> (x, "fc.0.weight", "fc.0.bias") }"""
RANDOM = ("Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
SEQUENCES = (
    "ConcatFromSequence",
    "Optional",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceLength",
)


class TestTorchscript(FormatTests):
    format = "torchscript"
    known_failures: ClassVar[dict[str, str]] = dict.fromkeys(
        RANDOM, "no case says what a random number is"
    ) | dict.fromkeys(SEQUENCES, "no node case has one by itself; tests of sequences are below")


def torchscript_of(model: Any, folder: Path, **options: Any) -> Any:
    return torch.jit.load(str(bridge.convert(model, folder / "m.pt", **options).path))


def layer() -> onnx.ModelProto:
    """Linear layer, [batch, 4] to [batch, 3], of the weights fc.0.weight and fc.0.bias."""
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    return model_of_nodes(
        onnx.helper.make_node("Gemm", ["x", "fc.0.weight", "fc.0.bias"], ["y"], transB=1),
        {"x": (np.float32, ["batch", 4])},
        {"y": (np.float32, ["batch", 3])},
        {"fc.0.weight": weight, "fc.0.bias": weight[:, 0].copy()},
    )


def test_weights_keep_their_names_and_the_code_is_readable(tmp_path: Path) -> None:
    module = torchscript_of(layer(), tmp_path)
    assert sorted(module.state_dict()) == ["fc.0.bias", "fc.0.weight"]
    assert "torch.linear(x" in module.code
    assert module(torch.ones(5, 4)).shape == (5, 3)


def test_the_file_runs_where_bridge_is_not(tmp_path: Path) -> None:
    bridge.convert(layer(), tmp_path / "m.pt")
    code = (
        "import sys, torch; sys.modules['bridge'] = None; m = torch.jit.load('m.pt'); "
        "print(m(torch.ones(2, 4)).shape)"
    )
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert process.stdout.strip() == "torch.Size([2, 3])", process.stderr


def test_branches_stay_branches_and_loops_loops(parse: Any, tmp_path: Path) -> None:
    branch = torchscript_of(parse(IF), tmp_path)
    assert "if bool(c)" in branch.code
    assert branch(torch.ones(2), torch.tensor(False)).tolist() == [-1, -1]
    loop = torchscript_of(parse(LOOP), tmp_path, overwrite=True)
    assert "while" in loop.code
    y, every = loop(torch.ones(3), torch.tensor(4))
    assert y.tolist() == [5, 5, 5]
    assert every.shape == (4, 3)
    assert loop(torch.ones(3), torch.tensor(0))[1].shape[0] == 0


def test_names_dtypes_and_dimensions_come_back(tmp_path: Path) -> None:
    model = model_from_text("(int4[n] x) => (int4[n] y) { y = Identity (x) }", 23)
    path = bridge.convert(model, tmp_path / "m.pt").path
    back = bridge.load(path)
    assert [(v.name, str(v.shape)) for v in back.graph.inputs] == [("x", "[n]")]
    outputs = bridge.run(path, {"x": np.array([-8, 7]).astype(ir.DataType.INT4.numpy())})
    assert outputs["y"].dtype == ir.DataType.INT4.numpy()


def test_lengths_that_data_decide_keep_their_names(tmp_path: Path) -> None:
    model = model_from_text("(float[n] x) => (int64[1,found] y) { y = NonZero (x) }", 23)
    back = bridge.load(bridge.convert(model, tmp_path / "m.pt").path)
    assert [str(v.shape) for v in back.graph.outputs] == ["[1,found]"]


def test_an_axis_that_is_one_at_run_time_goes_and_the_rank_stays_known(tmp_path: Path) -> None:
    model = model_from_text(
        "(float[n,3] x) => (float[3] y) <int64[1] z = {0}, int64[1] o = {1}> "
        "{ first = Slice (x, z, o, z) y = Squeeze (first, z) }",
        23,
    )
    path = bridge.convert(model, tmp_path / "m.pt").path
    assert [len(v.shape) for v in bridge.load(path).graph.outputs] == [1]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(bridge.run(path, {"x": x})["y"], x[0])


def test_mobile_and_optimized_files_give_the_same(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    paths = [
        bridge.convert(layer(), tmp_path / "m.pt").path,
        bridge.convert(layer(), tmp_path / "m.ptl").path,
        bridge.convert(layer(), tmp_path / "o.pt", optimize=True).path,
    ]
    first, *others = (bridge.run(p, {"x": x})["y"] for p in paths)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-5)


CASES = [
    "test_attention_4d_causal",
    "test_bitshift_right_uint64",
    "test_cast_FLOAT_to_INT4",
    "test_col2im_5d",
    "test_convtranspose_output_shape",
    "test_dft_axis",
    "test_gathernd_example_int32_batch_dim1",
    "test_gru_batchwise",
    "test_loop16_seq_none",
    "test_lstm_with_peepholes",
    "test_maxpool_with_argmax_2d_precomputed_strides",
    "test_nonmaxsuppression_suppress_by_IOU_and_scores",
    "test_quantizelinear_blocked_asymmetric",
    "test_resize_upsample_scales_cubic",
    "test_scan9_sum",
    "test_scatternd_max",
    "test_sequence_insert_at_front",
    "test_unique_not_sorted_without_axis",
]


@pytest.mark.parametrize("case", CASES)
def test_node_cases_survive(case: str) -> None:
    result = measure("onnx:torchscript", case)
    assert result.outcome in ("native", "expanded"), result.reason


@pytest.mark.parametrize("case", ["test_lstm_defaults", "test_gru_defaults", "test_simple_rnn_defaults"])
def test_recurrent_layers_with_the_default_activations_are_native(case: str) -> None:
    result = measure("onnx:torchscript", case)
    assert result.outcome == "native", result.reason


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_slices_agree_with_the_hub(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    bound = st.integers(-7, 7)
    axes = data.draw(st.permutations(range(len(shape))))[: data.draw(st.integers(1, len(shape)))]
    rows = [[data.draw(bound), data.draw(bound), data.draw(st.sampled_from([-2, -1, 1, 2]))] for _ in axes]
    starts, ends, steps = (np.array(c, np.int64) for c in zip(*rows, strict=True))
    _agrees(
        "Slice",
        [np.arange(np.prod(shape), dtype=np.float32).reshape(shape), starts, ends, np.array(axes), steps],
    )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_integers_divide_and_leave_rests_as_in_the_hub(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.int8, np.int32, np.int64, np.uint8, np.uint16, np.uint32]))
    info = np.iinfo(dtype)
    numbers = st.integers(int(info.min), int(info.max))
    x = np.array(data.draw(st.lists(numbers, min_size=3, max_size=3)), dtype)
    y = np.array(
        data.draw(st.lists(numbers.filter(lambda n: n not in (0, -1)), min_size=3, max_size=3)), dtype
    )
    _agrees(data.draw(st.sampled_from(["Div", "Mod", "Add", "Mul", "Max"])), [x, y])


def _agrees(op_type: str, arrays: list[np.ndarray]) -> None:
    inputs = {f"i{n}": array for n, array in enumerate(arrays)}
    model = model_of_nodes(
        onnx.helper.make_node(op_type, list(inputs), ["y"]),
        {name: spec_of(array) for name, array in inputs.items()},
        {"y": (arrays[0].dtype, None)},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = save_as("torchscript", model, Path(folder))
        result = bridge.verify(bridge.load(model), path, inputs)
    assert result.ok, str(result)
