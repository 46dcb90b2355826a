"""Nodes held against the schemas of their operators, at the opset of the file."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator

import onnx
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.schemas import problems_of
from bridge_onnx.import_ops import ops
from bridge_onnx.import_ops.common import DOMAIN

MANY = 2**31 - 1
VENDOR_ATTRIBUTES = {
    **dict.fromkeys(("Attention", "QAttention", "MultiHeadAttention", "PackedAttention"), "num_heads"),
    **dict.fromkeys(("PackedMultiHeadAttention", "DecoderMaskedMultiHeadAttention"), "num_heads"),
    "FusedMatMulActivation": "activation",
    "GroupNorm": "groups activation",
    "GroupQueryAttention": "num_heads kv_num_heads",
    "LinearAttention": "q_num_heads kv_num_heads",
    "MRotaryEmbedding": "mrope_section",
    "MatMulBnb4": "K N block_size quant_type",
    "MatMulNBits": "K N block_size",
    "MatMulNBitsMlp": "K N block_size activation",
    "MatMulNBitsQkv": "K Nq Nkv block_size",
    "NhwcMaxPool": "kernel_shape",
    "QLinearAveragePool": "kernel_shape",
    "QLinearReduceMean": "axes keepdims",
    "ReduceSumInteger": "axes keepdims",
    "SkipGroupNorm": "groups activation",
    "SparseAttention": "num_heads kv_num_heads sparse_block_size",
    "UnfoldTensor": "size",
}
"""Attributes without which operators of com.microsoft are none."""


def require_schemas(model: ir.Model, title: str) -> None:
    """Raise UnreadableFile, naming the first five, for nodes whose operands or attributes are not as their
    operators take them, for values that nothing makes, and for an opset there cannot be. `title`
    names the model."""
    for domain, version in model.graph.opset_imports.items():
        if not 1 <= version < 2**31:
            raise UnreadableFile(
                f"{title} imports opset {version} of {domain or 'ai.onnx'}.", "Is the file complete?"
            )
    problems = [*_unmade(model), *_problems(hub.all_nodes(model), model.graph.opset_imports)]
    problems += _vendor_problems(hub.all_nodes(model))
    for function in model.functions.values():
        problems += _problems(function, function.opset_imports)
    hub.require_none(problems, title)


def _unmade(model: ir.Model) -> Iterator[str]:
    for node in hub.all_nodes(model):
        for read in node.inputs:
            if read is not None and not _is_made(read):
                yield f"{node.op_type} {node.name or ''} reads {read.name}, which nothing makes"
    for graph in hub.graphs(model):
        yield from (f"output {value.name} is never made" for value in graph.outputs if not _is_made(value))


def _is_made(value: ir.Value) -> bool:
    return value.producer() is not None or value.is_graph_input() or value.is_initializer()


def _problems(nodes: Iterable[ir.Node], opsets: dict[str, int]) -> Iterator[str]:
    for node in nodes:
        schema = _schema(node, opsets.get(node.domain, 1))
        if schema is not None and not schema.deprecated:
            for problem in problems_of(node, schema, inferred=False):
                yield f"{node.op_type} {node.name or ''} {problem}"


def _schema(node: ir.Node, opset: int) -> onnx.defs.OpSchema | None:
    """The schema of an operator of a standard domain at an opset, or at the one that brought it: some are
    written under older ones."""
    newest = hub.STANDARD_OPSETS.get(node.domain, 0)
    versions = range(opset, max(opset, newest) + 1) if newest else ()
    return next((found for v in versions if (found := hub.schema(node, v)) is not None), None)


def _vendor_problems(nodes: Iterable[ir.Node]) -> Iterator[str]:
    """Nodes of domains without schemas that have fewer or more inputs than the rules that read them take, or
    lack an attribute."""
    for node in nodes:
        if node.domain in hub.STANDARD_OPSETS:
            continue
        least, most = _input_counts().get(hub.qualified(node), (0, MANY))
        if not least <= len(node.inputs) <= most:
            yield f"{node.op_type} {node.name or ''} has {len(node.inputs)} inputs, not {least} to {most}"
        for name in VENDOR_ATTRIBUTES.get(node.op_type, "").split() if node.domain == DOMAIN else ():
            if name not in node.attributes:
                yield f"{node.op_type} {node.name or ''} has no attribute {name}"


@functools.cache
def _input_counts() -> dict[str, tuple[int, int]]:
    """Numbers of inputs that the rules of an operator take at least and at most."""
    counts: dict[str, tuple[int, int]] = {}
    for rule in ops:
        parameters = list(inspect.signature(rule.handler).parameters.values())[2:]
        least = sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
        many = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        before = counts.get(rule.op, (MANY, 0))
        counts[rule.op] = (min(before[0], least), max(before[1], MANY if many else len(parameters)))
    return counts
