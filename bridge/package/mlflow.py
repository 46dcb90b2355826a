"""A model of MLflow, of its ONNX flavour, with signature and input example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx

from bridge.package.agreement import require_agreement
from bridge.package.kinds import Build
from bridge.ports import Port

__all__ = ["build"]

USAGE = """## Use it

```python
import mlflow

model = mlflow.pyfunc.load_model("model")
outputs = model.predict({{{inputs}}})
```

`mlflow models serve -m model` serves it; `mlflow.register_model` puts it into a registry.
"""


def build(build: Build) -> str:
    """Write `model`, by MLflow itself. Raises VerificationFailed where pyfunc answers the samples otherwise
    than the source."""
    import mlflow
    from mlflow.models import ModelSignature

    source = build.folder / "model.onnx"
    build.convert(source)
    sample, target = build.samples[0], build.folder / "model"
    mlflow.onnx.save_model(
        onnx.load(source),
        str(target),
        signature=ModelSignature(schema(build.inputs, sample.inputs), schema(build.outputs, sample.expected)),
        input_example=dict(sample.inputs),
        onnx_execution_providers=["CPUExecutionProvider"],
    )
    source.unlink()
    require_agreement(build, mlflow.pyfunc.load_model(str(target)).predict)
    return USAGE.format(inputs=", ".join(f'"{p.name}": …' for p in build.inputs))


def schema(ports: Iterable[Port], arrays: Mapping[str, Any]) -> Any:
    """Tensors of a signature: with the dtypes of a sample, and -1 for what varies."""
    from mlflow.types import Schema, TensorSpec

    return Schema(
        [
            TensorSpec(
                np.dtype(str) if arrays[p.name].dtype == object else arrays[p.name].dtype,
                tuple(d if isinstance(d, int) else -1 for d in p.shape or ()),
                p.name,
            )
            for p in ports
        ]
    )
