"""Profiles of ONNX Runtime, from the releases themselves: what each admits and which kernels it has on the CPU.

    python benchmarks/ort_profiles.py 1.16=VENV/bin/python 1.22=OTHER/bin/python

Each interpreter has a release of onnxruntime installed. It is asked for its kernels, and given files of one Identity at every
opset and IR version. `bridge/profiles/data/ort-RELEASE.toml` is written anew.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

DATA = Path(__file__).parents[1] / "bridge" / "profiles" / "data"
DOMAINS = {"": range(11, 40), "ai.onnx.ml": range(1, 10)}
ENDLESS = 2**31 - 1
KEPT = ("", "ai.onnx.ml", "com.microsoft")
OLDEST = 11
"""The oldest opset that is written."""
ASK = r"""
import json, sys, onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state
ort.set_default_logger_severity(4)
def admits(path):
    try:
        ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        return True
    except Exception:
        return False
kernels = [
    (k.domain, k.op_name, list(k.version_range), {n: list(t) for n, t in k.type_constraints.items()})
    for k in state.get_all_opkernel_def() if k.provider == "CPUExecutionProvider"
]
print(json.dumps({"version": ort.__version__, "kernels": kernels, "admits": {p: admits(p) for p in sys.argv[1:]}}))
"""


def probe(folder: Path, name: str, domain: str, opset: int, ir_version: int) -> Path:
    """A file of one Identity, with these versions."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    imports = [helper.make_opsetid("", 11), helper.make_opsetid("ai.onnx.ml", 1)]
    imports = [i if i.domain != domain else helper.make_opsetid(domain, opset) for i in imports]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def asked(python: str) -> dict[str, Any]:
    """What the release of an interpreter says of itself."""
    with tempfile.TemporaryDirectory() as text:
        folder, probes = Path(text), {}
        for domain, versions in DOMAINS.items():
            probes |= {
                probe(folder, f"{domain or 'opset'}-{v}", domain, v, 6): (domain or "ai.onnx", v)
                for v in versions
            }
        probes |= {probe(folder, f"ir-{v}", "", 11, v): ("IR", v) for v in range(3, onnx.IR_VERSION + 2)}
        told = subprocess.run(
            [python, "-c", ASK, *map(str, probes)], capture_output=True, text=True, check=True
        )
        answer = json.loads(told.stdout)
        limits: dict[str, int] = {}
        for path, (what, version) in probes.items():
            if answer["admits"][str(path)]:
                limits[what] = max(version, limits.get(what, 0))
        return answer | {"limits": limits}


def rows(kernels: list[Any]) -> dict[str, list[tuple[int, int, dict[str, tuple[str, ...]]]]]:
    """Kernels by operator; those that differ in the types of one variable are one row."""
    found: dict[str, list[Any]] = {}
    for domain, op, (since, until), types in kernels:
        if domain not in KEPT or (not domain and until < OLDEST):
            continue
        row = (
            since,
            until,
            {
                n: tuple(
                    sorted(
                        t.removeprefix("tensor(").removesuffix(")") if t.startswith("tensor(") else t
                        for t in set(ts)
                    )
                )
                for n, ts in sorted(types.items())
            },
        )
        of = found.setdefault(f"{domain}::{op}" if domain else op, [])
        if row not in of:
            of.append(row)
    return {op: joined(of) for op, of in sorted(found.items())}


def joined(of: list[Any]) -> list[Any]:
    """Rows in their order, of which no two differ in the types of one variable alone."""
    done: list[Any] = []
    for row in sorted(of, key=lambda r: (r[0], r[1], str(r[2]))):
        for n, other in enumerate(done):
            differing = [v for v in row[2] if other[2].get(v) != row[2][v]]
            if other[:2] == row[:2] and other[2].keys() == row[2].keys() and len(differing) == 1:
                union = tuple(sorted({*row[2][differing[0]], *other[2][differing[0]]}))
                done[n] = (*row[:2], row[2] | {differing[0]: union})
                break
        else:
            done.append(row)
    return done if len(done) == len(of) else joined(done)


def table(release: str, answer: dict[str, Any]) -> str:
    """The profile as TOML."""
    limits = answer["limits"]
    lines = [
        f'name = "ort-{release}"',
        f'title = "ONNX Runtime {release}"',
        'format = "onnx"',
        f'source = "the CPU kernels that the wheel onnxruntime {answer["version"]} of PyPI lists, and the files it admits: benchmarks/ort_profiles.py"',
        f'date = "{datetime.date.today()}"',
        "exact = true",
        "inlines = true",
        "",
        "[options]",
        f"max_opset = {limits['ai.onnx']}",
        "",
        "[versions]",
        *(f'"{name}" = {version}' for name, version in limits.items()),
        "",
        "[casts]",
        'float16 = "float"',
        "",
        "[operators]",
    ]
    for op, of in rows(answer["kernels"]).items():
        cells = []
        for since, until, types in of:
            end = "" if until == ENDLESS else f", until = {until}"
            named = "".join(f', {name} = "{" ".join(kinds)}"' for name, kinds in types.items())
            cells.append(f"{{ since = {since}{end}{named} }}")
        lines.append(f'"{op}" = [{", ".join(cells)}]')
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    for argument in sys.argv[1:]:
        release, _, python = argument.partition("=")
        answer = asked(python)
        (DATA / f"ort-{release}.toml").write_text(table(release, answer))
        print(f"ort-{release}: {answer['version']}, {answer['limits']}, {len(answer['kernels'])} kernels")
