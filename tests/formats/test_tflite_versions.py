"""Operators are written with the version a reader must know, and with no operator of TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from bridge_tflite.versions import Use, version
from build import model_from_text

import bridge
from bridge.errors import InvalidOption


def tensor(dtype: str, rank: int = 4, scales: Any = None) -> schema.TensorT:
    table = schema.TensorT()
    table.type, table.shape = getattr(schema.TensorType, dtype), [2] * rank
    if scales is not None:
        table.quantization = schema.QuantizationParametersT()
        table.quantization.scale = np.asarray(scales, np.float32)
    return table


def options(operator: str, **fields: Any) -> Any:
    table = getattr(schema, operator + "OptionsT")()
    for name, value in fields.items():
        setattr(table, name, value)
    return table


F, I8, I16 = tensor("FLOAT32"), tensor("INT8"), tensor("INT16")
CHANNELS = tensor("INT8", 4, [0.1, 0.2])
STEP = tensor("INT8", 4, [0.5])
FINE = tensor("INT8", 4, [0.125])
FC = {keep: options("FullyConnected", keepNumDims=keep) for keep in (False, True)}
SPREAD = {n: options("DepthwiseConv2D", dilationWFactor=n, dilationHFactor=1) for n in (1, 2)}
USES = [
    ("ADD", Use([F, F], [F], None), 1),
    ("ADD", Use([I8, I8], [I8], None), 2),
    ("ADD", Use([tensor("INT64")] * 2, [tensor("INT64")], None), 4),
    ("MUL", Use([STEP, STEP], [STEP], None), 2),
    ("MUL", Use([STEP, STEP], [FINE], None), 3),
    ("CONV_2D", Use([I8, I8, None], [I8], None), 3),
    ("CONV_2D", Use([F, I8, F], [F], None), 2),
    ("CONV_2D", Use([F, CHANNELS, F], [F], None), 5),
    ("CONV_2D", Use([tensor("FLOAT32", 4), F, F], [F], None), 1),
    ("DEPTHWISE_CONV_2D", Use([F, F, F], [F], SPREAD[1]), 1),
    ("DEPTHWISE_CONV_2D", Use([F, F, F], [F], SPREAD[2]), 2),
    ("FULLY_CONNECTED", Use([F, F, F], [F], FC[False]), 1),
    ("FULLY_CONNECTED", Use([F, F, F], [F], FC[True]), 5),
    ("FULLY_CONNECTED", Use([F, F], [F], FC[True]), 6),
    ("TRANSPOSE", Use([tensor("FLOAT32", 5), F], [F], None), 4),
    ("TRANSPOSE", Use([tensor("BOOL"), F], [F], None), 3),
    ("TRANSPOSE", Use([tensor("FLOAT32", 7), F], [F], None), 8),
    ("MAXIMUM", Use([tensor("FLOAT32", 5), F], [F], None), 3),
    ("BROADCAST_TO", Use([F, F], [F], None), 2),
    ("CAST", Use([F], [tensor("FLOAT16")], None), 5),
    ("DEQUANTIZE", Use([CHANNELS], [F], None), 5),
    ("RESIZE_BILINEAR", Use([F, F], [F], options("ResizeBilinear", halfPixelCenters=True)), 3),
    ("GATHER", Use([tensor("BOOL"), F], [F], options("Gather")), 3),
    ("WHERE", Use([F], [F], None), 2),
    ("COS", Use([F], [F], None), 1),
]


@pytest.mark.parametrize(("name", "use", "number"), USES)
def test_a_version_follows_from_dtypes_ranks_and_options(name: str, use: Use, number: int) -> None:
    assert version(name, use) == number


def test_two_uses_of_an_operator_have_versions_of_their_own(tmp_path: Path) -> None:
    proto = model_from_text(
        "(float[2,3] x, float[1,2,1,2,3] z) => (float[3,2] a, float[3,2,1,2,1] b) "
        "{ a = Transpose (x) b = Transpose (z) }"
    )
    path = bridge.convert(proto, tmp_path / "two.tflite", verify=True).path
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    versions = {c.version for c in model.operatorCodes if c.builtinCode == schema.BuiltinOperator.TRANSPOSE}
    assert versions <= {1, 4}
    assert 4 in versions


def test_tensorflow_operators_are_never_written(tmp_path: Path) -> None:
    model = model_from_text("(float[2] x) => (float[2] y) { y = Abs (x) }")
    bridge.convert(model, tmp_path / "abs.tflite", select_tf_ops=False)
    with pytest.raises(InvalidOption, match="select_tf_ops") as refusal:
        bridge.convert(model, tmp_path / "flex.tflite", select_tf_ops=True)
    assert "no Python runtime" in str(refusal.value)
