"""Tensors as files store them: numpy views of mapped memory, with the layout and quantization they have."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.values import Unsupported

__all__ = ["Quantizer", "StoredObject", "StoredTensor", "stored", "strided"]


@dataclass(frozen=True)
class Quantizer:
    """Scale and zero point, numbers or arrays along `axis`."""

    scale: Any
    zero_point: Any
    axis: int | None = None


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """Elements, the integers where they are quantized. Tensors of equal `memory` are one in memory and
    layout.
    """

    array: np.ndarray
    memory: Hashable
    quantizer: Quantizer | None = None

    def pairs(self) -> StoredTensor:
        """Complex numbers as pairs [..., 2] of real and imaginary part."""
        flat = np.asarray(self.array, order="C").reshape(-1)
        parts = flat.view(self.array.real.dtype).reshape(*self.array.shape, 2)
        return StoredTensor(parts, (self.memory, "pairs"))


def strided(
    data: np.ndarray,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    quantizer: Quantizer | None = None,
) -> StoredTensor:
    """Tensor of a storage's elements, which it shares; strides in elements. Raises ValueError for one that
    lies outside."""
    empty = 0 in shape
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides), default=0) < 0 or (not empty and last >= data.size):
        raise ValueError("a tensor lies outside its storage")
    steps = tuple(s * data.itemsize for s in strides)
    view = (
        np.empty(shape, data.dtype)
        if empty
        else np.lib.stride_tricks.as_strided(data[offset:], shape, steps, writeable=False)
    )
    place = view.__array_interface__["data"][0]
    return StoredTensor(view, object() if empty else (place, shape, strides, str(data.dtype)), quantizer)


@dataclass(eq=False)
class StoredObject:
    """Instance of a TorchScript class: its name, and attributes or whatever its class keeps as state."""

    name: str
    state: Any = None

    def getattr(self, name: str) -> Any:
        """Attribute. Raises AttributeError."""
        if not isinstance(self.state, dict) or name not in self.state:
            raise AttributeError(f"{self.name} has no attribute {name}")
        return self.state[name]


def stored(value: Any) -> StoredTensor | None:
    """A stored tensor, itself or of a tensor of torch, whose memory is shared; None for anything else.

    Raises Unsupported for one that is not dense.
    """
    if isinstance(value, StoredTensor):
        return value
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return None
    tensor = value.detach().cpu().resolve_conj()
    if tensor.layout != torch.strided:
        raise Unsupported("reads a sparse tensor")
    layout = (tensor.data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()))
    memory = (*layout, tensor.dtype) if tensor.numel() else id(value)
    quantizer = _quantizer_of(tensor) if tensor.is_quantized else None
    return StoredTensor(_array_of(tensor.int_repr() if quantizer else tensor), memory, quantizer)


def _quantizer_of(tensor: Any) -> Quantizer:
    import torch

    if tensor.qscheme() == torch.per_tensor_affine:
        return Quantizer(tensor.q_scale(), tensor.q_zero_point())
    scales, zeros = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return Quantizer(scales.numpy(), zeros.numpy(), tensor.q_per_channel_axis())


def _array_of(tensor: Any) -> np.ndarray:
    import torch

    dtype = next(d for d, h in TORCH_DTYPES.items() if getattr(torch, h.name) == tensor.dtype).numpy()
    tensor = tensor.contiguous()
    if dtype.isbuiltin == 1:
        return np.asarray(tensor.numpy())
    raw = tensor.reshape(-1).view(torch.uint8).numpy()
    return np.asarray(raw.view(dtype).reshape(tuple(tensor.shape)))
