"""Whether models read without their framework are what they are with it: python benchmarks/framework_free.py
FORMAT [FILE …] reads each file both ways, and prints same, differs, or needs the framework and why.

Files are given with the importer's options behind `?`: model.pt?inputs=x:float32[1,4]. Without files those of
the matrix's native cases are read.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import onnx_ir as ir

from bridge.errors import BridgeError, MissingDependency, UnsupportedModel
from bridge.facts import ORIGIN
from bridge.plugins import formats

Case = tuple[str, Any, dict[str, Any]]
"""Name, file, and options of the importer."""


def fingerprint(model: ir.Model) -> str:
    """Digest of what a hub model computes and how: its operators, types, shapes, weights and their names, but
    for the names of values between operators."""
    return hashlib.sha256(repr(_graph(model.graph, {})).encode()).hexdigest()


def _graph(graph: ir.Graph, outer: dict[ir.Value, Any]) -> Any:
    known = {**outer, **{v: ("input", len(outer), i) for i, v in enumerate(graph.inputs)}}
    for node in graph:
        inputs = [None if v is None else known.get(v) or _weight(v) for v in node.inputs]
        attributes = [
            (name, _graph(a.value, known) if a.type == ir.AttributeType.GRAPH else _plain(a.value))
            for name, a in sorted(node.attributes.items())
        ]
        origin = ORIGIN.get(node)
        text = repr((node.domain, node.op_type, inputs, attributes, origin and origin.op))
        for index, value in enumerate(node.outputs):
            facts = (text, index, str(value.type), str(value.shape))
            known[value] = hashlib.sha256(repr(facts).encode()).hexdigest()
    inputs = [(v.name, str(v.type), str(v.shape)) for v in graph.inputs] if not outer else len(graph.inputs)
    names = [v.name for v in graph.outputs] if not outer else len(graph.outputs)
    return inputs, names, [known.get(v) or _weight(v) for v in graph.outputs]


def _plain(value: Any) -> str:
    return hashlib.sha256(value.tobytes()).hexdigest() if hasattr(value, "tobytes") else str(value)


def _weight(value: ir.Value) -> Any:
    tensor = value.const_value
    assert tensor is not None, value.name
    name = re.sub(r"^const.*|__provisional_\w+", "", value.name or "")
    return name, str(tensor.dtype), str(tensor.shape), hashlib.sha256(tensor.tobytes()).hexdigest()


def outcome(read: Callable[[], ir.Model]) -> str:
    """Fingerprint of what is read, or the error's type and first line."""
    try:
        return fingerprint(read())
    except MissingDependency as error:
        return f"needs the framework: {str(error).splitlines()[0]}"
    except UnsupportedModel as error:
        return f"UnsupportedModel: {sorted({(b.op, _without_names(b.reason)) for b in error.blockers})}"
    except BridgeError as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def _without_names(reason: str) -> str:
    return re.sub(r"%[\w.]+", "%", reason)


def torchscript(options: dict[str, Any]) -> tuple[Callable[[Path], ir.Model], Callable[[Path], ir.Model]]:
    """Readers of an archive with torch and without."""
    from bridge_torchscript.importer import load, read_by_torch
    from bridge_torchscript.input_specs import parse_specs

    inputs, method = options.get("inputs"), options.get("method", "forward")

    def without(path: Path) -> ir.Model:
        with mock.patch.dict(sys.modules, {"torch": None}):
            return load(path, inputs, method)

    return lambda path: read_by_torch(path, parse_specs(inputs), method), without


READERS = {"torchscript": torchscript}


def native(name: str, folder: Path) -> Iterator[Case]:
    """Files of the matrix's native cases of a format."""
    for case, made in next(f for f in formats() if f.name == name).resolve("cases")().items():
        try:
            file = made.make(folder)
        except Exception:
            continue
        yield case, file.source, dict(file.options)


def given(files: list[str]) -> Iterator[Case]:
    for file in files:
        path, _, text = file.partition("?")
        options = dict(pair.split("=", 1) for pair in text.split("&") if pair)
        yield file, Path(path), options


def compare(name: str, cases: Iterator[Case]) -> collections.Counter[str]:
    counts: collections.Counter[str] = collections.Counter()
    for case, path, options in cases:
        expected, without = (outcome(partial(read, path)) for read in READERS[name](options))
        same = without == expected
        word = "same" if same else without if without.startswith("needs the framework") else "differs"
        counts[word.partition(":")[0]] += 1
        if not same:
            print(f"{case}: {word}", *(() if word != "differs" else (expected, without)), sep="\n  ")
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("format", choices=sorted(READERS))
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = given(arguments.files) if arguments.files else native(arguments.format, Path(folder))
        counts = compare(arguments.format, cases)
    total = sum(counts.values())
    for word, count in counts.most_common():
        print(f"{word}: {count} of {total}")


if __name__ == "__main__":
    main()
