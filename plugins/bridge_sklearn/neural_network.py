"""Multilayer perceptrons in double."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, PartBuilder, gather_labels

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": ""}


def layers(op: hub.Builder, src: Any, x: ir.Value) -> ir.Value:
    """The last layer before its activation, [N, outputs]."""
    last = len(src.coefs_) - 1
    for index, (weights, bias) in enumerate(zip(src.coefs_, src.intercepts_, strict=True)):
        product = op.MatMul(x, op.const(np.asarray(weights, np.float64)))
        x = op.Add(product, op.const(np.asarray(bias, np.float64)[None]))
        if index < last and ACTIVATIONS[src.activation]:
            x = op.node(ACTIVATIONS[src.activation], x)
    return x


def mlp_classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The most probable class; of records with several labels, whether each is likelier than not."""
    raw = layers(op, src, x)
    kind = src._label_binarizer.y_type_
    if src.out_activation_ == "softmax":
        shares = op.Softmax(raw, axis=-1)
        return {
            "label": gather_labels(op, src.classes_, op.ArgMax(raw, axis=1, keepdims=0)),
            "probabilities": shares,
        }
    shares = op.Sigmoid(raw)
    likely = op.Cast(op.Greater(shares, op.const(np.array(0.5))), to=int(ir.DataType.INT64))
    if kind.startswith("multilabel"):
        return {"label": likely, "probabilities": shares}
    label = gather_labels(op, src.classes_, op.Squeeze(likely, np.array([1])))
    return {
        "label": label,
        "probabilities": op.Concat(op.Sub(op.const(np.array(1.0)), shares), shares, axis=1),
    }


def mlp_regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    raw = layers(op, src, x)
    return {"variable": op.Exp(raw) if src.out_activation_ == "exp" else raw}
