"""The smallest part at which two models part, as files: both sides, inputs, and what is expected of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import extract as bounded

from bridge import hub
from bridge.convert import save
from bridge.errors import BridgeError
from bridge.formats import Format
from bridge.output import atomic
from bridge.passes import clean
from bridge.verify import verify
from bridge.workbench.bisect_match import View
from bridge.workbench.bisect_result import Bisection
from bridge.workbench.bisect_search import Parting, Search, inputs_of
from bridge.workbench.extract import pass_on

__all__ = ["write_part"]

REPORT = """{result}

The part alone, on inputs.npz:

{alone}

bridge verify reference.onnx {candidate} -i inputs.npz

reference.onnx    the part of the reference
candidate.onnx    the part of the candidate, as bridge reads it
inputs.npz        the reference's own values that the part begins with
expected.npz      what the reference makes of them
found.npz         what the candidate makes of them
"""


def write_part(
    folder: Path, result: Bisection, search: Search, parting: Parting, fmt: Format | None
) -> Bisection:
    """Write a part to a new folder, the candidate's in its own format `fmt` too where that holds it. Raises
    DestinationExists, WriteFailed."""
    name = parting.pair.first.name or ""
    names, arrays = _inputs(search, parting)
    first = _alone(parting.first, parting.pair.first, {}, names, arrays, search, name)
    views = {pair.second: pair.view for pair in search.pairs.values()} | {
        parting.pair.second: parting.pair.view
    }
    second = _alone(parting.second, parting.pair.second, views, names, arrays, search, name)
    expected: Any = search.first[parting.pair.first][0]
    found: Any = _back(parting.pair.view, search.forced[parting.pair.second][0], expected)
    conversions, alone = result.conversions, str(verify(first, second, arrays))
    with atomic(folder, overwrite=False) as place:
        place.mkdir()
        save(first, place / "reference.onnx", to="onnx")
        save(second, place / "candidate.onnx", to="onnx")
        own = place / "candidate.onnx"
        if fmt is not None and fmt.exporter and fmt.name != "onnx":
            own = place / f"candidate{fmt.suffixes[0] if fmt.suffixes else '.' + fmt.name}"
            conversions += 1
            try:
                save(second, own, to=fmt.name)
                alone = str(verify(first, own, arrays, candidate_source=fmt.name))
            except BridgeError as error:
                alone = f"{alone}\n\n{fmt.title} does not take the part alone: {error}"
                own = own if own.exists() else place / "candidate.onnx"
        np.savez(place / "inputs.npz", **arrays)
        np.savez(place / "expected.npz", **{name: expected})
        np.savez(place / "found.npz", **{name: found})
        told = REPORT.format(result=result, alone=alone, candidate=own.name)
        (place / "report.txt").write_text(told, encoding="utf-8")
    return replace(result, conversions=conversions, folder=folder)


def _inputs(search: Search, parting: Parting) -> tuple[dict[ir.Value, str], dict[str, Any]]:
    """The names of what either part begins with, and the reference's arrays by them."""
    paired = {pair.second: pair.first for pair in search.pairs.values()}
    passed = {name: own for name, (own, _, _) in search.fit.inputs.items()}
    names = {v: v.name or "" for v in _begins(parting.first)}
    for value in _begins(parting.second):
        names[value] = (
            paired[value].name or "" if value in paired else passed.get(value.name or "", value.name or "")
        )
    kept = {v.name: v.const_value.numpy() for v in names if v.const_value is not None}
    values = kept | {v.name: arrays[0] for v, arrays in search.first.items()} | search.inputs[0]
    return names, {name: values[name] for name in dict.fromkeys(names.values())}


def _begins(nodes: Sequence[ir.Node]) -> list[ir.Value]:
    """The values that operators read and none of them gives."""
    inside = {*nodes}
    read = dict.fromkeys(v for node in nodes for v in inputs_of(node.outputs[0]))
    return [v for v in read if v.producer() not in inside]


def _alone(
    nodes: Sequence[ir.Node],
    output: ir.Value,
    views: dict[ir.Value, View],
    names: dict[ir.Value, str],
    arrays: dict[str, Any],
    search: Search,
    result: str,
) -> ir.Model:
    """Operators as a model whose inputs and output are as the reference has them."""
    inputs = _begins(nodes)
    whole = search.candidate if views else search.reference
    graph = whole.graph
    part = ir.Model(bounded(graph, inputs, [output]), ir_version=whole.ir_version)
    part.functions.update(whole.functions)
    pass_on(part.graph)
    _rename(
        part.graph, {own: names[value] for value, own in zip(inputs, part.graph.inputs, strict=True)}, result
    )
    for value, own in zip(inputs, list(part.graph.inputs), strict=True):
        _as_given(part.graph, own, views.get(value), arrays[names[value]])
    if output in views:
        _as_expected(part.graph, views[output], search.first[_first_of(search, output)][0])
    for name in (n for n in arrays if n not in {v.name for v in part.graph.inputs}):
        part.graph.inputs.append(_input(name, arrays[name]))
    part.graph.outputs[0].name = result
    clean(part)
    return part


def _first_of(search: Search, second: ir.Value) -> ir.Value:
    return next(pair.first for pair in search.pairs.values() if pair.second is second)


def _rename(graph: ir.Graph, names: dict[ir.Value, str], result: str) -> None:
    """Give inputs these names, and none of them, nor that of the result, to what is within."""
    taken = {*names.values(), result}
    for value in (*graph.initializers.values(), *(v for node in graph for v in node.outputs)):
        if value.name in taken and value not in names:
            value.name = f"{value.name}_within"
    for value, name in names.items():
        value.name = name


def _input(name: str, array: np.ndarray) -> ir.Value:
    dtype = ir.DataType.from_numpy(array.dtype) if array.dtype.kind not in "OSU" else ir.DataType.STRING
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(array.shape))


def _as_given(graph: ir.Graph, own: ir.Value, view: View | None, array: np.ndarray) -> None:
    """Have an input take the array of the reference."""
    same = hub.numpy_dtype(own.dtype) == array.dtype
    if view is None or (view.is_plain and view.shapes[0] == array.shape and same):
        return
    place = _input(own.name or "", array)
    own.name = f"{own.name}_laid"
    index = list(graph.inputs).index(own)
    op = hub.Builder(graph, before=next(iter(graph), None))
    laid = op.Transpose(place, perm=list(view.perm)) if view.perm else place
    laid = op.Reshape(laid, list(view.shapes[0]))
    laid = laid if own.dtype is None or same else op.Cast(laid, to=int(own.dtype))
    ir.convenience.replace_all_uses_with(own, laid, replace_graph_outputs=True)
    graph.inputs[index] = place


def _as_expected(graph: ir.Graph, view: View, expected: np.ndarray) -> None:
    """Have the output give the array of the reference."""
    op, value = hub.Builder(graph), graph.outputs[0]
    if value.dtype is not None and value.dtype.numpy() != expected.dtype:
        value = op.Cast(value, to=int(ir.DataType.from_numpy(expected.dtype)))
    if not view.is_plain or view.shapes[0] != expected.shape:
        value = op.Reshape(
            value, [expected.shape[i] for i in view.perm] if view.perm else list(expected.shape)
        )
        value = op.Transpose(value, perm=np.argsort(view.perm).tolist()) if view.perm else value
    if value is not graph.outputs[0]:
        graph.outputs[0] = value


def _back(view: View, found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The candidate's array as the reference has it."""
    if not view.perm:
        return found.reshape(expected.shape)
    moved = found.reshape([expected.shape[i] for i in view.perm])
    return np.transpose(moved, np.argsort(view.perm).tolist())
