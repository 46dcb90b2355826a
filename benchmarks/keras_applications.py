"""Every architecture family of keras.applications once, with seeded random weights, to ONNX and to TFLite.

    python benchmarks/keras_applications.py [NAME ...] [--peers] [--tf2onnx PYTHON]

Both results run on the same image and are compared with Keras. With --peers, TensorFlow's own converter writes TFLite in this process and,
in the Python given, tf2onnx writes ONNX: process CPU seconds, one after the other.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bridge_savedmodel.tensorflow import tensorflow

import bridge

FAMILIES = [
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "ResNet50",
    "ResNet50V2",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception",
    "VGG16",
    "NASNetMobile",
    "ConvNeXtTiny",
]
RTOL, ATOL = 1e-3, 1e-4


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what `work` returns."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def agrees(path: Path, name: str, image: np.ndarray, expected: np.ndarray) -> str:
    found = next(iter(bridge.run(path, {name: image}).values()))
    close = np.allclose(found, expected, rtol=RTOL, atol=ATOL * float(np.abs(expected).max()))
    return f"{np.abs(found - expected).max():.1e} {'agrees' if close else 'WRONG'}"


def tf2onnx(python: str, folder: Path, target: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [python, "-m", "tf2onnx.convert", "--saved-model", str(folder), "--output", str(target)]
    done = subprocess.run(command, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        float("nan")
        if done.returncode
        else after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=FAMILIES)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--tf2onnx", default="", metavar="PYTHON")
    given = parser.parse_args()
    tf = tensorflow()
    import keras

    for name in given.names:
        keras.utils.set_random_seed(0)
        own = {"input_shape": (224, 224, 3)} if name.startswith("MobileNetV3") else {}
        model = getattr(keras.applications, name)(weights=None, classifier_activation=None, **own)
        with tempfile.TemporaryDirectory() as place:
            print("  ".join([f"{name:<18}", *measured(tf, model, Path(place), given)]), flush=True)


def measured(tf: Any, model: Any, place: Path, given: Any) -> Iterator[str]:
    """What each conversion took, and how far its result is from Keras."""
    folder = place / "m.savedmodel"
    model.export(folder, verbose=False)
    port = bridge.load(folder).graph.inputs[0].name or ""
    image = (
        np.random.default_rng(0)
        .uniform(0, 1, (1, *(n or 224 for n in model.input_shape[1:])))
        .astype(np.float32)
    )
    expected = np.asarray(model(image, training=False))
    for suffix in (".onnx", ".tflite"):
        target = (place / "m").with_suffix(suffix)
        spent, _ = seconds(lambda: bridge.convert(folder, target))  # noqa: B023
        yield f"{suffix} {spent:.2f} s {agrees(target, port, image, expected)}"
    if given.peers:
        spent, _ = seconds(lambda: tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
        yield f"TFLiteConverter {spent:.2f} s"
    if given.tf2onnx:
        yield f"tf2onnx {tf2onnx(given.tf2onnx, folder, place / 'peer.onnx'):.2f} s"


if __name__ == "__main__":
    main()
