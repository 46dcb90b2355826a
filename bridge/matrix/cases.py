"""The ONNX package's backend node cases, as-is and frozen."""

from __future__ import annotations

import fnmatch
import functools
import warnings
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A model with inputs (by name) and expected outputs (in order), and the tolerance they are held to."""

    name: str
    model: Any
    inputs: tuple[dict[str, Any], ...]
    expected: tuple[tuple[Any, ...], ...]
    rtol: float
    atol: float


@functools.cache
def node_cases() -> dict[str, Case]:
    """Every backend node case by name, all inputs read at run time."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return {case.name: _case(case) for case in found}


def _case(case: Any) -> Case:
    names = [value.name for value in case.model.graph.input]
    sets = case.data_sets or []
    return Case(
        case.name,
        case.model,
        tuple(dict(zip(names, map(_array, inputs), strict=False)) for inputs, _ in sets),
        tuple(tuple(map(_array, outputs)) for _, outputs in sets),
        case.rtol,
        case.atol,
    )


def _array(value: Any) -> Any:
    """Data sets hold arrays, protobuf tensors, scalars and lists of them."""
    import numpy as np
    import onnx

    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, (list, tuple)):
        return [_array(item) for item in value]
    return value if value is None else np.asarray(value)


def selected(patterns: tuple[str, ...]) -> list[str]:
    """Names of the cases that match any of the shell-style patterns; all of them without a pattern."""
    names = list(node_cases())
    return [n for n in names if not patterns or any(fnmatch.fnmatch(n, p) for p in patterns)]


def frozen(case: Case) -> Case | None:
    """The case with every input but the first made an initializer; None where that leaves nothing to do."""
    import numpy as np
    import onnx

    if len(case.inputs) != 1 or len(case.inputs[0]) < 2:
        return None
    first, *rest = case.inputs[0]
    if any(not isinstance(case.inputs[0][name], np.ndarray) for name in rest):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    kept = [value for value in model.graph.input if value.name not in rest]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(case.inputs[0][name], name) for name in rest)
    return Case(case.name, model, ({first: case.inputs[0][first]},), case.expected, case.rtol, case.atol)
