"""Operators that draw random numbers at every run: distributions agree with TensorFlow's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import bridge
from bridge.errors import UnsupportedModel

pytest.importorskip("tensorflow")

from bridge_savedmodel.tensorflow import tensorflow

tf = tensorflow()
raw = tf.raw_ops
BOX = np.float32([[[0.2, 0.3, 0.7, 0.8]]])
NONE = np.zeros((1, 0, 4), np.float32)


def drawn(work: Any, path: Path, *arrays: np.ndarray, runs: int = 1) -> list[list[np.ndarray]]:
    """Results of `runs` runs in one session."""
    specs = [tf.TensorSpec([1, None, 4] if a.ndim == 3 else a.shape, a.dtype) for a in arrays]
    model = bridge.load(tf.function(work, autograph=False).get_concrete_function(*specs))
    session = onnxruntime.InferenceSession(bridge.save(model, path / "m.onnx").path)
    inputs = {v.name: a for v, a in zip(session.get_inputs(), arrays, strict=True)}
    return [session.run(None, inputs) for _ in range(runs)]


def crops(version: str, **more: Any) -> Any:
    def work(size: Any, boxes: Any) -> Any:
        covered = {"min_object_covered": more.get("min_object_covered", 0.1)}
        attributes = {k: v for k, v in more.items() if k != "min_object_covered"}
        return list(
            getattr(raw, f"SampleDistortedBoundingBox{version}")(
                image_size=size, bounding_boxes=boxes, **covered, **attributes
            )
        )

    return work


@pytest.mark.parametrize("version", ["", "V2"])
def test_crops_are_those_that_were_asked_for(version: str, tmp_path: Path) -> None:
    attributes = {"min_object_covered": 0.5, "aspect_ratio_range": [0.5, 2.0], "area_range": [0.2, 0.9]}
    height, width = 40, 60
    results = drawn(
        crops(version, **attributes), tmp_path, np.array([height, width, 3], np.int32), BOX, runs=200
    )
    for begin, size, corners in results:
        (y, x, z), (h, w, channels) = begin.tolist(), size.tolist()
        assert (z, channels) == (0, -1)
        assert 0.19 <= h * w / (height * width) <= 0.91
        assert 0.45 <= w / h <= 2.2
        top, left, bottom, right = np.floor(BOX[0, 0] * np.float32([height, width, height, width]))
        overlap = max(min(y + h, bottom) - max(y, top), 0) * max(min(x + w, right) - max(x, left), 0)
        assert overlap >= 0.5 * (bottom - top) * (right - left)
        np.testing.assert_allclose(
            corners[0, 0], np.array([y / height, x / width, (y + h) / height, (x + w) / width]), rtol=1e-6
        )
    assert len({tuple(b) for b, *_ in results}) > 10


@pytest.mark.parametrize("boxes", [BOX, NONE], ids=["box", "none"])
def test_a_crop_that_cannot_be_is_the_whole_image(boxes: np.ndarray, tmp_path: Path) -> None:
    attributes = {
        "area_range": [0.99, 1.0],
        "aspect_ratio_range": [3.0, 3.0],
        "use_image_if_no_bounding_boxes": True,
    }
    size = np.array([7, 7, 3], np.int32)
    (outputs,) = drawn(crops("V2", **attributes), tmp_path, size, boxes)
    for output, expected in zip(outputs, crops("V2", **attributes)(size, boxes), strict=True):
        np.testing.assert_array_equal(output, expected.numpy())


def test_crops_without_boxes_are_refused_where_tensorflow_fails() -> None:
    specs = tf.TensorSpec([3], tf.int32), tf.TensorSpec([1, 0, 4], tf.float32)
    with pytest.raises(UnsupportedModel, match="use_image_if_no_bounding_boxes"):
        bridge.load(tf.function(crops("V2"), autograph=False).get_concrete_function(*specs))


def test_a_part_of_an_image_is_cut_out_where_chance_has_it(tmp_path: Path) -> None:
    image = np.arange(5 * 6 * 2, dtype=np.float32).reshape(5, 6, 2)

    definition = tf.compat.v1.GraphDef()
    definition.versions.producer = 7
    for name, operator, dtype in (("x", "Placeholder", tf.float32), ("size", "Const", tf.int64)):
        definition.node.add(name=name, op=operator).attr["dtype"].type = dtype.as_datatype_enum
    definition.node[0].attr["shape"].shape.CopyFrom(tf.TensorShape([5, 6, 2]).as_proto())
    definition.node[1].attr["value"].tensor.CopyFrom(tf.make_tensor_proto([2, 3], tf.int64))
    node = definition.node.add(name="y", op="RandomCrop", input=["x", "size"])
    node.attr["T"].type = tf.float32.as_datatype_enum
    (tmp_path / "m.pb").write_bytes(definition.SerializeToString())
    model = bridge.load(tmp_path / "m.pb")
    session = onnxruntime.InferenceSession(bridge.save(model, tmp_path / "m.onnx").path)
    corners = set()
    for _ in range(80):
        (crop,) = session.run(None, {"x": image})
        y, x = divmod(int(crop[0, 0, 0]) // 2, 6)
        np.testing.assert_array_equal(crop, image[y : y + 2, x : x + 3])
        corners.add((y, x))
    assert {y for y, _ in corners} == set(range(4))
    assert {x for _, x in corners} == set(range(4))


def test_normal_numbers_are_cut_off_at_two_deviations(tmp_path: Path) -> None:
    ((numbers,),) = drawn(lambda x: tf.random.truncated_normal([9000]) + x, tmp_path, np.zeros(1, np.float32))
    assert np.abs(numbers).max() < 2
    np.testing.assert_allclose(np.quantile(numbers, [0.1, 0.5, 0.9]), [-1.18, 0, 1.18], atol=0.06)
    assert abs(numbers.std() - 0.88) < 0.03
