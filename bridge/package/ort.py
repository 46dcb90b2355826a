"""An ONNX file for ONNX Runtime, of the release that a profile names."""

from __future__ import annotations

from bridge.package.kinds import Build

__all__ = ["build"]

USAGE = """## Call it

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
outputs = session.run(None, {{{inputs}}})
```
"""


def build(build: Build) -> str:
    """Write `model.onnx`."""
    build.convert(build.folder / "model.onnx")
    return USAGE.format(inputs=", ".join(f'"{port.name}": …' for port in build.inputs))
