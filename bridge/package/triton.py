"""A model repository of NVIDIA's Triton Inference Server, with ONNX Runtime as its backend.

The fields are those of `ModelConfig` in model_config.proto of triton-inference-server/common.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from bridge.errors import Blocker, UnsupportedModel
from bridge.package.kinds import Build
from bridge.ports import Port

__all__ = ["build"]

TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float": "TYPE_FP32",
    "double": "TYPE_FP64",
    "bfloat16": "TYPE_BF16",
    "string": "TYPE_STRING",
}
USAGE = """## Serve it

`models` is a model repository:

```sh
docker run --rm -p 8000:8000 -p 8001:8001 -v "$PWD/models:/models" nvcr.io/nvidia/tritonserver:25.01-py3 \\
    tritonserver --model-repository=/models
curl localhost:8000/v2/models/{name}/config
```
"""


def build(build: Build) -> str:
    """Write `models/NAME/VERSION/model.onnx` and `models/NAME/config.pbtxt`. Raises UnsupportedModel for a
    dtype that Triton does not have."""
    ports = (*build.inputs, *build.outputs)
    strange = [p for p in ports if p.dtype not in TYPES]
    if strange:
        raise UnsupportedModel(
            "Triton does not have the types of these inputs and outputs:",
            [Blocker(port.dtype, port.name, "", "is not supported") for port in strange],
        )
    root, number = f"models/{build.name}", build.options["version"]
    build.convert(build.folder / root / str(number) / "model.onnx")
    build.write(f"{root}/config.pbtxt", config(build))
    return USAGE.format(name=build.name)


def config(build: Build) -> str:
    """The ModelConfig of a package as text: names, types and dimensions, without that of the batch where
    there is one."""
    most = build.options["max_batch_size"] if batched((*build.inputs, *build.outputs)) else 0
    lines = [
        f"name: {quoted(build.name)}",
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"max_batch_size: {most}",
        *_ports("input", build.inputs, most > 0),
        *_ports("output", build.outputs, most > 0),
        f"version_policy {{ specific {{ versions: [ {build.options['version']} ] }} }}",
    ]
    return "\n".join([*lines, *["dynamic_batching { }"] * (most > 0), ""])


def batched(ports: Iterable[Port]) -> bool:
    """True where all inputs and outputs have one first dimension, which varies."""
    first = {port.shape[0] if port.shape else 0 for port in ports}
    return len(first) == 1 and not any(isinstance(length, int) for length in first)


def _ports(side: str, ports: Iterable[Port], batch: bool) -> list[str]:
    entries = []
    for port in ports:
        known = [d if isinstance(d, int) else -1 for d in port.shape or ()]
        dims = known[1:] if batch else known
        reshape = "" if dims else " reshape { shape: [ ] }"
        told = ", ".join(map(str, dims or [1]))
        entries.append(
            f"  {{ name: {quoted(port.name)} data_type: {TYPES[port.dtype]} dims: [ {told} ]{reshape} }}"
        )
    return [f"{side} [", ",\n".join(entries), "]"]


def quoted(text: str) -> str:
    """A string of protobuf's text format."""
    return json.dumps(text)
