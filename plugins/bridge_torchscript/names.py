"""Identifiers in generated source, and paths of weights in the state_dict."""

from __future__ import annotations

import builtins
import keyword
import re

RESERVED = frozenset(
    [*keyword.kwlist, *dir(builtins), "self", "torch", "ops", "annotate", "forward", "Tensor", "List"]
)
RESERVED |= {"Tuple", "Dict", "Optional", "inf", "nan", "uninitialized", "fork", "CONSTANTS"}
RESERVED |= {"unchecked_cast"}
MODULE = frozenset(
    [
        "training",
        "forward",
        "parameters",
        "buffers",
        "modules",
        "children",
        "train",
        "eval",
        "to",
        "cpu",
        "cuda",
        "float",
        "double",
        "half",
        "bfloat16",
        "type",
        "apply",
        "state_dict",
        "load_state_dict",
        "zero_grad",
        "requires_grad_",
        "share_memory",
        "extra_repr",
        "named_parameters",
        "named_buffers",
        "named_modules",
        "named_children",
        "add_module",
        "register_buffer",
        "register_parameter",
        "register_module",
        "get_submodule",
        "get_parameter",
        "get_buffer",
        "compile",
        "dump_patches",
        "call_super_init",
        "set_submodule",
        "to_empty",
        "xpu",
        "ipu",
        "mtia",
        "code",
        "graph",
        "code_with_constants",
        "inlined_graph",
        "original_name",
        "define",
        "save",
        "save_to_buffer",
    ]
)


class Names:
    """Allocator of unique identifiers."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def fresh(self, hint: str) -> str:
        """Unused identifier like `hint`, numbered if that is used."""
        stem = re.sub(r"\W", "_", hint, flags=re.ASCII) or "value"
        if stem[0].isdigit():
            stem = f"_{stem}"
        if stem in RESERVED or stem.startswith("__"):
            stem = f"value_{stem.strip('_')}"
        name, number = stem, 0
        while name in self.used:
            number += 1
            name = f"{stem}_{number}"
        self.used.add(name)
        return name


def weight_path(name: str) -> list[str]:
    """Path of a weight in the module tree: `layer1.0.weight` has three steps, each a name or a number."""
    steps = [re.sub(r"\W", "_", part, flags=re.ASCII) for part in name.split(".")]
    if not all(steps):
        steps = [re.sub(r"\W", "_", name, flags=re.ASCII) or "weight"]
    return [_safe_step(step) for step in steps]


def _safe_step(step: str) -> str:
    if step.isdigit():
        return step
    if step[0].isdigit():
        step = f"_{step}"
    return f"{step}_" if step in MODULE or step in RESERVED or step.startswith("__") else step
