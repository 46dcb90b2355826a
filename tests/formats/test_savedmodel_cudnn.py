"""Recurrent layers of cuDNN against Keras layers with the same weights: no CPU runs cuDNN's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bridge

pytest.importorskip("tensorflow")

from bridge_savedmodel.tensorflow import tensorflow

tf = tensorflow()
keras = pytest.importorskip("keras")
STEPS, BATCH, LENGTH, UNITS = 5, 3, 4, 2
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
SWAPPED = {"gru": [1, 0, 2]}
"""Keras has update, reset, candidate where cuDNN has reset, update, candidate."""


def layer(mode: str, backwards: bool) -> Any:
    more = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    if mode == "lstm":
        return keras.layers.LSTM(UNITS, **more)
    if mode == "gru":
        return keras.layers.GRU(UNITS, reset_after=True, **more)
    return keras.layers.SimpleRNN(UNITS, activation=mode.removeprefix("rnn_"), **more)


def weights(mode: str, length: int, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights in cuDNN's order: a matrix per gate for the input, then for the state; two bias vectors per
    gate."""
    shapes = [(UNITS, length)] * GATES[mode] + [(UNITS, UNITS)] * GATES[mode]
    matrices = [rng.standard_normal(s).astype(np.float32) * 0.5 for s in shapes]
    return matrices, [rng.standard_normal(UNITS).astype(np.float32) * 0.5 for _ in shapes]


def as_keras(mode: str, matrices: list[np.ndarray], biases: list[np.ndarray]) -> list[np.ndarray]:
    order = SWAPPED.get(mode, range(GATES[mode]))
    halves = [
        [np.concatenate([p[n + s].T for n in order], -1) for s in (0, GATES[mode])]
        for p in (matrices, biases)
    ]
    bias = np.stack(halves[1]) if mode == "gru" else sum(halves[1])
    return [*halves[0], bias]


@pytest.mark.parametrize("direction", ["unidirectional", "bidirectional"])
@pytest.mark.parametrize("mode", GATES)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_layer_of_cudnn_computes_what_keras_computes(mode: str, layers: int, direction: str) -> None:
    rng = np.random.default_rng(0)
    directions = 2 if direction == "bidirectional" else 1
    x = rng.standard_normal((STEPS, BATCH, LENGTH)).astype(np.float32)
    states = rng.standard_normal((2, layers * directions, BATCH, UNITS)).astype(np.float32)
    layer_weights = [
        weights(mode, LENGTH if n < directions else UNITS * directions, rng)
        for n in range(layers * directions)
    ]
    params = np.concatenate([w.ravel() for part in (0, 1) for each in layer_weights for w in each[part]])

    def infer(x: Any, h: Any, c: Any) -> dict[str, Any]:
        results = tf.raw_ops.CudnnRNN(
            input=x,
            input_h=h,
            input_c=c,
            params=params,
            rnn_mode=mode,
            direction=direction,
            is_training=False,
        )
        return {"y": results[0], "h": results[1]} | ({"z": results[2]} if mode == "lstm" else {})

    specs = [tf.TensorSpec(v.shape, name=n) for n, v in (("x", x), ("a", states[0]), ("b", states[1]))]
    model = bridge.load(tf.function(infer).get_concrete_function(*specs))
    inputs = dict(zip((v.name for v in model.graph.inputs), (x, *states), strict=True))
    outputs = bridge.run(model, inputs)
    value, last = np.swapaxes(x, 0, 1), []
    for n in range(layers):
        halves = []
        for d in range(directions):
            index = n * directions + d
            made = layer(mode, backwards=d == 1)
            made.build(value.shape)
            made.set_weights(as_keras(mode, *layer_weights[index]))
            y, *final = made(value, initial_state=list(states[: 2 if mode == "lstm" else 1, index]))
            halves.append(np.asarray(y)[:, :: -1 if d else 1])
            last.append([np.asarray(f) for f in final])
        value = np.concatenate(halves, -1)
    np.testing.assert_allclose(outputs["y"], np.swapaxes(value, 0, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["h"], np.stack([each[0] for each in last]), rtol=1e-4, atol=1e-5)
    if mode == "lstm":
        np.testing.assert_allclose(outputs["z"], np.stack([each[1] for each in last]), rtol=1e-4, atol=1e-5)


def test_rows_of_their_own_length_and_weights_put_together_in_the_graph() -> None:
    rng = np.random.default_rng(1)
    matrices, biases = weights("gru", LENGTH, rng)
    x = rng.standard_normal((BATCH, STEPS, LENGTH)).astype(np.float32)
    lengths = np.array([5, 2, 3], np.int32)

    def infer(x: Any, lengths: Any) -> Any:
        params = tf.raw_ops.CudnnRNNCanonicalToParamsV2(
            num_layers=1, num_units=UNITS, input_size=LENGTH, weights=matrices, biases=biases, rnn_mode="gru"
        )
        return tf.raw_ops.CudnnRNNV3(
            input=x,
            input_h=tf.zeros([BATCH, 1, UNITS]),
            input_c=0.0,
            params=params,
            sequence_lengths=lengths,
            rnn_mode="gru",
            is_training=False,
            time_major=False,
        )[0]

    specs = tf.TensorSpec(x.shape, name="x"), tf.TensorSpec([BATCH], tf.int32, "lengths")
    model = bridge.load(tf.function(infer).get_concrete_function(*specs))
    (output,) = bridge.run(model, {"x": x, "lengths": lengths}).values()
    reference = layer("gru", backwards=False)
    reference.build(x.shape)
    reference.set_weights(as_keras("gru", matrices, biases))
    mask = np.arange(STEPS) < lengths[:, None]
    expected = np.asarray(reference(x)[0]) * mask[..., None]
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
