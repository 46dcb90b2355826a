"""Core ML packages as Apple's converter writes them, for the tests of the room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge_coreml.coremltools_import import coremltools


def model_of_apple(build: Callable[..., Any], *specs: Any, target: str = "iOS15", **options: Any) -> Any:
    """The model coremltools makes of a MIL program with inputs of these shapes or specs, in float32. `save`
    writes it."""
    ct = coremltools()
    from coremltools.converters.mil.mil import Builder as mb

    version = getattr(ct.target, target)
    given = [mb.TensorSpec(s) if isinstance(s, tuple) else s for s in specs]
    return ct.convert(
        mb.program(input_specs=given, opset_version=version)(build),
        convert_to="mlprogram",
        minimum_deployment_target=version,
        compute_precision=ct.precision.FLOAT32,
        **options,
    )
