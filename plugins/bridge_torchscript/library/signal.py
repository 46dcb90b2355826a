"""Fourier transforms. The last dimension is 1 for real numbers, 2 for complex numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Optional

    import torch
    from torch import Tensor


def as_complex(x: Tensor) -> Tensor:
    """Complex tensor from real and imaginary parts along the last dimension."""
    if x.size(-1) == 1:
        real = torch.select(x, -1, 0)
        return torch.complex(real, torch.zeros_like(real))
    return torch.complex(torch.select(x, -1, 0), torch.select(x, -1, 1))


def dft(x: Tensor, length: int, axis: int, inverse: bool, onesided: bool) -> Tensor:
    """ONNX operator DFT; length 0 means the length of the axis."""
    if axis < 0:
        axis = axis + x.dim()
    numbers = as_complex(x)
    if inverse and onesided:
        count = length if length > 0 else 2 * (x.size(axis) - 1)
        return torch.unsqueeze(torch.fft_irfft(numbers, count, axis), -1)
    count = length if length > 0 else x.size(axis)
    if inverse:
        return torch.view_as_real(torch.fft_ifft(numbers, count, axis))
    spectrum = torch.fft_fft(numbers, count, axis)
    if onesided:
        spectrum = torch.slice(spectrum, axis, 0, count // 2 + 1)
    return torch.view_as_real(spectrum)


def stft(signal: Tensor, step: int, window: Optional[Tensor], length: int, onesided: bool) -> Tensor:
    """ONNX operator STFT: [batch, frames, frequencies, 2]."""
    count = length
    if window is not None:
        count = window.size(0)
    frames = torch.unfold(as_complex(signal), 1, count, step)
    if window is not None:
        frames = frames * window
    spectrum = torch.fft_fft(frames, count, 2)
    if onesided:
        spectrum = torch.slice(spectrum, 2, 0, count // 2 + 1)
    return torch.view_as_real(spectrum)
