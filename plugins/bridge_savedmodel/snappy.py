"""Snappy's compression (format_description.txt): literals, and copies of what came before."""

from __future__ import annotations

from bridge_savedmodel.varint import varint

MAX_RATIO = 32
"""A copy makes at most 64 bytes of 3."""


def decompress(data: bytes) -> bytes:
    """Raises ValueError for what is damaged."""
    size, at = varint(data, 0)
    if size > MAX_RATIO * len(data):
        raise ValueError("it is longer than its bytes can make it")
    result = bytearray()
    while at < len(data) and len(result) <= size:
        length, distance, at = _element(data, at)
        if distance is None:
            result += data[at : at + length]
            at += length
        elif not 0 < distance <= len(result):
            raise ValueError("a copy in it is of what is before its beginning")
        else:
            repeated = result[len(result) - distance : len(result) - distance + length]
            result += (repeated * -(-length // distance))[:length]
    if len(result) != size:
        raise ValueError("it has another length than it says")
    return bytes(result)


def _element(data: bytes, at: int) -> tuple[int, int | None, int]:
    """Length and distance (None for a literal) of the element that begins at `at`, and where that ends."""
    tag, kind = data[at] >> 2, data[at] & 3
    extra = max(tag - 59, 0) if kind == 0 else (0, 1, 2, 4)[kind]
    number = int.from_bytes(data[at + 1 : at + 1 + extra], "little")
    end = at + 1 + extra
    if kind == 0:
        return (number if extra else tag) + 1, None, end
    if kind == 1:
        return (tag & 7) + 4, (tag >> 3) << 8 | number, end
    return tag + 1, number, end
