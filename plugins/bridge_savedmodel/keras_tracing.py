"""Keras's own layers, traced for lengths that vary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def varying_lengths() -> Iterator[None]:
    """A context in which TimeDistributed takes every step of a time that varies: Keras 3 takes as many steps
    as there are samples."""
    import keras

    layer = keras.layers.TimeDistributed
    own = layer.call

    def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if len(inputs.shape) < 2 or inputs.shape[1] is not None:
            return own(self, inputs, training=training, mask=mask)
        return _every_step(self, inputs, training, mask)

    if not keras.__version__.startswith("3"):
        yield
        return
    with patch.object(layer, "call", call):
        yield


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
