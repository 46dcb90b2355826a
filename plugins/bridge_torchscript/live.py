"""Import of live PyTorch objects: an nn.Module or ExportedProgram, by torch's own ONNX exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import InvalidOption, UnsupportedModel
from bridge.passes.constants import LiftConstants
from bridge.passes.opset.lift import lift, unknown_operators
from bridge.passes.shapes import InferShapes
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.input_specs import SYNTAX, InputSpec
from bridge_torchscript.program import names_of_results
from bridge_torchscript.tracer_lock import TRACER

EXAMPLE_LENGTH = 4
COORDINATES = "coordinate_transformation_mode"


def export_model(src: Any, specs: dict[str, InputSpec]) -> ir.Model:
    """Hub model of an nn.Module, whose inputs need specifications, or of an ExportedProgram.

    Named dimensions stay symbolic. Raises InvalidOption for inputs without specification, UnsupportedModel in
    torch's words.
    """
    import torch

    arguments: dict[str, Any] = {}
    if isinstance(src, torch.nn.Module):
        names, examples, dims = _example(src, specs)
        arguments = {
            "kwargs": dict(zip(names, examples, strict=True)),
            "dynamic_shapes": dims,
            "input_names": names,
        }
        src.eval()
    try:
        with TRACER, _quiet():
            program = torch.onnx.export(src, (), dynamo=True, verbose=False, **arguments)
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UnsupportedModel(
            f"torch cannot export this {type(src).__name__}: {first}",
            [],
            "A scripted or traced module (torch.jit.script, torch.jit.trace) is read without"
            " torch's exporter.",
        ) from error
    assert program is not None
    model = program.model
    names = names_of_results(program.exported_program)
    if len(names) == len(model.graph.outputs):
        _rename(model.graph, names)
    LiftConstants()(model)
    InferShapes()(model)
    lift(model)
    _resize_as_torch(model)
    _mask_as_torch(model)
    blockers = unknown_operators(model)
    if blockers:
        raise UnsupportedModel(f"{len(blockers)} operators torch wrote are unknown:", blockers)
    facts.FORMAT.set(model, "torch")
    facts.VERSION.set(model, torch.__version__)
    return model


def _resize_as_torch(model: ir.Model) -> None:
    """Replace pytorch_half_pixel, which torch's exporter writes: it samples a single element elsewhere than
    torch does.
    """
    for node in hub.all_nodes(model):
        if node.op_type == "Resize" and hub.attr(node, COORDINATES) == "pytorch_half_pixel":
            node.attributes[COORDINATES] = ir.AttrString(COORDINATES, "half_pixel")


def _mask_as_torch(model: ir.Model) -> None:
    """Hide keys from attention by -inf, where torch's exporter writes the lowest number: the weights of a row
    that is hidden wholly are then NaN, which it makes 0, as torch has them.
    """
    for node in list(hub.all_nodes(model)):
        score = _maker(node.inputs[0], "Softmax") if node.op_type == "IsNaN" else None
        added = _maker(score.inputs[0], "Add") if score is not None else None
        for bias in () if added is None else added.inputs:
            mask = _maker(bias, "Where")
            lowest = None if mask is None else hub.const(mask.inputs[2])
            if mask is None or lowest is None or lowest.size != 1 or mask.graph is None:
                continue
            if lowest == ml_dtypes.finfo(lowest.dtype).min:
                op = hub.Builder(mask.graph, before=mask)
                mask.replace_input_with(2, op.const(np.full_like(lowest, -np.inf)))


def _maker(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that makes `value`, if its operator is `op_type`."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == op_type else None


def _rename(graph: ir.Graph, names: list[str]) -> None:
    """Rename outputs as names_of_results does."""
    input_names = {v.name for v in graph.inputs}
    for output in graph.outputs:
        output.name = hub.fresh_name(graph, "output")
    for output, name in zip(graph.outputs, names, strict=True):
        output.name = f"{name}_output" if name in input_names else name


def _example(module: Any, specs: dict[str, InputSpec]) -> tuple[list[str], list[Any], dict[str, Any]]:
    """Names, example tensors and dynamic dimensions of the specified inputs."""
    import torch

    if not specs:
        raise InvalidOption(
            f"{type(module).__name__} does not say what its inputs are.", f"Describe them with {SYNTAX}."
        )
    symbols = {d for g in specs.values() for d in g.dims or () if isinstance(d, str)}
    dims_by_name = {d: torch.export.Dim(d) for d in sorted(symbols)}
    examples: list[Any] = []
    dims: dict[str, Any] = {}
    for name, item in specs.items():
        if item.fixed is not None:
            examples.append(item.fixed)
            dims[name] = None
            continue
        torch_dtype = TORCH_DTYPES[item.type.dtype]  # type: ignore[union-attr]
        shape = [d if isinstance(d, int) else EXAMPLE_LENGTH for d in item.dims or ()]
        examples.append(torch.ones(shape, dtype=getattr(torch, torch_dtype.name)))
        dims[name] = {i: dims_by_name[d] for i, d in enumerate(item.dims or ()) if isinstance(d, str)}
    return list(specs), examples, dims


@contextlib.contextmanager
def _quiet() -> Any:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
