"""Damage to model files that knows how they are built. A reader answers with a model or a BridgeError."""

from __future__ import annotations

import io
import random
import re
import zipfile
import zlib
from collections.abc import Callable

__all__ = ["mutate"]

EXTREMES = (0, 1, -1, 2, 127, 128, 255, 2**15, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1)
WORDS = (
    *(b"", b"0", b"-1", b"1", b"1.5", b"1e999", b"-1e999", b"NaN", b"2147483648", b"99999999999999999999"),
    *(b"true", b"null", b"[]", b"no_such", b"x", b"\xc3\xa9"),
)
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError, RuntimeError),
)
TOKEN = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|[A-Za-z_]{2,}")
DEPTH = 8


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three changes of a file: to records of an archive, fields of a protobuf, numbers of a
    flatbuffer, words and brackets of a text, or to bytes of any."""
    for _ in range(rng.randint(1, 3)):
        data = _changed(data, rng)
    return data


def _changed(data: bytes, rng: random.Random) -> bytes:
    kind = _kind(data)
    return (change_bytes if rng.random() < 0.2 else kind)(data, rng)


def _kind(data: bytes) -> Callable[[bytes, random.Random], bytes]:
    if data[:4] == b"PK\x03\x04":
        return change_archive
    if data[4:8] == b"TFL3":
        return change_numbers
    if data[:64].lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"<", b"{", b"[", b"t"):
        return change_text
    return change_protobuf if _fields(data) else change_bytes


def change_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes put in, left out or doubled, or the file cut."""
    at, span = rng.randrange(len(data) + 1), rng.randint(1, 64)
    match rng.randrange(5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + rng.randbytes(span % 8 + 1) + data[at:]
        case 2:
            return data[:at] + data[at + span :]
        case 3:
            return data[: at + span] + data[at:]
    raw = bytearray(data)
    for _ in range(rng.randint(1, 8)) if raw else ():
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


def change_numbers(data: bytes, rng: random.Random) -> bytes:
    """An aligned number of 32 bits that is an extreme one, or another of the file."""
    at, other = (4 * rng.randrange(len(data) // 4) for _ in range(2))
    word = data[other : other + 4]
    if rng.random() < 0.7:
        word = (rng.choice(EXTREMES) & 0xFFFFFFFF).to_bytes(4, "little")
    return data[:at] + word + data[at + 4 :]


def change_text(data: bytes, rng: random.Random) -> bytes:
    """A word or number that is another, or a stretch between two brackets left out or doubled."""
    tokens = list(TOKEN.finditer(data))
    if not tokens:
        return change_bytes(data, rng)
    token = rng.choice(tokens)
    if rng.random() < 0.6:
        word = rng.choice(WORDS) if rng.random() < 0.6 else rng.choice(tokens)[0]
        return data[: token.start()] + word + data[token.end() :]
    opens, closes = (b"<", b">") if data.lstrip()[:1] == b"<" else (b"{", b"}")
    start, end = data.rfind(opens, 0, token.start() + 1), data.find(closes, token.end())
    if start < 0 or end < 0:
        return change_bytes(data, rng)
    part = data[start : end + 1]
    return data[:start] + part * rng.choice((0, 2)) + data[end + 1 :]


def change_archive(data: bytes, rng: random.Random) -> bytes:
    """A record of a zip changed, left out, doubled, renamed or said to be of another size."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            records = {info.filename: archive.read(info) for info in archive.infolist()}
    except UNREADABLE:
        return change_bytes(data, rng)
    if not records:
        return change_bytes(data, rng)
    name = rng.choice(list(records))
    match rng.randrange(6):
        case 0:
            del records[name]
        case 1:
            records[name] = records[rng.choice(list(records))]
        case 2:
            records[name + rng.choice(("", "/", "x", "/../x"))] = records.pop(name)
        case _:
            records[name] = _changed(records[name], rng) if records[name] else rng.randbytes(4)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for key, content in records.items():
            archive.writestr(key, content)
    return written.getvalue()


Field = tuple[int, int, bytes]
"""Number, wire type and content of a field of a protobuf message; of a varint its value's bytes."""


def change_protobuf(data: bytes, rng: random.Random, depth: int = 0) -> bytes:
    """A field of a message, at any depth, left out, doubled, moved, renumbered, or of another value."""
    fields = _fields(data)
    if not fields:
        return change_bytes(data, rng)
    at = rng.randrange(len(fields))
    number, wire, content = fields[at]
    if wire == 2 and depth < DEPTH and _fields(content) and rng.random() < 0.85:
        fields[at] = number, wire, change_protobuf(content, rng, depth + 1)
        return _message(fields)
    match rng.randrange(6):
        case 0:
            del fields[at]
        case 1:
            fields.insert(rng.randrange(len(fields)), fields[at])
        case 2:
            fields[at] = rng.randint(1, 20), wire, content
        case _ if wire == 0:
            fields[at] = number, wire, _varint(rng.choice(EXTREMES))
        case _ if wire == 2:
            text = content.isascii() and len(content) < 64
            changed = rng.choice(WORDS) if text and rng.random() < 0.5 else change_bytes(content, rng)
            fields[at] = number, wire, changed
        case _:
            fields[at] = number, wire, rng.randbytes(len(content))
    return _message(fields)


def _fields(data: bytes) -> list[Field]:
    """Fields of a message; none where the bytes are no message."""
    fields, at = [], 0
    try:
        while at < len(data):
            key, at = _read_varint(data, at)
            number, wire = key >> 3, key & 7
            start = at
            if wire == 0:
                _, at = _read_varint(data, at)
            elif wire == 2:
                size, start = _read_varint(data, at)
                at = start + size
            else:
                at += {1: 8, 5: 4}[wire]
            if not number or at > len(data):
                return []
            fields.append((number, wire, data[start:at]))
    except (IndexError, KeyError):
        return []
    return fields


def _message(fields: list[Field]) -> bytes:
    parts = []
    for number, wire, content in fields:
        parts.append(_varint(number << 3 | wire))
        if wire == 2:
            parts.append(_varint(len(content)))
        parts.append(content)
    return b"".join(parts)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > 63:
            return value, at


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
