"""The same bytes in each run: TensorFlow counts functions over the life of a process, and gives each folder a
number drawn by chance."""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path
from typing import Any

NUMBERED = re.compile(r".*_(\d+)")
UNUSED = re.compile(r"_\d+(___redundant_placeholder\d+)")
ARGUMENT = "_user_specified_name"
CALLS = ("f", "body", "cond", "then_branch", "else_branch", "branches")
"""Attributes of nodes that name functions."""


def renumber_functions(meta: Any) -> None:
    """Number the functions of a meta graph from 0 in the order they were made, and sort them by name."""
    library = meta.graph_def.library
    found = [NUMBERED.fullmatch(body.signature.name) for body in library.function]
    made = [match[0] for match in sorted(filter(None, found), key=lambda match: int(match[1]))]
    names = {name: f"{name.rpartition('_')[0]}_{place}" for place, name in enumerate(made)}
    bodies = sorted(library.function, key=lambda f: names.get(f.signature.name, f.signature.name))
    copies = [type(body).FromString(body.SerializeToString()) for body in bodies]
    del library.function[:]
    library.function.extend(copies)
    for body in library.function:
        body.signature.name = names.get(body.signature.name, body.signature.name)
        _name_arguments(body)
    for gradient in library.gradient:
        gradient.function_name = names.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = names.get(gradient.gradient_func, gradient.gradient_func)
    for nodes in (meta.graph_def.node, *(body.node_def for body in library.function)):
        for node in nodes:
            _rename_calls(node, names)
    _rename_objects(meta.object_graph_def, names)


def _name_arguments(body: Any) -> None:
    """Take the counts of functions out of the names of arguments: of those that nothing reads, and of those
    that a function captures, which are called by their places."""
    for argument in body.signature.input_arg:
        argument.name = UNUSED.sub(r"\1", argument.name)
    for place, held in body.arg_attr.items():
        if ARGUMENT in held.attr and held.attr[ARGUMENT].s.isdigit():
            held.attr[ARGUMENT].s = str(place).encode()


def _rename_calls(node: Any, names: dict[str, str]) -> None:
    node.op = names.get(node.op, node.op)
    for key in CALLS:
        if key in node.attr:
            for called in (node.attr[key].func, *node.attr[key].list.func):
                if called.name in names:
                    called.name = names[called.name]


def _rename_objects(graph: Any, names: dict[str, str]) -> None:
    """Rename functions where objects refer to them."""
    rename_keys(graph.concrete_functions, names)
    for node in graph.nodes:
        kind = node.WhichOneof("kind")
        if kind == "bare_concrete_function":
            bare = node.bare_concrete_function
            bare.concrete_function_name = names.get(bare.concrete_function_name, bare.concrete_function_name)
        elif kind == "function":
            held = node.function.concrete_functions
            held[:] = [names.get(name, name) for name in held]


def rename_keys(fields: Any, names: dict[str, str]) -> None:
    """Rename the keys of a protobuf map in place."""
    copies = {key: type(fields[key]).FromString(fields[key].SerializeToString()) for key in fields}
    for key in copies:
        del fields[key]
    for key, value in copies.items():
        fields[names.get(key, key)].CopyFrom(value)


def write_fingerprint(path: Path) -> None:
    """Write the fingerprint of a folder, with a number that its contents give."""
    from tensorflow.core.protobuf import fingerprint_pb2
    from tensorflow.python.saved_model import fingerprinting_utils

    file = path / "fingerprint.pb"
    file.unlink(missing_ok=True)
    fingerprinting_utils.write_fingerprint(str(path))
    if file.exists():
        fingerprint = fingerprint_pb2.FingerprintDef.FromString(file.read_bytes())
        content = (path / "saved_model.pb").read_bytes()
        fingerprint.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(content).hexdigest()))
        file.write_bytes(fingerprint.SerializeToString(deterministic=True))
