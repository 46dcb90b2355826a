"""Whether models read without their framework are what they are with it.

    python benchmarks/framework_free.py torchscript|programs|savedmodel [FILE …] [--only WORD]

Each file is read both ways, and is the same, differs, or needs the framework: by which operator is printed.
Without files those under ../shared/models and the matrix's native cases are read: archives as torchscript, the
same samples exported by torch.export as programs, folders and frozen graphs as savedmodel. Options of the importer
stand behind `?`: model.pt?inputs=x:float32[1,4].
"""

from __future__ import annotations

import argparse
import hashlib
import re
import runpy
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir

import bridge
from bridge.digests import content_of, digests
from bridge.errors import BridgeError, MissingDependency, SeveralModels, UnsupportedModel
from bridge.facts import ORIGIN
from bridge.plugins import formats

SHARED = Path(__file__).parents[2] / "shared" / "models"
SHARED = SHARED if SHARED.exists() else Path("/work/shared/models")
TESTS = Path(__file__).parents[1] / "tests"
Read = Callable[[Path, dict[str, Any]], ir.Model]
Case = tuple[str, Path, dict[str, Any]]
"""Name, file, and options of the importer."""


def fingerprint(model: ir.Model) -> str:
    """Digest of what a hub model computes and how: its operators, types, shapes, weights and their names, but
    for the names of values between operators."""
    found = digests(model.graph, weight=_weight, told=_told)
    inputs = [(v.name, str(v.type), str(v.shape)) for v in model.graph.inputs]
    outputs = [(v.name, found[v]) for v in model.graph.outputs]
    return hashlib.sha256(repr((inputs, outputs)).encode()).hexdigest()


def _weight(value: ir.Value) -> Any:
    return re.sub(r"^const.*|__provisional_\w+", "", value.name or ""), content_of(value.const_value)


def _told(value: ir.Value) -> Any:
    node = value.producer()
    origin = node and ORIGIN.get(node)
    return str(value.type), str(value.shape), origin and origin.op


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


def by_torch(path: Path, options: dict[str, Any]) -> ir.Model:
    """An archive or program that torch loads."""
    from bridge_torchscript.importer import read_by_torch
    from bridge_torchscript.input_specs import parse_specs

    return read_by_torch(path, parse_specs(options.get("inputs")), options.get("method", "forward"))


def by_ours(path: Path, options: dict[str, Any]) -> ir.Model:
    """An archive or program as bridge reads it."""
    from bridge_torchscript.importer import load

    return load(path, **options)


def by_bridge(path: Path, options: dict[str, Any]) -> ir.Model:
    return bridge.load(path, **options)


def archives(folder: Path) -> Iterator[Case]:
    """Files at hand, as the tests describe their inputs, and the native cases."""
    sys.path.insert(0, str(TESTS))
    tested = runpy.run_path(str(TESTS / "formats" / "test_torchscript_import.py"))
    described = [(name, {"inputs": inputs}) for name, inputs in tested["ARCHIVES"].items()]
    described += [(n, {"method": m, "inputs": inputs}) for n, m, inputs in tested["METHODS"]]
    for path in sorted(p for p in (SHARED / "torchscript").rglob("*") if p.suffix in (".pt", ".jit", ".dat")):
        name = f"{path.parent.name}/{path.name}"
        for options in [o for n, o in described if n == name] or [{}]:
            yield f"shared {name} {options}", path, options
    yield from native("torchscript", folder)


def native(name: str, folder: Path) -> Iterator[Case]:
    for case, made in next(f for f in formats() if f.name == name).resolve("cases")().items():
        try:
            file = made.make(folder)
        except Exception:
            continue
        yield case, file.source, dict(file.options)


def programs(folder: Path) -> Iterator[Case]:
    """The samples of the native cases as exported programs."""
    import torch
    from bridge_torchscript.cases import Sample, entries, samples
    from bridge_torchscript.tracer_lock import quiet

    for entry in entries():
        for mark, sample in zip(
            ("", " last"), samples(entry)[:: max(1, len(samples(entry)) - 1)], strict=False
        ):
            path = folder / "program.pt2"
            try:
                module = Sample(entry, sample).eval()
                with torch.no_grad(), quiet():
                    torch.export.save(torch.export.export(module, module._fresh(), strict=False), path)
            except Exception:
                continue
            yield f"{entry.formatted_name}{mark}", path, {}


def saved_models(folder: Path) -> Iterator[Case]:
    """Files at hand, each of their signatures, and the native cases as folders and as frozen graphs."""
    for file in sorted((*SHARED.rglob("*.pb"), *SHARED.rglob("saved_model.pbtxt"))):
        source = file.parent if file.stem == "saved_model" else file
        if file.name == "fingerprint.pb":
            continue
        for options in _signatures(source):
            yield f"shared {source.parent.name}/{source.name} {options}", source, options
    for number, (name, traced, _) in enumerate(native("savedmodel", folder)):
        path = folder / f"case{number}"
        path.with_suffix(".pb").write_bytes(traced.graph.as_graph_def().SerializeToString())
        yield f"{name} frozen", path.with_suffix(".pb"), {}
        try:
            _save(traced, path)
        except Exception as error:
            print(f"{name} cannot be saved: {str(error).splitlines()[0]}", file=sys.stderr)
        else:
            yield name, path, {}


def _signatures(path: Path) -> list[dict[str, Any]]:
    try:
        bridge.load(path)
    except SeveralModels as error:
        return [{"signature": name} for name in error.choices]
    except BridgeError:
        pass
    return [{}]


def _save(traced: Any, path: Path) -> None:
    """A folder whose signature is a traced function."""
    import tensorflow as tf

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


@contextmanager
def lacking(package: str) -> Iterator[None]:
    """A package as if it were not installed, and nothing kept of it by the module that imports it."""
    for name, module in list(sys.modules.items()):
        for kept in vars(module).values() if name.endswith(f".{package}") and "bridge_" in name else ():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()
    found = sys.modules.get(package)
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
        if found is not None:
            sys.modules[package] = found


@dataclass(frozen=True)
class Kind:
    """Files of a framework: how they are read by it, or where it is installed, and without it."""

    framework: str
    cases: Callable[[Path], Iterator[Case]]
    installed: Read
    absent: Read

    def without(self, path: Path, options: dict[str, Any]) -> str:
        """Outcome where the framework is not installed."""
        with lacking(self.framework):
            return outcome(partial(self.absent, path, options))

    def pair(self, path: Path, options: dict[str, Any]) -> tuple[str, str]:
        """Outcomes without the framework and with it: in this order, as what it computes is kept."""
        return self.without(path, options), outcome(partial(self.installed, path, options))


KINDS = {
    "torchscript": Kind("torch", archives, by_torch, by_ours),
    "programs": Kind("torch", programs, by_torch, by_ours),
    "savedmodel": Kind("tensorflow", saved_models, by_bridge, by_bridge),
}


def given(files: list[str]) -> Iterator[Case]:
    for file in files:
        path, _, text = file.partition("?")
        options = dict(pair.split("=", 1) for pair in text.split("&") if pair)
        yield file, Path(path), options


def compare(kind: Kind, cases: Iterator[Case], only: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for case, path, options in cases:
        if only not in case:
            continue
        without, expected = kind.pair(path, options)
        same = without == expected
        word = "same" if same else without if without.startswith("needs the framework") else "differs"
        counts[word.partition(":")[0]] += 1
        if not same:
            print(
                f"{case}: {word}", *(() if word != "differs" else (expected, without)), sep="\n  ", flush=True
            )
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("files", nargs="*")
    parser.add_argument("--only", default="", help="the cases with this word in their names")
    arguments = parser.parse_args()
    kind = KINDS[arguments.kind]
    with tempfile.TemporaryDirectory() as folder:
        cases = given(arguments.files) if arguments.files else kind.cases(Path(folder))
        counts = compare(kind, cases, arguments.only)
    total = sum(counts.values())
    for word, count in counts.most_common():
        print(f"{word}: {count} of {total}")
    print(f"{100 * (total - counts['needs the framework']) / max(total, 1):.1f} % need no framework")


if __name__ == "__main__":
    main()
