"""Types and shapes of every value, as far as operators tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

import onnx_ir as ir

from bridge import hub, terms
from bridge.hub import subgraphs
from bridge.passes.inference import infer_by_schemas

LONG = 2**22


def _is_long(graph: ir.Graph) -> bool:
    """True if a vector has so many elements that what is inferred of them, one by one, would fill the
    memory."""
    vectors = [v.shape for v in _values(graph) if v.shape is not None and len(v.shape) == 1]
    return any(isinstance(length, int) and length > LONG for (length,) in vectors)


def names_of(values: Iterable[ir.Value]) -> set[str]:
    """The names of the dimensions of values."""
    return {str(d.value) for v in values for d in v.shape or () if isinstance(d, ir.SymbolicDim) and d.value}


def forget_shapes(model: ir.Model) -> None:
    """Leave the shapes of all results to be inferred again."""
    for node in hub.all_nodes(model):
        for value in node.outputs:
            value.shape = None


class InferShapes(ir.passes.InPlacePass):
    """1. Types and shapes are inferred with partial data propagation where `propagate` is given and no vector
       is longer than 4 Mi elements; weights stay out of it.

    2. Dimensions nobody named get names that are unique in the model: those of inputs before anything is
       inferred, so that results have them too.
    3. What the source declared of inputs and outputs stays as it was declared, completed where it was silent,
       and a name where the length turns out to be known.
    4. Operators a target takes keep the shapes they were made with: their bodies are not asked.
    5. A length once known stays known.
    6. Nothing is inferred where every length is a number or one of the inputs': nothing more can be told.
    """

    def __init__(self, propagate: bool = True) -> None:
        super().__init__()
        self.propagate = propagate

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        given = names_of(model.graph.inputs)
        if all(_known(v, given) for v in _values(model.graph)):
            return ir.passes.PassResult(model, False)
        _name_dimensions(model, model.graph.inputs)
        declared = {v: v.shape for v in [*model.graph.inputs, *model.graph.outputs]}
        partial = {
            v: v.shape for v in _values(model.graph) if v.shape is not None and not v.shape.is_static()
        }
        for value in partial.keys() - declared.keys():
            value.shape = None
        bodies = {
            key: f
            for key, f in model.functions.items()
            if hub.of_target(f.domain) or f.domain == terms.DOMAIN
        }
        for key in bodies:
            del model.functions[key]
        try:
            propagate = self.propagate and not _is_long(model.graph)
            infer_by_schemas(model, propagate)
        finally:
            model.functions.update(bodies)
        _complete(model.graph)
        for value, shape in declared.items():
            value.shape = completed_shape(shape, value.shape)
        for value, shape in partial.items():
            value.shape = (
                shape if value.shape is None else completed_shape(value.shape, _known_numbers(shape))
            )
        if self.propagate:
            _name_dimensions(model, _values(model.graph))
        return ir.passes.PassResult(model, True)


def _known(value: ir.Value, given: Set[str]) -> bool:
    """True if nothing more can be inferred of a value; `given` are the names of the inputs' lengths."""
    shape = value.shape
    return (
        value.type is not None
        and shape is not None
        and all(isinstance(dim, int) or dim.value in given for dim in shape)
    )


def _complete(graph: ir.Graph) -> list[ir.Value]:
    """Infer, node by node, what has no shape yet, loops and branches included; the values that got one."""
    completed = []
    for node in graph:
        missing = [v for v in node.outputs if v.shape is None]
        for subgraph in subgraphs(node):
            completed += _complete(subgraph)
        hub.infer_node(node)
        rule = _reduced if node.op_type.startswith("Reduce") else RULES.get(node.op_type)
        if rule is not None and not node.domain:
            rule(node)
        completed += [v for v in missing if v.shape is not None]
    return completed


def _infer_loop(node: ir.Node) -> None:
    """Keep the first shape of what a loop carries, where the body makes it that shape again; so it is for
    what follows."""
    body = hub.attr(node, "body")
    results = zip(list(body.outputs)[1:], node.outputs, strict=True)
    pairs = list(zip(list(body.inputs)[2:], results, list(node.inputs)[2:], strict=False))
    tried = [inner for inner, _, first in pairs if inner.shape is None and first is not None]
    for inner, _, first in pairs:
        if inner in tried and first is not None:
            inner.shape, inner.type = first.shape, inner.type or first.type
    completed = _complete(body) if tried else []
    if any(inner in tried and again.shape != inner.shape for inner, (again, _), _ in pairs):
        for value in [*tried, *completed]:
            value.shape = None
    for inner, (again, outer), _ in pairs:
        if outer.shape is None and inner.shape is not None and again.shape == inner.shape:
            outer.shape, outer.type = inner.shape, outer.type or inner.type


def join_branches(node: ir.Node) -> None:
    """Lengths that both branches make are known, others are not."""
    for outer, first, second in zip(node.outputs, *(graph.outputs for graph in subgraphs(node)), strict=True):
        shapes = first.shape, second.shape
        if outer.shape is not None or None in shapes or len(shapes[0]) != len(shapes[1]):
            continue
        outer.shape = ir.Shape([a if a == b else None for a, b in zip(*shapes, strict=True)])
        outer.type = outer.type or first.type


def _reduced(node: ir.Node) -> None:
    """The rank of what is reduced along axes known at run time alone, but for their number."""
    if node.outputs[0].shape is not None or len(node.inputs) < 2:
        return
    rank, axes = hub.rank_of(node.inputs[0]), hub.shape_of(node.inputs[1])
    if rank is not None and axes is not None and axes[0]:
        left = rank if hub.attr(node, "keepdims") else rank - axes[0]
        node.outputs[0].shape = ir.Shape([None] * left)


def _infer_unsqueeze(node: ir.Node) -> None:
    """The rank, where the axes are known at run time alone, but for their number."""
    result, rank, axes = node.outputs[0], hub.rank_of(node.inputs[0]), hub.shape_of(hub.input_at(node, 1))
    if result.shape is None and rank is not None and axes is not None:
        result.shape = ir.Shape([None] * (rank + (axes or [1])[0]))


def _infer_split(node: ir.Node) -> None:
    """Parts of lengths known at run time alone have the rank of the whole."""
    dims = node.inputs[0].shape  # type: ignore[union-attr]
    for output in node.outputs:
        if output.shape is None and dims is not None:
            axis = hub.attr(node, "axis") % len(dims)
            output.shape = ir.Shape([None if i == axis else d for i, d in enumerate(dims)])


def _infer_same(node: ir.Node) -> None:
    """The first result has the shape and type of the first input."""
    first, result = node.inputs[0], node.outputs[0]
    if first is not None:
        result.shape, result.type = result.shape or first.shape, result.type or first.type


RULES = {
    "GroupNormalization": _infer_same,
    "If": join_branches,
    "Loop": _infer_loop,
    "MeanVarianceNormalization": _infer_same,
    "Split": _infer_split,
    "Unsqueeze": _infer_unsqueeze,
}
"""Rules for what a schema's own inference leaves open."""


def completed_shape(declared: ir.Shape | None, inferred: ir.Shape | None) -> ir.Shape | None:
    """The declared shape, completed where it is silent, and a name where the length turns out to be known."""
    if declared is None or inferred is None or len(declared) != len(inferred):
        return inferred if declared is None else declared
    return ir.Shape(
        [
            i if isinstance(d, ir.SymbolicDim) and (isinstance(i, int) or d.value is None) else d
            for d, i in zip(declared, inferred, strict=True)
        ]
    )


def _known_numbers(shape: ir.Shape) -> ir.Shape:
    return ir.Shape([dim if isinstance(dim, int) else None for dim in shape])


def _name_dimensions(model: ir.Model, values: Iterable[ir.Value]) -> None:
    unnamed = [v for v in values if v.shape is not None and v.shape.has_unknown_dim()]
    if not unnamed:
        return
    taken = {
        str(d.value)
        for v in _values(model.graph)
        if v.shape
        for d in v.shape
        if isinstance(d, ir.SymbolicDim)
    }
    counter = 0
    for value in unnamed:
        assert value.shape is not None
        dims = list(value.shape)
        for index, dim in enumerate(dims):
            if isinstance(dim, ir.SymbolicDim) and dim.value is None:
                while f"d{counter}" in taken:
                    counter += 1
                dims[index] = ir.SymbolicDim(f"d{counter}")
                counter += 1
        if dims != list(value.shape):
            value.shape = ir.Shape(dims)


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs
        for subgraph in subgraphs(node):
            yield from _values(subgraph)
