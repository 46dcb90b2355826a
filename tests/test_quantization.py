"""Quantization: schemes, ranges, accuracy and refusals, in the runtimes of the targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from build import hub_from_text

import bridge
from bridge import hub
from bridge.errors import InvalidInput, InvalidOption, VerificationFailed
from bridge.passes.biases import FoldBiases
from bridge.passes.spell import SpellOut
from bridge.quant import is_dequantize, is_quantize, quant_params
from bridge.quantize.accuracy import Meter
from bridge.quantize.ranges import METHODS, Observed, joined, range_of
from bridge.quantize.samples import samples_of
from bridge.quantize.schemes import SCHEMES
from bridge.quantize.weights import few_bits_params, palette, symmetric_params

RNG = np.random.default_rng(7)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=shape)
    return (drawn / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


NET = """(float[1,3,16,16] x) => (float[1,10] y) {
    a = Conv <pads: ints = [1,1,1,1]> (x, w1, b1)
    b = Clip (a, zero, six)
    c = Conv <pads: ints = [1,1,1,1], group: int = 8> (b, w2, b2)
    d = Relu (c)
    e = Add (b, d)
    f = Concat <axis: int = 1> (e, b)
    g = MaxPool <kernel_shape: ints = [2,2], strides: ints = [2,2]> (f)
    h = GlobalAveragePool (g)
    i = Flatten (h)
    j = Gemm <transB: int = 1> (i, w3, b3)
    y = Softmax (j)
}"""


def net() -> ir.Model:
    return hub_from_text(
        NET,
        w1=weights(8, 3, 3, 3),
        b1=weights(8),
        w2=weights(8, 1, 3, 3),
        b2=weights(8),
        w3=weights(10, 16) * 8,
        b3=weights(10),
        zero=np.float32(0),
        six=np.float32(6),
    )


def rows(count: int = 20, shape: tuple[int, ...] = (1, 3, 16, 16), name: str = "x") -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    return [{name: rng.normal(size=shape).astype(np.float32)} for _ in range(count)]


ATTENTION = """(float[1,6,32] x) => (float[1,6,32] y) {
    q = MatMul (x, wq)
    k = MatMul (x, wk)
    v = MatMul (x, wv)
    kt = Transpose <perm: ints = [0,2,1]> (k)
    s = MatMul (q, kt)
    p = Softmax (s)
    o = MatMul (p, v)
    r = Add (o, x)
    n = LayerNormalization <axis: int = -1> (r, scale)
    u = MatMul (n, wu)
    t = Add (u, bu)
    y = Relu (t)
}"""


def attention() -> ir.Model:
    squares = {name: weights(32, 32, seed=n) for n, name in enumerate(("wq", "wk", "wv", "wu"))}
    return hub_from_text(ATTENTION, scale=np.ones(32, np.float32), bu=weights(32), **squares)


HELD = [
    *(("onnx", name) for name in SCHEMES if name != "int16x8"),
    *(("tflite", name) for name in ("float16", "int8", "int16x8", "int8-weights")),
    *(
        ("coreml", name)
        for name in ("float16", "int8", "int8-weights", "int4-weights", "palette-4", "palette-6")
    ),
    *(("torchscript", "int8-weights"), ("savedmodel", "int8-weights")),
]
SUFFIX = {
    "coreml": ".mlpackage",
    "onnx": ".onnx",
    "tflite": ".tflite",
    "torchscript": ".pt",
    "savedmodel": "",
}


@pytest.mark.parametrize(("target", "scheme"), HELD)
def test_a_scheme_is_written_and_runs_in_the_runtime_of_its_target(target, scheme, tmp_path):
    options = {"minimum_deployment_target": "iOS18"} if target == "coreml" else {}
    floats = bridge.save(attention(), tmp_path / f"f{SUFFIX[target]}", to=target, **options)
    source = bridge.save(attention(), tmp_path / "source.onnx")
    done = bridge.convert(
        source.path,
        tmp_path / f"q{SUFFIX[target]}",
        to=target,
        quantize=scheme,
        calibration=rows(shape=(1, 6, 32)),
        verify=True,
        **options,
    )
    assert done.verification is not None
    assert done.verification.ok
    (written,) = done.quantization.written
    (quantized,) = done.quantization.outputs
    assert written.sqnr >= SCHEMES[scheme].expected
    assert abs(written.sqnr - quantized.sqnr) < 1.0
    if done.path.is_file():
        assert done.path.stat().st_size < floats.path.stat().st_size


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_kernels_of_a_convolutional_net_are_integers(target, tmp_path):
    source = bridge.save(net(), tmp_path / "source.onnx")
    done = bridge.convert(
        source.path, tmp_path / f"q{SUFFIX[target]}", quantize="int8", calibration=rows(), verify=True
    )
    assert done.quantization.sqnr > 25
    again = bridge.load(done.path)
    for node in again.graph:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            assert all(is_dequantize(v.producer()) for v in node.inputs[:2] if v is not None)
    axes = [
        quant_params(n).axis for n in again.graph if is_dequantize(n) and n.inputs[0].const_value is not None
    ]
    assert 0 in axes


def test_activations_are_quantized_after_what_is_fused():
    made = bridge.quantize(net(), "int8", calibration=rows()).model
    quantized = {
        n.inputs[0].producer().op_type for n in made.graph if is_quantize(n) and n.inputs[0].producer()
    }
    assert "Conv" not in quantized - {"Conv"} | (
        {"Conv"} if "Clip" in {n.op_type for n in made.graph} else set()
    )
    assert "Relu" in quantized


def test_what_moves_or_joins_elements_shares_parameters_for_tflite():
    made = bridge.quantize(net(), "int8", calibration=rows(), to="tflite").model
    for node in made.graph:
        if node.op_type in ("Concat", "MaxPool", "Flatten"):
            after = {quant_params(u.node) for u in node.outputs[0].uses() if is_quantize(u.node)}
            before = {quant_params(v.producer()) for v in node.inputs if is_dequantize(v.producer())}
            assert len(after | before) == 1


def test_softmax_has_the_scale_its_kernel_knows_for_tflite():
    made = bridge.quantize(net(), "int8", calibration=rows(), to="tflite").model
    softmax = next(n for n in made.graph if n.op_type == "Softmax")
    params = quant_params(next(u.node for u in softmax.outputs[0].uses() if is_quantize(u.node)))
    assert (float(params.scale), int(params.zero_point)) == (1 / 256, -128)


def test_biases_are_integers_of_the_product_of_the_scales():
    made = bridge.quantize(net(), "int8", calibration=rows()).model
    for node in (n for n in made.graph if n.op_type in ("Conv", "Gemm")):
        data, weight, bias = (quant_params(v.producer()) for v in node.inputs)
        assert bias.dtype == ir.DataType.INT32
        np.testing.assert_array_equal(bias.scale, data.scale * weight.scale)


def test_the_model_handed_in_is_left_as_it_was():
    model = net()
    before = [(n.op_type, n.name) for n in model.graph]
    bridge.quantize(model, "int8", calibration=rows())
    assert [(n.op_type, n.name) for n in model.graph] == before


def test_what_is_kept_float_has_no_integers():
    made = bridge.quantize(net(), "int8", calibration=rows(), keep_float=["Conv"]).model
    convs = [n for n in made.graph if n.op_type == "Conv"]
    assert all(not is_dequantize(n.inputs[1].producer()) for n in convs)
    assert any(is_dequantize(n) for n in made.graph)


def outlier() -> ir.Model:
    """A net of which one layer has a channel a thousand times the others."""
    wide = weights(32, 32, seed=1)
    wide[:, 0] *= 3000
    narrow = weights(32, 32, seed=2)
    narrow[0] /= 3000
    text = """(float[1,32] x) => (float[1,32] y) {
        a = MatMul (x, w0) b = MatMul (a, w1) c = Relu (b) d = MatMul (c, w2) y = MatMul (d, w3)
    }"""
    return hub_from_text(text, w0=weights(32, 32), w1=wide, w2=narrow, w3=weights(32, 32, seed=3))


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_inputs_and_outputs_are_integers_where_that_is_asked(target, tmp_path):
    bridge.save(net(), tmp_path / "source.onnx")
    done = bridge.convert(
        tmp_path / "source.onnx",
        tmp_path / f"q{SUFFIX[target]}",
        quantize="int8",
        calibration=rows(),
        integer_io=True,
        keep_float=["Softmax"] if target == "onnx" else [],
        verify=True,
    )
    again = bridge.load(done.path)
    assert again.graph.inputs[0].dtype == ir.DataType.INT8
    assert done.quantization.sqnr > 25
    assert any(note.startswith("input x is int8: (integer - ") for note in done.quantization.notes)
    if target == "tflite":
        assert again.graph.outputs[0].dtype == ir.DataType.INT8


def test_auto_returns_the_most_harmful_layers_until_it_holds():
    data = rows(40, (1, 32))
    plain = bridge.quantize(outlier(), "int8", calibration=data)
    assert plain.sqnr < 25
    with pytest.raises(VerificationFailed, match="keeps less than is asked"):
        bridge.quantize(outlier(), "int8", calibration=data, min_sqnr=30)
    done = bridge.quantize(outlier(), "int8", calibration=data, min_sqnr=30, auto=True)
    assert done.sqnr >= 30
    assert 0 < len(done.returned) < 4
    assert any(is_dequantize(n) for n in done.model.graph)


def test_less_than_asked_is_refused():
    with pytest.raises(VerificationFailed, match="keeps less than is asked"):
        bridge.quantize(attention(), "palette-2", calibration=rows(shape=(1, 6, 32)), min_sqnr=60)


@pytest.mark.parametrize("method", [*METHODS, "best"])
def test_every_method_gives_ranges(method):
    assert bridge.quantize(net(), "int8", calibration=rows(), method=method).sqnr > (
        5 if method == "entropy" else 20
    )


def test_a_histogram_keeps_its_size_and_every_number():
    seen, everything = Observed(), []
    for size in (1e-3, 1.0, 50.0, 1e4, 2.0):
        part = RNG.normal(size=500).astype(np.float32) * size
        seen.add(part)
        everything.append(part)
    flat = np.concatenate(everything)
    assert (seen.low, seen.high) == (flat.min(), flat.max())
    assert seen.counts.sum() == flat.size
    assert seen.counts.size == Observed().counts.size


def test_joined_histograms_are_those_of_all_numbers():
    parts = [RNG.normal(size=1000).astype(np.float32) * size for size in (1, 40)]
    seen, whole = [Observed(), Observed()], Observed()
    for one, part in zip(seen, parts, strict=True):
        one.add(part)
    whole.add(parts[1])
    whole.add(parts[0])
    both = joined(seen)
    assert (both.low, both.high, both.width) == (whole.low, whole.high, whole.width)
    assert np.abs(both.counts - whole.counts).sum() <= 0.02 * whole.counts.sum()


def test_the_range_of_least_error_has_less_error_than_all_of_it():
    numbers = np.concatenate([RNG.normal(size=20000), [60.0]]).astype(np.float32)
    seen = Observed()
    seen.add(numbers)

    def error(low: float, high: float) -> float:
        scale = (high - low) / 255
        rounded = np.rint((np.clip(numbers, low, high) - low) / scale) * scale + low
        return float(((rounded - numbers) ** 2).sum())

    assert error(*range_of(seen, "mse", 256)) <= error(*range_of(seen, "minmax", 256))
    low, high = range_of(seen, "percentile", 256)
    assert low <= 0 <= high <= 60.1


def test_numbers_that_are_not_finite_leave_a_value_float():
    seen = Observed()
    seen.add(np.array([1, np.inf], np.float32))
    assert seen.broken


@pytest.mark.parametrize("bits", range(2, 9))
def test_a_palette_has_so_many_values_and_less_error_than_even_steps(bits):
    array = RNG.normal(size=(64, 64)).astype(np.float32)
    found = palette(array, bits)
    assert np.unique(found).size <= 2**bits
    steps = 2 * np.abs(array).max() / (2**bits - 1)
    assert ((found - array) ** 2).mean() < steps**2 / 12


def test_weights_of_four_bits_are_better_than_those_scaled_by_their_largest():
    array = weights(64, 48)
    found = few_bits_params(array, ir.DataType.INT4, 0, 32)
    plain = np.abs(array.reshape(2, 32, 48)).max(1, keepdims=True) / 7
    rounded = (np.clip(np.rint(array.reshape(2, 32, 48) / plain), -8, 7) * plain).reshape(array.shape)
    best = found.dequantize(found.quantize(array))
    assert ((best - array) ** 2).sum() < 0.9 * ((rounded - array) ** 2).sum()


def test_a_channel_of_zeros_has_a_scale():
    array = weights(4, 6)
    array[2] = 0
    params = symmetric_params(array, ir.DataType.INT8, 0)
    assert (params.scale > 0).all()
    np.testing.assert_array_equal(params.dequantize(params.quantize(array))[2], 0)


def test_the_meter_gives_decibels_agreement_and_errors():
    meter = Meter()
    a = np.array([[1.0, 2.0], [3.0, 1.0]], np.float32)
    meter.add({"y": a}, {"y": a + np.float32(0.1)})
    (found,) = meter.accuracies()
    assert found.sqnr == pytest.approx(10 * np.log10((a**2).sum() / (4 * 0.01)), abs=0.01)
    assert (found.agreement, found.max_error) == (1.0, pytest.approx(0.1, abs=1e-6))
    meter.add({"y": a}, {"y": -a})
    assert meter.accuracies()[0].agreement == 0.5


def test_data_comes_as_arrays_files_folders_tables_and_iterables(tmp_path):
    model = hub_from_text("(float[1,4] x) => (float[1,4] y) { y = Relu (x) }")
    array = RNG.normal(size=(6, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array)
    np.savetxt(tmp_path / "a.csv", array, delimiter=",", header="a,b,c,d", comments="")
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, row in enumerate(array):
        np.savez(folder / f"{index}.npz", x=row[None])
    for data in (
        array,
        {"x": array},
        str(tmp_path / "a.npy"),
        tmp_path / "a.npz",
        tmp_path / "a.csv",
        folder,
        ({"x": row[None]} for row in array),
        [{"x": row[None]} for row in array],
    ):
        found = samples_of(model, data)
        assert found.count == 6
        got = np.concatenate([row["x"] for row in found.rows(range(6))])
        np.testing.assert_allclose(got, array, rtol=1e-6)


def test_a_folder_of_pictures_is_resized_and_normalized(tmp_path):
    image = pytest.importorskip("PIL.Image")
    model = hub_from_text("(float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu (x) }")
    for index in range(3):
        image.new("RGB", (20, 10), (255, 0, 100)).save(tmp_path / f"{index}.png")
    images = bridge.inputs.data.Images((127.5,), (127.5,), "bgr")
    found = samples_of(model, tmp_path, images)
    assert found.count == 3
    row = found.read(0)["x"]
    np.testing.assert_allclose(row[0, :, 0, 0], [(100 - 127.5) / 127.5, -1, 1], rtol=1e-6)


def test_a_tenth_is_held_back():
    found = samples_of(net(), rows(20))
    assert found.held == [9, 19]
    assert len(found.used) == 18
    assert not set(found.held) & set(found.used)


BAD = {
    "none": ([], InvalidInput, "no samples"),
    "shape": ([{"x": np.zeros((1, 3, 16, 15), np.float32)}], InvalidInput, "Sample 0"),
    "dtype": ([{"x": np.zeros((1, 3, 16, 16), np.int64)}], InvalidInput, "takes float32"),
    "nan": ([{"x": np.full((1, 3, 16, 16), np.nan, np.float32)}], InvalidInput, "NaN or infinity in x"),
    "missing": ([{}], InvalidInput, "missing: x"),
    "unknown": ([{"z": np.zeros(3, np.float32)}], InvalidInput, "unknown: z"),
    "no dict": ([3], InvalidInput, "not a dict"),
    "number": (3, InvalidInput, "no calibration data"),
    "path": ("nowhere.npz", InvalidInput, "does not exist"),
    "nothing": (None, InvalidOption, "needs the ranges"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_a_model_does_not_take_is_refused_and_nothing_written(case, tmp_path):
    data, error, words = BAD[case]
    bridge.save(net(), tmp_path / "source.onnx")
    with pytest.raises(error, match=words):
        bridge.convert(tmp_path / "source.onnx", tmp_path / "q.tflite", quantize="int8", calibration=data)
    assert not (tmp_path / "q.tflite").exists()


def test_a_broken_picture_is_refused(tmp_path):
    model = hub_from_text("(float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu (x) }")
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"a\.png is no readable picture"):
        bridge.quantize(model, "int8", calibration=tmp_path)


def test_a_scheme_the_target_does_not_hold_is_refused_with_those_it_does(tmp_path):
    bridge.save(net(), tmp_path / "source.onnx")
    with pytest.raises(InvalidOption, match=r"It holds float16, int8, int16x8, int8-weights"):
        bridge.convert(
            tmp_path / "source.onnx", tmp_path / "q.tflite", quantize="palette-4", calibration=rows()
        )
    with pytest.raises(InvalidOption, match="It holds no scheme"):
        bridge.quantize(net(), "int8", calibration=rows(), to="pmml")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "max"}, "is not one of best, mse"),
        ({"auto": True}, "min_sqnr or min_agreement"),
        ({"min_agreement": 2.0}, "from 0 to 1"),
        ({"keep_float": ["Convv"]}, "no operator is called 'Convv'"),
    ],
)
def test_what_is_asked_amiss_is_refused(options, words):
    with pytest.raises(InvalidOption, match=words):
        bridge.quantize(net(), "int8", calibration=rows(), **options)


def test_random_samples_leave_the_accuracy_unknown():
    found = bridge.quantize(net(), "int8", calibration="random")
    assert "accuracy on real data is unknown" in str(found)


def test_a_constant_output_is_noted():
    model = hub_from_text(
        "(float[1,4] x) => (float[1,4] y) { a = Relu (x) y = Mul (a, z) }", z=np.zeros(4, np.float32)
    )
    found = bridge.quantize(model, "int8", calibration=rows(4, (1, 4)))
    assert any("constant" in note for note in found.notes)


def test_results_are_plain_values():
    found = bridge.quantize(net(), "int8", calibration=rows()).to_dict()
    assert found["scheme"] == "int8"
    assert found["outputs"][0]["sqnr"] > 20
    assert len(found["layers"]) > 5


def test_memory_does_not_grow_with_the_samples():
    """Samples of an iterable are read one at a time, and none is kept."""
    import gc
    import weakref

    alive: list[weakref.ref] = []

    def made() -> Any:
        for row in rows(30):
            array = row["x"].copy()
            alive.append(weakref.ref(array))
            yield {"x": array}

    bridge.quantize(net(), "int8", calibration=made())
    gc.collect()
    assert sum(r() is not None for r in alive) <= 1


def test_the_written_file_says_the_name_of_its_quantization(tmp_path: Path):
    bridge.save(net(), tmp_path / "source.onnx")
    done = bridge.convert(tmp_path / "source.onnx", tmp_path / "q.onnx", quantize="int8", calibration=rows())
    assert "int8: weights" in str(done)
    assert done.to_dict()["quantization"]["scheme"] == "int8"


SPELLED = {
    "BatchNormalization": (
        "y = BatchNormalization (x, s, t, m, v)",
        {n: np.full(3, 0.5 + i, np.float32) for i, n in enumerate("stmv")},
    ),
    "HardSigmoid": ("y = HardSigmoid <alpha: float = 0.3> (x)", {}),
    "GlobalAveragePool": ("y = GlobalAveragePool (x)", {}),
    "Div": ("y = Div (x, d)", {"d": np.array([2.0, -4.0, 0.3], np.float32)}),
}


@pytest.mark.parametrize("operator", SPELLED)
def test_what_is_spelled_out_computes_the_same(operator):
    text, constants = SPELLED[operator]
    shape = "float[1,3,1,1]" if operator == "GlobalAveragePool" else "float[1,3,4,3]"
    model = hub_from_text(f"(float[1,3,4,3] x) => ({shape} y) {{ {text} }}", **constants)
    spelled = model.clone()
    SpellOut()(spelled)
    assert operator not in {n.op_type for n in spelled.graph}
    assert bridge.verify(model, spelled).ok


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_constant_of_each_channel_is_the_bias_of_a_convolution(operator, bias):
    given = "(x, w, b)" if bias else "(x, w)"
    constants = {"w": weights(4, 4, 3, 3), "c": weights(4, 1, 1), "b": weights(4)}
    model = hub_from_text(
        f"(float[1,4,6,6] x) => (float[1,4,N,N] y) {{ t = {operator} {given} y = Add (c, t) }}", **constants
    )
    folded = model.clone()
    FoldBiases()(folded)
    assert "Add" not in {n.op_type for n in folded.graph}
    assert bridge.verify(model, folded).ok


def test_a_constant_that_is_no_bias_stays_added():
    text = "(float[1,4,6,6] x) => (float[1,4,4,4] y) { t = Conv (x, w) y = Add (t, c) }"
    for constant in (weights(4, 4, 4), weights(1, 1, 4), weights(4)):
        model = hub_from_text(text, w=weights(4, 4, 3, 3), c=constant)
        FoldBiases()(model)
        assert "Add" in {n.op_type for n in model.graph}


def test_rows_of_a_table_are_picked_as_integers(tmp_path):
    text = "(int64[1,5] i) => (float[1,5,8] y) { e = Gather (t, i) y = MatMul (e, w) }"
    source = bridge.save(hub_from_text(text, t=weights(40, 16), w=weights(16, 8)), tmp_path / "source.onnx")
    rng = np.random.default_rng(0)
    data = [{"i": rng.integers(0, 40, (1, 5))} for _ in range(10)]
    for target, scheme in (("onnx", "int8"), ("onnx", "int8-weights"), ("tflite", "int8")):
        done = bridge.convert(
            source.path,
            tmp_path / f"q{SUFFIX[target]}",
            quantize=scheme,
            calibration=data,
            verify=True,
            overwrite=True,
        )
        assert done.quantization.sqnr > 30
        tables = [t for t in hub.weights(bridge.load(done.path)) if t.size == 640]
        assert [t.dtype for t in tables] == [ir.DataType.INT8]


def test_numbers_far_from_the_others_they_are_joined_with_stay_float():
    text = (
        "(float[1,4] x) => (float[1,8] y) { a = Relu (x) b = Mul (a, k) y = Concat <axis: int = 1> (a, b) }"
    )
    model = hub_from_text(text, k=np.float32(1000))
    made = bridge.quantize(model, "int8", calibration=rows(10, (1, 4)), to="tflite")
    concat = next(n for n in made.model.graph if n.op_type == "Concat")
    assert not any(is_quantize(u.node) for u in concat.outputs[0].uses())
    assert made.sqnr > 30


def test_sums_that_are_read_as_floats_stay_floats_where_products_give_floats():
    made = bridge.quantize(attention(), "int8", calibration=rows(shape=(1, 6, 32)))
    add = next(
        n
        for n in made.model.graph
        if n.op_type == "Add" and "LayerNormalization" in {u.node.op_type for u in n.outputs[0].uses()}
    )
    assert not any(is_quantize(u.node) for u in add.outputs[0].uses())
    assert made.sqnr > 30


def test_masks_of_huge_numbers_stay_float():
    text = "(float[1,4] x, float[1,4] m) => (float[1,4] y) { a = Add (x, m) y = Softmax (a) }"
    data = [row | {"m": np.array([[0, 0, -3e38, 0]], np.float32)} for row in rows(10, (1, 4))]
    made = bridge.quantize(hub_from_text(text), "int8", calibration=data, to="tflite")
    assert made.sqnr > 30


def test_products_of_two_activations_are_kernels_of_integers(tmp_path):
    source = bridge.save(attention(), tmp_path / "source.onnx")
    done = bridge.convert(
        source.path, tmp_path / "q.tflite", quantize="int8", calibration=rows(shape=(1, 6, 32)), verify=True
    )
    products = [n for n in bridge.load(done.path).graph if n.op_type == "MatMul"]
    assert len(products) == 6
    assert all(
        is_dequantize(v.producer()) or v.producer().op_type == "Transpose" for n in products for v in n.inputs
    )


def test_integers_are_squeezed_where_several_lengths_vary(tmp_path):
    text = """(float[N,3,1,M] x) => (float[N,3,M] y) {
        a = Add (x, x) y = Squeeze (a, two)
    }"""
    source = bridge.save(hub_from_text(text, two=np.array([2])), tmp_path / "source.onnx")
    data = [{"x": RNG.normal(size=(2, 3, 1, 5)).astype(np.float32)} for _ in range(10)]
    done = bridge.convert(source.path, tmp_path / "q.tflite", quantize="int8", calibration=data, verify=True)
    assert done.quantization.sqnr > 30
