"""TorchScript is read: what shares memory with what, and what only may."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torchscript_programs import scripted

import bridge
from bridge.errors import UnsupportedModel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

SHARING = {
    "detach": "x = x * 2\ny = x.detach()\ny.add_(1)\nreturn x",
    "read late": "x = x * 2\ny = x.detach()\nx.add_(1)\nreturn y",
    "the same dtype": "x = x * 2\ny = x.to(torch.float32)\ny.add_(1)\nreturn x",
    "float of floats": "x = x * 2\ny = x.float()\ny[0] = 1.0\nreturn x",
    "another dtype": "x = x * 2\ny = x.to(torch.float64)\ny.add_(1)\nreturn x",
    "a copy asked for": "x = x * 2\ny = x.to(torch.float32, copy=True)\ny.add_(1)\nreturn x",
    "contiguous": "x = x * 2\ny = x.contiguous()\ny.add_(1)\nreturn x",
    "reshape": "x = x * 2\ny = x.reshape(-1)\ny.add_(1)\nreturn x",
    "a part reshaped": "x = x * 2\ny = x[1:].reshape(-1)\ny.add_(1)\nreturn x",
    "dropout at rest": "x = x * 2\ny = torch.dropout(x, 0.5, False)\ny.add_(1)\nreturn x",
    "unfold": "x = x * 2\ny = x.unfold(0, 2, 1)\nx.add_(1)\nreturn y",
    "clone": "x = x * 2\ny = x.clone()\ny.add_(1)\nreturn x",
    "only the copy is read": "x = x.t()\ny = x.reshape(-1)\ny.add_(1)\nreturn y * 2",
    "strides": "x = x * 2\nreturn x.as_strided([2, 2], [4, 1], 1)",
    "strides of a row": "x = torch.cat([x, x])[3]\nreturn x.as_strided([2, 3], [1 * x.stride(0), "
    "x.stride(0)])",
    "strides read late": "x = x * 2\ny = x.as_strided([3], [4])\nx.add_(1)\nreturn y",
    "turned in place": "x = x * 2\nx.t_()\nx.add_(1)\nreturn x",
    "a part turned in place": "x = x * 2\ny = x[0]\ny.unsqueeze_(1)\ny.add_(1)\nreturn x",
    "squeezed in place": "x = x[:1] * 2\nx.squeeze_(0)\nreturn x",
}
UNKNOWN = {
    "reshape of a transpose": "x = (x * 2).t()\ny = x.reshape(-1)\ny.add_(1)\nreturn x",
    "and read late": "x = (x * 2).t()\ny = x.reshape(-1)\nx.add_(1)\nreturn y",
    "contiguous of a transpose": "x = (x * 2).t()\ny = x.contiguous()\ny.add_(1)\nreturn x",
    "strides of a transpose": "return x.t().clone().as_strided([3], [1])",
    "strides of a product of transposes": "return (x.t() * 2).as_strided([3], [1])",
    "strides beyond": "return x[:1].as_strided([8], [1])",
    "turned while shown": "x = x * 2\ny = x.view(-1)\nx.t_()\nreturn y + 1",
    "writing by strides": "x = x * 2\nx.as_strided([3], [1]).add_(1)\nreturn x",
}


@pytest.mark.parametrize("name", SHARING)
def test_what_shares_memory_is_written_together(name: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor", SHARING[name], tmp_path)
    model = bridge.load(path, source="torchscript", inputs=["x:float32[3,4]"])
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    result = bridge.verify(path, model, {"x": x}, reference_source="torchscript")
    assert result.ok, str(result)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_may_share_memory_is_not_guessed(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"memory|beyond|shows"):
        bridge.load(
            scripted("x: Tensor", UNKNOWN[name], tmp_path), source="torchscript", inputs=["x:float32[3,4]"]
        )
