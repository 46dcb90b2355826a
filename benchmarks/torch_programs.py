"""Seconds to read an exported program: by our rules, and by torch's own translation to ONNX.

    python benchmarks/torch_programs.py [--layers 12] [--width 768] [--model encoder|bert]

`bert` is transformers' BertModel (the package `transformers` is needed), `encoder` torch's TransformerEncoder of
the same size, both with random weights and the batch and the length of the text varying. Printed are the
seconds, the nodes of either result, and the largest difference of each from torch at two settings.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import bridge

Module = torch.nn.Module


class Encoder(Module):
    """Token and position embeddings, and a TransformerEncoder."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.words, self.places = torch.nn.Embedding(30522, width), torch.nn.Embedding(512, width)
        layer = torch.nn.TransformerEncoderLayer(width, width // 64, 4 * width, batch_first=True)
        self.layers = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.words(input_ids) + self.places(torch.arange(input_ids.shape[1]))
        return self.layers(x, src_key_padding_mask=attention_mask == 0)


def bert(layers: int, width: int) -> Module:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": width, "num_attention_heads": width // 64, "intermediate_size": 4 * width}
    return BertModel(BertConfig(num_hidden_layers=layers, return_dict=False, **sizes))


def timed(title: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = work()
    print(f"{title:34} {time.perf_counter() - start:6.1f} s", flush=True)
    return result


def arrays(batch: int, steps: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mask = np.ones((batch, steps), np.int64)
    mask[-1, steps // 2 :] = 0
    return {"input_ids": rng.integers(0, 30522, (batch, steps)), "attention_mask": mask}


def differences(module: Module, model: Any) -> list[float]:
    """Largest difference from torch at two settings of the lengths."""
    found = []
    for batch, steps in ((2, 9), (3, 17)):
        inputs = arrays(batch, steps)
        with torch.no_grad():
            wanted = module(**{k: torch.from_numpy(v) for k, v in inputs.items()})
        first = wanted[0] if isinstance(wanted, tuple) else wanted
        got = next(iter(bridge.run(model, inputs).values()))
        found.append(float(np.abs(got - first.numpy()).max()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--model", choices=["encoder", "bert"], default="encoder")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    make = bert if options.model == "bert" else Encoder
    module = make(options.layers, options.width).eval()
    example = {k: torch.from_numpy(v) for k, v in arrays(2, 8).items()}
    dynamic = torch.export.Dim.DYNAMIC
    varying = {name: {0: dynamic, 1: dynamic} for name in example}
    program = timed(
        "torch.export.export", lambda: torch.export.export(module, (), example, dynamic_shapes=varying)
    )
    ours = timed("bridge.load of the program", lambda: bridge.load(program))
    theirs = timed("torch.onnx.export of the program", lambda: torch.onnx.export(program, (), verbose=False))
    for title, model in (("bridge", ours), ("torch.onnx", theirs.model)):
        print(f"{title}: {len(model.graph)} nodes, differs from torch by {differences(module, model)}")


if __name__ == "__main__":
    main()
