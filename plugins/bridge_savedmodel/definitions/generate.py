"""Make the definitions from the installed TensorFlow.

    python -m bridge_savedmodel.definitions.generate [FOLDER]

Set VERSION in `__init__.py` to the version it prints.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bridge_savedmodel.definitions import FOLDER
from bridge_savedmodel.import_ops.special import BOUNDS, PIECES
from bridge_savedmodel.tensorflow import tensorflow

DEGREE = 12
Function = Callable[[np.ndarray], np.ndarray]


def messages() -> bytes:
    """The definitions of the messages that SavedModels and checkpoints hold, each after those it uses."""
    tensorflow()
    from google.protobuf import descriptor_pb2
    from tensorflow.core.protobuf import saved_model_pb2, tensor_bundle_pb2

    files: dict[str, Any] = {}

    def add(file: Any) -> None:
        for used in file.dependencies:
            add(used)
        if file.name not in files:
            files[file.name] = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(files[file.name])

    add(saved_model_pb2.DESCRIPTOR)
    add(tensor_bundle_pb2.DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


def operators() -> bytes:
    """Every operator: its outputs, and the attributes that have a default."""
    tensorflow()
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session as session

    every = op_def_pb2.OpList.FromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    kept = op_def_pb2.OpList()
    for definition in sorted(every.op, key=lambda d: d.name):
        row = kept.op.add(name=definition.name)
        for output in definition.output_arg:
            row.output_arg.add(
                name=output.name, number_attr=output.number_attr, type_list_attr=output.type_list_attr
            )
        for attribute in definition.attr:
            if attribute.HasField("default_value"):
                row.attr.add(name=attribute.name, default_value=attribute.default_value)
    return kept.SerializeToString(deterministic=True)


def _kernel(operator: str) -> Function:
    """A raw operator of TensorFlow as a function of float64 arrays."""
    operation = getattr(tensorflow().raw_ops, operator)
    return lambda x: np.asarray(operation(x=tensorflow().constant(x, "float64")))


def _log_of(name: str) -> Function:
    return lambda u: np.log(_kernel(name)(np.exp(u)))


def _modulus(order: int) -> Function:
    """log((J² + Y²) · x) / 2 as a function of log(x)."""

    def log_modulus(u: np.ndarray) -> np.ndarray:
        x = np.exp(u)
        return 0.5 * np.log((_kernel(f"BesselJ{order}")(x) ** 2 + _kernel(f"BesselY{order}")(x) ** 2) * x)

    return log_modulus


def _phase(order: int) -> Function:
    """Angle of J + iY, less x, as a function of log(x)."""

    def phase(u: np.ndarray) -> np.ndarray:
        x = np.exp(u)
        angle = np.arctan2(_kernel(f"BesselY{order}")(x), _kernel(f"BesselJ{order}")(x)) - x
        limit = -np.pi / 4 - order * np.pi / 2
        return angle - 2 * np.pi * np.round((angle - limit) / (2 * np.pi))

    return phase


def _spiral(u: np.ndarray) -> np.ndarray:
    """Fresnel integrals less 1/2, as complex numbers."""
    x = np.exp(u)
    return _kernel("FresnelCos")(x) - 0.5 + 1j * (_kernel("FresnelSin")(x) - 0.5)


def _spiral_phase(u: np.ndarray) -> np.ndarray:
    angle = np.angle(_spiral(u)) - np.pi / 2 * np.exp(2 * u)
    return angle - 2 * np.pi * np.round((angle + np.pi / 2) / (2 * np.pi))


FITTED: dict[str, Function] = {
    **{n: _log_of(n) for n in ("BesselI0e", "BesselI1e", "BesselK0e", "BesselK1e", "Dawsn", "BesselJ1")},
    "Expint": lambda u: _kernel("Expint")(np.exp(u)) * np.exp(-np.exp(u)),
    "Spence": lambda u: _kernel("Spence")(np.exp(u)),
    "Spiral": lambda u: np.log(np.abs(_spiral(u)) * (1 + np.pi * np.exp(u))),
    "SpiralPhase": _spiral_phase,
    **{f"Modulus{n}": _modulus(n) for n in (0, 1)},
    **{f"Phase{n}": _phase(n) for n in (0, 1)},
}


def coefficients(name: str) -> np.ndarray:
    """Chebyshev coefficients of the pieces, of equal width, of a special function: [pieces, degree + 1]."""
    low, high = BOUNDS[name]
    edges = np.linspace(low, high, PIECES + 1)
    half = (edges[1] - edges[0]) / 2
    fit: Any = np.polynomial.chebyshev.chebinterpolate
    pieces = [fit(lambda t, c=c: FITTED[name](c + half * t), DEGREE) for c in edges[:-1] + half]
    return np.array(pieces)


def functions() -> bytes:
    """The coefficients of every special function."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FITTED:
            array = io.BytesIO()
            np.save(array, coefficients(name))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getvalue(), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, make in {
        "messages.binpb": messages,
        "operators.binpb": operators,
        "functions.npz": functions,
    }.items():
        (folder / name).write_bytes(make())
    print(tensorflow().__version__)


if __name__ == "__main__":
    main()
