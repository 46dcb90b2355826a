"""Archives of modules written in TorchScript."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

# What a program writes to and where, by name: its arguments, their description, its code
WRITING = {
    "views": ("x: Tensor", ["x:float32[3,4]"], "y = x * 2\ny[1:].t().add_(1)\ny[0] = y[2]\nreturn y"),
    "turned": (
        "x: Tensor",
        ["x:float32[3,4]"],
        "y = x + 1\nz = y[0]\nz.unsqueeze_(1)\nz.mul_(3)\nreturn y, z",
    ),
    "branches": (
        "x: Tensor",
        ["x:float32[n]"],
        "y = x * 2\n"
        "if bool(x.sum() > 0):\n  y[0] = 1.0\n  y.mul_(2)\nelse:\n  y[1:].add_(3)\n"
        "if bool(y.sum() > 4):\n  y.neg_()\nreturn y",
    ),
    "loop": (
        "x: Tensor",
        ["x:float32[n,3]"],
        "y = torch.zeros([3])\nfor i in range(x.size(0)):\n  y.add_(x[i])\n"
        "  if bool(y.sum() > 2):\n    y[0] = 0.0\n"
        "return y",
    ),
    "growing": (
        "x: Tensor",
        ["x:float32[n,3]"],
        "rows = [x[0]]\nfor i in range(x.size(0)):\n  if bool(x[i].sum() > 0):\n    rows.append(x[i] * 2)\n"
        "return torch.stack(rows)",
    ),
    "steps": (
        "x: Tensor",
        ["x:float32[4]"],
        "y = x.clone()\nfor i in range(3):\n  if bool(y[i] > 0):\n    y[i] = y[i] * 2\n"
        "  y[i + 1].add_(1)\nreturn y",
    ),
    "spelled out by torch": (
        "x: Tensor",
        ["x:float32[3,4]"],
        "y = torch.renorm(x, 2.0, 0, 1.0)\ny.add_(torch.mvlgamma(x + 4, 2))\nreturn y",
    ),
}


class Counting(torch.nn.Module):
    """What it has seen stays between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if bool(x.sum() > 0):
            self.seen.add_(x.sum(0))
        return self.seen * self.calls


def scripted(arguments: str, code: str, folder: Path) -> Path:
    module = torch.jit.script(type("Written", (torch.nn.Module,), {})())
    body = "".join(f"    {line}\n" for line in code.splitlines())
    module.define(f"def forward(self, {arguments}):\n{body}")
    path = folder / "m.pt"
    torch.jit.save(module, path)
    return path
