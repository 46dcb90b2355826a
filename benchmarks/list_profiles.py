"""Profiles from what others publish as lists: TensorRT's operator tables, tflite-micro's resolver, WebNN's table.

    python benchmarks/list_profiles.py tensorrt ONNX_TENSORRT.git 8.4=release/8.4-GA 10.1=HEAD
    python benchmarks/list_profiles.py tflite-micro TFLITE_MICRO.git
    python benchmarks/list_profiles.py webnn node_modules/onnxruntime-web

The first two take a clone, the last npm's package. Files of `bridge/profiles/data` are written anew.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
from bridge_tflite.schema import ENUMS

DATA = Path(__file__).parents[1] / "bridge" / "profiles" / "data"
HIGHEST = onnx.defs.onnx_opset_version()
TYPES = {"FP32": "float", "FP16": "float16", "BF16": "bfloat16", "DOUBLE": "double", "FP8": "float8e4m3fn"}
CHECKED = 3
"""A type variable of fewer types says nothing of what a kernel computes in."""


def git(clone: str, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", clone, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def head(name: str, title: str, fmt: str, source: str, note: str) -> list[str]:
    pairs = {"name": name, "title": title, "format": fmt, "source": source, "note": note}
    return [*(f"{key} = {quoted(text)}" for key, text in pairs.items()), f'date = "{datetime.date.today()}"']


def save(name: str, lines: list[str]) -> None:
    (DATA / f"{name}.toml").write_text("\n".join([*lines, ""]))
    print(name, len([line for line in lines if line.endswith("]")]), "rows")


def cells(text: str) -> list[list[str]]:
    """Rows of Markdown tables whose first cell is a name."""
    rows = [
        [c.strip() for c in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return [row for row in rows if re.fullmatch(r"[A-Za-z]\w+", row[0]) and row[0] != "Operator"]


def restrictions(told: dict[str, str]) -> list[str]:
    plain = {op: re.sub(r"\s+", " ", re.sub(r"<br ?/?>|\\", " ", text)).strip() for op, text in told.items()}
    return ["", "[restrictions]", *(f'"{op}" = {quoted(text)}' for op, text in plain.items() if text)]


def variable(op: str) -> str:
    """The type variable that says what an operator computes in: of its results, where that has a choice."""
    if not onnx.defs.has(op):
        return "0"
    schema = onnx.defs.get_schema(op)
    wide = (p for p in (*schema.outputs, *schema.inputs) if len(p.types) > CHECKED)
    return next((p.type_str for p in wide), "0")


def tensorrt(clone: str, *releases: str) -> None:
    for argument in releases:
        release, _, revision = argument.partition("=")
        text = git(clone, "show", f"{revision}:docs/operators.md")
        commit = git(clone, "rev-parse", "--short=12", revision)
        opset = int(re.findall(r"[Oo]pset (\d+)", text)[-1])
        operators, told = [], {}
        for op, supported, *more in cells(text):
            if not supported.startswith("Y"):
                continue
            kinds = [
                TYPES.get(kind, kind.lower()) for kind in re.findall(r"[A-Z]+\d*", more[0] if more else "")
            ]
            row = f'{{ {variable(op)} = "{" ".join(kinds)}" }}' if kinds else "{}"
            operators.append(f'"{op}" = [{row}]')
            told[op] = more[1] if len(more) > 1 else ""
        casts = ['double = "float"'] + ['int64 = "int32"'] * (release < "9" and release[1] == ".")
        source = f"docs/operators.md of github.com/onnx/onnx-tensorrt at {commit}"
        note = "The table names types of operators, not of operands; its restrictions are told, not checked."
        lines = head(f"tensorrt-{release}", f"TensorRT {release}", "onnx", source, note)
        lines += [
            "",
            "[options]",
            f"max_opset = {min(opset, HIGHEST)}",
            "",
            "[versions]",
            f'"ai.onnx" = {opset}',
        ]
        lines += ["", "[casts]", *casts, "", "[operators]", *operators, *restrictions(told)]
        save(f"tensorrt-{release}", lines)


def tflite_micro(clone: str) -> None:
    text = git(clone, "show", "HEAD:python/tflite_micro/python_ops_resolver.cc")
    known = {name.replace("_", ""): name for name in ENUMS["BuiltinOperator"]}
    names = [
        known[name.upper()]
        for name in sorted(set(re.findall(r"\bAdd([A-Z]\w*)\(", text)))
        if name.upper() in known
    ]
    source = f"python_ops_resolver.cc of github.com/tensorflow/tflite-micro at {git(clone, 'rev-parse', '--short=12', 'HEAD')}"
    note = (
        "The resolver names operators; which dtypes, ranks and versions its kernels take is in them, and memory is "
        "that of the device."
    )
    lines = head("tflite-micro", "TensorFlow Lite for Microcontrollers", "tflite", source, note)
    save("tflite-micro", [*lines, "", "[operators]", *(f"{name} = [{{}}]" for name in names)])


def span_row(span: str) -> str:
    """A row for `7-12`, `13` or `14+`."""
    since, _, until = span.rstrip("+").partition("-")
    end = "" if span.endswith("+") else f", until = {until or since}"
    return f"{{ since = {since}{end} }}"


def webnn(package: str) -> None:
    folder = Path(package)
    version = json.loads((folder / "package.json").read_text())["version"]
    operators, told = [], {}
    for op, opsets, _, *comments in cells((folder / "docs" / "webnn-operators.md").read_text()):
        for domain, spans in re.findall(r"(ai\.onnx|com\.microsoft)\(([^)]*)\)", opsets):
            name = op if domain == "ai.onnx" else f"{domain}::{op}"
            operators.append(f'"{name}" = [{", ".join(map(span_row, spans.split(", ")))}]')
            told[name] = comments[0] if comments else ""
    source = f"docs/webnn-operators.md of the npm package onnxruntime-web {version}"
    note = "Which dtypes and ranks a browser's WebNN takes differs by system; the restrictions are told, not checked."
    lines = head("webnn", "WebNN through onnxruntime-web", "onnx", source, note)
    lines += [
        "",
        "[options]",
        f"max_opset = {max(int(n) for n in re.findall(r'since = ([0-9]+)', ' '.join(operators)))}",
        "",
        "[operators]",
        *operators,
        *restrictions(told),
    ]
    save("webnn", lines)


KINDS: dict[str, Callable[..., None]] = {"tensorrt": tensorrt, "tflite-micro": tflite_micro, "webnn": webnn}

if __name__ == "__main__":
    KINDS[sys.argv[1]](*sys.argv[2:])
