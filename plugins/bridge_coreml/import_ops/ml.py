"""Class labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.ops import OpTable

ops = OpTable()


def classify_labels(node: Any) -> np.ndarray:
    """Class labels of a classifier, [classes], strings or integers."""
    classes = node.array("classes")
    return np.ravel([np.ravel(c)[0] for c in classes]) if isinstance(classes, list) else np.ravel(classes)


@ops.op("classify")
def classify(op, node, probabilities):
    """Class probabilities; with the option labels="output", also the label of the largest."""
    scope, classes = node.scope, classify_labels(node)
    scope.classes = classes.tolist()
    scores = op.Identity(probabilities)
    if scope.options.get("labels") != "output":
        return None, scores
    best = op.ArgMax(op.Reshape(probabilities, [-1]), axis=0, keepdims=1)
    table = (
        ir.StringTensor(np.array([s.encode() for s in classes], object))
        if classes.dtype.kind in "OU"
        else classes
    )
    return op.Gather(op.const(table), best), scores
