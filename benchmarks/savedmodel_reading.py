"""Whether SavedModels and frozen graphs are read the same without TensorFlow, and by two versions of bridge.

    python benchmarks/savedmodel_reading.py make FOLDER [--only WORD]
    python benchmarks/savedmodel_reading.py read FOLDER HUBS [--without tensorflow]
    python benchmarks/savedmodel_reading.py compare HUBS HUBS

`make` writes every native case of SavedModel as a folder and as a frozen graph, with TensorFlow, and links the
models under ../shared/models. `read` reads each of them into a hub model, or into the error it is refused with;
`--without` makes a package one that is not installed, and any part of it that is imported all the same a
failure. `compare` prints which hubs are the same byte for byte, which differ, and which files need the
framework, with the operator that needs it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import onnx_ir as ir

import bridge

SHARED = Path("/work/shared/models/savedmodel")


class Absent(MetaPathFinder):
    """Finds nothing of a package, as if it were not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def make(folder: Path, only: str) -> None:
    """Write the native cases, and link the models at hand."""
    import tensorflow as tf
    from bridge_savedmodel.cases import cases

    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, case) in enumerate(cases().items()):
        if only not in name:
            continue
        traced = case.make(folder).source
        stem = folder / f"{number:04d}_{''.join(c if c.isalnum() else '_' for c in name)}"
        stem.with_suffix(".pb").write_bytes(traced.graph.as_graph_def().SerializeToString())
        try:
            _save(tf, traced, stem)
        except Exception as error:
            print(f"{name} cannot be saved: {str(error).splitlines()[0]}", file=sys.stderr)
    for file in sorted((*SHARED.rglob("*.pb"), *SHARED.rglob("saved_model.pbtxt"))):
        source = file.parent if file.stem == "saved_model" else file
        if file.name != "fingerprint.pb":
            (folder / f"shared_{source.parent.name}_{source.name}").symlink_to(source)


def _save(tf: Any, traced: Any, path: Path) -> None:
    """A folder whose signature is a traced function."""
    module = tf.Module()
    module.kept = list(traced.variables)
    leaves = tf.nest.flatten(traced.structured_input_signature, expand_composites=True)
    specs = {s.name: s for s in leaves if isinstance(s, tf.TensorSpec)}

    def signature(**tensors: Any) -> dict[str, Any]:
        results = traced(*(tensors[name] for name in specs))
        leaves = tf.nest.flatten(results, expand_composites=True)
        return {f"out{n}": tf.convert_to_tensor(t) for n, t in enumerate(leaves)}

    function = tf.function(signature, autograph=False).get_concrete_function(**specs)
    tf.saved_model.save(module, str(path), signatures=function)


def read(folder: Path, hubs: Path, absent: str) -> None:
    """Write the hub of every file, or its error."""
    if absent:
        sys.meta_path.insert(0, Absent(absent))
    hubs.mkdir(parents=True, exist_ok=True)
    for path in sorted(p for p in folder.iterdir() if p.is_dir() or p.suffix == ".pb"):
        for name, options in _readings(path):
            try:
                content = _bytes(bridge.load(path, **options))
            except bridge.BridgeError as error:
                content = f"{type(error).__name__}: {error}".replace(f"{folder}/", "").encode()
            (hubs / name).write_bytes(content)


def _readings(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The file as it is, or each of its signatures."""
    try:
        bridge.load(path)
    except bridge.errors.SeveralModels as error:
        return [(f"{path.name}_{name}", {"signature": name}) for name in error.choices]
    except bridge.BridgeError:
        pass
    return [(path.name, {})]


def _bytes(model: ir.Model) -> bytes:
    return ir.serde.serialize_model(model).SerializeToString(deterministic=True)


def compare(before: Path, after: Path) -> None:
    """Print a line for every file that is not the same, and the counts."""
    counts: Counter[str] = Counter()
    for path in sorted(before.iterdir()):
        one, other = path.read_bytes(), (after / path.name).read_bytes()
        needs = other.startswith(b"MissingDependency")
        verdict = "same" if one == other else "needs the framework" if needs else "differs"
        counts[verdict] += 1
        if verdict != "same":
            print(f"{path.name}: {verdict}: {other[:300].decode(errors='replace') if needs else ''}")
    total = sum(counts.values())
    print(", ".join(f"{v} {k}" for k, v in counts.most_common()), f"of {total}")
    print(f"{100 * (total - counts['needs the framework']) / total:.1f} % need no framework")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("make", "read", "compare"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        if name == "make":
            command.add_argument("--only", default="", help="the cases with this word in their names")
        else:
            command.add_argument("hubs", type=Path)
        if name == "read":
            command.add_argument("--without", default="", help="a package to do without")
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder, given.only)
    elif given.command == "read":
        read(given.folder, given.hubs, given.without)
    else:
        compare(given.folder, given.hubs)


if __name__ == "__main__":
    main()
