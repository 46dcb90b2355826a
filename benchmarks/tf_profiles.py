"""Profiles of TensorFlow Serving, from the releases of TensorFlow it is built on: the kernels that each has on the CPU.

    python benchmarks/tf_profiles.py 2.16=VENV/bin/python

Each interpreter has a release of TensorFlow installed. `bridge/profiles/data/tfserving-RELEASE.toml` is written anew.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ort_profiles import DATA, joined

ASK = r"""
import json, tensorflow as tf
from tensorflow.core.framework import kernel_def_pb2, types_pb2
from tensorflow.python.client import pywrap_tf_session as session
raw = session.TF_GetBuffer(session.TF_GetAllRegisteredKernels())
kernels = []
for kernel in kernel_def_pb2.KernelList.FromString(raw).kernel:
    if kernel.device_type in ("CPU", "DEFAULT"):
        types = {c.name: [types_pb2.DataType.Name(t) for t in c.allowed_values.list.type] for c in kernel.constraint}
        kernels.append((kernel.op, {n: t for n, t in types.items() if t}))
print(json.dumps({"version": tf.__version__, "kernels": kernels}))
"""
HEAD = """name = "tfserving-{release}"
title = "TensorFlow Serving {release}"
format = "savedmodel"
source = "the CPU kernels that tensorflow {version} of PyPI registers: benchmarks/tf_profiles.py"
note = "TensorFlow Serving {release} is built on TensorFlow {release}; operators that other libraries add are not among them."
date = "{today}"

[operators]
"""


def rows(kernels: list[Any]) -> dict[str, list[Any]]:
    """Kernels by operator, as rows of types."""
    found: dict[str, list[Any]] = {}
    for op, types in kernels:
        kinds = {
            n: tuple(sorted(t.removeprefix("DT_").lower() for t in ts)) for n, ts in sorted(types.items())
        }
        row = (0, 0, kinds)
        of = found.setdefault(op, [])
        if row not in of:
            of.append(row)
    return {op: [(0, 0, {})] if (0, 0, {}) in of else joined(of) for op, of in sorted(found.items())}


def main(*releases: str) -> None:
    for argument in releases:
        release, _, python = argument.partition("=")
        told = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=True)
        answer = json.loads(told.stdout.splitlines()[-1])
        lines = []
        for op, of in rows(answer["kernels"]).items():
            cells = (
                ", ".join(f'{n} = "{" ".join(kinds)}"' for n, kinds in types.items()) for *_, types in of
            )
            lines.append(f'"{op}" = [{", ".join(f"{{ {cell} }}" if cell else "{}" for cell in cells)}]')
        head = HEAD.format(release=release, version=answer["version"], today=datetime.date.today())
        path = Path(DATA) / f"tfserving-{release}.toml"
        path.write_text(head + "\n".join([*lines, ""]))
        print(path.name, answer["version"], len(lines), "operators", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
