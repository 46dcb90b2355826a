"""Sorted tables in LevelDB's format (table_format.md): the keys of a checkpoint and their values."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from bridge_savedmodel.crc32c import masked
from bridge_savedmodel.snappy import decompress
from bridge_savedmodel.varint import varint

MAGIC = 0xDB4775248B80FB57
FOOTER, TRAILER = 48, 5
PLAIN, SNAPPY = 0, 1
MAX_KEYS = 2**28


def entries(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of key and value, in the order of the keys. Raises ValueError for a table that is damaged."""
    if len(raw) < FOOTER or struct.unpack_from("<Q", raw, len(raw) - 8)[0] != MAGIC:
        raise ValueError("it does not end as a table does")
    at = len(raw) - FOOTER
    for _ in range(2):
        _, at = varint(raw, at)
    offset, at = varint(raw, at)
    size, _ = varint(raw, at)
    last: bytes | None = None
    total = 0
    for _, handle in _block(raw, offset, size):
        offset, at = varint(handle, 0)
        size, _ = varint(handle, at)
        for key, value in _block(raw, offset, size):
            total += len(key)
            if last is not None and key <= last:
                raise ValueError("its keys are not in order")
            if total > MAX_KEYS:
                raise ValueError(f"its keys are longer than {MAX_KEYS} bytes together")
            yield key, value
            last = key


def _block(raw: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a block, whose keys share the beginning of the key before."""
    block, trailer = raw[offset : offset + size], raw[offset + size : offset + size + TRAILER]
    if len(block) != size or len(trailer) != TRAILER:
        raise ValueError("a block of it is beyond its end")
    if masked(block + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise ValueError("the checksum of a block of it is another")
    if trailer[0] not in (PLAIN, SNAPPY):
        raise ValueError("a block of it is compressed in a way TensorFlow has not")
    block = decompress(block) if trailer[0] == SNAPPY else block
    (restarts,) = struct.unpack("<I", block[-4:].rjust(4, b"\0"))
    end, at, key = len(block) - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + own + length > end:
            raise ValueError("a pair of it is beyond the end of its block")
        key = key[:shared] + block[at : at + own]
        at += own + length
        yield key, block[at - length : at]
