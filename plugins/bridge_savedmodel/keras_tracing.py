"""What Keras's own layers need to be traced for lengths that vary."""

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
    from keras import ops

    def turned(x: Any) -> Any:
        return None if x is None else ops.swapaxes(x, 0, 1)

    steps, masks = turned(inputs), turned(mask)

    def step(i: Any) -> Any:
        given = {"mask": masks[i]} if layer.layer._call_has_mask_arg and masks is not None else {}
        given |= {"training": training} if layer.layer._call_has_training_arg else {}
        return layer.layer.call(steps[i], **given)

    return turned(ops.vectorized_map(step, ops.arange(ops.shape(inputs)[1])))
