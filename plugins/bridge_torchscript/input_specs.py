"""Input specifications of the user: `x:float32[batch,3,224,224]`, `rate=16000`, or arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import InvalidOption
from bridge_torchscript.dtypes import TORCH_DTYPES

ITEM = re.compile(r"\s*([\w.]+)\s*(?::\s*(\w+)\s*(?:\[([^\]]*)\])?|=\s*(\S+))\s*")
BY_NAME = {entry.name: dtype for dtype, entry in TORCH_DTYPES.items()} | {
    "float": ir.DataType.FLOAT,
    "int": ir.DataType.INT64,
    "double": ir.DataType.DOUBLE,
    "half": ir.DataType.FLOAT16,
}
SYNTAX = (
    'inputs=["NAME:DTYPE[DIMENSIONS]"], like "x:float32[batch,3,224,224]" or, to fix a number, "rate=16000"'
)


@dataclass(frozen=True)
class InputSpec:
    """Type and dimensions of one input, or the number that fixes it."""

    type: ir.TypeProtocol | None = None
    dims: tuple[int | str | None, ...] | None = None
    fixed: Any = None

    def value(self, name: str) -> ir.Value:
        """Graph input."""
        shape = None if self.dims is None else ir.Shape(list(self.dims))
        return ir.Value(name=name, type=self.type, shape=shape)


def terms(dim: str) -> list[str]:
    """The names a dimension is the sum of: itself, or several joined by `+`."""
    return [term.strip() for term in dim.split("+")]


def split_specs(text: str) -> list[str]:
    """Specifications from the command line, separated by semicolons."""
    return [item for item in text.split(";") if item.strip()]


def parse_specs(inputs: Any) -> dict[str, InputSpec]:
    """Specifications by name, from a list of texts, or a dict of arrays or texts. Raises InvalidOption."""
    if inputs is None:
        return {}
    if isinstance(inputs, str):
        inputs = split_specs(inputs)
    pairs: Iterator[Any] = iter(
        inputs.items() if isinstance(inputs, dict) else [(None, item) for item in inputs]
    )
    return dict(_parse_spec(name, item) for name, item in pairs)


def _parse_spec(name: str | None, item: Any) -> tuple[str, InputSpec]:
    if isinstance(item, np.ndarray) and name:
        return name, InputSpec(_real_type(name, ir.DataType.from_numpy(item.dtype)), item.shape)
    if isinstance(item, (bool, int, float)) and name:
        return name, InputSpec(fixed=item)
    match = ITEM.fullmatch(item if name is None else f"{name}:{item}") if isinstance(item, str) else None
    if match is None:
        raise InvalidOption(f"inputs: {item!r} describes no input.", f"Write {SYNTAX}.")
    key, dtype, dims, number = match.groups()
    if number is not None:
        return key, InputSpec(fixed=_number(key, number))
    if dtype not in BY_NAME:
        raise InvalidOption(
            f"inputs: {dtype!r} of {key} is no dtype.", f"One of: {', '.join(sorted(BY_NAME))}."
        )
    lengths = [d.strip() for d in (dims or "").split(",") if d.strip()]
    if any(d.isdecimal() and not 0 <= int(d[:20]) < 2**63 for d in lengths):
        raise InvalidOption(f"inputs: {dims} of {key} is no shape.", f"Write {SYNTAX}.")
    shape = tuple(int(d) if d.isdecimal() else None if d == "?" else " + ".join(terms(d)) for d in lengths)
    return key, InputSpec(_real_type(key, BY_NAME[dtype]), shape)


def _real_type(name: str, dtype: ir.DataType) -> ir.TensorType:
    if dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        raise InvalidOption(
            f"inputs: {name} is complex, which no input can be.",
            "Hand over pairs of floats, and join them in the model by torch.view_as_complex.",
        )
    return ir.TensorType(dtype)


def _number(name: str, text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text) if re.search(r"[.en]", text) else int(text)
    except ValueError:
        raise InvalidOption(f"inputs: {text!r} of {name} is no number.", f"Write {SYNTAX}.") from None
