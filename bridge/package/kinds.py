"""Kinds of packages: what each is declared as, and lookup by name."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import plugins
from bridge.errors import InvalidOption, MissingDependency, PluginError, near_miss
from bridge.formats import Option, parse_options, within
from bridge.ports import Port

if TYPE_CHECKING:
    from bridge.convert import Conversion

__all__ = ["Arrays", "Build", "Kind", "Sample", "kind_of", "kinds"]

Arrays = Mapping[str, Any]
"""Arrays by name."""


@dataclass(frozen=True)
class Sample:
    """Inputs and what the source answers, arrays by name."""

    inputs: Arrays
    expected: Arrays


@dataclass(frozen=True)
class Build:
    """A package being built: its `folder`, the `name` of the model, its `inputs` and `outputs`, the `samples`
    and the `options` of the kind. `convert(path, **options)` writes the model, verified on the samples."""

    folder: Path
    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    samples: tuple[Sample, ...]
    options: dict[str, Any]
    convert: Callable[..., Conversion]

    def write(self, name: str, text: str) -> None:
        """Write a text file of the package."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def table(self) -> str:
        """Inputs and outputs as a table in Markdown."""
        rows = [("input", port) for port in self.inputs] + [("output", port) for port in self.outputs]
        cells = (
            f"| {side} | `{port.name}` | {port.dtype} | {'?' if port.shape is None else list(port.shape)} |"
            for side, port in rows
        )
        return "\n".join(["| | name | dtype | shape |", "|---|---|---|---|", *cells])


@dataclass(frozen=True)
class Kind:
    """A kind of package.

    `build`, "module:name" or a function, takes a Build: it converts the model of `format` into the folder,
    once, and writes what goes with it; it returns what the README says of its use. `run` is the Python
    source, or a file of it, of a function `run(inputs, number)` that the smoke test calls: arrays by name, in
    and out, of the sample of that number, by the runtime of the deployment. `runtime` are the packages that
    needs, and `model` is the file it runs, where that is not the one converted. `needs` are modules without
    which nothing is built, `install` the packages that bring them. Of the options that a package is given,
    those in `options` are the kind's own.
    """

    name: str
    title: str
    format: str
    build: str | Callable[[Build], str]
    run: str | Path
    options: tuple[Option, ...] = ()
    needs: tuple[str, ...] = ()
    install: str = ""
    runtime: str = ""
    model: str = ""

    def resolve(self) -> Callable[[Build], str]:
        """The function that builds it. Raises MissingDependency."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise MissingDependency(
                f"A package for {self.title} needs {', '.join(missing)}, which is not installed.",
                f"Install it with: pip install {self.install or ' '.join(missing)}",
            )
        if not isinstance(self.build, str):
            return self.build
        module, _, name = self.build.partition(":")
        return getattr(importlib.import_module(module), name)

    def source(self) -> str:
        """The Python source of `run`."""
        return self.run.read_text() if isinstance(self.run, Path) else self.run

    def parse(self, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options of the kind, parsed, and the others. Raises InvalidOption."""
        own = {option.name for option in self.options}
        mine = parse_options(self.options, {k: v for k, v in values.items() if k in own}, self.title)
        return mine, {k: v for k, v in values.items() if k not in own}


VERSION = Option(
    "version", "the version of the model in the repository", 1, int, parser=within("version", 1, 2**31 - 1)
)
_ROOM = "bridge.package"
_RUN = {path.name.partition(".")[0]: path for path in (Path(__file__).parent / "templates").glob("*.py.txt")}
OWN = (
    Kind(
        "triton",
        "NVIDIA Triton Inference Server",
        "onnx",
        f"{_ROOM}.triton:build",
        _RUN["onnx"],
        (
            VERSION,
            Option(
                "max_batch_size",
                "the most samples of a batch, where the first dimension of every input and output varies; 0 "
                "for a model that is called as it is",
                8,
                int,
                parser=within("max_batch_size", 0, 2**31 - 1),
            ),
        ),
        runtime="onnxruntime numpy",
    ),
    Kind(
        "tfserving",
        "TensorFlow Serving",
        "savedmodel",
        f"{_ROOM}.tfserving:build",
        _RUN["savedmodel"],
        (VERSION,),
        ("tensorflow",),
        "tensorflow",
        "tensorflow numpy",
    ),
    Kind("ort", "ONNX Runtime", "onnx", f"{_ROOM}.ort:build", _RUN["onnx"], runtime="onnxruntime numpy"),
    Kind(
        "ort-mobile",
        "ONNX Runtime on phones",
        "onnx",
        f"{_ROOM}.ort_mobile:build",
        _RUN["onnx"],
        runtime="onnxruntime numpy",
        model="model.ort",
    ),
    Kind(
        "ort-web", "ONNX Runtime in browsers", "onnx", f"{_ROOM}.ort_web:build", _RUN["web"], runtime="numpy"
    ),
    Kind(
        "litert",
        "LiteRT on Android and iOS",
        "tflite",
        f"{_ROOM}.litert:build",
        _RUN["tflite"],
        runtime="ai-edge-litert numpy",
    ),
    Kind(
        "coreml",
        "Core ML on Apple's systems",
        "coreml",
        f"{_ROOM}.coreml:build",
        _RUN["coreml"],
        (),
        ("coremltools",),
        "coremltools",
        "coremltools numpy",
    ),
    Kind(
        "mlflow",
        "MLflow",
        "onnx",
        f"{_ROOM}.mlflow:build",
        _RUN["mlflow"],
        (),
        ("mlflow",),
        "mlflow",
        "mlflow onnx onnxruntime numpy",
        "model/model.onnx",
    ),
)


@functools.cache
def kinds() -> tuple[Kind, ...]:
    """Every kind of package: those of bridge, and those that plugins bring. Raises PluginError where two have
    one name."""
    known = {kind.name: kind for kind in OWN}
    for distribution, kind in plugins.registry().provided("bridge_packages"):
        if kind.name in known:
            raise PluginError(
                f"The package {kind.name!r} of {distribution} is there already.", "Give it another name."
            )
        known[kind.name] = kind
    return tuple(known.values())


def kind_of(name: str) -> Kind:
    """The kind called `name`. Raises InvalidOption."""
    known = {kind.name: kind for kind in kinds()}
    if name.lower() not in known:
        raise InvalidOption(
            f"There is no package for {name!r}.", f"{near_miss(name, known)}There are: {', '.join(known)}."
        )
    return known[name.lower()]
