"""Programs that torchao quantizes are read: parameters for tensors, rows, slices and groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge

torch = pytest.importorskip("torch")
pytest.importorskip("torchao.quantization.quant_primitives")

pytestmark = pytest.mark.filterwarnings("ignore")

BLOCKS = {
    "tensor": lambda x: list(x.shape),
    "rows": lambda x: [1] * (x.dim() - 1) + [x.shape[-1]],
    "slices": lambda x: [x.shape[0], 1],
    "groups": lambda x: [1, 4],
}


class Quantized(torch.nn.Module):
    def __init__(self, kind: str, mapping: str, bounds: tuple[int, int]) -> None:
        super().__init__()
        self.kind, self.mapping, self.bounds = kind, mapping, bounds

    def forward(self, x: torch.Tensor) -> Any:
        ops, block = torch.ops.torchao, BLOCKS[self.kind](x)
        scale, zero = ops.choose_qparams_affine(x, self.mapping, block, torch.int8, *self.bounds)
        made = ops.quantize_affine(x, block, scale, zero, torch.int8, *self.bounds)
        return scale, zero, made, ops.dequantize_affine(made, block, scale, zero, torch.int8, *self.bounds)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("mapping", ["SYMMETRIC", "ASYMMETRIC", "SYMMETRIC_NO_CLIPPING_ERR"])
@pytest.mark.parametrize("bounds", [(-128, 127), (-8, 7)])
def test_blocks_have_their_own_parameters(kind: str, mapping: str, bounds: Any, tmp_path: Path) -> None:
    module = Quantized(kind, mapping, bounds)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32))
    dims = None if kind == "slices" else ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(module, (x,), dynamic_shapes=dims, strict=False)
    torch.export.save(program, tmp_path / "m.pt2")
    for value in (x,) if dims is None else (x, x[:3] * 2):
        wanted = [v.numpy() for v in module(value)]
        for source in (program, tmp_path / "m.pt2"):
            found = list(bridge.run(bridge.load(source), {"x": value.numpy()}).values())
            assert [v.dtype for v in found] == [v.dtype for v in wanted]
            np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)
            np.testing.assert_array_equal(found[1], wanted[1])
            assert np.abs(found[2].astype(int) - wanted[2]).max() <= 1
            assert np.abs(found[3] - wanted[3]).max() <= wanted[0].max() * 1.01
