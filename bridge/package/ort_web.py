"""A page with onnxruntime-web, and a module to import from another."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import Blocker, UnsupportedModel
from bridge.package.kinds import Build

__all__ = ["build"]

TEMPLATES = Path(__file__).parent / "templates"
WEB = "^1.22.0"
"""The versions of the npm package that the page is made for."""
TYPES = (
    *("float", "double", "bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
)
USAGE = """## Show it

```sh
npm install
python -m http.server
```

and open http://localhost:8000: the page runs the model on a sample. A page of yours imports `load` and
`predict` from `model.mjs`. The smoke test runs the page in headless Chromium, after `npm install`."""


def build(build: Build) -> str:
    """Write `model.onnx`, the page, its module, npm's package.json and the samples as JSON. Raises
    UnsupportedModel for dtypes that the module does not carry."""
    strange = [p for p in (*build.inputs, *build.outputs) if p.dtype not in TYPES]
    if strange:
        raise UnsupportedModel(
            "The page does not have the types of these inputs and outputs:",
            [Blocker(port.dtype, port.name, "", "is not supported") for port in strange],
        )
    build.convert(build.folder / "model.onnx")
    page = (TEMPLATES / "index.html.txt").read_text()
    build.write("index.html", page.replace("TITLE", html.escape(build.name)))
    build.write("model.mjs", (TEMPLATES / "model.mjs.txt").read_text())
    needs = {"name": build.name.lower(), "private": True, "dependencies": {"onnxruntime-web": WEB}}
    build.write("package.json", json.dumps(needs, indent=2) + "\n")
    for number, sample in enumerate(build.samples):
        for what, arrays in (("inputs", sample.inputs), ("expected", sample.expected)):
            build.write(f"samples/{what}-{number}.json", json.dumps(_as_json(arrays)) + "\n")
    return USAGE


def _as_json(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as what JSON holds: the bytes of their elements in base64."""
    return {
        name: {
            "dtype": str(array.dtype),
            "dims": list(array.shape),
            "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
        }
        for name, array in arrays.items()
    }
