"""Layers of a NeuralNetwork, written by coremltools' NeuralNetworkBuilder; what they compute is NumPy's
word or torch's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.matrix import Made, NativeCase
from bridge_coreml.cases.common import as_list, f
from bridge_coreml.coremltools_import import coremltools

FLOAT = 65568
X, IMAGE = f(2, 3, 4), f(1, 4, 6, 8)


@dataclass(frozen=True)
class Network:
    """One layer or a few: `build` adds them to a builder, from x0, x1, … to y or to y0, y1, …; `want`
    computes the outputs of the arrays.

    A `legacy` network takes vectors and [channels, height, width] as blobs of rank 5.
    """

    build: Callable[[Any], Any]
    arrays: tuple[np.ndarray, ...]
    want: Callable[..., Any]
    random: bool = False
    legacy: bool = False

    def measured(self, folder: Path) -> Made:
        """The case as the matrix measures it."""
        ct = coremltools()
        array = ct.models.datatypes.Array
        expected = [np.asarray(v, np.float32) for v in as_list(self.want(*self.arrays))]
        names = ["y"] if len(expected) == 1 else [f"y{n}" for n in range(len(expected))]
        builder = ct.models.neural_network.NeuralNetworkBuilder(
            [(f"x{n}", array(*a.shape)) for n, a in enumerate(self.arrays)],
            [(n, array(*v.shape)) for n, v in zip(names, expected, strict=True)],
            disable_rank5_shape_mapping=not self.legacy,
        )
        self.build(builder)
        description = builder.spec.description
        for feature in (*description.input, *description.output):
            feature.type.multiArrayType.dataType = FLOAT
        path = folder / "native.mlmodel"
        path.write_bytes(builder.spec.SerializeToString())
        inputs = {f"x{n}": a.astype(np.float32) for n, a in enumerate(self.arrays)}
        return Made(path, inputs, {}, expected, random=self.random)


def network(build: Callable[..., Any], *arrays: np.ndarray, want: Callable[..., Any], **more: Any) -> Network:
    return Network(build, arrays, want, **more)


def layer(
    kind: str,
    /,
    *arrays: np.ndarray,
    want: Callable[..., Any],
    random: bool = False,
    legacy: bool = False,
    **parameters: Any,
) -> Network:
    """The layer that the builder's `add_<kind>` adds with these parameters, from all the inputs to all the
    outputs."""

    def build(builder: Any) -> Any:
        return add_layer(builder, kind, parameters)

    return Network(build, arrays, want, random, legacy)


def add_layer(builder: Any, kind: str, parameters: dict[str, Any]) -> Any:
    """The layer, which reads all the inputs of the builder's network and writes all its outputs."""
    add = getattr(builder, f"add_{kind}")
    parameter_names = inspect.signature(add).parameters
    ends: dict[str, Any] = {}
    for end in ("input", "output"):
        names = [feature.name for feature in getattr(builder.spec.description, end)]
        ends |= {f"{end}_names": names} if f"{end}_names" in parameter_names else {f"{end}_name": names[0]}
    return add("l", **ends, **parameters)


def added_constant(
    kind: str, *, want: Callable[..., Any], random: bool = False, **parameters: Any
) -> Network:
    """The layer of a constant that the builder's `add_<kind>` adds, and its sum with the input."""

    def build(builder: Any) -> None:
        getattr(builder, f"add_{kind}")("l", output_name="z", **parameters)
        builder.add_add_broadcastable("m", input_names=["x0", "z"], output_name="y")

    return Network(build, (X,), want, random)


def natives(networks: dict[str, Network]) -> dict[str, NativeCase]:
    """The networks by name, whose first word is the layer's type."""
    return {f"{name} layer": NativeCase((name.split()[0],), case.measured) for name, case in networks.items()}
