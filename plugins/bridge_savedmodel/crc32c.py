"""Castagnoli's cyclic redundancy check, of many bytes at a time.

A checksum of 0 stays 0 over zeros, and that of two strings is that of the first, carried over the length of
the second, xor that of the second. So a string is cut into lanes whose checksums are carried on side by side,
and then joined two by two.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

POLYNOMIAL = 0x82F63B78
MASK = 0xA282EAD8
SHORT, LANE, CHUNK = 2**11, 2**8, 2**21


@functools.cache
def _bytewise() -> list[int]:
    """The checksum that each byte leaves of 0."""
    table = list(range(256))
    for _ in range(8):
        table = [(v >> 1) ^ (POLYNOMIAL if v & 1 else 0) for v in table]
    return table


def _spread(basis: list[int]) -> np.ndarray:
    """A linear function of the numbers of as many bits as `basis` has elements, its values at powers of 2."""
    table = np.zeros(1, np.uint32)
    for value in basis:
        table = np.concatenate([table, table ^ np.uint32(value)])
    return table


@functools.cache
def _carry(power: int) -> tuple[np.ndarray, np.ndarray]:
    """Tables that carry the low and the high half of a checksum over 2**power bytes."""
    if power == 0:
        table = _bytewise()
        basis = [(v >> 8) ^ table[v & 0xFF] for v in (1 << bit for bit in range(32))]
    else:
        ones = np.uint32(1) << np.arange(32, dtype=np.uint32)
        basis = [int(v) for v in _carried(_carried(ones, power - 1), power - 1)]
    return _spread(basis[:16]), _spread(basis[16:])


def _carried(checksums: np.ndarray, power: int) -> np.ndarray:
    """Checksums after 2**power bytes of zeros."""
    low, high = _carry(power)
    halves = (checksums & 0xFFFF).astype(np.intp), (checksums >> 16).astype(np.intp)
    return low.take(halves[0], mode="wrap") ^ high.take(halves[1], mode="wrap")


def _of_lanes(data: np.ndarray) -> int:
    """The checksum of a string that begins with 0."""
    count = 1 << max(-(-data.size // LANE) - 1, 0).bit_length()
    padded = np.zeros(count * LANE, np.uint8)
    padded[padded.size - data.size :] = data
    lanes = np.zeros(count, np.uint32)
    for column in np.ascontiguousarray(padded.view("<u4").reshape(count, -1).T):
        lanes = _carried(lanes ^ column, 2)
    power = LANE.bit_length() - 1
    while lanes.size > 1:
        lanes = _carried(lanes[::2], power) ^ lanes[1::2]
        power += 1
    return int(lanes[0])


def extend(checksum: int, data: Any) -> int:
    """The checksum of a string followed by `data`, bytes or an array of uint8, from that of the string."""
    data, state = np.frombuffer(data, np.uint8), checksum ^ 0xFFFFFFFF
    if data.size <= SHORT:
        table = _bytewise()
        for byte in data.tobytes():
            state = (state >> 8) ^ table[(state ^ byte) & 0xFF]
        return state ^ 0xFFFFFFFF
    for start in range(0, data.size, CHUNK):
        chunk = data[start : start + CHUNK]
        state = _after(state, chunk.size) ^ _of_lanes(chunk)
    return state ^ 0xFFFFFFFF


def _after(state: int, size: int) -> int:
    """A checksum after `size` bytes of zeros."""
    carried = np.array([state], np.uint32)
    for power in range(size.bit_length()):
        if size >> power & 1:
            carried = _carried(carried, power)
    return int(carried[0])


def masked(data: Any, checksum: int = 0) -> int:
    """The checksum of `data` as files of TensorFlow hold it; `checksum` is that of what comes before."""
    return mask(extend(checksum, data))


def mask(checksum: int) -> int:
    """A checksum as files of TensorFlow hold it."""
    return (((checksum >> 15) | (checksum << 17)) + MASK) & 0xFFFFFFFF
