"""TFLite files, read and written back: LiteRT computes the same from both, with its XNNPACK delegate and
without, and there is no Transpose more than before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pytest
from bridge_tflite import runtime
from bridge_tflite.cases import CASES
from bridge_tflite.reader import read

import bridge
from bridge.comparison import compare, quanta
from bridge.errors import BridgeError, UnsupportedModel

SHARED = conftest.SHARED / "tflite"
SMALL = 120_000

WIDE = {"BitShift", "Cast", "ReduceSum"}  # of 64 bits without a sign
NO_KERNEL = {
    "BITCAST-halves of halves": WIDE - {"ReduceSum"},
    "BITCAST-from bytes": WIDE - {"BitShift"},
    "BITCAST-from halves": WIDE - {"BitShift"},
    "LSH_PROJECTION": {*WIDE, "Concat"},
    "SKIP_GRAM": {"StringSplit", "RegexFullMatch", "Concat"},
}
TURNED = {
    "BATCH_TO_SPACE_ND-of-bool": "LiteRT moves no blocks of bool",
    "SPACE_TO_BATCH_ND-of-bool": "LiteRT moves no blocks of bool",
    "BIDIRECTIONAL_SEQUENCE_RNN-merge0": "the steps come first in ONNX",
    "STABLEHLO_TRANSPOSE": "it is a TRANSPOSE",
    "STABLEHLO_DOT_GENERAL": "it puts axes in another order",
    **dict.fromkeys(
        ("ZEROS_LIKE-of-float32", "ZEROS_LIKE-of-int32", "ZEROS_LIKE-of-int64", "STABLEHLO_IOTA", "SHAPE"),
        "its result is a constant, which a TRANSPOSE copies",
    ),
}
TURNED_FILES = {
    "tflite_detection_post_processing_regular.tflite": "a builtin operator chooses boxes from scores by class"
}


def first_of_each() -> list[str]:
    """A case of every operator and dtype of its first input."""
    names: dict[Any, str] = {}
    for name, case in CASES.items():
        dtypes = [np.asarray(t.value).dtype.name for t in case.inputs if t is not None]
        names.setdefault(
            (
                case.op,
                dtypes[0] if dtypes else "",
                any(t is not None and t.scale is not None for t in case.inputs),
            ),
            name,
        )
    return list(names.values())


def transposes(path: Path) -> int:
    return sum(o.name == "TRANSPOSE" for g in read(path).subgraphs for o in g.operators)


@pytest.mark.parametrize("name", first_of_each())
def test_an_operator_written_back(name: str, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import OpResolverType

    case = CASES[name]
    path = case.file(tmp_path / "model.tflite")
    model = bridge.load(path)
    feed = {
        v.name: v.const_value.numpy() for v in model.graph.inputs if v.const_value is not None
    } | case.feed
    want = bridge.run(bridge.load(path), feed)
    try:
        back = bridge.save(model, tmp_path / "back.tflite").path
    except UnsupportedModel as refusal:
        operators_without_kernel = {b.part or b.op for b in refusal.blockers}
        if operators_without_kernel != NO_KERNEL.get(name, NO_KERNEL.get(case.op)):
            raise
        return
    assert (transposes(back) > transposes(path)) is (name in TURNED)
    steps = {n: s * case.quanta for n, s in quanta(bridge.load(path)).items()}
    for kernels in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        outputs = runtime.LiteRTSession(back, resolver=kernels).run(feed)
        if case.random:
            assert [(v.dtype, v.shape) for v in outputs.values()] == [
                (v.dtype, v.shape) for v in want.values()
            ]
        else:
            result = compare(want, outputs, atol=case.bound, steps=steps)
            assert result.ok, str(result)


def small_files() -> list[str]:
    paths = (p for p in sorted(SHARED.rglob("*")) if p.suffix in (".tflite", ".bin"))
    return [str(p.relative_to(SHARED)) for p in paths if p.stat().st_size < SMALL]


@pytest.mark.parametrize("name", small_files())
def test_a_file_written_back_is_turned_no_more_and_as_quantized(name: str, tmp_path: Path) -> None:
    path = SHARED / name
    try:
        model = bridge.load(path, source="tflite")
    except BridgeError:
        pytest.skip("is not read; benchmarks/tflite_import.py says why")
    back = bridge.save(model, tmp_path / "back.tflite").path
    assert (transposes(back) > transposes(path)) is (path.name in TURNED_FILES)
    if not {"UNIDIRECTIONAL_SEQUENCE_LSTM", "TRANSPOSE_CONV"} & set(operators(path)):
        assert floats(back) <= floats(path)


def operators(path: Path) -> list[str]:
    return [o.name for g in read(path).subgraphs for o in g.operators]


def floats(path: Path) -> int:
    """Operators that compute floats; of a file without quantized activations, any number."""
    file = read(path)
    tensors = [t for g in file.subgraphs for t in g.tensors]
    if not any(t.quantized and file.data(t.buffer) is None for t in tensors):
        return 10**6
    types_by_operator = [
        (o.name, {g.tensors[i].type for i in (*o.inputs[:1], *o.outputs[:1]) if i >= 0})
        for g in file.subgraphs
        for o in g.operators
    ]
    return sum(
        "FLOAT32" in types for name, types in types_by_operator if name not in ("QUANTIZE", "DEQUANTIZE")
    )
