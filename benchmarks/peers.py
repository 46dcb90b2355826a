"""Peers that are libraries, as commands: `PEER_PYTHON benchmarks/peers.py NAME SOURCE RESULT [INPUT…]`.

NAME is one of the functions below; INPUT describes an input, `name:float32[1,3,224,224]`, of a source that does not.
"""

from __future__ import annotations

import sys
from typing import Any


def examples(inputs: list[str]) -> list[Any]:
    """Tensors of ones of the dtypes and shapes that inputs are described by."""
    import torch

    kinds = [each.partition(":")[2].rstrip("]").split("[") for each in inputs]
    return [torch.ones([int(n) for n in shape.split(",")], dtype=getattr(torch, d)) for d, shape in kinds]


def onnx2torch(src: str, dst: str, inputs: list[str]) -> None:
    """An nn.Module that is scripted, or traced where torch cannot script it. It reads opset 17 at most, and no
    `allowzero`, which is taken away here: none of the benchmark models has a dimension of zero."""
    import onnx
    import torch
    from models import import_torchvision

    import_torchvision()
    from onnx2torch import convert

    model = onnx.load(src)
    for node in model.graph.node:
        kept = [a for a in node.attribute if a.name != "allowzero"]
        del node.attribute[:]
        node.attribute.extend(kept)
    module = convert(model).eval()
    try:
        made = torch.jit.script(module)
    except Exception:
        made = torch.jit.trace(module, tuple(examples(inputs)), check_trace=False)
    torch.jit.save(made, dst)


def torch_onnx(src: str, dst: str, inputs: list[str]) -> None:
    """torch.onnx.export of a loaded archive: its TorchScript-based exporter, which alone takes one."""
    import torch

    torch.onnx.export(
        torch.jit.load(src).eval(), tuple(examples(inputs)), dst, opset_version=20, dynamo=False
    )


def coremltools(src: str, dst: str, inputs: list[str]) -> None:
    """coremltools from TorchScript or a SavedModel, in float32."""
    import coremltools as ct
    import numpy as np

    kinds = [
        ct.TensorType(
            name=each.partition(":")[0],
            shape=tuple(tensor.shape),
            dtype=np.int32 if "int" in each else np.float32,
        )
        for each, tensor in zip(inputs, examples(inputs), strict=True)
    ]
    precision = {"compute_precision": ct.precision.FLOAT32, "minimum_deployment_target": ct.target.iOS15}
    given = {"inputs": kinds} if kinds else {"source": "tensorflow"}
    ct.convert(src, **given, convert_to="mlprogram", **precision, skip_model_load=True).save(dst)


def tflite(src: str, dst: str, inputs: list[str]) -> None:
    """TensorFlow's own converter, from a SavedModel."""
    import pathlib

    import tensorflow as tf

    pathlib.Path(dst).write_bytes(tf.lite.TFLiteConverter.from_saved_model(src).convert())


PEERS = {each.__name__: each for each in (onnx2torch, torch_onnx, coremltools, tflite)}

if __name__ == "__main__":
    PEERS[sys.argv[1]](sys.argv[2], sys.argv[3], sys.argv[4:])
