"""Live PyTorch objects → hub: an nn.Module or ExportedProgram through torch's own exporter to ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import InvalidOption, UnsupportedModel
from bridge.passes.constants import LiftConstants
from bridge.passes.opset.lift import lift, unknown_operators
from bridge.passes.shapes import InferShapes
from bridge_torchscript.described import FORM, Given
from bridge_torchscript.dtypes import HELD
from bridge_torchscript.program import names_of_results
from bridge_torchscript.tracing import TRACER

EXAMPLE = 4
PLACES = "coordinate_transformation_mode"


def exported(src: Any, given: dict[str, Given]) -> ir.Model:
    """The hub model of an nn.Module, whose inputs must be described, or of an ExportedProgram.

    Named dimensions stay symbolic. Raises InvalidOption for inputs nothing describes, UnsupportedModel in torch's words.
    """
    import torch

    arguments: dict[str, Any] = {}
    if isinstance(src, torch.nn.Module):
        names, examples, dims = _example(src, given)
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
            "A scripted or traced module (torch.jit.script, torch.jit.trace) is read without torch's exporter.",
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
    blockers = unknown_operators(model)
    if blockers:
        raise UnsupportedModel(f"{len(blockers)} operators torch wrote are unknown:", blockers)
    facts.FORMAT.set(model, "torch")
    facts.VERSION.set(model, torch.__version__)
    return model


def _resize_as_torch(model: ir.Model) -> None:
    """torch's exporter writes pytorch_half_pixel, which puts a single element elsewhere than torch does today."""
    for node in hub.all_nodes(model):
        if node.op_type == "Resize" and hub.attr(node, PLACES) == "pytorch_half_pixel":
            node.attributes[PLACES] = ir.AttrString(PLACES, "half_pixel")


def _rename(graph: ir.Graph, names: list[str]) -> None:
    """Outputs by the names that running the program gives them."""
    taken = {v.name for v in graph.inputs}
    for output in graph.outputs:
        output.name = hub.fresh_name(graph, "output")
    for output, name in zip(graph.outputs, names, strict=True):
        output.name = f"{name}_output" if name in taken else name


def _example(module: Any, given: dict[str, Given]) -> tuple[list[str], list[Any], dict[str, Any]]:
    """Names, tensors and dynamic dimensions of the inputs described."""
    import torch

    if not given:
        raise InvalidOption(
            f"{type(module).__name__} does not say what its inputs are.", f"Describe them with {FORM}."
        )
    symbols = {d for g in given.values() for d in g.dims or () if isinstance(d, str)}
    named = {d: torch.export.Dim(d) for d in sorted(symbols)}
    examples: list[Any] = []
    dims: dict[str, Any] = {}
    for name, item in given.items():
        if item.fixed is not None:
            examples.append(item.fixed)
            dims[name] = None
            continue
        held = HELD[item.type.dtype]  # type: ignore[union-attr]
        sizes = [d if isinstance(d, int) else EXAMPLE for d in item.dims or ()]
        examples.append(torch.ones(sizes, dtype=getattr(torch, held.name)))
        dims[name] = {i: named[d] for i, d in enumerate(item.dims or ()) if isinstance(d, str)}
    return list(given), examples, dims


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
