"""Exact-integer products."""

from __future__ import annotations

from bridge.needs import dtype
from bridge.ops import OpTable

ops = OpTable("TorchScript export: quantize")

BYTES = (dtype("int8", "uint8"), dtype("int8", "uint8", index=1))


@ops.op("MatMulInteger", needs=BYTES)
def matmul_integer(ts, node, a, b, a_zero=None, b_zero=None):
    a = ts.lib("from_zero_of_rows", a, a_zero) if a_zero is not None else f"{a}.to(torch.int32)"
    b = f"({b}.to(torch.int32) - {b_zero}.to(torch.int32))" if b_zero is not None else f"{b}.to(torch.int32)"
    return f"torch.matmul({a}, {b})"
