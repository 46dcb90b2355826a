"""Nodes held against the schemas of their operators, at the opset of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.schemas import problems_of

SHOWN = 5


def require_schemas(model: ir.Model, title: str) -> None:
    """Raise UnreadableFile, naming the first five, for nodes of standard domains that have fewer or more
    operands than their operators, or lack an attribute, or have one of another type; and for an opset there
    cannot be. `title` names the model."""
    for domain, version in model.graph.opset_imports.items():
        if not 1 <= version < 2**31:
            raise UnreadableFile(
                f"{title} imports opset {version} of {domain or 'ai.onnx'}.", "Is the file complete?"
            )
    problems = list(_problems(hub.all_nodes(model), model.graph.opset_imports))
    for function in model.functions.values():
        problems += _problems(function, function.opset_imports)
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UnreadableFile(
            f"{title} has operators that are not as ONNX defines them:\n  "
            + "\n  ".join(problems[:SHOWN])
            + more,
            "Is the file complete, and made by a current exporter?",
        )


def _problems(nodes: Iterable[ir.Node], opsets: dict[str, int]) -> Iterator[str]:
    for node in nodes:
        schema = hub.schema(node, opsets.get(node.domain, 1)) if node.domain in hub.STANDARD_OPSETS else None
        if schema is not None and not schema.deprecated:
            for problem in problems_of(node, schema):
                yield f"{node.op_type} {node.name or ''} {problem}"
