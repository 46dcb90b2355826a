"""Operators on characters of strings: integers as text always, short ASCII strings with characters=N."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import ExecutionFailed, UnsupportedModel

pytest.importorskip("tensorflow")

from bridge_savedmodel.cases import as_array
from bridge_savedmodel.tensorflow import tensorflow

tf = tensorflow()
text = tf.strings
KEY = [123, 2**63 - 5]


def words(longest: int) -> np.ndarray:
    """Three random words of every length, of ASCII characters except NUL."""
    rng = np.random.default_rng(0)
    return np.array(
        ["".join(map(chr, rng.integers(1, 128, n))) for n in range(longest + 1) for _ in range(3)], object
    )


def function(work: Callable[[Any], Any], array: np.ndarray) -> Any:
    dtype = tf.string if array.dtype == object else array.dtype
    dims = [None, *array.shape[1:]]
    return tf.function(work, autograph=False).get_concrete_function(tf.TensorSpec(dims, dtype, "x"))


def same(work: Callable[[Any], Any], array: np.ndarray, **options: Any) -> None:
    traced = function(work, array)
    expected = [as_array(v) for v in tf.nest.flatten(traced(tf.constant(array)))]
    outputs = bridge.run(bridge.load(traced, **options), {"x": array})
    assert outputs.engine.startswith("ONNX Runtime")
    for output, expected_output in zip(outputs.values(), expected, strict=True):
        assert output.dtype == expected_output.dtype
        np.testing.assert_array_equal(output, expected_output)


@pytest.mark.parametrize("longest", [7, 16, 20, 32, 64])
def test_words_fall_into_the_buckets_of_tensorflow(longest: int) -> None:
    same(lambda x: text.to_hash_bucket_fast(x, 2**62), words(longest), characters=longest)


def test_words_fall_into_the_keyed_buckets_of_tensorflow() -> None:
    same(lambda x: text.to_hash_bucket_strong(x, 1000003, KEY), words(33), characters=33)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("strong", [False, True])
def test_whole_numbers_need_no_word_about_characters(kind: Any, strong: bool) -> None:
    info = np.iinfo(kind)
    numbers = np.array([[info.min, info.max], [0, 7], [99, 120]], kind)
    work = lambda x: text.to_hash_bucket_strong(x, 1009, KEY) if strong else text.to_hash_bucket_fast(x, 1009)  # noqa: E731
    same(lambda x: work(text.as_string(x)), numbers)


SHORT = np.array(["  a b ", "", "\t\n", "xy", "x  "], object)
PARTS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "length": (text.length, SHORT),
    "length of rows": (text.length, SHORT[:4].reshape(2, 2)),
    "strip": (text.strip, SHORT),
    "substr": (lambda x: text.substr(x, 1, 3), np.array(["abcdef", "xy", "hello", "a"], object)),
    "substr of rows": (lambda x: text.substr(x, 0, 2), SHORT[:4].reshape(2, 2)),
    "substr from the end": (lambda x: text.substr(x, -2, 9), np.array(["abcdef", "xy"], object)),
    "substr of nothing": (lambda x: text.substr(x, 0, 0), SHORT),
    "decoded": (lambda x: text.unicode_decode(x, "UTF-8").to_tensor(), SHORT),
    "offsets": (lambda x: text.unicode_decode_with_offsets(x, "UTF-8")[1].to_tensor(), SHORT),
    "split": (lambda x: text.unicode_split(x, "UTF-8").to_tensor(), SHORT),
    "encoded": (lambda x: text.unicode_encode(text.unicode_decode(x, "UTF-8") + 1, "UTF-8"), SHORT),
    "fingerprint": (lambda x: tf.fingerprint(x), words(9)),
}


@pytest.mark.parametrize("name", PARTS)
def test_short_strings_are_taken_apart(name: str) -> None:
    work, array = PARTS[name]
    same(work, array, characters=9)


@pytest.mark.parametrize("name", ["length", "split", "fingerprint"])
@pytest.mark.parametrize("other", ["é", "x" * 10, "a\0"])
def test_a_run_that_meets_another_string_fails(name: str, other: str) -> None:
    work, array = PARTS[name]
    model = bridge.load(function(work, array), characters=9)
    with pytest.raises(ExecutionFailed, match="out of data bounds"):
        bridge.run(model, {"x": np.array(["a", other], object)})


@pytest.mark.parametrize("name", PARTS)
def test_without_a_word_about_characters_strings_stay_whole(name: str) -> None:
    with pytest.raises(UnsupportedModel, match="characters=N"):
        bridge.load(function(*PARTS[name]))


def test_a_hash_of_long_strings_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="64 or less"):
        bridge.load(function(lambda x: text.to_hash_bucket_fast(x, 9), SHORT), characters=65)


def test_layers_that_split_characters_are_read() -> None:
    keras = pytest.importorskip("keras")
    inputs = keras.Input((1,), dtype="string")
    layer = keras.layers.TextVectorization(
        vocabulary=["a", "b"], split="character", output_sequence_length=5, standardize=None
    )
    model = keras.Model(inputs, layer(inputs))
    hub = bridge.load(model, characters=12)
    array = np.array([["abcab ba"], [""], ["b"]], object)
    (output,) = bridge.run(hub, {hub.graph.inputs[0].name: array}).values()
    np.testing.assert_array_equal(output, model(tf.constant(array)).numpy())


def test_a_sum_of_strings_joins_them() -> None:
    same(lambda x: x + "-" + x, np.array(["a", "", "bc"], object))
