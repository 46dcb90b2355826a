"""Limits of what a model may take."""

from __future__ import annotations

import os
import re
from functools import cache
from math import prod
from pathlib import Path

import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidOption, TooLarge

__all__ = ["MEMORY", "memory", "require_memory", "require_nodes", "require_sizes", "shown"]

MEMORY = "BRIDGE_MEMORY"
"""The environment variable of the memory, in bytes, that a conversion may take for what it computes: 4GB,
512MB, 1e9. Without it, half of the machine's, or of what its container is given."""
ELEMENTS = 2**38
"""The most elements of a value."""
NODES = 2**18
"""The most nodes that the functions of a model are expanded to."""

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
CONTAINER = Path("/sys/fs/cgroup/memory.max")


def memory() -> int:
    """Bytes that may be taken. Raises InvalidOption for a variable that is no size."""
    text = os.environ.get(MEMORY, "")
    if not text:
        return _of_machine() // 2
    match = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if match is None:
        raise InvalidOption(f"{MEMORY}={text!r} is no size.", "Write 4GB, 512MB, or a number of bytes.")
    return int(float(match[1]) * UNITS[match[2]])


def require_memory(size: int, what: str) -> None:
    """Raise TooLarge where `what`, of `size` bytes, is more than may be taken."""
    allowed = memory()
    if size > allowed:
        raise TooLarge(
            f"{what} takes {shown(size)}, and {shown(allowed)} are allowed.",
            f"Allow more with the environment variable {MEMORY}, such as {MEMORY}=64GB.",
        )


def require_nodes(count: int, what: str) -> None:
    """Raise TooLarge where `what` is more than the most nodes."""
    if count > NODES:
        raise TooLarge(f"{what} expand to {count:,} nodes, and {NODES:,} are the most.")


def require_sizes(model: ir.Model) -> None:
    """Raise TooLarge for a value of more elements than any machine holds, and for an endless loop."""
    for node in hub.all_nodes(model):
        if node.op_type == "Loop" and _is_endless(node):
            raise TooLarge(
                f"Loop {node.name} runs {hub.const(node.inputs[0])} times, which no machine does.",
                "Is a constant of the model wrong?",
            )
        for value in node.outputs:
            count = prod(hub.shape_of(value) or ())
            if count > ELEMENTS:
                raise TooLarge(
                    f"{node.op_type} {node.name} makes {count:,} elements, which no machine holds.",
                    "Is a constant of the model wrong?",
                )


def _is_endless(node: ir.Node) -> bool:
    """True for a Loop of more rounds than the most, whose condition nothing changes."""
    (body,), rounds, held = hub.subgraphs(node), hub.const(node.inputs[0]), hub.const(node.inputs[1])
    if (
        rounds is None
        or int(rounds) <= ELEMENTS
        or (node.inputs[1] is not None and (held is None or not held))
    ):
        return False
    goes_on = body.outputs[0]
    while (producer := goes_on.producer()) is not None and producer.op_type == "Identity":
        goes_on = producer.inputs[0]  # type: ignore[assignment]
    told = hub.const(goes_on)
    return goes_on is body.inputs[1] or (told is not None and bool(told))


def shown(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


@cache
def _of_machine() -> int:
    """Bytes of memory of the machine, or of the container this process runs in."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        total = 16 * 10**9
    try:
        return min(total, int(CONTAINER.read_text()))
    except (OSError, ValueError):
        return total
