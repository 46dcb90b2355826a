"""Every architecture family of keras.applications once, with seeded random weights, to ONNX and to TFLite.

    python benchmarks/keras_applications.py [NAME ...] [--write DIR]

Both results run on the same image and are compared with Keras; seconds are CPU seconds of this process.
--write only exports the models, for `all.py`.
"""

from __future__ import annotations

import argparse
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=FAMILIES)
    parser.add_argument("--write", type=Path, metavar="DIR", help="export the models into DIR and stop")
    given = parser.parse_args()
    tensorflow()
    import keras

    for name in given.names:
        keras.utils.set_random_seed(0)
        own = {"input_shape": (224, 224, 3)} if name.startswith("MobileNetV3") else {}
        model = getattr(keras.applications, name)(weights=None, classifier_activation=None, **own)
        if given.write:
            model.export(given.write / f"{name}.savedmodel", verbose=False)
            continue
        with tempfile.TemporaryDirectory() as place:
            print("  ".join([f"{name:<18}", *measured(model, Path(place))]), flush=True)


def measured(model: Any, place: Path) -> Iterator[str]:
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


if __name__ == "__main__":
    main()
