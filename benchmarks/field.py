"""Architectures people convert now × what exports them × every target: `python benchmarks/field.py [NAME | GROUP …]
[--sources trace,export,…] [--targets onnx,…] [--jobs N] [--out FILE] [--table] [--page FILE]`.

Each of `field_models.py` is exported with its dimensions left open, converted by `bridge.convert(…, verify=True)`, and
what is written is run in its own runtime at two settings of all lengths and compared with what was exported, in its own
runtime: numbers within 1e-3 of an output's largest. An outcome is a line of FILE, which a second run with the same
file does not do again; `--table` prints what FILE holds as counts, reasons of refusals, and names kept, `--page` writes
it as a page. Packages wanted beside bridge's own: transformers, diffusers, timm, ultralytics.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from field_models import ARCHITECTURES, Architecture, Tensors, chosen

import bridge
from bridge.errors import UnsupportedModel, VerificationFailed

SECONDS = 1800
TOLERANCE = 1e-3
TARGETS: dict[str, tuple[str, dict[str, Any]]] = {
    "onnx": (".onnx", {}),
    "torchscript": (".pt", {}),
    "savedmodel": ("", {}),
    "tflite": (".tflite", {}),
    "coreml15": (".mlpackage", {"minimum_deployment_target": "iOS15"}),
    "coreml18": (".mlpackage", {"minimum_deployment_target": "iOS18"}),
}
Source = tuple[Any, dict[str, Any]]
"""What is converted, and the options it is read with."""


def tensors(arrays: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def trace(model: Any, architecture: Architecture, folder: Path) -> Source:
    example = tuple(tensors(architecture.arrays(0)).values())
    torch.jit.save(torch.jit.trace(model, example, check_trace=False, strict=False), folder / "source.pt")
    return folder / "source.pt", {"inputs": declared(architecture)}


def script(model: Any, architecture: Architecture, folder: Path) -> Source:
    torch.jit.save(torch.jit.script(model), folder / "source.pt")
    return folder / "source.pt", {"inputs": declared(architecture)}


def live(model: Any, architecture: Architecture, folder: Path) -> Source:
    return model, {"inputs": declared(architecture)}


def declared(architecture: Architecture) -> list[str]:
    """What bridge is told of the inputs of a program that does not say it."""
    return [
        f"{name}:{architecture.arrays(0)[name].dtype}[{','.join(map(str, each.shape))}]"
        for name, each in architecture.inputs.items()
    ]


def varying(architecture: Architecture) -> dict[str, dict[int, Any]]:
    """Dimensions as torch.export takes them; sums are for it to find."""
    dims = {
        name: torch.export.Dim(name)
        for each in architecture.inputs.values()
        for name in each.names().values()
        if "+" not in name
    }
    return {
        name: {axis: dims.get(length, torch.export.Dim.DYNAMIC) for axis, length in each.names().items()}
        for name, each in architecture.inputs.items()
    }


def exported(model: Any, architecture: Architecture) -> torch.export.ExportedProgram:
    """The program with its dimensions under their names, or else such as torch finds."""
    example = tensors(architecture.arrays(0))
    try:
        return torch.export.export(model, (), example, dynamic_shapes=varying(architecture))
    except Exception:
        unnamed = {
            name: dict.fromkeys(each, torch.export.Dim.DYNAMIC)
            for name, each in varying(architecture).items()
        }
        return torch.export.export(model, (), example, dynamic_shapes=unnamed)


def export(model: Any, architecture: Architecture, folder: Path) -> Source:
    torch.export.save(exported(model, architecture), folder / "source.pt2")
    return folder / "source.pt2", {}


def dynamo(model: Any, architecture: Architecture, folder: Path) -> Source:
    program = torch.onnx.export(
        exported(model, architecture),
        (),
        input_names=list(architecture.inputs),
        output_names=list(architecture.outputs),
        dynamo=True,
        verbose=False,
    )
    program.save(folder / "source.onnx")
    return folder / "source.onnx", {}


def legacy(model: Any, architecture: Architecture, folder: Path) -> Source:
    torch.onnx.export(
        model,
        tuple(tensors(architecture.arrays(0)).values()),
        folder / "source.onnx",
        input_names=list(architecture.inputs),
        output_names=list(architecture.outputs),
        dynamic_axes={name: each.names() for name, each in architecture.inputs.items()},
        opset_version=18,
        dynamo=False,
    )
    return folder / "source.onnx", {}


def level(name: str) -> Callable[[Any, Architecture, Path], Source]:
    """The legacy file as ONNX Runtime saves it, optimized."""

    def make(model: Any, architecture: Architecture, folder: Path) -> Source:
        path, _ = legacy(model, architecture, folder)
        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{name}")
        settings.optimized_model_filepath = str(folder / "optimized.onnx")
        onnxruntime.InferenceSession(path, settings)
        return folder / "optimized.onnx", {}

    return make


def fused(model: Any, architecture: Architecture, folder: Path) -> Source:
    """The legacy file as the optimizer of ONNX Runtime for transformers fuses its kind of model."""
    from onnxruntime.transformers.optimizer import optimize_model

    path, _ = legacy(model, architecture, folder)
    made = optimize_model(str(path), architecture.fusion, num_heads=4, hidden_size=32, opt_level=0)
    made.save_model_to_file(str(folder / "fused.onnx"))
    return folder / "fused.onnx", {}


def keras_file(model: Any, architecture: Architecture, folder: Path) -> Source:
    model.save(folder / "source.keras")
    return folder / "source.keras", {}


def keras_export(model: Any, architecture: Architecture, folder: Path) -> Source:
    model.export(str(folder / "source"), verbose=False)
    return folder / "source", {}


def keras_live(model: Any, architecture: Architecture, folder: Path) -> Source:
    return model, {}


TORCH_SOURCES: dict[str, Callable[[Any, Architecture, Path], Source]] = {
    "trace": trace,
    "script": script,
    "export": export,
    "dynamo": dynamo,
    "legacy": legacy,
    "live": live,
}
OPTIMIZED_SOURCES: dict[str, Callable[[Any, Architecture, Path], Source]] = {
    "ort_basic": level("BASIC"),
    "ort_extended": level("EXTENDED"),
    "ort_all": level("ALL"),
    "ort_fused": fused,
}
KERAS_SOURCES: dict[str, Callable[[Any, Architecture, Path], Source]] = {
    "keras": keras_file,
    "savedmodel": keras_export,
    "live": keras_live,
}


def sources(architecture: Architecture) -> dict[str, Callable[[Any, Architecture, Path], Source]]:
    if architecture.group == "keras":
        return KERAS_SOURCES
    found = {n: make for n, make in TORCH_SOURCES.items() if n != "script" or architecture.scripted}
    return found | (OPTIMIZED_SOURCES if architecture.fusion else {})


def parts(found: Any) -> list[np.ndarray]:
    return [np.asarray(each) for each in (found if isinstance(found, (tuple, list)) else (found,))]


def answers_of(model: Any, source: Any, architecture: Architecture) -> list[list[np.ndarray]]:
    """What a source answers at both settings, by the runtime of its own format."""
    path = source if isinstance(source, Path) else Path()
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path)
        return [session.run(None, architecture.arrays(setting)) for setting in (0, 1)]
    if architecture.group == "keras":
        return [parts(model(architecture.arrays(setting))) for setting in (0, 1)]
    called = torch.jit.load(path) if path.suffix == ".pt" else model
    with torch.no_grad():
        return [parts(called(*tensors(architecture.arrays(setting)).values())) for setting in (0, 1)]


def distance(wanted: list[np.ndarray], got: list[np.ndarray]) -> float:
    """Largest difference of any output, as a part of its largest; infinity where shapes or dtypes differ."""
    if len(wanted) != len(got):
        return float("inf")
    worst = 0.0
    for one, other in zip(wanted, got, strict=True):
        if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
            return float("inf")
        if one.size:
            scale = max(float(np.abs(one).max()), 1e-6)
            worst = max(worst, float(np.abs(one.astype(np.float64) - other).max()) / scale)
    return worst if worst == worst else float("inf")


Symbols = dict[str, list[str | int | None]]


def symbols(model: ir.Model) -> Symbols:
    """Dimensions of each output by its name."""
    return {
        value.name or "": [d.value if isinstance(d, ir.SymbolicDim) else d for d in value.shape or ()]
        for value in model.graph.outputs
    }


def kept(one: Symbols, other: Symbols) -> dict[str, list[int]]:
    """How many names of outputs, and of their dimensions, of those the source gives are in what is written."""
    names = [[n for n in dims if isinstance(n, str)] for dims in one.values()]
    same = [
        [a for a, b in zip(dims, other.get(name, ()), strict=False) if isinstance(a, str) and a == b]
        for name, dims in one.items()
    ]
    return {
        "outputs": [len(one.keys() & other.keys()), len(one)],
        "dims": [sum(map(len, same)), sum(map(len, names))],
    }


def read_back(exported: Exported, path: Path, fmt: str) -> dict[str, Any]:
    """Names kept, as bridge reads what it has written."""
    try:
        return kept(exported.symbols, symbols(bridge.load(path, source=fmt)))
    except UnsupportedModel as error:
        return {"unread": [[blocker.op, blocker.reason] for blocker in error.blockers]}


@dataclass(frozen=True)
class Exported:
    """A source, and what it answers at both settings."""

    source: Source
    answers: list[list[np.ndarray]]

    @cached_property
    def symbols(self) -> Symbols:
        """Dimensions of each output as the source gives them."""
        src, reading = self.source
        return symbols(bridge.load(src, **reading))


def carried(exported: Exported, to: str, folder: Path, architecture: Architecture) -> dict[str, Any]:
    """The outcome of one conversion."""
    suffix, options = TARGETS[to]
    path = folder / f"{to}{suffix}"
    fmt = to.rstrip("0123456789")
    src, reading = exported.source
    try:
        bridge.convert(src, path, to=fmt, verify=True, keep=True, **reading, **options)
        verdict = "right"
    except UnsupportedModel as error:
        reasons = [[blocker.op, blocker.reason] for blocker in error.blockers]
        reasons = reasons or [["", str(error).splitlines()[0][:160]]]
        return {"outcome": "refused", "reason": str(error), "blockers": reasons}
    except VerificationFailed as error:
        verdict, said = "refuted", str(error)
    except bridge.errors.BridgeError as error:
        return {"outcome": "failed", "reason": f"{type(error).__name__}: {error}"}
    except Exception:
        return {"outcome": "crashed", "reason": traceback.format_exc()}
    if not path.exists():
        return {"outcome": "refuted", "reason": said}
    worst = 0.0
    for setting, wanted in enumerate(exported.answers):
        arrays = architecture.arrays(setting)
        try:
            got = [np.asarray(each) for each in bridge.run(path, arrays, source=fmt).values()]
        except Exception as error:
            return {"outcome": "failed", "reason": f"at setting {setting}: {type(error).__name__}: {error}"}
        worst = max(worst, distance(wanted, got))
    found = {"distance": worst, **read_back(exported, path, fmt)}
    if worst > TOLERANCE:
        return {"outcome": "wrong", "reason": f"differs by {worst:.1e}; verification: {verdict}", **found}
    return found | ({"outcome": "right"} if verdict == "right" else {"outcome": "refuted", "reason": said})


def apart(
    name: str, wanted_sources: list[str], targets: list[str], done: set[str]
) -> Iterator[dict[str, Any]]:
    """Outcomes of one architecture, each as it is found."""
    architecture = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = architecture.build()
    for kind, make in sources(architecture).items():
        left = [to for to in targets if f"{name} {kind} {to}" not in done]
        if not left or (wanted_sources and kind not in wanted_sources):
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = {"name": name, "group": architecture.group, "source": kind}
            try:
                with torch.no_grad():
                    source = make(model, architecture, Path(folder))
                found = Exported(source, answers_of(model, source[0], architecture))
            except Exception as error:
                yield from (
                    row | {"to": to, "outcome": "not exported", "reason": one_line(error)} for to in left
                )
                continue
            for to in left:
                start = time.perf_counter()
                came = carried(found, to, Path(folder), architecture)
                yield row | {"to": to, "seconds": round(time.perf_counter() - start, 1)} | came


def one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]


def child(name: str, options: argparse.Namespace) -> None:
    """Outcomes of one architecture as lines of the file, in a process of its own."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    out = Path(options.out)
    for row in apart(name, options.sources, options.targets, done_in(out)):
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")


def done_in(out: Path) -> set[str]:
    return {f"{row['name']} {row['source']} {row['to']}" for row in rows_of(out)}


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def run_apart(name: str, options: argparse.Namespace) -> None:
    command = [
        sys.executable,
        __file__,
        name,
        "--child",
        "--out",
        options.out,
        "--targets",
        ",".join(options.targets),
    ]
    if options.sources:
        command += ["--sources", ",".join(options.sources)]
    try:
        ended = subprocess.run(command, timeout=SECONDS, capture_output=True, text=True, env=os.environ)
        words = "" if ended.returncode == 0 else f"ended with {ended.returncode}: {ended.stderr[-1500:]}"
    except subprocess.TimeoutExpired:
        words = f"took more than {SECONDS} s"
    print(f"{name} {words or 'done'}", flush=True)


PAGE = """# Models of today

<!-- Rendered by `python benchmarks/field.py --out FILE --page docs/field.md`. -->

Of {architectures} architectures of transformers, diffusers, timm, ultralytics, torchvision, Keras and plain torch
(`benchmarks/field_models.py`, at reduced width, with the dimensions that vary left open) {sources} sources were
exported, each by the exporter that its column names; {not_exported} more are refused by their exporter. Each was
converted with verification, run in the runtime of its new format at two settings of all lengths, and compared with
what was exported, in its own: {pairs} pairs, of which {right} are right. `ort_…` are the files of `legacy` as ONNX
Runtime's optimizer writes them at its levels, or as its optimizer for transformers fuses them.

{table}

## What falls short

{left} of the {asked} pairs of the {all} architectures were not run; no count holds them.

{unexported}
"""


def page(rows: list[dict[str, Any]]) -> str:
    """The table with what it is of, in Markdown."""
    made = [row for row in rows if row["outcome"] != "not exported"]
    asked = len(TARGETS) * sum(len(sources(each)) for each in ARCHITECTURES.values())
    return PAGE.format(
        all=len(ARCHITECTURES),
        asked=asked,
        left=asked - len(rows),
        unexported="\n".join(unexported(rows)),
        architectures=len({row["name"] for row in made}),
        sources=len({(row["name"], row["source"]) for row in made}),
        not_exported=len({(row["name"], row["source"]) for row in rows if row not in made}),
        pairs=len(made),
        right=sum(row["outcome"] == "right" for row in made),
        table=table(rows),
    )


def unexported(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a table: sources that their exporter refuses, in its words."""
    refused = {(r["name"], r["source"], r["reason"][:160]) for r in rows if r["outcome"] == "not exported"}
    head = ["| model | source | what its exporter says |", "|---|---|---|"]
    return head + [f"| {' | '.join(each)} |" for each in sorted(refused)] if refused else []


def table(rows: list[dict[str, Any]]) -> str:
    """Counts by source, group and target, reasons of refusals, and names kept, in Markdown."""
    lines: list[str] = []
    for by in ("source", "group"):
        lines += [*counted(rows, by), ""]
    for what, title in (("outputs", "Outputs"), ("dims", "Dimensions of outputs")):
        pairs = [row[what] for row in rows if what in row]
        lines += [
            f"{title} that keep their names: {sum(p[0] for p in pairs)} of {sum(p[1] for p in pairs)}.",
            "",
        ]
    for what, title in (
        ("blockers", "Why pairs are refused"),
        ("unread", "What is written and not read back"),
    ):
        found = Counter((row["to"], *pair) for row in rows for pair in set(map(tuple, row.get(what, ()))))
        lines += [f"## {title}", "", "| pairs | target | operator | reason |", "|---|---|---|---|"]
        lines += [*(f"| {n} | {to} | {op} | {why} |" for (to, op, why), n in found.most_common()), ""]
    faults = [row for row in rows if row["outcome"] not in ("right", "refused", "not exported")]
    if faults:
        lines += [
            "## What else became of pairs",
            "",
            "| model | source | target | outcome | reason |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['name']} | {row['source']} | {row['to']} | {row['outcome']} | {' '.join(row['reason'].split())[:280]} |"
            for row in faults
        ]
    return "\n".join(lines).rstrip()


def counted(rows: list[dict[str, Any]], by: str) -> list[str]:
    """Lines of a table: how many pairs of each source, or group, are right on each target."""
    counts: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for row in rows:
        for name in (row[by], "all"):
            counts[name, row["to"]][row["outcome"]] += 1
    targets = [to for to in TARGETS if any(row["to"] == to for row in rows)]
    names = [*dict.fromkeys(row[by] for row in rows), "all"]
    return [
        f"| {by} | {' | '.join(targets)} |",
        "|---" * (len(targets) + 1) + "|",
        *(f"| {name} | {' | '.join(cell(counts[name, to]) for to in targets)} |" for name in names),
    ]


def cell(count: Counter) -> str:
    """Those that are right of those exported, and what else became of the others."""
    tried = sum(count.values()) - count["not exported"]
    rest = ", ".join(
        f"{n} {what}" for what, n in count.most_common() if what not in ("right", "not exported")
    )
    return f"{count['right']} of {tried}" + (f" ({rest})" if rest else "")


def split(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--sources", type=split, default=[])
    parser.add_argument("--targets", type=split, default=list(TARGETS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", default="field.jsonl")
    parser.add_argument("--table", action="store_true")
    parser.add_argument(
        "--page", metavar="FILE", type=Path, help="write the table as a page of the documentation"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.names[0], options)
        return
    if not options.table and not options.page:
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda name: run_apart(name, options), chosen(options.names)))
    rows = rows_of(Path(options.out))
    if options.page:
        options.page.write_text(page(rows))
        return
    print(table(rows))
    for row in rows:
        if row["outcome"] not in ("right", "refused", "not exported"):
            print(f"\n{row['name']} {row['source']} {row['to']} {row['outcome']}: {row['reason']}")


if __name__ == "__main__":
    main()
