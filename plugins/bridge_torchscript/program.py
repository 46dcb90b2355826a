"""Exported programs in files (`.pt2`), checked word by word before torch builds anything.

torch evaluates parts of such a file as Python: symbolic sizes, guards, function names, pickled objects. Here
names must be identifiers, functions operators of aten, sizes arithmetic on symbols, weights plain bytes.
Everything else is removed, and a file that needs it is refused.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel, first_line
from bridge_torchscript.guards import META
from bridge_torchscript.interface import leaves
from bridge_torchscript.safe_open import check_members, declare_operators
from bridge_torchscript.tracer_lock import TRACER, quiet

WORD = re.compile(r"[\w.\-+: ]*")
TARGET = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b|load\b)\w+\.\w+"
    r"|torch\.ops\.(?:higher_order|prims|quantized_decomposed|torchvision)\.\w+(?:\.\w+)?|torch\.sym_\w+"
    r"|torch\.ops\.torchao\.(?:choose_qparams|dequantize|quantize)_affine\.default"
    r"|_operator\.(?:add|sub|mul|floordiv|mod|neg|pos|pow|truediv|eq|ne|lt|le|gt|ge|and_|or_|getitem)|math\.(?:ceil|floor|trunc)"
)
SYMBOL = re.compile(r"Symbol\('[su]\d+'(?:, (?:positive|integer|nonnegative)=(?:True|False))*\)")
POWER = re.compile(r"Pow\(s, Integer\([0-4]\)\)")
SIZES = re.compile(
    r"(?:s|p|-?\d{1,19}|True|False|[(), ]|Integer|Rational|Add|Mul|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv"
    r"|ModularIndexing|IntTrueDiv|FloatTrueDiv|TruncToInt|FloorToInt|CeilToInt|ToFloat"
    r"|And|Or|Not|Equality|Unequality|(?:Strict)?(?:Greater|Less)Than)*"
)
CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
TEXTS = frozenset(["as_string", "as_strings"])
STACK = re.compile(r"[^,()\[\]]*,(?:[^,()\[\]]|\[[^,()\[\]]*\])*,[^,()\[\]]*")
MAX_DEPTH = 200


def open_program(path: Path) -> Any:
    """torch.export.ExportedProgram of a file.

    Raises UnsupportedModel for pickled objects, compiled code and foreign operators; UnreadableFile for a
    file that is no valid program.
    """
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive)
            documents = checked_documents(path, archive)
            sanitized = _sanitized(archive, documents)
        declare_operators(path)
        with TRACER, quiet():
            # Declares quantized_decomposed, which programs may call
            importlib.import_module("torch.ao.quantization.fx._decomposed")
            program = torch.export.load(sanitized)
        program.graph_module.meta[META] = documents["guards"]
        return program
    except (BridgeError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableFile(f"{path} is not a valid exported program: {first_line(error)}") from error


def checked_documents(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    """JSON of the programs and of the lists of weights, by the names of members, and `guards`, which torch
    would evaluate. Raises UnsupportedModel, UnreadableFile for what is in none of bridge's programs."""
    documents: dict[str, Any] = {"guards": []}
    for name in archive.namelist():
        inside = name.partition("/")[2]
        if inside.startswith(("data/aotinductor", "data/xl", "data/weights/opaque")):
            raise _refusal(path, "compiled code")
        if inside.startswith("models/") and inside.endswith(".json"):
            program = documents[inside] = json.loads(archive.read(name))
            documents["guards"] += [g for g in program.get("guards_code") or [] if isinstance(g, str)]
            program["guards_code"] = []
            _check_value(path, program)
        elif inside.endswith("_config.json"):
            documents[inside] = json.loads(archive.read(name))
            _check_weights(path, documents[inside])
    return documents


def _sanitized(archive: zipfile.ZipFile, documents: dict[str, Any]) -> io.BytesIO:
    """Copy of the archive with checked members only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as copy:
        for name in archive.namelist():
            inside = name.partition("/")[2]
            if inside.startswith("data/sample_inputs/"):
                copy.writestr(name, b"")
            elif inside in documents:
                copy.writestr(name, json.dumps(documents[inside]))
            elif not inside.startswith("extra/"):
                copy.writestr(name, archive.read(name))
    buffer.seek(0)
    return buffer


def _check_weights(path: Path, config: Any) -> None:
    for name, facts in config["config"].items():
        if facts.get("use_pickle") or facts.get("tensor_meta") is None:
            raise _refusal(path, f"the pickled object {name}")
        if not WORD.fullmatch(facts["path_name"]) or ".." in facts["path_name"]:
            raise UnreadableFile(f"{path} has a weight in {facts['path_name']!r}.")


def _check_value(path: Path, value: Any, key: str = "", depth: int = 0) -> None:
    """Raise unless every text in the program has the syntax that its key allows."""
    if depth > MAX_DEPTH:
        raise UnreadableFile(f"{path} is nested deeper than any program.")
    if isinstance(value, dict):
        value.pop("stack_trace", None)
        if "metadata" in value:
            value["metadata"] = _module_stack(value["metadata"])
        for name, item in value.items():
            if name == "metadata":
                continue
            if name == "as_custom_obj" or not WORD.fullmatch(name):
                raise _refusal(path, f"{name[:80]!r}")
            _check_value(path, item, name, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_value(path, item, key, depth + 1)
    elif isinstance(value, str) and key not in TEXTS:
        _check_word(path, value, key)


def _module_stack(metadata: Any) -> dict[str, str]:
    """The modules that a node comes from, of its metadata."""
    stack = metadata.get("nn_module_stack") if isinstance(metadata, dict) else None
    if not isinstance(stack, str) or not all(STACK.fullmatch(entry) for entry in stack.split(";")):
        return {}
    return {"nn_module_stack": stack}


def _check_word(path: Path, text: str, key: str) -> None:
    if key in ("target", "as_operator"):
        if not TARGET.fullmatch(text):
            raise _refusal(path, f"the function {text[:80]!r}")
    elif key == "expr_str":
        known = POWER.sub("p", SYMBOL.sub("s", text))
        if not SIZES.fullmatch(known) or len(text) > 4000:
            raise _refusal(path, f"the size {text[:80]!r}")
    elif key in ("in_spec", "out_spec"):
        containers = list(_containers(json.loads(text)[1]))
        if any(container not in CONTAINERS for container, _ in containers):
            raise _refusal(path, f"the container {next(k for k, _ in containers if k not in CONTAINERS)!r}")
        if any("__enum__" in str(context) for _, context in containers):
            raise _refusal(path, "an enumeration")
    elif not WORD.fullmatch(text):
        raise UnreadableFile(f"{path} has {text[:80]!r} in the place of a name ({key}).")


def _containers(spec: Any) -> Iterator[tuple[Any, Any]]:
    yield spec["type"], spec["context"]
    for child in spec["children_spec"]:
        yield from _containers(child)


def _refusal(path: Path, what: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{path} holds {what}, which could run code; bridge runs no code from files.",
        [],
        "Load it with torch.export.load if you trust it, and hand the ExportedProgram to bridge.convert.",
    )


def names_of_results(program: Any) -> list[str]:
    """Names of the results: `output`, `output_1`, … of a tuple or list, the keys of a dict."""
    from torch.utils import _pytree as pytree

    spec = program.call_spec.out_spec
    return [name for name, _ in leaves(pytree.tree_unflatten(range(spec.num_leaves), spec), (list, tuple))]


def arguments_of(program: Any) -> list[str]:
    """Names of the arguments that are no constants."""
    return [a.name for a in _arguments(program) if type(a).__name__ != "ConstantArgument"]


def _arguments(program: Any) -> list[Any]:
    return [s.arg for s in program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]


def call(program: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """Run the program; arguments and results are dicts by name.

    A name that is no argument sets the buffer of that name for this call; `NAME.next` is its value then.
    """
    from torch.utils import _pytree as pytree

    args, kwargs = call_arguments(program, tensors)
    module, known = program.module(), arguments_of(program)
    state = {name: value for name, value in tensors.items() if name not in known}
    with buffers_set(module, state) as buffers:
        results, _ = pytree.tree_flatten(module(*args, **kwargs))
        named = dict(zip(names_of_results(program), results, strict=True))
        named |= {f"{name}.next": buffers[name].clone() for name in state}
    return {name: value for name, value in named.items() if value is not None}


def call_arguments(program: Any, tensors: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the program's module, in its own containers, for tensors by name."""
    from torch.utils import _pytree as pytree

    flat = []
    for argument in _arguments(program):
        kind = type(argument).__name__
        value = argument.value if kind == "ConstantArgument" else tensors[argument.name]
        flat.append(value if kind in ("TensorArgument", "ConstantArgument") else value.item())
    return pytree.tree_unflatten(flat, program.call_spec.in_spec)


@contextmanager
def buffers_set(module: Any, state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Buffers of a module by name, those of `state` with its values, all as they were afterwards."""
    buffers = dict(module.named_buffers()) if hasattr(module, "eval") else {}
    before = {name: buffer.clone() for name, buffer in buffers.items()}
    try:
        for name, value in state.items():
            buffers[name].copy_(value)
        yield buffers
    finally:
        for name, buffer in buffers.items():
            buffer.copy_(before[name])
