"""Damaged files of every format are read or refused; `benchmarks/fuzz.py` does more of it."""

from __future__ import annotations

import random

import pytest
from build import SUFFIXES, hub_from_text

import bridge
from bridge.errors import BridgeError, InternalError
from bridge.testing import mutations

COUNT = 40
TEXT = "(float[n,2] x) => (float[n,1] y) { y = ai.onnx.ml.LinearRegressor <coefficients=[1.5,-2.0]> (x) }"


@pytest.fixture(scope="module", params=SUFFIXES)
def written(request, tmp_path_factory):
    """A format, and a small model of it."""
    path = tmp_path_factory.mktemp(request.param) / f"m{SUFFIXES[request.param]}"
    bridge.save(hub_from_text(TEXT, ml=3), path, to=request.param)
    return request.param, path


def files_of(path):
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


@pytest.mark.parametrize("number", range(4))
def test_a_damaged_model_is_read_or_refused(written, number):
    name, path = written
    rng, whole = random.Random(number), {file: file.read_bytes() for file in files_of(path)}
    for _ in range(COUNT // 4):
        file = rng.choice(list(whole))
        file.write_bytes(mutations.mutate(whole[file], rng))
        try:
            bridge.load(path, source=name)
        except InternalError as error:
            raise AssertionError(f"{file.name} {file.read_bytes()[:200]!r}") from error
        except BridgeError:
            pass
        file.write_bytes(whole[file])


def test_a_protobuf_taken_apart_is_put_together_again(mnist):
    data = mnist.read_bytes()
    fields = mutations._fields(data)
    assert len(fields) > 3
    assert mutations._message(fields) == data


@pytest.mark.parametrize("name", SUFFIXES)
def test_damage_changes_a_file_in_its_own_way(name, tmp_path):
    path = tmp_path / f"m{SUFFIXES[name]}"
    bridge.save(hub_from_text(TEXT, ml=3), path, to=name)
    (file, *_) = sorted(files_of(path), key=lambda p: -p.stat().st_size)
    kinds = {
        "onnx": mutations.change_protobuf,
        "pmml": mutations.change_text,
        "tflite": mutations.change_numbers,
        "torchscript": mutations.change_archive,
        "savedmodel": mutations.change_protobuf,
    }
    data = file.read_bytes()
    assert mutations._kind(data) is kinds.get(name, mutations._kind(data))
    assert any(mutations.mutate(data, random.Random(seed)) != data for seed in range(3))
