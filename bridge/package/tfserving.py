"""A SavedModel as TensorFlow Serving takes it: versioned, with requests that warm it up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bridge.package.kinds import Build
from bridge.passes.names import callable_names

__all__ = ["build"]

WARMUP = "assets.extra/tf_serving_warmup_requests"
SIGNATURE = "serving_default"
PREDICT_LOG, REQUEST, MODEL_SPEC, INPUTS = 6, 1, 1, 2
MODEL_NAME, SIGNATURE_NAME = 1, 3
"""Numbers of fields in prediction_log.proto, predict.proto and model.proto of TensorFlow Serving."""
USAGE = """## Serve it

```sh
docker run --rm -p 8501:8501 -v "$PWD/models/{name}:/models/{name}" -e MODEL_NAME={name} tensorflow/serving
curl -d @samples/request-0.json localhost:8501/v1/models/{name}:predict
```

`{warmup}` of the model holds the samples as requests, which the server answers before it takes others.
"""


def build(build: Build) -> str:
    """Write `models/NAME/VERSION`, warm-up requests within, and the samples as requests of the REST API."""
    path = build.folder / "models" / build.name / str(build.options["version"])
    build.convert(path)
    names = callable_names(build.samples[0].inputs)
    requests = [{names[n]: array for n, array in sample.inputs.items()} for sample in build.samples]
    write_warmup(path / WARMUP, build.name, requests)
    for number, request in enumerate(requests):
        told = {"signature_name": SIGNATURE, "inputs": {n: plain(a) for n, a in request.items()}}
        build.write(f"samples/request-{number}.json", json.dumps(told) + "\n")
    return USAGE.format(name=build.name, warmup=WARMUP)


def write_warmup(path: Path, model: str, requests: Iterable[dict[str, Any]]) -> None:
    """Write a TFRecord of PredictionLog messages, one of each request."""
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for arrays in requests:
            tensors = {name: tf.make_tensor_proto(array) for name, array in arrays.items()}
            file.write(prediction_log(model, {n: t.SerializeToString() for n, t in tensors.items()}))


def prediction_log(model: str, tensors: dict[str, bytes]) -> bytes:
    """A PredictionLog of a PredictRequest with TensorProtos, as protobuf lays it out."""
    spec = field(MODEL_NAME, model.encode()) + field(SIGNATURE_NAME, SIGNATURE.encode())
    entries = (field(1, name.encode()) + field(2, tensor) for name, tensor in tensors.items())
    request = field(MODEL_SPEC, spec) + b"".join(field(INPUTS, entry) for entry in entries)
    return field(PREDICT_LOG, field(REQUEST, request))


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    length, size = bytearray(), len(content)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def plain(array: np.ndarray) -> Any:
    """An array as the REST API has it; text that is no UTF-8 cannot be in it."""
    if array.dtype.kind in "SO":
        return np.vectorize(lambda x: x.decode() if isinstance(x, bytes) else str(x), [object])(
            array
        ).tolist()
    return array.tolist()
