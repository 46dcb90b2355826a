"""ML Programs that bridge writes: what is kept, what is narrowed and said, and what never gets imported."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from build import hub_from_text, model_from_text

import bridge
from bridge.errors import InvalidInput, InvalidOption, UnsupportedModel
from bridge.matrix import measure

CASES = [
    "test_argmax_keepdims_random",
    "test_attention_4d",
    "test_averagepool_2d_ceil",
    "test_cast_FLOAT_to_BFLOAT16",
    "test_convtranspose_output_shape",
    "test_cumsum_2d_axis_1",
    "test_einsum_batch_matmul",
    "test_gather_negative_indices",
    "test_gru_defaults",
    "test_if",
    "test_layer_normalization_4d_axis1",
    "test_lstm_with_peepholes",
    "test_maxpool_2d_same_lower",
    "test_mod_mixed_sign_int8",
    "test_pow_types_float32_int64",
    "test_reduce_sum_keepdims_random",
    "test_reflect_pad",
    "test_resize_upsample_scales_linear",
    "test_scatternd_add",
    "test_slice",
    "test_top_k",
    "test_where_long_example",
]


@pytest.mark.parametrize("target", ["iOS15", "iOS18"])
@pytest.mark.parametrize("case", CASES)
def test_cases_survive(case: str, target: str) -> None:
    result = measure(f"onnx:coreml?minimum_deployment_target={target}", case)
    assert result.outcome in ("native", "expanded", "approximated"), result.reason


def conversion_of_text(text: str, path: Path, **options: Any) -> Any:
    return bridge.save(hub_from_text(text), path, to="coreml", **options)


def operation_counts(path: Path) -> Counter:
    from bridge_coreml.reader import read

    function = read(path).message.mlProgram.functions["main"]
    return Counter(o.type for o in function.block_specializations[function.opset].operations)


def test_dtypes_core_ml_lacks_come_back_and_are_reported(tmp_path: Path) -> None:
    text = "g (int64[2] a, double[2] b, bool[2] c) => (int64[2] p, double[2] q, bool[2] r) "
    done = conversion_of_text(
        text + "{ p = Add (a, a) q = Mul (b, b) r = Not (c) }", tmp_path / "m.mlpackage"
    )
    assert len([n for n in done.report.notes if "is held as" in n]) == 6
    inputs = {"a": np.array([1, -2]), "b": np.array([0.5, 3.0]), "c": np.array([True, False])}
    found = bridge.run(done.path, inputs)
    assert [v.dtype.name for v in found.values()] == ["int64", "float64", "bool"]
    assert found["p"].tolist() == [2, -4]
    assert found["r"].tolist() == [False, True]


def test_numbers_beyond_32_bits_are_refused_at_run_time(tmp_path: Path) -> None:
    path = conversion_of_text(
        "g (int64[1] x) => (int64[1] y) { y = Add (x, x) }", tmp_path / "m.mlpackage"
    ).path
    with pytest.raises(InvalidInput, match="beyond 32 bits"):
        bridge.run(path, {"x": np.array([2**40])})


def test_names_core_ml_does_not_allow_come_back(tmp_path: Path) -> None:
    graph = hub_from_text("g (float[2] x) => (float[2] y) { y = Relu (x) }")
    graph.graph.inputs[0].name, graph.graph.outputs[0].name = "serving:0/in put", "1-out"
    path = bridge.save(graph, tmp_path / "m.mlpackage", to="coreml").path
    assert list(bridge.run(path, {"serving:0/in put": np.array([-1, 2], np.float32)})) == ["1-out"]


def test_six_dimensions_that_only_turn_around_are_five(tmp_path: Path) -> None:
    text = """g (float[2,3,4] x) => (float[4,3,2] y) <int64[6] s = {2, 1, 3, 1, 4, 1}, int64[3] u = {4, 3, 2}> {
        a = Reshape (x, s)  b = Transpose (a)  y = Reshape (b, u)
    }"""
    model = hub_from_text(text)
    path = bridge.save(model, tmp_path / "m.mlpackage", to="coreml").path
    assert bridge.verify(model, path).ok


def test_dynamic_dimensions_have_ranges(tmp_path: Path) -> None:
    from bridge_coreml.reader import read

    text = "g (float[N,3] x) => (float[N,3] z) { z = Relu (x) }"
    path = conversion_of_text(text, tmp_path / "m.mlpackage", upper_bound=64).path
    ranges = read(path).message.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    assert [(r.lowerBound, r.upperBound) for r in ranges] == [(1, 64), (3, 3)]
    assert bridge.run(path, {"x": np.ones((7, 3), np.float32)})["z"].shape == (7, 3)


def test_half_precision_is_asked_for_and_can_be_kept_away(tmp_path: Path) -> None:
    text = (
        "g (float[2,3] x) => (float[2,3] z) <float[3,3] w = {1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0}, "
        "float[1] b = {100000.0}> "
        "{ y = MatMul (x, w) u = Relu (y) z = Min (u, b) }"
    )
    x = np.array([[0.1, 0.2, 0.3], [1, 2, 3]], np.float32)
    expected = bridge.run(hub_from_text(text), {"x": x})["z"]
    for keep, casts in (("", 2), ("Relu", 4), ("MatMul,Relu", 0)):
        path = tmp_path / f"m{casts}.mlpackage"
        conversion_of_text(text, path, precision="float16", keep_float32=keep)
        np.testing.assert_allclose(bridge.run(path, {"x": x})["z"], expected, 1e-2)
        assert operation_counts(path)["cast"] <= casts


def test_quantized_weights_stay_quantized(tmp_path: Path) -> None:
    text = (
        "g (float[2,3] x) => (float[2,2] z) <int8[3,2] w = {1,-2,3,-4,5,-6}, float[2] s = {0.5,0.25}, "
        "int8[2] p = {0,1}> "
        "{ d = DequantizeLinear <axis: int = 1> (w, s, p) z = MatMul (x, d) }"
    )
    x = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    weights = (np.array([[1, -2], [3, -4], [5, -6]]) - [0, 1]) * [0.5, 0.25]
    for target, kept in (("iOS15", 0), ("iOS16", 1)):
        path = conversion_of_text(
            text, tmp_path / f"{target}.mlpackage", minimum_deployment_target=target
        ).path
        assert operation_counts(path)["constexpr_affine_dequantize"] == kept
        np.testing.assert_allclose(bridge.run(path, {"x": x})["z"], x @ weights, 2e-3)


def test_large_weights_lie_in_the_blob(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph = hub_from_text("g (float[1,64] x) => (float[1,64] y) { y = Relu (x) }")
    op = bridge.hub.Builder(graph.graph)
    weights = rng.standard_normal((64, 64)).astype(np.float32)
    graph.graph.outputs[0] = op.MatMul(graph.graph.outputs[0], op.const(weights))
    graph.graph.outputs[0].name = "z"
    path = bridge.save(graph, tmp_path / "m.mlpackage", to="coreml").path
    assert (path / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size > weights.nbytes
    x = rng.standard_normal((1, 64)).astype(np.float32)
    np.testing.assert_allclose(bridge.run(path, {"x": x})["z"], np.maximum(x, 0) @ weights, 1e-4, 1e-5)


def test_coremltools_loads_what_is_written(tmp_path: Path) -> None:
    """Apple's own reader rebuilds every operator, checks its inputs and infers its types again."""
    from bridge_coreml.coremltools_import import coremltools

    text = "g (float[1,2,8,8] x) => (float[1,3,4,4] z) <float[3,2,1,1] w = {1.0,2.0,3.0,4.0,5.0,6.0}> "
    text += "{ y = Conv <strides: ints = [2, 2]> (x, w) z = Sigmoid (y) }"
    path = conversion_of_text(text, tmp_path / "m.mlpackage").path
    ct = coremltools()
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = ct.utils.load_spec(str(path))
    program = load(
        spec,
        specification_version=spec.specificationVersion,
        file_weights_dir=str(path / "Data/com.apple.CoreML/weights"),
    )
    assert [o.op_type for o in program.functions["main"].operations if o.op_type != "const"] == [
        "conv",
        "sigmoid",
    ]


FULL_DISK = """
import resource, signal, sys
import bridge
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    bridge.convert(sys.argv[1], sys.argv[2])
except bridge.BridgeError as error:
    print(type(error).__name__)
"""


def test_a_full_disk_is_a_failed_write(tmp_path: Path) -> None:
    graph = "(float[1,1000] x) => (float[1,1000] y) { y = MatMul (x, w) }"
    onnx.save(model_from_text(graph, w=np.ones((1000, 1000), np.float32)), tmp_path / "m.onnx")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "m.onnx"), str(tmp_path / "m.mlpackage")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["WriteFailed"]
    assert not (tmp_path / "m.mlpackage").exists()


def test_metadata_crosses_both_ways(tmp_path: Path) -> None:
    graph = hub_from_text("g (float[2] x) => (float[2] y) { y = Relu (x) }")
    graph.metadata_props.update({"coreml.author": "Ada", "coreml.license": "MIT", "other": "kept"})
    path = bridge.save(graph, tmp_path / "m.mlpackage", to="coreml").path
    found = bridge.load(path).metadata_props
    assert (found["coreml.author"], found["coreml.license"], found["other"]) == ("Ada", "MIT", "kept")


def test_image_inputs_are_images_to_core_ml(tmp_path: Path) -> None:
    text = "g (float[1,3,4,6] x) => (float[1,3,4,6] y) { y = Relu (x) }"
    path = conversion_of_text(text, tmp_path / "m.mlpackage", image_inputs="x:BGR").path
    assert bridge.load(path).metadata_props["coreml.image.x"] == "BGR 6x4"
    with pytest.raises(InvalidOption, match="no GRAYSCALE image"):
        conversion_of_text(text, tmp_path / "n.mlpackage", image_inputs="x:GRAYSCALE")
    with pytest.raises(InvalidOption, match="NAME:COLOUR"):
        conversion_of_text(text, tmp_path / "n.mlpackage", image_inputs="x:PURPLE")


def test_class_labels_are_kept(tmp_path: Path) -> None:
    graph = hub_from_text("g (float[2] x) => (float[2] y) { y = Softmax (x) }")
    graph.metadata_props["coreml.classes"] = '["a", "b"]'
    path = bridge.save(graph, tmp_path / "m.mlpackage", to="coreml").path
    assert bridge.load(path).metadata_props["coreml.classes"] == '["a", "b"]'


def test_a_program_is_no_file(tmp_path: Path) -> None:
    text = "g (float[2] x) => (float[2] y) { y = Relu (x) }"
    with pytest.raises(UnsupportedModel, match=r"name the destination \.mlpackage"):
        conversion_of_text(text, tmp_path / "m.mlmodel")
    with pytest.raises(InvalidOption, match=r"Name the destination \.mlpackage"):
        conversion_of_text(text, tmp_path / "m.mlmodel", kind="program")


def modules(code: str) -> set[str]:
    """Top-level modules a process has after running the code, which says nothing on its error stream."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{m.partition('.')[0] for m in sys.modules}})"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split()[-4000:])


HELP = "import bridge.cli, contextlib\nwith contextlib.suppress(SystemExit): bridge.cli.main(['--help'])"


def test_frameworks_stay_out(tmp_path: Path) -> None:
    """Reading needs Apple's messages alone, writing coremltools without torch and TensorFlow, the rest
    neither."""
    path = conversion_of_text(
        "g (float[2] x) => (float[2] y) { y = Relu (x) }", tmp_path / "m.mlpackage"
    ).path
    onnx = str(bridge.convert(path, tmp_path / "m.onnx").path)
    assert "coremltools" not in modules(HELP)
    for target in ("tflite", "onnx"):
        route = (
            f"import bridge; bridge.convert({onnx!r}, {str(tmp_path / 'n')!r} + '.{target}', to={target!r})"
        )
        assert "coremltools" not in modules(route)
    assert "coremltools" not in modules(f"import bridge; bridge.load({str(path)!r})")
    assert "coremltools" not in modules(
        f"import bridge; bridge.convert({str(path)!r}, {str(tmp_path / 'o.onnx')!r})"
    )
    again = str(tmp_path / "n.mlpackage")
    loaded = modules(f"import bridge; bridge.convert({onnx!r}, {again!r}, verify=True)")
    assert "coremltools" in loaded
    assert not loaded & {"torch", "tensorflow", "sklearn", "xgboost"}


def test_what_coremltools_warns_of_reaches_nobody(tmp_path: Path) -> None:
    """Not even where the frameworks are there already, whose versions it was not tested with."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    text = "g (float[2] x) => (float[2] y) { y = Relu (x) }"
    code = f"""import torch, sklearn, bridge, onnx_ir as ir
model = bridge.load(ir.to_proto(ir.from_onnx_text('<ir_version: 10, opset_import: ["" : 21]> {text}')))
bridge.save(model, {str(tmp_path / "m.mlpackage")!r}, to="coreml")"""
    assert {"coremltools", "torch"} <= modules(code)


def test_names_of_the_model_are_not_taken_by_mil(parse, tmp_path):
    """MIL names what it makes itself `concat_2`, `slice_by_index_0`, …, as exporters of models do."""
    text = """g (float[n,4] x) => (float[n,8] concat_2, float[a,b] split_0) {
        concat_2 = Concat <axis: int = 1> (x, x)  t = Transpose <perm = [1, 0]> (concat_2)
        concat_1 = MatMul (concat_2, t)  split_0, split_1 = Split <axis: int = 1, num_outputs: int = 2> (concat_1) }"""
    made = tmp_path / "m.mlpackage"
    bridge.convert(parse(text), made, to="coreml", verify=True)
    names = [o.name for o in bridge.load(made).graph.outputs]
    assert names == ["concat_2", "split_0"]
