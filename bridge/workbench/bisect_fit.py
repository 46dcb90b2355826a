"""Inputs and outputs of one model as those of another, whatever they are called there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import InvalidInput
from bridge.ports import port_of
from bridge.session import Outputs, Session
from bridge.workbench.bisect_match import SWAPS

__all__ = ["Fit", "Fitted", "fit_of"]


@dataclass
class Fit:
    """A candidate's inputs as they are of the reference's: by its names, the other's name, the order of axes
    and the dtype; and `outputs`, its names by the reference's."""

    inputs: dict[str, tuple[str, tuple[int, ...], np.dtype]]
    outputs: dict[str, str] = field(default_factory=dict)

    def given(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs as the candidate takes them."""
        return {
            name: _in_dtype(np.transpose(inputs[own], perm) if perm else inputs[own], dtype)
            for name, (own, perm, dtype) in self.inputs.items()
            if own in inputs
        }

    def named(self, outputs: Outputs, expected: dict[str, Any]) -> Outputs:
        """Outputs under the reference's names: where those differ, what has as many elements of the kind."""
        if not self.outputs:
            self.outputs = dict(_fitting(expected, outputs))
        known = {second: first for first, second in self.outputs.items()}
        found = {known.get(name, name): value for name, value in outputs.items()}
        return Outputs(
            {name: _laid(value, expected.get(name)) for name, value in found.items()},
            outputs.engine,
            outputs.refusal,
        )


def _in_dtype(array: Any, dtype: np.dtype) -> Any:
    """An array in another dtype of its kind."""
    if not isinstance(array, np.ndarray):
        return array
    kinds = {array.dtype.kind, dtype.kind}
    return np.ascontiguousarray(array.astype(dtype)) if len(kinds) == 1 or kinds == {*"iu"} else array


def _fitting(expected: dict[str, Any], outputs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((name, name) for name in expected if name in outputs)
    left = [name for name in outputs if name not in expected]
    for name in (n for n in expected if n not in outputs):
        alike = [o for o in left if _alike(expected[name], outputs[o])]
        if alike:
            left.remove(alike[0])
            yield name, alike[0]


def _alike(one: Any, other: Any) -> bool:
    a, b = np.asarray(one), np.asarray(other)
    return a.size == b.size and a.dtype.kind == b.dtype.kind


def _laid(value: Any, expected: Any) -> Any:
    """An array in the layout that has the shape which is expected."""
    arrays = (value, expected)
    if not all(isinstance(a, np.ndarray) for a in arrays) or value.ndim != expected.ndim:
        return value
    perms = (p for p in SWAPS.get(value.ndim, ()) if tuple(value.shape[i] for i in p) == expected.shape)
    perm = None if value.shape == expected.shape else next(perms, None)
    return value if perm is None else np.transpose(value, perm)


class Fitted(Session):
    """A candidate's session under the reference's names; `expected` are outputs of the reference."""

    def __init__(self, session: Session, fit: Fit, expected: dict[str, Any]) -> None:
        self.session, self.fit, self.expected = session, fit, expected

    def run(self, inputs: dict[str, Any]) -> Outputs:
        outputs = self.session.run(self.fit.given(inputs))
        self.engine = outputs.engine
        return self.fit.named(outputs, self.expected)

    def variants(self) -> Iterator[Session]:
        return (Fitted(variant, self.fit, self.expected) for variant in self.session.variants())


def fit_of(first: ir.Model, second: ir.Model) -> Fit:
    """The way the inputs of the second model are those of the first: by name, else the first that has its
    shape, as it is or in another layout. Raises InvalidInput where one has none."""
    own = {v.name or "": v for v in first.graph.inputs}
    wanted = {v.name or "": v for v in second.graph.inputs}
    found: dict[str, tuple[str, tuple[int, ...], np.dtype]] = {}
    free = {name: v for name, v in own.items() if name not in wanted}
    for name, value in wanted.items():
        if name in own:
            found[name] = (name, _perm(own[name], value) or (), _numpy_dtype(value))
            continue
        fitting = ((n, perm) for n, v in free.items() if (perm := _perm(v, value)) is not None)
        other, perm = next(fitting, ("", ()))
        if not other and value.const_value is not None:
            continue
        if not other:
            raise InvalidInput(
                f"The two models have no common inputs: {_shown(own)} and {_shown(wanted)}.",
                "Is each the model that was meant? bridge convert --rename, --dims and --layout give inputs "
                "other names and shapes.",
            )
        found[name] = (other, perm, _numpy_dtype(value))
        del free[other]
    return Fit(found)


def _shown(values: dict[str, ir.Value]) -> str:
    return ", ".join(str(port_of(value)) for value in values.values()) or "none"


def _numpy_dtype(value: ir.Value) -> np.dtype:
    return np.dtype(object) if value.dtype in (None, ir.DataType.STRING) else np.dtype(value.dtype.numpy())


def _perm(first: ir.Value, second: ir.Value) -> tuple[int, ...] | None:
    """The order in which the axes of one input are those of another, empty where it is the same; None where
    the shapes differ."""
    if first.shape is None or second.shape is None:
        return ()
    a, b = list(first.shape), list(second.shape)
    if len(a) != len(b):
        return None
    perms = ((), *SWAPS.get(len(a), ()))
    return next((p for p in perms if _fits([a[i] for i in p] if p else a, b)), None)


def _fits(a: list[Any], b: list[Any]) -> bool:
    return all(m == n or not isinstance(m, int) or not isinstance(n, int) for m, n in zip(a, b, strict=True))
