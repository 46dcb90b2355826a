"""Cases to measure: the ONNX package's backend node cases and the kit's own, as-is and frozen, and each
format's native ones."""

from __future__ import annotations

import fnmatch
import functools
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from bridge.hub import qualified
from bridge.inputs import random_inputs
from bridge.load import load
from bridge.matrix.native import NativeCase, native_cases, source_of
from bridge.runtime import run

EXPANDED = re.compile(r"_expanded(_ver\d+)?$")


@dataclass(frozen=True)
class Case:
    """A model with inputs (by name) and expected outputs (in order), the tolerance they are held to, and the
    operators it is a case of."""

    name: str
    model: Any
    inputs: tuple[dict[str, Any], ...]
    expected: tuple[tuple[Any, ...], ...]
    rtol: float
    atol: float
    ops: tuple[str, ...] = ()


def case_of(name: str) -> Case | NativeCase:
    """The case called `name`."""
    if source_of(name):
        return native_cases(source_of(name))[name]
    return (kit_cases() if name.startswith("kit_") else node_cases())[name]


def all_cases(sources: Iterable[str] = ()) -> dict[str, Case | NativeCase]:
    """Every case by name, all inputs read at run time; of native ones those of the formats `sources`."""
    cases: dict[str, Case | NativeCase] = {**node_cases(), **kit_cases()}
    for source in sources:
        cases |= native_cases(source)
    return cases


@functools.cache
def node_cases() -> dict[str, Case]:
    """The backend node cases of the onnx package. One `_expanded` into a function body is a case of the
    operator it expands."""
    from onnx.backend.test.case.node import collect_testcases  # takes 0.1 s, and its cases seconds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = {case.name: _case(case) for case in collect_testcases(None)}
    for name, case in cases.items():
        base = cases.get(EXPANDED.sub("", name))
        if base is not None and base is not case:
            cases[name] = replace(case, ops=base.ops)
    return cases


@functools.cache
def kit_cases() -> dict[str, Case]:
    """`bridge/testing/cases/*.onnxtxt`, run once on seeded random inputs to know what they compute."""
    cases = {}
    for path in sorted((Path(__file__).parents[1] / "testing" / "cases").glob("*.onnxtxt")):
        model = load(path)
        inputs = random_inputs(model)
        expected = tuple(run(model, inputs).values())
        proto = ir.to_proto(ir.from_onnx_text(path.read_text()))
        name = f"kit_{path.stem}"
        cases[name] = Case(name, proto, (inputs,), (expected,), 1e-3, 1e-4, _operators(proto))
    return cases


def _case(case: Any) -> Case:
    names = [value.name for value in case.model.graph.input]
    sets = case.data_sets or []
    return Case(
        case.name,
        case.model,
        tuple(dict(zip(names, map(_as_array, inputs), strict=False)) for inputs, _ in sets),
        tuple(tuple(map(_as_array, outputs)) for _, outputs in sets),
        case.rtol,
        case.atol,
        _operators(case.model),
    )


def _operators(model: Any) -> tuple[str, ...]:
    names = {qualified(node) for node in model.graph.node}
    return tuple(sorted(names - {"Constant"} or names))


def _as_array(value: Any) -> Any:
    """Data sets hold arrays, protobuf tensors, scalars and lists of them."""
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, (list, tuple)):
        return [_as_array(item) for item in value]
    return value if value is None else np.asarray(value)


def selected(
    patterns: tuple[str, ...] = (),
    ops: tuple[str, ...] = (),
    most: int | None = None,
    sources: Iterable[str] = (),
) -> list[str]:
    """Names of the cases that match any of the shell-style patterns and are of any of the operators; all
    without.

    With `most`, at most so many of each operator: those that together cover most of its attributes, dtypes
    and ranks. Native cases are those of the formats `sources`.
    """
    cases = all_cases(sources)
    names = [n for n in cases if not patterns or any(fnmatch.fnmatch(n, p) for p in patterns)]
    by_op: dict[str, list[str]] = {}
    for name in names:
        for op in cases[name].ops:
            by_op.setdefault(f"{source_of(name)}/{op}", []).append(name)
    if ops:
        wanted = {op.lower() for op in ops}
        by_op = {op: of_op for op, of_op in by_op.items() if op.partition("/")[2].lower() in wanted}
    chosen: set[str] = set()
    for op, of_op in sorted(by_op.items()):
        chosen |= set(of_op) if most is None else _covering(op.partition("/")[2], of_op, most, chosen)
    return [n for n in names if n in chosen]


def _covering(op: str, names: list[str], most: int, already: set[str]) -> set[str]:
    """At most so many of the names, and of them those `already` already first, that show most of what the
    operator takes."""
    unexpanded = [n for n in names if not EXPANDED.search(n)] or names
    uncovered = {name: features(case_of(name), op) for name in unexpanded}
    chosen = {n for n in unexpanded if n in already}
    covered: set[Any] = set().union(*(uncovered.pop(n) for n in chosen))
    while uncovered and len(chosen) < most:
        best = max(uncovered, key=lambda n: len(uncovered[n] - covered))
        if not uncovered[best] - covered and chosen:
            break
        covered |= uncovered.pop(best)
        chosen.add(best)
    return chosen


def features(case: Case | NativeCase, op: str) -> set[Any]:
    """Features that tell a case of the operator from others: attribute values, which inputs are there,
    dtypes, ranks; native ones all differ."""
    if isinstance(case, NativeCase):
        return {id(case)}
    result: set[Any] = set()
    for node in case.model.graph.node:
        if op == qualified(node):
            result |= {
                ("attribute", a.name, a.SerializeToString()) for a in node.attribute if not a.HasField("g")
            }
            result.add(("inputs", tuple(map(bool, node.input)), len(node.output)))
    for values in (case.model.graph.input, case.model.graph.output):
        for i, value in enumerate(values):
            tensor_type = value.type.tensor_type
            result |= {("dtype", i, tensor_type.elem_type), ("rank", i, len(tensor_type.shape.dim))}
    return result


def frozen(case: Case | NativeCase) -> Case | None:
    """The case with every input but the first made an initializer; None where that leaves nothing to do, or
    the case is native."""
    if isinstance(case, NativeCase) or len(case.inputs) != 1 or len(case.inputs[0]) < 2:
        return None
    first, *others = case.inputs[0]
    if any(not isinstance(case.inputs[0][name], np.ndarray) for name in others):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    first_input = [value for value in model.graph.input if value.name not in others]
    del model.graph.input[:]
    model.graph.input.extend(first_input)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(case.inputs[0][name], name) for name in others
    )
    return replace(case, model=model, inputs=({first: case.inputs[0][first]},))


def keys(names: Iterable[str], mode: str) -> list[tuple[str, bool]]:
    """(case, frozen) of what `mode` (as-is, frozen or both) measures."""
    pairs = [(n, False) for n in names] if mode != "frozen" else []
    if mode != "as-is":
        pairs += [(n, True) for n in names if frozen(case_of(n))]
    return pairs
