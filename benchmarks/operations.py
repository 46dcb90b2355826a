"""Multiply-accumulates that the hub counts beside torch's counter and the figures torchvision publishes.

    python benchmarks/operations.py [NAME ...]

needs torchvision, as `models.py` does. A line a classification model, on one image: what the hub counts, in
10⁹, what `torch.utils.flop_counter` does, and what torchvision publishes. torch's counter does not look into its
fused encoder, which is taken apart for it.
"""

from __future__ import annotations

import sys
import warnings

import torch
from models import import_torchvision
from torch.utils.flop_counter import FlopCounterMode

import bridge
from bridge.workbench.bench_work import work_of


def told(name: str) -> str:
    import torchvision.models as zoo

    weights = zoo.get_model_weights(name).DEFAULT
    side = weights.meta["min_size"][0] if name.startswith(("vit", "maxvit")) else 224
    image = torch.rand(1, 3, max(side, 224), max(side, 224))
    model = zoo.get_model(name, weights=None).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    traced = torch.jit.trace(model, image, check_trace=False)
    ours = work_of(bridge.load(traced, inputs={"x": image.numpy()})).macs / 1e9
    counted, published = counter.get_total_flops() / 2e9, weights.meta["_ops"]
    return f"{name:<22} {ours:8.3f}  {counted:8.3f} {ours / counted - 1:+.2%}  {published:8.3f}"


def main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    import_torchvision()
    torch.backends.mha.set_fastpath_enabled(False)
    import torchvision.models as zoo

    for name in names or zoo.list_models(module=zoo):
        print(told(name), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
