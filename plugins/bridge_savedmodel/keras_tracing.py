"""Keras's own layers, traced for lengths that vary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bridge_savedmodel.tensorflow import tensorflow


@contextmanager
def varying_lengths() -> Iterator[None]:
    """A context in which TimeDistributed takes every step of a time that varies, where Keras 3 takes as many
    steps as there are samples, and UpSampling2D interpolates images of any size, which Keras 3 does not."""
    import keras

    layer, upsampling = keras.layers.TimeDistributed, keras.layers.UpSampling2D
    own = layer.call

    def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if len(inputs.shape) < 2 or inputs.shape[1] is not None:
            return own(self, inputs, training=training, mask=mask)
        return _every_step(self, inputs, training, mask)

    if not keras.__version__.startswith("3"):
        yield
        return
    enlarge = _enlarging(upsampling._resize_images)
    with patch.object(layer, "call", call), patch.object(upsampling, "_resize_images", enlarge):
        yield


def _enlarging(own: Any) -> Any:
    def enlarge(
        self: Any, x: Any, high: int, wide: int, data_format: str, interpolation: str = "nearest"
    ) -> Any:
        axes = (2, 3) if data_format == "channels_first" else (1, 2)
        if interpolation == "nearest" or all(x.shape[axis] is not None for axis in axes):
            return own(self, x, high, wide, data_format, interpolation=interpolation)
        tf = tensorflow()
        image = tf.transpose(x, [0, 2, 3, 1]) if axes == (2, 3) else x
        resized = tf.image.resize(image, tf.shape(image)[1:3] * [high, wide], interpolation)
        resized = tf.cast(resized, x.dtype)
        return tf.transpose(resized, [0, 3, 1, 2]) if axes == (2, 3) else resized

    return enlarge


def _every_step(layer: Any, inputs: Any, training: Any, mask: Any) -> Any:
    """TimeDistributed of a time that varies: all steps as samples of one batch where samples are apart."""
    from keras import ops

    inner, steps = layer.layer, ops.shape(inputs)[1]

    def call(x: Any, given: Any) -> Any:
        options = {"mask": given} if inner._call_has_mask_arg and given is not None else {}
        options |= {"training": training} if inner._call_has_training_arg else {}
        return inner.call(x, **options)

    def joined(x: Any) -> Any:
        return None if x is None else ops.reshape(x, (-1, *ops.shape(x)[2:]))

    def turned(x: Any) -> Any:
        return None if x is None else ops.swapaxes(x, 0, 1)

    if keeps_samples_apart(inner):
        result = call(joined(inputs), joined(mask))
        return ops.reshape(result, (ops.shape(inputs)[0], steps, *ops.shape(result)[1:]))
    x, masks = turned(inputs), turned(mask)
    every = ops.arange(steps)
    return turned(ops.vectorized_map(lambda i: call(x[i], None if masks is None else masks[i]), every))


APART = ("activations", "attention", "convolutional", "core", "normalization", "pooling", "regularization",
         "reshaping", "rnn")  # fmt: skip
"""Families of Keras's layers that compute every sample of a batch from itself alone, but for those in
MIXING."""
MIXING = ("Lambda", "Wrapper")


def keeps_samples_apart(layer: Any) -> bool:
    """True if a layer of Keras's own, or a model of such, certainly computes every sample from itself."""
    kind = type(layer)
    parts = getattr(layer, "operations" if kind.__name__ == "Functional" else "layers", None)
    if kind.__name__ in ("Sequential", "Functional") and kind.__module__.startswith("keras.src.models."):
        return all(map(keeps_samples_apart, parts or []))
    folders = kind.__module__.split(".")
    if folders[:3] != ["keras", "src", "layers"] or folders[3] not in APART or kind.__name__ in MIXING:
        return False
    axis = getattr(layer, "axis", -1)
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    inner = [
        v for name in ("layer", "cell", "forward_layer") if (v := getattr(layer, name, None)) is not None
    ]
    plain = not getattr(layer, "stateful", False) and all(a is None or a == -1 or a > 0 for a in axes)
    return plain and all(map(keeps_samples_apart, inner))
