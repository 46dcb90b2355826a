"""Checkpoints that TensorFlow writes, and damaged ones, read without it."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_savedmodel import crc32c
from bridge_savedmodel.bundle import Bundle
from bridge_savedmodel.definitions import message
from bridge_savedmodel.resources import _part_of
from bridge_savedmodel.snappy import decompress
from bridge_savedmodel.sstable import FOOTER, MAGIC, entries

import bridge
from bridge.errors import UnreadableFile

CHECKED = {b"": 0, b"123456789": 0xE3069283, bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43}


@pytest.mark.parametrize("data", CHECKED)
def test_a_checksum_is_castagnolis(data: bytes) -> None:
    assert crc32c.extend(0, data) == CHECKED[data]


@pytest.mark.parametrize("size", [2048, 2049, 4096, 100_001, crc32c.CHUNK + 3])
def test_a_checksum_is_the_same_in_pieces(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    whole = 0
    for start in range(0, size, 2000):
        whole = crc32c.extend(whole, data[start : start + 2000])
    assert crc32c.extend(0, data) == whole


COMPRESSED = {
    b"\x05\x10abcde": b"abcde",
    b"\x09\x04ab\x0d\x02": b"ababababa",
    b"\x05\x00a\x0e\x01\x00": b"aaaaa",
    b"\x04\x00a\x0b\x01\x00\x00\x00": b"aaaa",
    b"\x46" + b"\xf0\x45" + bytes(70): bytes(70),
}
DAMAGED = [b"", b"\x05", b"\x05\x10abc", b"\x05\x00a\x01\x02", b"\xff\xff\x7f\x00a", b"\x01\x04ab"]


@pytest.mark.parametrize("data", COMPRESSED)
def test_a_block_is_decompressed(data: bytes) -> None:
    assert decompress(data) == COMPRESSED[data]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_block_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decompress(data)


# Written by TensorFlow


def save(prefix: Path, tensors: dict[str, Any], parts: dict[str, list[str]] | None = None) -> Path:
    """A checkpoint of tensors, or of parts of them under one name."""
    tf = pytest.importorskip("tensorflow")
    rows = [
        (n, p, t) for n, ts in tensors.items() for p, t in zip((parts or {}).get(n, [""]), ts, strict=True)
    ]
    names, slices, contents = zip(*rows, strict=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=slices,
        tensors=[tf.constant(t) for t in contents],
    )
    return prefix


def numbers(dtype: Any, *dims: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 2, dims).astype(dtype)


NUMBERS = [
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
]


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("dims", [(), (0,), (3, 5), (2, 0, 3), (70_000,)])
def test_numbers_of_every_dtype(dtype: str, dims: tuple[int, ...], tmp_path: Path) -> None:
    import ml_dtypes

    array = numbers(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype, *dims)
    bundle = Bundle(save(tmp_path / "v", {"a": [b"x"], "b/c": [array]}))
    found = bundle.tensor("b/c")
    assert "a" in bundle
    assert "b" not in bundle
    assert found.dtype == array.dtype
    assert found.flags.aligned
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("texts", [b"one", [], [b"", b"two", b"\xff\0"], [[b"x" * 300], [b"y"]]])
def test_strings(texts: Any, tmp_path: Path) -> None:
    array = np.array(texts, object)
    bundle = Bundle(save(tmp_path / "v", {"text": [array if array.size else np.zeros(0, "S1")]}))
    assert bundle.tensor("text").tolist() == array.tolist()


def test_hundreds_of_keys_in_several_blocks(tmp_path: Path) -> None:
    arrays = {f"{'layer' * 40}/{n:05d}": [np.float32(n)] for n in range(3000)}
    bundle = Bundle(save(tmp_path / "v", arrays))
    assert all(bundle.tensor(name) == value for name, (value,) in arrays.items())


def test_several_shards(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    halves = [
        save(tmp_path / f"half{n}", {f"v{n}": [np.arange(n + 4)], f"empty{n}": [np.zeros(0)]})
        for n in range(3)
    ]
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(h) for h in halves], destination_prefix=str(tmp_path / "v")
    )
    assert len(list(tmp_path.glob("v.data-*-of-00003"))) == 3
    assert all((Bundle(tmp_path / "v").tensor(f"v{n}") == np.arange(n + 4)).all() for n in range(3))


@pytest.mark.parametrize("cut", [1, 63, 64, 100, 8191, 8192])
def test_a_tensor_in_slices(cut: int, tmp_path: Path) -> None:
    whole = np.arange(3 * 10_000, dtype=np.int32).reshape(3, 10_000)
    parts = [f"3 10000 -:0,{cut}", f"3 10000 -:{cut},{10_000 - cut}"]
    prefix = save(tmp_path / "v", {"w\xff": [whole[:, :cut], whole[:, cut:]]}, {"w\xff": parts})
    np.testing.assert_array_equal(Bundle(prefix).tensor("w\xff"), whole)


def test_partitioned_variables_have_a_part_each(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    v1 = tf.compat.v1
    parted = {"partitioner": v1.fixed_size_partitioner(3), "use_resource": True}
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 7], "x")
        whole = tf.convert_to_tensor(v1.get_variable("w", [7, 3], **parted))
        y = tf.matmul(x, whole)
        session.run(v1.global_variables_initializer())
        w = session.run(whole)
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": x}, {"y": y})
    rows = np.ones((2, 7), np.float32)
    np.testing.assert_allclose(bridge.run(tmp_path / "m", {"x": rows})["y"], rows @ w, rtol=1e-5)
    np.testing.assert_allclose(bridge.run(bridge.load(tmp_path / "m"), {"x": rows})["y"], rows @ w, rtol=1e-5)


# Damaged


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])


def pair(key: bytes, value: bytes, shared: int = 0) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def block(*pairs: bytes) -> bytes:
    content = b"".join(pairs) + struct.pack("<II", 0, 1)
    return content + b"\0" + crc32c.masked(content + b"\0").to_bytes(4, "little")


def handle(offset: int, size: int) -> bytes:
    return varint(offset) + varint(size)


def table(data: bytes, *handles: bytes) -> bytes:
    """A table whose blocks are at these places of `data`."""
    index = block(*(pair(bytes([n]), h) for n, h in enumerate(handles)))
    footer = handle(0, 0) + handle(len(data), len(index) - 5)
    return data + index + footer.ljust(FOOTER - 8, b"\0") + MAGIC.to_bytes(8, "little")


def one(*pairs: bytes) -> bytes:
    data = block(*pairs)
    return table(data, handle(0, len(data) - 5))


HEADER = pair(b"", message("BundleHeaderProto")(num_shards=1).SerializeToString())
PLAIN = one(HEADER, pair(b"a", b"1"), pair(b"b", b"2", shared=1))
DATA = block(HEADER, pair(b"k", b""))
TABLES: dict[str, bytes] = {
    "nothing": b"",
    "a footer alone": bytes(40) + MAGIC.to_bytes(8, "little"),
    "an index that is its own block": table(b"", handle(0, 21)),
    "two blocks in one place": table(DATA, *[handle(0, len(DATA) - 5)] * 2),
    "a block beyond the end": table(DATA, handle(2**40, 100)),
    "a block larger than the file": table(DATA, handle(0, 2**62)),
    "a key that shares more than there is": one(HEADER, pair(b"k", b"", shared=9)),
    "a key without its bytes": one(HEADER, varint(0) + varint(2**30) + varint(0)),
    "keys out of order": one(HEADER, pair(b"b", b""), pair(b"a", b"")),
    "a number that does not end": one(HEADER, b"\xff" * 20),
    "another checksum": PLAIN.replace(b"a", b"c", 1),
    "no header": one(pair(b"k", b"")),
    "a header that is none": one(pair(b"", b"\xff\xff")),
    "big-endian numbers": one(
        pair(b"", message("BundleHeaderProto")(num_shards=1, endianness=1).SerializeToString())
    ),
}


def test_a_table_made_here_is_one() -> None:
    assert dict(entries(PLAIN)) | {b"": b""} == {b"": b"", b"a": b"1", b"ab": b"2"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with two variables."""
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()
    module.w, module.b = tf.Variable(np.ones((40, 30), np.float32)), tf.Variable(np.ones(30, np.float32))
    function = tf.function(lambda x: {"y": x @ module.w + module.b}).get_concrete_function(
        tf.TensorSpec([None, 40], tf.float32, "x")
    )
    path = tmp_path_factory.mktemp("damaged") / "m"
    tf.saved_model.save(module, str(path), signatures=function)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_index_is_unreadable(name: str, copy: Path) -> None:
    (copy / "variables" / "variables.index").write_bytes(TABLES[name])
    with pytest.raises(UnreadableFile, match="cannot be read"):
        bridge.load(copy)


def changed(copy: Path, change: Callable[[Any], object]) -> None:
    """Change the entry of every variable."""
    index = copy / "variables" / "variables.index"
    pairs = []
    for key, value in entries(index.read_bytes()):
        if key.startswith(b"w/"):
            entry = message("BundleEntryProto").FromString(value)
            change(entry)
            value = entry.SerializeToString()
        pairs.append(pair(key, value))
    index.write_bytes(one(*pairs))


ENTRIES: dict[str, Callable[[Any], object]] = {
    "beyond the end of its shard": lambda e: setattr(e, "offset", 2**40),
    "a negative place": lambda e: setattr(e, "offset", -1),
    "a negative size": lambda e: setattr(e, "size", -4),
    "a shard there is not": lambda e: setattr(e, "shard_id", 7),
    "a shape of more numbers": lambda e: e.shape.dim.add(size=2**60),
    "a negative length": lambda e: e.shape.dim.add(size=-1),
    "a dtype of no numbers": lambda e: setattr(e, "dtype", 20),
    "a dtype there is not": lambda e: setattr(e, "dtype", 99),
    "text": lambda e: setattr(e, "dtype", 7),
    "another checksum": lambda e: setattr(e, "crc32c", e.crc32c ^ 1),
    "a slice that is missing": lambda e: e.slices.add().extent.add(),
    "a slice that is itself": lambda e: e.slices.add(),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_damaged_entry_is_unreadable(name: str, copy: Path) -> None:
    changed(copy, ENTRIES[name])
    with pytest.raises(UnreadableFile, match="The variable w/"):
        bridge.load(copy)


def test_an_entry_as_it_was_is_read(copy: Path) -> None:
    changed(copy, lambda entry: None)
    assert bridge.load(copy).graph.outputs[0].name == "y"


@pytest.mark.parametrize("change", [lambda b: b[:-300], lambda b: b"", lambda b: bytes(len(b))])
def test_a_damaged_shard_is_unreadable(change: Callable[[bytes], bytes], copy: Path) -> None:
    (file,) = (copy / "variables").glob("variables.data-*")
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UnreadableFile, match="The variable"):
        bridge.load(copy)


def nested(depth: int) -> bytes:
    """A SavedModel of object graphs in one another: messages in a field that holds its own kind."""
    inner = b""
    for _ in range(depth):
        inner = b"\x12" + varint(len(inner)) + inner
    return inner


@pytest.mark.parametrize("name", ["saved_model.pb", "graph.pb"])
def test_messages_nested_ten_thousand_deep_are_unreadable(name: str, tmp_path: Path) -> None:
    content = nested(10_000)
    path = tmp_path / name
    path.write_bytes(content if name == "saved_model.pb" else b"\n" + varint(len(content)) + content)
    with pytest.raises(UnreadableFile):
        bridge.load(tmp_path if name == "saved_model.pb" else path)


PARTS = {"": 12, "4 3 -:-": 12, "4 3 1,2:-": 6, "4 3 0,4:2,1": 4}
NO_PARTS = ["4 3 0,5:-", "4 3 3,2:-", "3 4 -:-", "4 3 -", "4 3 -1,2:-", "4 3 a:-", "-:-"]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_tensor_has_its_numbers(part: str) -> None:
    assert _part_of(np.zeros((4, 3)), part).size == PARTS[part]


@pytest.mark.parametrize("part", NO_PARTS)
def test_a_part_that_is_none_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        _part_of(np.zeros((4, 3)), part)
