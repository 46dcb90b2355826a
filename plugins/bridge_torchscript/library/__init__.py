"""Library of TorchScript functions that generated source calls. Its files are text, never executed here.

Functions that are called, directly or not, are written to the archive as `code/__torch__/lib.py`.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable
from pathlib import Path

from bridge_torchscript.script.code import parsed


@functools.cache
def functions() -> dict[str, str]:
    """Source of every function, by name."""
    sources: dict[str, str] = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.name != "__init__.py":
            text = file.read_text()
            nodes = [node for node in parsed(text, file.name) if isinstance(node, ast.FunctionDef)]
            sources.update({node.name: ast.get_source_segment(text, node) or "" for node in nodes})
    return sources


def library(names: Iterable[str]) -> str:
    """Source of the functions `names` and of those they call. Calls get full names."""
    known, pending, texts = functions(), set(names), {}
    call = re.compile(r"(?<![\w.])(?<!def )(" + "|".join(known) + r")\(")
    while pending:
        name = pending.pop()
        texts[name] = call.sub(r"__torch__.lib.\1(", known[name])
        pending |= {m for m in call.findall(known[name]) if m not in texts}
    return "\n\n".join(texts[name] for name in sorted(texts)) + "\n" if texts else ""
