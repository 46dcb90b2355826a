"""Keras models in memory, run by Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import ExecutionFailed
from bridge.ports import port_of
from bridge.session import Outputs, Session
from bridge_savedmodel.keras_and_frozen import keras_specs
from bridge_savedmodel.tensorflow import tensorflow


class KerasSession(Session):
    """A Keras model called for inference; inputs and outputs are called as in the hub model read from it."""

    def __init__(self, model: Any, read: ir.Model) -> None:
        import keras

        self._model, self._tf = model, tensorflow()
        self._specs = keras_specs(self._tf, model)
        self.engine = f"Keras {keras.__version__}"
        self.inputs = tuple(map(port_of, read.graph.inputs))
        self.outputs = tuple(map(port_of, read.graph.outputs))

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Outputs by name. Raises ExecutionFailed in Keras's words."""
        tf, names = self._tf, [leaf.name for leaf in self._tf.nest.flatten(self._specs)]
        try:
            tensors = [tf.constant(inputs[name]) for name in names]
            results = self._model(tf.nest.pack_sequence_as(self._specs, tensors), training=False)
        except Exception as error:
            raise ExecutionFailed(f"Keras: {str(error).strip()}") from error
        arrays = [np.asarray(value) for value in tf.nest.flatten(results)]
        return Outputs(dict(zip([p.name for p in self.outputs], arrays, strict=True)), self.engine)


def keras_session(src: Any, model: ir.Model, **options: Any) -> Session | None:
    """A session of a Keras model without state of its own; None for other sources."""
    if (
        not hasattr(src, "inputs")
        or not callable(getattr(src, "get_config", None))
        or options.get("signature")
    ):
        return None
    tf = tensorflow()
    leaves = [leaf.name for leaf in tf.nest.flatten(keras_specs(tf, src))]
    same = sorted(leaves) == sorted(v.name or "" for v in model.graph.inputs)
    outputs = tf.nest.flatten(getattr(src, "outputs", None) or [])
    return KerasSession(src, model) if same and len(outputs) == len(model.graph.outputs) else None
