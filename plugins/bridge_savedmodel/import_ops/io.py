"""Serialized tf.Example messages: their features as inputs of the model, if requested."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import const, rank_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T
from bridge_savedmodel.values import decode_strings

ops = OpTable()

FEATURES = condition(
    "features as tensors: read them as inputs with examples=features (-O examples=features), or export a "
    "signature that takes them",
    lambda n: n.frame.context.features and n.inputs[0].is_graph_input(),
)
KEYS = condition("constant names of features", lambda n: all(const(v) is not None for v in _keys(n)))


def _keys(node: Any) -> list[Any]:
    """The tensors with names of features: sparse, then dense, then ragged ones."""
    if node.op == "ParseExampleV2":
        return list(node.inputs[2:5])
    sparse, dense = node.get("Nsparse"), node.get("Ndense")
    return list(node.inputs[2 : 2 + sparse + dense])


def _names(values: list[Any]) -> list[str]:
    return [str(name) for v in values for name in decode_strings(const(v)).reshape(-1)]


def _add_feature(op: Any, node: Any, name: str, dtype: ir.DataType, dims: list[Any]) -> ir.Value:
    """A new input of the model in place of the messages."""
    value = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))
    node.frame.context.features_of(node.inputs[0]).append(value)
    return value


def _sparse(op: Any, node: Any, name: str, dtype: Any, rank: int) -> list[Any]:
    """Inputs for indices, values and shape of a sparse feature."""
    components = (("indices", T.INT64, [None, rank]), ("values", dtype, [None]), ("shape", T.INT64, [rank]))
    return [
        _add_feature(op, node, f"{name}/{component}", component_dtype, dims)
        for component, component_dtype, dims in components
    ]


RANKED = condition(
    "messages of known rank", lambda n: n.op == "ParseExample" or rank_of(n.inputs[0]) is not None
)


@ops.op("ParseExample", "ParseExampleV2", needs=(FEATURES, KEYS, RANKED))
def parse_example(op, node, serialized, *rest):
    """Inputs for the features: a tensor each, the components of a sparse one, or values and row splits of a
    ragged one. The first version takes a vector of messages, even if its rank is unknown."""
    batch = [None] if node.op == "ParseExample" or rank_of(serialized) else []
    if node.op == "ParseExampleV2":
        sparse, dense, ragged = (_names([v]) for v in _keys(node))
    else:
        count = node.get("Nsparse")
        sparse, dense, ragged = _names(_keys(node)[:count]), _names(_keys(node)[count:]), []
    sparse_inputs = [
        _sparse(op, node, n, t, len(batch) + 1)
        for n, t in zip(sparse, node.get("sparse_types") or [], strict=True)
    ]
    inputs = [component for role in zip(*sparse_inputs, strict=True) for component in role]
    shapes = node.get("dense_shapes") or [()] * len(dense)
    for name, dtype, shape in zip(dense, node.get("Tdense") or [], shapes, strict=True):
        inputs.append(_add_feature(op, node, name, dtype, [*batch, *(shape or ())]))
    values = node.get("ragged_value_types") or []
    inputs += [_add_feature(op, node, f"{n}/values", t, [None]) for n, t in zip(ragged, values, strict=True)]
    splits = node.get("ragged_split_types") or []
    return inputs + [
        _add_feature(op, node, f"{n}/row_splits", t, [None]) for n, t in zip(ragged, splits, strict=True)
    ]
