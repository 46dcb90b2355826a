"""Keras layers and TensorFlow operators on lengths that vary: what Keras and TensorFlow compute, at two
settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge import hub
from bridge.hub import attr

pytest.importorskip("tensorflow")

from bridge_savedmodel.tensorflow import tensorflow

keras = pytest.importorskip("keras")
tf = tensorflow()
L = keras.layers
RNG = np.random.default_rng(3)


def f(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def sequential(shape: Sequence[int | None], *layers: Any) -> Any:
    x = y = L.Input(tuple(shape), name="x")
    for layer in layers:
        y = layer(y)
    return keras.Model(x, y)


def agree(model: Any, arrays: Sequence[np.ndarray]) -> Any:
    """The hub model, after its results were held against Keras's."""
    read = bridge.load(model)
    for array in arrays:
        (result,) = bridge.run(read, {"x": array}).values()
        expected = np.asarray(model(array, training=False))
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, 1e-4, 1e-4)
    return read


def operators(model: Any) -> Counter:
    return Counter(node.op_type for node in hub.all_nodes(model))


def settings(rank: int) -> list[np.ndarray]:
    return [f(2, *(9, 12, 10)[:rank], 4), f(1, *(13, 8, 11)[:rank], 4)]


DILATED: dict[str, tuple[int, Callable[[], Any]]] = {
    "Conv1D causal": (1, lambda: L.Conv1D(3, 2, dilation_rate=4, padding="causal")),
    "Conv1D valid": (1, lambda: L.Conv1D(3, 3, dilation_rate=2)),
    "Conv1D same": (1, lambda: L.Conv1D(3, 2, dilation_rate=3, padding="same")),
    "Conv2D same": (2, lambda: L.Conv2D(3, 3, dilation_rate=(2, 3), padding="same")),
    "Conv2D valid": (2, lambda: L.Conv2D(3, (2, 3), dilation_rate=2)),
    "Conv3D same": (3, lambda: L.Conv3D(3, 2, dilation_rate=2, padding="same")),
    "DepthwiseConv1D": (1, lambda: L.DepthwiseConv1D(3, dilation_rate=3, padding="same")),
    "DepthwiseConv2D": (2, lambda: L.DepthwiseConv2D(3, dilation_rate=2, depth_multiplier=2)),
    "SeparableConv1D": (1, lambda: L.SeparableConv1D(3, 3, dilation_rate=2)),
    "SeparableConv2D": (2, lambda: L.SeparableConv2D(3, 3, dilation_rate=2, padding="same")),
}


@pytest.mark.parametrize("varies", [True, False], ids=["varying", "fixed"])
@pytest.mark.parametrize("name", DILATED)
def test_dilated_convolutions_are_one_operator(name: str, varies: bool) -> None:
    rank, make = DILATED[name]
    arrays = settings(rank) if varies else settings(rank)[:1]
    shape = [*([None] * rank if varies else arrays[0].shape[1:-1]), 4]
    read = agree(sequential(shape, make()), arrays)
    assert not {"Reshape", "Slice", "Shape"} & set(operators(read))
    assert max(max(attr(n, "dilations") or [1]) for n in read.graph if n.op_type == "Conv") > 1


def dilated(x: Any, between: Callable[[Any], Any], crops: Sequence[Sequence[int]]) -> Any:
    moved = tf.space_to_batch(x, [2, 2], [[2, 3], [2, 3]])
    return tf.batch_to_space(between(moved), [2, 2], crops)


FILTERS = f(3, 3, 2, 3)
BLOCKS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "biased and cut off": (
        lambda x: tf.nn.relu(tf.nn.conv2d(x, FILTERS, 1, "VALID") + np.float32([1, -2, 3])),
        True,
    ),
    "behind what makes numbers of zeros": (lambda x: tf.nn.conv2d(tf.exp(x), FILTERS, 1, "VALID"), True),
    "with another padding inside": (lambda x: tf.nn.conv2d(x, FILTERS, 1, "SAME"), False),
    "with steps inside": (lambda x: tf.nn.conv2d(x, FILTERS, 2, "SAME"), False),
    "pooled": (lambda x: tf.nn.max_pool2d(x, 3, 1, "VALID"), True),
    "summed over places": (lambda x: x - tf.reduce_mean(x, [1, 2], keepdims=True), False),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_only_dilated_windows_are_read_as_such(name: str) -> None:
    between, folds = BLOCKS[name]
    spec = tf.TensorSpec([None, 9, 9, 2], tf.float32, name="x")
    function = tf.function(lambda x: dilated(x, between, [[1, 0], [0, 1]]), autograph=False)
    traced = function.get_concrete_function(spec)
    read = bridge.load(traced)
    for array in (f(1, 9, 9, 2), f(3, 9, 9, 2)):
        (result,) = bridge.run(read, {"x": array}).values()
        np.testing.assert_allclose(result, traced(tf.constant(array)).numpy(), 1e-4, 1e-4)
    assert ("Reshape" in operators(read)) is not folds


TRANSPOSED = [
    (padding, size, steps, None) for padding in ("valid", "same") for size in (1, 2, 4) for steps in (1, 2, 3)
] + [("valid", 3, 2, 0), ("valid", 3, 2, 1), ("valid", 2, 3, 1), ("same", 3, 2, 1), ("same", 3, 3, 0)]


@pytest.mark.parametrize(("padding", "size", "steps", "extra"), TRANSPOSED)
def test_transposed_convolutions_of_any_size(padding: str, size: int, steps: int, extra: int | None) -> None:
    for rank, layer in {1: L.Conv1DTranspose, 2: L.Conv2DTranspose, 3: L.Conv3DTranspose}.items():
        made = layer(3, size, strides=steps, padding=padding, output_padding=extra)
        read = agree(sequential([None] * rank + [4], made), [a[:, :5] for a in settings(rank)])
        assert not {"Slice", "Pad"} & set(operators(read))


@pytest.mark.parametrize(
    ("padding", "size", "steps"), [("SAME", 3, 2), ("VALID", 3, 2), ("SAME", 1, 2), ("VALID", 2, 3)]
)
def test_transposed_convolutions_to_sizes_known_at_run_time(padding: str, size: int, steps: int) -> None:
    filters = f(size, size, 3, 2)
    specs = tf.TensorSpec([None, None, None, 2], tf.float32, "x"), tf.TensorSpec([4], tf.int32, "n")
    function = tf.function(
        lambda x, n: tf.nn.conv2d_transpose(x, filters, n, steps, padding), autograph=False
    ).get_concrete_function(*specs)
    read = bridge.load(function)
    for lengths in ((4, 5), (7, 3)):
        for extra in range(steps):
            wide = [
                i * steps - extra if padding == "SAME" else (i - 1) * steps + size + extra for i in lengths
            ]
            x, n = f(2, *lengths, 2), np.int32([2, *wide, 3])
            (result,) = bridge.run(read, {"x": x, "n": n}).values()
            np.testing.assert_allclose(result, function(tf.constant(x), tf.constant(n)).numpy(), 1e-4, 1e-4)


SIZES = (((5, 7), (8, 9)), ((6, 4), (3, 2)), ((4, 8), (8, 4)), ((3, 3), (6, 1)))
METHODS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")
RAW = {
    f"{name} {options}": (name, options)
    for name in ("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea")
    for options in ({}, {"align_corners": True}, {"half_pixel_centers": True})
    if name != "ResizeArea" or "half_pixel_centers" not in options
}


def resized(work: Callable[[Any, Any], Any]) -> None:
    specs = tf.TensorSpec([None, None, None, 2], tf.float32, "x"), tf.TensorSpec([2], tf.int32, "n")
    function = tf.function(work, autograph=False).get_concrete_function(*specs)
    read = bridge.load(function)
    for before, after in SIZES:
        x, n = f(2, *before, 2), np.int32(after)
        (result,) = bridge.run(read, {"x": x, "n": n}).values()
        np.testing.assert_allclose(result, function(tf.constant(x), tf.constant(n)).numpy(), 1e-3, 1e-4)


@pytest.mark.parametrize("antialias", [False, True], ids=["as it is", "antialias"])
@pytest.mark.parametrize("method", METHODS)
def test_images_of_any_size_are_resized_to_any_size(method: str, antialias: bool) -> None:
    resized(lambda x, n: tf.image.resize(x, n, method, antialias=antialias))


@pytest.mark.parametrize("name", RAW)
def test_images_of_any_size_are_resized_by_every_operator(name: str) -> None:
    operator, options = RAW[name]
    resized(lambda x, n: getattr(tf.raw_ops, operator)(images=x, size=n, **options))


@pytest.mark.parametrize("kernel", ["box", "triangle", "keyscubic", "lanczos1", "gaussian"])
def test_images_are_scaled_by_what_is_known_at_run_time(kernel: str) -> None:
    def work(x: Any, n: Any) -> Any:
        scale = tf.cast(n, tf.float32) / tf.cast(tf.shape(x)[1:3], tf.float32) * 1.3
        return tf.raw_ops.ScaleAndTranslate(
            images=x, size=n, scale=scale, translation=scale * 0.7, kernel_type=kernel, antialias=True
        )

    resized(work)


def inner() -> Any:
    layers = [L.Conv2D(3, 2, padding="same"), L.BatchNormalization(), L.MaxPooling2D(), L.Flatten()]
    return keras.Sequential([L.Input((6, 6, 2)), *layers, L.Dense(4, activation="softmax")])


EVERY_STEP: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Dense": (lambda: L.Dense(2), (3,)),
    "Conv2D": (lambda: L.Conv2D(3, 2), (6, 6, 2)),
    "dilated": (lambda: L.Conv2D(3, 3, dilation_rate=2, padding="same"), (9, 9, 2)),
    "SeparableConv2D": (lambda: L.SeparableConv2D(3, 3), (6, 6, 2)),
    "Flatten": (L.Flatten, (6, 2)),
    "LSTM": (lambda: L.LSTM(3), (5, 4)),
    "model": (inner, (6, 6, 2)),
    "TimeDistributed": (lambda: L.TimeDistributed(L.Dense(2)), (4, 3)),
    "Resizing": (lambda: L.Resizing(5, 7), (3, 4, 2)),
    "first axis normalized": (lambda: L.LayerNormalization(axis=(1, -1)), (3, 4)),
}


@pytest.mark.parametrize("name", EVERY_STEP)
def test_time_distributed_takes_every_step_of_any_time(name: str) -> None:
    make, shape = EVERY_STEP[name]
    model = sequential([None, *shape], L.TimeDistributed(make()))
    agree(model, [f(2, 3, *shape), f(4, 2, *shape), f(1, 5, *shape)])


def test_time_within_time_varies() -> None:
    model = sequential([None, None, 3], L.TimeDistributed(L.TimeDistributed(L.Dense(2))))
    read = agree(model, [f(2, 3, 4, 3), f(3, 2, 5, 3)])
    assert str(read.graph.outputs[0].shape) == "[d0,d1,d2,2]"


def test_samples_that_a_layer_mixes_are_not_put_into_one_batch() -> None:
    @keras.saving.register_keras_serializable("bridge")
    class Centred(L.Layer):
        def call(self, x: Any) -> Any:
            return x - keras.ops.mean(x, axis=0, keepdims=True)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    model = sequential([None, 3], L.TimeDistributed(Centred()))
    agree(model, [f(2, 3, 3), f(4, 2, 3)])


def test_keras_files_of_any_time_are_checked_by_keras(tmp_path: Path) -> None:
    model = sequential([None, 3], L.TimeDistributed(L.Dense(2)))
    model.save(tmp_path / "model.keras")
    assert bridge.convert(tmp_path / "model.keras", tmp_path / "model.onnx", verify=True).verification.ok


def randomized(model: Any) -> Any:
    for weight in model.weights:
        weight.assign(RNG.standard_normal(weight.shape) * 0.4)
    return model


EVERYTHING = {"return_sequences": True, "return_state": True, "go_backwards": True}
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"return_sequences": True},
    {"return_state": True},
    EVERYTHING,
    {"use_bias": False},
    {"activation": None, "return_sequences": True},
    {"activation": "leaky_relu"},
    {"activation": "elu", "dropout": 0.3, "recurrent_dropout": 0.2},
)
GATED: tuple[dict[str, Any], ...] = (
    {"recurrent_activation": "tanh", "activation": "sigmoid"},
    {"recurrent_activation": "linear"},
    {"implementation": 1},
)
RECURRENT = [
    *(("LSTM", "LSTM", options) for options in (*OPTIONS, *GATED, {"unit_forget_bias": False})),
    *(("GRU", "GRU", options) for options in (*OPTIONS, *GATED, {"reset_after": False})),
    ("GRU", "GRU", {"reset_after": False, "use_bias": False, "implementation": 1}),
    *(("SimpleRNN", "RNN", options) for options in OPTIONS),
]


def hold(model: Any, arrays: Sequence[dict[str, np.ndarray]]) -> Any:
    """The hub model, after all its results were held against Keras's."""
    read = bridge.load(model, state="initial")
    for given in arrays:
        results = bridge.run(read, given).values()
        expected = tf.nest.flatten(model(list(given.values()) if len(given) > 1 else given["x"]))
        for result, value in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, np.asarray(value), 1e-4, 1e-4, strict=True)
    return read


@pytest.mark.parametrize(("layer", "operator", "options"), RECURRENT, ids=str)
def test_loops_of_recurrent_layers_are_their_operators(layer: str, operator: str, options: dict) -> None:
    x = L.Input((None, 3), name="x")
    model = randomized(keras.Model(x, getattr(L, layer)(4, **options)(x)))
    read = hold(model, [{"x": f(2, 5, 3)}, {"x": f(3, 7, 3)}])
    assert operators(read)[operator] == 1
    assert not operators(read)["Loop"]


@pytest.mark.parametrize(("layer", "states"), [("LSTM", 2), ("GRU", 1), ("SimpleRNN", 1)])
def test_initial_states_of_recurrent_layers_are_kept(layer: str, states: int) -> None:
    x, given = L.Input((None, 3), name="x"), [L.Input((4,), name=f"s{i}") for i in range(states)]
    model = randomized(keras.Model([x, *given], getattr(L, layer)(4)(x, initial_state=given)))
    arrays = [{"x": f(n, 5, 3), **{v.name: f(n, 4) for v in given}} for n in (2, 3)]
    assert not operators(hold(model, arrays))["Loop"]


@pytest.mark.parametrize("make", [
    lambda: L.LSTM(4, activation="gelu"),
    lambda: L.GRU(4, recurrent_activation="hard_sigmoid"),
    lambda: L.RNN([L.LSTMCell(4), L.LSTMCell(2)], return_sequences=True),
])  # fmt: skip
def test_loops_that_are_no_operator_of_the_hub_stay(make: Callable[[], Any]) -> None:
    model = randomized(sequential([None, 3], make()))
    assert operators(hold(model, [{"x": f(2, 5, 3)}, {"x": f(3, 7, 3)}]))["Loop"] == 1


def two_inputs() -> tuple[Any, Any]:
    return L.Input((3,), name="p"), L.Input((None, 3), name="q")


def test_outputs_have_the_keys_of_dictionaries(tmp_path: Path) -> None:
    p, q = two_inputs()
    results = {"scores": L.Dense(2)(p), "boxes": {"z": L.Dense(4)(p), "y": [L.Dense(1)(q), L.Dense(2)(q)]}}
    read = bridge.load(keras.Model({"p": p, "q": q}, results))
    named = {v.name: str(v.shape) for v in read.graph.outputs}
    assert named == {
        "boxes_y_0": "[d1,d2,1]",
        "boxes_y_1": "[d1,d2,2]",
        "boxes_z": "[d0,4]",
        "scores": "[d0,2]",
    }
    flat = keras.Model([p, q], {"second": L.Dense(2)(p), "first": L.Dense(4)(q)})
    flat.export(tmp_path / "folder", verbose=False)
    for source in (flat, tmp_path / "folder"):
        assert {v.name: v.shape[-1] for v in bridge.load(source).graph.outputs} == {"second": 2, "first": 4}
    listed = keras.Model([p, q], [L.Dense(2, name="one")(p), L.Dense(4, name="two")(q)])
    assert [v.name for v in bridge.load(listed).graph.outputs] == ["one", "two"]


NAMED: dict[str, tuple[list[int | None], Callable[[], Any], str]] = {
    "Dense": ([None, 3], lambda: L.Dense(2), "[d0,d1,2]"),
    "Flatten": ([4, 3], L.Flatten, "[d0,12]"),
    "Reshape": ([None, 6], lambda: L.Reshape((-1, 3)), "[d0,2*d1,3]"),
    "RepeatVector": ([4], lambda: L.RepeatVector(3), "[d0,3,4]"),
    "Conv2D": ([None, None, 3], lambda: L.Conv2D(4, 3, padding="same"), "[d0,d1,d2,4]"),
    "UpSampling2D": ([None, None, 3], lambda: L.UpSampling2D(2), "[d0,2*d1,2*d2,3]"),
    "Cropping2D": ([None, None, 3], lambda: L.Cropping2D(1), "[d0,d1 - 2,d2 - 2,3]"),
    "ZeroPadding2D": ([None, None, 3], lambda: L.ZeroPadding2D(1), "[d0,d1 + 2,d2 + 2,3]"),
    "GroupNormalization": ([None, None, 4], lambda: L.GroupNormalization(2), "[d0,d1,d2,4]"),
    "LSTM": ([None, 3], lambda: L.LSTM(2), "[d0,2]"),
}


@pytest.mark.parametrize("name", NAMED)
def test_dimensions_of_outputs_are_named_by_those_of_inputs(name: str) -> None:
    shape, make, expected = NAMED[name]
    assert str(bridge.load(sequential(shape, make())).graph.outputs[0].shape) == expected


@pytest.mark.parametrize("kind", ["MaxPooling", "AveragePooling"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pools_whose_steps_are_wider_than_their_windows(kind: str, rank: int, tmp_path: Path) -> None:
    layer = getattr(L, f"{kind}{rank}D")(2, strides=3, padding="same")
    model = sequential([None, *(11, 10)[: rank - 1], 4], layer)
    path = bridge.convert(model, tmp_path / "model.onnx").path
    for length in (3, 7, 8):
        x = f(2, length, *(11, 10)[: rank - 1], 4)
        (result,) = bridge.run(path, {"x": x}).values()
        np.testing.assert_allclose(result, np.asarray(model(x)), 1e-5, 1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_images_of_any_size_are_enlarged(interpolation: str) -> None:
    model = sequential([None, None, 2], L.UpSampling2D((2, 3), interpolation=interpolation))
    agree(model, [f(2, 4, 5, 2), f(1, 6, 3, 2)])


def test_causal_attention_is_written_as_what_onnx_runtime_runs(tmp_path: Path) -> None:
    x = L.Input((None, 6), name="x")
    model = keras.Model(x, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True))
    assert bridge.convert(model, tmp_path / "model.onnx", verify=True).verification.ok


def test_truth_values_are_selected(tmp_path: Path) -> None:
    spec = tf.TensorSpec([None], tf.bool)
    function = tf.function(lambda c, x, y: tf.where(c, x, y), autograph=False)
    traced = function.get_concrete_function(*(tf.TensorSpec(spec.shape, spec.dtype, n) for n in "cxy"))
    assert bridge.convert(traced, tmp_path / "model.onnx", verify=True).verification.ok


MASKED: dict[str, Callable[[Any], Any]] = {
    "LSTM": lambda x: L.LSTM(4, return_sequences=True)(L.Masking()(x)),
    "GRU backwards": lambda x: L.GRU(4, return_sequences=True, go_backwards=True)(L.Masking()(x)),
    "SimpleRNN, its last": lambda x: L.SimpleRNN(4)(L.Masking()(x)),
    "both ways": lambda x: L.Bidirectional(L.LSTM(4, return_sequences=True))(L.Masking()(x)),
}


@pytest.mark.parametrize("target", ["onnx", "tflite"])
@pytest.mark.parametrize("name", MASKED)
def test_masked_steps_are_left_out_on_every_target(name: str, target: str, tmp_path: Path) -> None:
    x = L.Input((None, 3), name="x")
    model = randomized(keras.Model(x, MASKED[name](x)))
    arrays = [f(2, 5, 3), f(3, 7, 3)]
    for array in arrays:
        array[0, 2], array[1, -2:] = 0, 0
    path = bridge.convert(model, tmp_path / f"model.{target}", to=target).path
    for array in arrays:
        (result,) = bridge.run(path, {"x": array}).values()
        np.testing.assert_allclose(result, np.asarray(model(array)), 1e-4, 1e-4, strict=True)


@pytest.mark.parametrize("size", [(3, 4), (1, 5)])
def test_boxes_are_cut_out_of_images_of_any_size(size: tuple[int, int]) -> None:
    def work(x: Any, boxes: Any) -> Any:
        return tf.raw_ops.CropAndResize(
            image=x, boxes=boxes, box_ind=[0, 1, 0], crop_size=size, extrapolation_value=7.0
        )

    specs = tf.TensorSpec([None, None, None, 2], tf.float32, "x"), tf.TensorSpec([None, 4], tf.float32, "b")
    function = tf.function(work, autograph=False).get_concrete_function(*specs)
    read = bridge.load(function)
    boxes = np.float32([[0, 0, 1, 1], [0.2, 0.3, 0.9, 1.2], [-0.1, 0.8, 0.5, 0.1]])
    for lengths in ((6, 5), (9, 3), (1, 4)):
        x = f(2, *lengths, 2)
        (result,) = bridge.run(read, {"x": x, "b": boxes}).values()
        np.testing.assert_allclose(result, function(tf.constant(x), tf.constant(boxes)).numpy(), 1e-4, 1e-5)


@pytest.mark.parametrize(
    ("layer", "dims"),
    [
        (L.GRU(3, return_sequences=True), (2,)),
        (L.LSTM(3), (2,)),
        (L.ConvLSTM1D(2, 3, padding="same"), (6, 2)),
    ],
)
def test_what_is_written_of_a_recurrence_is_read_again_at_any_length(layer, dims, tmp_path):
    model = sequential([None, *dims], layer)
    bridge.convert(model, tmp_path / "m.savedmodel")
    read = bridge.load(tmp_path / "m.savedmodel")
    for array in (f(2, 3, *dims), f(4, 5, *dims)):
        (result,) = bridge.run(read, {"x": array}).values()
        np.testing.assert_allclose(result, model(array), 1e-4, 1e-4)
