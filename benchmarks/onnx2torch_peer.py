"""The peer of convert.py for TorchScript: onnx2torch, then torch.jit.

PEER_PYTHON benchmarks/onnx2torch_peer.py MODEL.onnx OUT.pt

onnx2torch makes an nn.Module; it is scripted, or traced where torch cannot script it. Run it with a Python
that has onnx2torch. It reads opset 17 at most (`bridge convert MODEL.onnx OLDER.onnx -O opset=17`) and no
`allowzero`, which is taken away here: none of the benchmark models has a dimension of zero.
"""

from __future__ import annotations

import sys

import onnx
import torch
from models import import_torchvision


def main(src: str, dst: str) -> None:
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
        held = {v.name for v in model.graph.initializer}
        inputs = [v.type.tensor_type for v in model.graph.input if v.name not in held]
        examples = [
            torch.zeros(
                [d.dim_value or 1 for d in t.shape.dim],
                dtype=torch.int64 if t.elem_type == onnx.TensorProto.INT64 else torch.float32,
            )
            for t in inputs
        ]
        with torch.no_grad():
            made = torch.jit.trace(module, tuple(examples), check_trace=False)
    torch.jit.save(made, dst)


if __name__ == "__main__":
    main(*sys.argv[1:])
