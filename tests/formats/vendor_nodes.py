"""One node of com.microsoft as a model, and what is asked of its reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from build import model_of_nodes, spec_of
from onnx import helper

import bridge

MS = "com.microsoft"
RNG = np.random.default_rng(0)


def f(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def u8(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def i8(*shape: int) -> np.ndarray:
    return RNG.integers(-128, 128, shape).astype(np.int8)


class Case(NamedTuple):
    """A node: operator, inputs (None for one left out), attributes, how many outputs or their names, and
    which inputs are fed at run time (the first tensor without `fed`), the others being initializers."""

    op: str
    inputs: Sequence[np.ndarray | None]
    attributes: dict[str, Any]
    count: int = 1
    outputs: list[str] | None = None
    fed: Sequence[int] = ()
    domain: str = MS


def model_of(
    case: Case, dims: dict[int, list[Any]] | None = None
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The node, and what it is fed; `dims` are the shapes that inputs declare, by their index."""
    names = [f"i{n}" if v is not None else "" for n, v in enumerate(case.inputs)]
    arrays = {n: v for n, v in zip(names, case.inputs, strict=True) if v is not None}
    first = next((n for n, v in arrays.items() if v.ndim > 0), None)
    fed = {n: arrays.pop(n) for n in [names[i] for i in case.fed] or [first] if n is not None}
    outputs = case.outputs or [f"y{n}" for n in range(case.count)]
    node = helper.make_node(case.op, names, outputs, domain=case.domain, **case.attributes)
    described = dict.fromkeys(name for name in outputs if name)
    specs = {n: spec_of(v) for n, v in fed.items()}
    for index, shape in (dims or {}).items():
        specs[f"i{index}"] = (fed[f"i{index}"].dtype, shape)
    return model_of_nodes(node, specs, described, arrays, {"": 17, MS: 1}), fed


def in_onnx_runtime(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, inputs), strict=True))


def require_equal(expected: dict[str, np.ndarray], found: dict[str, np.ndarray], worst: float = 1e-4) -> None:
    """Floats within `worst`, as a part of the largest; bytes within a step; all else exactly."""
    for name, a in expected.items():
        b = found[name]
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        if a.dtype in (np.uint8, np.int8):
            assert np.abs(a.astype(int) - b.astype(int)).max(initial=0) <= 1, name
        elif a.dtype.kind == "f":
            finite = np.isfinite(a)
            np.testing.assert_array_equal(a[~finite], b[~finite])
            largest = max(1.0, float(np.abs(a[finite]).max(initial=0)))
            np.testing.assert_allclose(b[finite], a[finite], rtol=0, atol=worst * largest, err_msg=name)
        else:
            np.testing.assert_array_equal(b, a, err_msg=name)


def require_as_onnx_runtime(
    case: Case, dims: dict[int, list[Any]] | None = None, worst: float = 1e-4
) -> None:
    """The hub has no operator of Microsoft's, and computes what ONNX Runtime computes for the node."""
    model, inputs = model_of(case, dims)
    expected = in_onnx_runtime(model, inputs)
    read = bridge.load(model)
    assert not any(node.domain == MS for node in bridge.hub.all_nodes(read)), case.op
    require_equal(expected, bridge.run(read, inputs), worst)


def one_of_each(cases: dict[str, Case]) -> list[str]:
    """The name of the first case of every operator."""
    names: dict[str, str] = {}
    for name, case in cases.items():
        names.setdefault(case.op, name)
    return list(names.values())


def require_in_tflite(case: Case, folder: Path, worst: float = 1e-3) -> None:
    """A TFLite file computes what ONNX Runtime computes for the node."""
    model, inputs = model_of(case)
    expected = in_onnx_runtime(model, inputs)
    for output in model.graph.output:
        array = expected[output.name]
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        output.CopyFrom(helper.make_tensor_value_info(output.name, dtype, array.shape))
    conversion = bridge.convert(model, folder / "m.tflite")
    require_equal(expected, bridge.run(conversion.path, inputs), worst)
