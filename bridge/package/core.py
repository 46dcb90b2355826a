"""The making of a package: samples of the source's runtime, the model verified on them, sums, a test."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.comparison import FLOAT, TOLERANCE
from bridge.convert import Conversion, written
from bridge.digests import sha256_of
from bridge.errors import UnsupportedModel
from bridge.inputs.lengths import Lengths
from bridge.output import atomic, require_free
from bridge.package.kinds import Arrays, Build, Kind, Sample, kind_of
from bridge.passes.names import callable_names
from bridge.plugins import DISTRIBUTION
from bridge.ports import port_of
from bridge.route import Route, route
from bridge.trials import Sampling
from bridge.verify import Judge, Verification

__all__ = ["Package", "package"]

TEMPLATES = Path(__file__).parent / "templates"
SUMS, FACTS = "SHA256SUMS", "facts.json"


@dataclass(frozen=True)
class Package:
    """A folder written: its kind, the conversion of the model within, the files and their SHA-256 sums, and
    the number of samples."""

    path: Path
    kind: str
    conversion: Conversion
    sums: dict[str, str]
    samples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "conversion": self.conversion.to_dict(),
            "files": self.sums,
            "samples": self.samples,
        }

    def __str__(self) -> str:
        lines = [f"{self.path} written, for {kind_of(self.kind).title}.", str(self.conversion.report)]
        lines += [str(self.conversion.verification), *(f"  {name}" for name in sorted(self.sums))]
        return "\n".join([*lines, f"To try it: python {self.path / 'smoke_test.py'}"])


def package(
    src: Any,
    dst: str | Path,
    *,
    kind: str,
    source: str | None = None,
    overwrite: bool = False,
    dims: dict[str, int] | None = None,
    profile: str | None = None,
    samples: Sampling | None = None,
    **options: Any,
) -> Package:
    """Write a folder that a deployment takes as it is, for `kind`: the model, its SHA-256 sums, the report of
    its conversion, sample inputs and what the source's runtime answers, a README and a smoke test.

    `src`, `source`, `dims` and `profile` are as `bridge.convert` has them; `options` are those of the kind,
    of the source and of the format that it packs. The samples are random, or those that a
    `bridge.trials.Sampling` says; the model is verified on them, and what disagrees is not written. With
    `overwrite` a package, and nothing else, is replaced.

    Raises what `convert` raises; UnsupportedModel for inputs or outputs that the deployment does not take.
    """
    chosen = kind_of(kind)
    build = chosen.resolve()
    own, others = chosen.parse(options)
    path = Path(dst)
    require_free(path, overwrite, unless_package)
    with atomic(path, overwrite, unless_package) as folder:
        folder.mkdir()
        way = route(src, folder, to=chosen.format, source=source, dims=dims, options=others, profile=profile)
        model = way.reader.read()
        asked = _samples(way, model, samples or Sampling())
        conversions: list[Conversion] = []

        def convert(place: Path, **more: Any) -> Conversion:
            place.parent.mkdir(parents=True, exist_ok=True)
            own_way = route(
                way.reader.source,
                place,
                to=chosen.format,
                source=way.reader.format.name,
                dims=dims,
                options=others | more,
                profile=profile,
            )
            sampling = Sampling(data=[dict(sample.inputs) for sample in asked])
            conversions.append(written(own_way, False, sampling, False))
            return conversions[-1]

        inputs, outputs = (
            tuple(map(port_of, values)) for values in (model.graph.inputs, model.graph.outputs)
        )
        made = Build(folder, _name(way.reader.stem), inputs, outputs, asked, own, convert)
        usage = build(made)
        (conversion,) = conversions
        conversion = replace(conversion, path=folder / (chosen.model or conversion.path.relative_to(folder)))
        _finish(chosen, made, conversion, usage, path)
        sums = _sums(folder)
        (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    return Package(path, chosen.name, _moved(conversion, folder, path), sums, len(asked))


def _moved(conversion: Conversion, folder: Path, path: Path) -> Conversion:
    """A conversion whose file has come to its place."""
    return replace(conversion, path=path / conversion.path.relative_to(folder))


def _samples(way: Route, model: ir.Model, sampling: Sampling) -> tuple[Sample, ...]:
    """Inputs and answers of the source. Raises UnsupportedModel where an answer is no array."""
    judge = Judge(way.reader, model)
    trials = judge.trials(Lengths(model, sampling.dims), sampling)
    return tuple(Sample(_arrays(t.inputs), _arrays(t.expected)) for t in trials)


def _arrays(values: Arrays) -> dict[str, np.ndarray]:
    for name, value in values.items():
        if isinstance(value, (list, tuple, dict)) or value is None:
            raise UnsupportedModel(f"{name} is no tensor: a package holds samples of tensors alone.", [])
    return {name: np.asarray(value) for name, value in values.items()}


def _finish(kind: Kind, build: Build, conversion: Conversion, usage: str, path: Path) -> None:
    """Write the samples, the facts that the smoke test reads, that test, the report and the README."""
    files: dict[str, list[str]] = {}
    for number, sample in enumerate(build.samples):
        for what, arrays in (("inputs", sample.inputs), ("expected", sample.expected)):
            name = f"samples/{what}-{number}.npz"
            files.setdefault(what, []).append(name)
            (build.folder / "samples").mkdir(exist_ok=True)
            stored: dict[str, Any] = {str(n): _storable(array) for n, array in enumerate(arrays.values())}
            np.savez(build.folder / name, **stored)
    sample = build.samples[0]
    facts = {
        "kind": kind.name,
        "bridge": version(DISTRIBUTION),
        "model": conversion.path.relative_to(build.folder).as_posix(),
        "inputs": {name: str(array.dtype) for name, array in sample.inputs.items()},
        "names": callable_names(sample.inputs),
        "outputs": _tolerances(sample.expected, conversion.verification),
        "samples": [list(pair) for pair in zip(files["inputs"], files["expected"], strict=True)],
    }
    build.write(FACTS, json.dumps(facts, indent=2) + "\n")
    moved = _moved(conversion, build.folder, path)
    build.write("report.json", json.dumps(moved.to_dict(), indent=2, default=str) + "\n")
    test = (TEMPLATES / "smoke_test.py.txt").read_text().replace("# RUN", kind.source(), 1)
    build.write("smoke_test.py", test)
    title = f"# {build.name} for {kind.title}"
    command = f"```sh\npip install {kind.runtime}\npython smoke_test.py\n```"
    build.write("README.md", "\n\n".join([title, build.table(), usage.strip(), CHECKED, command]) + "\n")


def _tolerances(expected: Arrays, verification: Verification | None) -> dict[str, dict[str, Any]]:
    """The dtype and tolerances of outputs; what verification accepted by a measure of its own is `verified`:
    the largest difference it saw."""
    told = {}
    for name, array in expected.items():
        rtol, atol = TOLERANCE.get(str(array.dtype), FLOAT)
        told[name] = {"dtype": str(array.dtype), "rtol": rtol, "atol": atol}
    for row in verification.outputs if verification else ():
        if row.name in told and (row.quantum or row.measure):
            told[row.name]["verified"] = row.max_abs
    return told


CHECKED = """## Check it

`SHA256SUMS` has the sums of all files (`sha256sum -c SHA256SUMS`), `report.json` says how the model was
converted and verified, `samples` holds inputs and what the source of the model answers to them. The smoke
test checks the sums, runs the model on the samples, and compares:"""


def _storable(array: np.ndarray) -> np.ndarray:
    """An array that is stored without pickling, in bits where numpy has no name for its dtype."""
    if array.dtype == object:
        return array.astype(str)
    return (
        array if array.dtype.kind in "biufcSU" and array.dtype.isbuiltin else array.view(f"u{array.itemsize}")
    )


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in files}


def _name(stem: str) -> str:
    """A name that folders, servers and registries take."""
    return re.sub(r"[^\w-]+", "_", stem).strip("_") or "model"


def unless_package(place: Path) -> str:
    """The refusal of all but packages with nothing beside what their sums name, and empty folders."""
    if not place.is_dir():
        return "is no package, but a file"
    files = {p.relative_to(place).as_posix() for p in place.rglob("*") if not p.is_dir()}
    if not files:
        return ""
    try:
        named = {line.split("  ", 1)[1] for line in (place / SUMS).read_text().splitlines()}
    except (OSError, IndexError, UnicodeDecodeError):
        return "is a folder that is no package"
    strange = sorted(files - named - {SUMS})
    return f"is a folder that holds {strange[0]} beside a package" if strange else ""
