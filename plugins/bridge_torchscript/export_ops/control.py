"""Branches, loops, sequences and optionals."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.ops import OpTable
from bridge_torchscript.export_ops.common import list_literal
from bridge_torchscript.source import Source, annotation

ops = OpTable()


def common_annotation(*values: ir.Value | None) -> str:
    """Annotation that fits all `values`: Optional if one of them is."""
    kinds = {annotation(v.type) for v in values if v is not None}
    return next((k for k in kinds if k.startswith("Optional")), next(iter(kinds), "Tensor"))


@ops.op("If")
def if_(ts, node, condition):
    branches = [attr(node, name) for name in ("then_branch", "else_branch")]
    names = [ts.names.fresh(v.name or "result") for v in node.outputs]
    type_names = [common_annotation(v, *(b.outputs[i] for b in branches)) for i, v in enumerate(node.outputs)]
    for header, branch in zip((f"if bool({condition}):", "else:"), branches, strict=True):
        with ts.block(header):
            ts.graph(branch)
            for name, type_name, value in zip(names, type_names, branch.outputs, strict=True):
                expression = ts.name(value)
                ts.set_name(
                    name, expression if type_name == "Tensor" else f"annotate({type_name}, {expression})"
                )
    return names


@ops.op("Loop")
def loop(ts, node, limit=None, going=None, *states):
    """While loop over the carried values. Scan outputs are lists, stacked after the loop."""
    body = attr(node, "body")
    count = len(body.inputs) - 2
    step = ts.names.fresh("step")
    is_running = ts.names.fresh("go")
    ts.line(f"{step} = 0")
    ts.line(f"{is_running} = {'True' if going is None else f'bool({going})'}")
    carried = [ts.names.fresh(v.name or "state") for v in list(body.inputs)[2:]]
    for name, value, inner, state in zip(
        carried, node.inputs[2:], list(body.inputs)[2:], states, strict=True
    ):
        type_name = common_annotation(inner, value)
        ts.line(f"{name} = {state if type_name == 'Tensor' else f'annotate({type_name}, {state})'}")
        ts.set(inner, name)
    scans = list(body.outputs)[1 + count :]
    lists = [ts.names.fresh(f"{v.name}_all") for v in scans]
    for name, value in zip(lists, scans, strict=True):
        ts.line(f"{name} = annotate(List[{annotation(value.type)}], [])")
    bound = "" if limit is None else f"{step} < {ts.int(node.inputs[0])} and "
    with ts.block(f"while {bound}{is_running}:"):
        ts.set(body.inputs[0], ts.let(f"torch.tensor({step})", body.inputs[0].name or "i"))
        ts.set(body.inputs[1], ts.let(f"torch.tensor({is_running})", body.inputs[1].name or "again"))
        ts.graph(body)
        for name, value in zip(lists, scans, strict=True):
            ts.line(f"{name}.append({ts.name(value)})")
        again, *after = (ts.name(v) for v in list(body.outputs)[: 1 + count])
        after = [
            s if common_annotation(v) == "Tensor" else f"annotate({common_annotation(inner, v)}, {s})"
            for s, v, inner in zip(after, list(body.outputs)[1:], list(body.inputs)[2:], strict=False)
        ]
        ts.line(f"{step} = {step} + 1")
        ts.line(f"{', '.join([is_running, *carried])} = {', '.join([f'bool({again})', *after])}")
    results = [
        _unwrap_optional(ts, name, common_annotation(inner, value), output)
        for name, inner, value, output in zip(
            carried, list(body.inputs)[2:], node.inputs[2:], node.outputs, strict=False
        )
    ]
    return [*results, *(_stack_scan(ts, n, v) for n, v in zip(lists, scans, strict=True))]


def _unwrap_optional(ts: Source, name: str, type_name: str, output: ir.Value) -> str:
    """Value of a carried optional whose output is known to be present."""
    if not type_name.startswith("Optional") or isinstance(output.type, ir.OptionalType):
        return name
    return ts.lib("optional_value" if isinstance(output.type, ir.TensorType) else "optional_list", name)


def _stack_scan(ts: Source, name: str, value: ir.Value) -> str:
    """Stack a list of scan outputs along a new first axis.

    The result of an empty list has the known dimensions, 0 elsewhere.
    """
    lengths = [d if isinstance(d, int) else 0 for d in value.shape or ()]
    empty = f"torch.empty({list_literal([0, *lengths])}, dtype={ts.dtype(value)})"
    return ts.lib("stack", name, empty)


@ops.op("SequenceEmpty")
def sequence_empty(ts, node):
    return "annotate(List[Tensor], [])"


@ops.op("SequenceConstruct")
def sequence_construct(ts, node, *inputs):
    return list_literal(inputs)


@ops.op("SequenceInsert")
def sequence_insert(ts, node, sequence, tensor, position=None):
    index = f"len({sequence})" if position is None else ts.int(node.inputs[2])
    return ts.lib("insert", sequence, tensor, index)


@ops.op("SequenceErase")
def sequence_erase(ts, node, sequence, position=None):
    return ts.lib("erase", sequence, "-1" if position is None else ts.int(node.inputs[1]))


@ops.op("SequenceAt")
def sequence_at(ts, node, sequence, position):
    return f"{sequence}[{ts.int(node.inputs[1])}]"


@ops.op("SequenceLength")
def sequence_length(ts, node, sequence):
    return f"torch.tensor(len({sequence}))"


@ops.op("ConcatFromSequence")
def concat_from_sequence(ts, node, sequence):
    return f"torch.{'stack' if attr(node, 'new_axis') else 'cat'}({sequence}, {attr(node, 'axis')})"


@ops.op("SplitToSequence")
def split_to_sequence(ts, node, x, split=None):
    """Split by one length, by a list of lengths, or into single elements."""
    axis = attr(node, "axis")
    if split is None:
        return f"torch.split({x}, 1, {axis})" if attr(node, "keepdims") else f"torch.unbind({x}, {axis})"
    if rank_of(node.inputs[1]) == 0:
        return f"torch.split({x}, {ts.int(node.inputs[1])}, {axis})"
    return f"torch.split_with_sizes({x}, {ts.ints(node.inputs[1])}, {axis})"


@ops.op("Optional")
def optional(ts, node, x=None):
    type_attribute = node.attributes.get("type")
    output_type = annotation(node.outputs[0].type) if node.outputs[0].type is not None else None
    if x is None:
        return f"annotate({output_type or f'Optional[{annotation(type_attribute.value.type)}]'}, None)"
    return f"annotate(Optional[{annotation(node.inputs[0].type)}], {x})"


@ops.op("OptionalHasElement")
def has_element(ts, node, x=None):
    if x is None:
        return "torch.tensor(False)"
    return (
        f"torch.tensor({x} is not None)"
        if isinstance(node.inputs[0].type, ir.OptionalType)
        else "torch.tensor(True)"
    )


@ops.op("OptionalGetElement")
def get_element(ts, node, x):
    input_type = node.inputs[0].type
    if not isinstance(input_type, ir.OptionalType):
        return x
    return ts.lib("optional_value" if isinstance(input_type.elem_type, ir.TensorType) else "optional_list", x)
