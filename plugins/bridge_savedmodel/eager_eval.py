"""Eager evaluation by TensorFlow: operators that ONNX lacks, applied to stored values while the model is
read."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge_savedmodel.import_ops.unsupported import COMPUTABLE
from bridge_savedmodel.tensorflow import tensorflow
from bridge_savedmodel.values import tensor_of

MAX_ELEMENTS = 2**16


def eval_eagerly(op: Any, node: Any) -> list[Any] | None:
    """Outputs as constants; None if an input is not stored, or if TensorFlow has no kernel for the node.

    Raises ModuleNotFoundError where TensorFlow is not installed.
    """
    if node.op not in COMPUTABLE or not node.inputs:
        return None
    arrays = [const(v) if isinstance(v, ir.Value) else None for v in node.inputs]
    if any(a is None or a.size > MAX_ELEMENTS for a in arrays):
        return None
    tf = _tensorflow(node)
    definition = tf.compat.v1.NodeDef.FromString(node.proto.SerializeToString())
    definition.name, definition.device = "evaluated", ""
    definition.ClearField("input")
    with tf.Graph().as_default() as graph:
        constants = [tf.constant(a) for a in arrays]
        definition.input.extend(t.op.name for t in constants)
        definitions = graph.as_graph_def()
        definitions.node.append(definition)
    try:
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            tf.import_graph_def(definitions, name="")
            results = session.run(graph.get_operation_by_name("evaluated").outputs)
    except Exception:
        return None
    return [op.const(tensor_of(np.asarray(v))) for v in results]


def _tensorflow(node: Any) -> Any:
    try:
        return tensorflow()
    except ModuleNotFoundError as error:
        error.add_note(
            f"It computes {node.op} ({node.name}) of what is stored, for which ONNX has no operator."
        )
        raise
