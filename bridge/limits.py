"""Limits of what a model may take."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from pathlib import Path

import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidOption, TooLarge
from bridge.workers import CORES, PATIENCE

__all__ = [
    "MEMORY",
    "SECONDS",
    "memory",
    "require_memory",
    "require_nodes",
    "require_sizes",
    "runtime_memory",
    "seconds",
    "shown",
    "too_big",
    "too_slow",
    "watched",
]

MEMORY = "BRIDGE_MEMORY"
"""The environment variable of the memory, in bytes, that a conversion may take for what it computes: 4GB,
512MB, 1e9. Without it, half of the machine's, or of what its container is given."""
MORE = f"Allow more with the environment variable {MEMORY}, such as {MEMORY}=64GB."
SECONDS = "BRIDGE_SECONDS"
"""The environment variable of the processor time, in seconds, that a runtime may take for one answer; ten
minutes without it."""
RUNTIME = 2**30
"""Bytes that the process of a runtime may take on top of those, for itself."""
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
            MORE,
        )


def seconds() -> float:
    """Seconds of a processor that an answer may take. Raises InvalidOption for a variable that is no
    number."""
    text = os.environ.get(SECONDS, "600")
    try:
        allowed = float(text)
    except ValueError:
        allowed = 0.0
    if not 0 < allowed < 10**9:
        raise InvalidOption(f"{SECONDS}={text!r} is no number of seconds.", f"Write {SECONDS}=3600.")
    return allowed


def runtime_memory() -> int:
    """Bytes that the process of a runtime may hold."""
    return memory() + RUNTIME


def too_big(runtime: str) -> TooLarge:
    """The error for a runtime that took more memory than it may."""
    allowed = memory()
    return TooLarge(
        f"{runtime} took more than {shown(allowed)} for its answer, besides {shown(RUNTIME)} for itself.",
        MORE,
    )


def too_slow(runtime: str) -> TooLarge:
    """The error for a runtime that took more time than an answer may."""
    allowed = seconds()
    return TooLarge(
        f"{runtime} took more than {allowed:g} s of a processor, or {PATIENCE * allowed:g} s of the clock, "
        "for one answer.",
        f"Allow more with the environment variable {SECONDS}, such as {SECONDS}={6 * allowed:g}.",
    )


@contextmanager
def watched(runtime: str, stop: Callable[[], None]) -> Iterator[None]:
    """A context for one answer of a runtime in this process. `stop` is called when it takes more time than it
    may, and has it raise something; that becomes TooLarge."""
    done, late = threading.Event(), threading.Event()
    clock, allowed = time.monotonic(), seconds()
    processor = time.process_time() + allowed * min(CORES, os.cpu_count() or 1)

    def watch() -> None:
        while not done.wait(min(1.0, allowed)):
            if time.process_time() > processor or time.monotonic() > clock + PATIENCE * allowed:
                late.set()
                stop()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except Exception as error:
        if late.is_set():
            raise too_slow(runtime) from error
        raise
    finally:
        done.set()


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
        or int(rounds.item()) <= ELEMENTS
        or (node.inputs[1] is not None and (held is None or not held.item()))
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
