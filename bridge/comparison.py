"""Results compared: tolerances, quanta, noise, and the verdict in words."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.errors import VerificationFailed
from bridge.noise import Noise
from bridge.page.content import Content, Histogram, Table, drawn, section
from bridge.page.fragments import Shown
from bridge.page.graph import Graph
from bridge.quant import is_dequantize, is_quantize, quant_params
from bridge.session import Outputs
from bridge.traits import MOVES_DATA, is_a
from bridge.trials import shown

__all__ = ["Comparison", "Verification", "compare", "last_place", "quanta", "worst_of"]

TOLERANCE = {"float16": (1e-2, 1e-2), "bfloat16": (1e-2, 1e-2)}
FLOAT = (1e-3, 1e-4)
DECADES = range(-9, 2)
RANGES = ("0", f"< 1e{DECADES[0]}", *(f"1e{d} to 1e{d + 1}" for d in DECADES), f"≥ 1e{DECADES[-1] + 1}")
"""Ranges of the absolute errors that a histogram counts."""
DRAWN = 24
"""Outputs whose histograms a page has at most."""


@dataclass(frozen=True)
class Comparison:
    """One output: largest absolute and relative error, cosine similarity, and why it fails ("" when it
    agrees).

    `quantum` is the step of a quantized output, when it was needed to agree; `measure` says what its error
    was held to, where that is more than one step; `rms` is the root of the mean square of the error;
    `histogram` counts the finite elements whose absolute error is in each of RANGES.
    """

    name: str
    max_abs: float
    max_rel: float
    cosine: float
    problem: str = ""
    quantum: float = 0.0
    measure: str = ""
    rms: float = 0.0
    histogram: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problem

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        if self.problem:
            return self.problem
        if self.measure:
            return f"agrees within {self.measure}"
        return f"agrees within a quantum of {self.quantum:.3g}" if self.quantum else "agrees"

    @property
    def row(self) -> tuple[str, ...]:
        """Its figures as a table shows them."""
        figures = (f"{self.max_abs:.2e}", f"{self.max_rel:.2e}", f"{self.rms:.2e}", f"{self.cosine:.6f}")
        return self.name, *figures, self.verdict


@dataclass(frozen=True)
class Verification(Shown):
    """Per output of the reference, how the candidate compares at its worst; `engines` are the two runtimes,
    `settings` the lengths of dimensions that vary, a run each, `notes` what else to know, and `graph` is the
    hub model of the reference, where that was read."""

    outputs: tuple[Comparison, ...]
    engines: tuple[str, str]
    settings: tuple[dict[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    graph: Graph | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        return all(o.ok for o in self.outputs)

    @property
    def first_diverging(self) -> str | None:
        """Name of the first output that does not agree."""
        return next((o.name for o in self.outputs if not o.ok), None)

    def require(self, path: Path, source: str = "", written: bool = False) -> Verification:
        """Itself, or VerificationFailed naming the first diverging output, and the command that says where
        a file at `path` parts from the one at `source`."""
        if not self.ok:
            there = Path(source).exists()
            look = shlex.join(["bridge", "bisect", source, str(path)]) if there else "bridge.bisect"
            what = (
                f"{path} was {'written but' if written else 'not written: the result'} disagrees with its "
                "source"
            )
            raise VerificationFailed(
                f"{what}; the first diverging output is {self.first_diverging}.\n{self}",
                f"Do not use the file. Where it parts from its source: {look}. Please report the model."
                if written
                else f"Keep the file with keep=True (--keep) to see where it parts from its source: {look}. "
                "Please report the model.",
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = asdict(replace(self, graph=None))
        del plain["graph"]
        return plain | {"ok": self.ok, "first_diverging": self.first_diverging}

    def content(self) -> Content:
        """Each output with its errors and their histogram; the graph coloured by the error of outputs."""
        far = sum(not o.ok for o in self.outputs)
        at = "; ".join(dict.fromkeys(shown(s) for s in self.settings if s))
        head = ("output", "max abs", "max rel", "rms", "cosine", "verdict")
        rows = tuple(o.row for o in self.outputs)
        ordered = sorted((o for o in self.outputs if o.histogram), key=lambda o: (o.ok, -o.max_abs))
        columns = (
            Histogram(o.name, RANGES, o.histogram, f"{sum(o.histogram):,} elements by absolute error")
            for o in ordered[:DRAWN]
        )
        errors = {o.name: o.max_abs for o in self.outputs}
        return Content(
            f"{self.engines[0]} against {self.engines[1]}",
            f"{far} of {len(self.outputs)} outputs disagree." if far else "Every output agrees.",
            self.ok,
            section(
                "Outputs compared",
                f"{self.engines[0]} against {self.engines[1]}{f', at {at}' if at else ''}",
                *self.notes,
                Table(head, rows, frozenset(range(1, 5)), frozenset({5})),
                *columns,
                f"Histograms of the {DRAWN} worst are shown." if len(ordered) > DRAWN else "",
            ),
            drawn("reference", self.graph, errors=errors, measure="largest error"),
        )

    def __str__(self) -> str:
        width = max([len(o.name) for o in self.outputs] + [6])
        at = "; ".join(dict.fromkeys(shown(s) for s in self.settings if s))
        lines = [
            f"{self.engines[0]} against {self.engines[1]}{f', at {at}' if at else ''}",
            *(f"  {note}" for note in self.notes),
            f"  {'output':<{width}}  {'max abs':>9}  {'max rel':>9}  {'cosine':>9}  verdict",
        ]
        lines += [
            f"  {o.name:<{width}}  {o.max_abs:9.2e}  {o.max_rel:9.2e}  {o.cosine:9.6f}  {o.verdict}"
            for o in self.outputs
        ]
        return "\n".join(lines)


def quanta(model: Any) -> dict[str, float]:
    """Step of each output that is quantized as the last thing the model does: 1 for its integers, else its
    scale.

    Integer kernels of different runtimes round differently, so such an output agrees within one step.
    """
    steps = {value.name or "": _quantum(value) for value in model.graph.outputs}
    return {name: step for name, step in steps.items() if step}


def _quantum(value: ir.Value | None) -> float:
    """The largest step of the quantizations that `value` comes from; 0 where other operators compute it."""
    node = value.producer() if value is not None else None
    if node is None or node.domain:
        return 0.0
    if is_quantize(node):
        return 1.0
    if is_dequantize(node):
        params = quant_params(node)
        return 0.0 if params is None else _quantum(node.inputs[0]) * float(params.scale.max(initial=0))
    moved = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    return max(map(_quantum, moved)) if is_a(node, MOVES_DATA, {"MaxPool"}) else 0.0


def compare(
    expected: Outputs,
    actual: Outputs,
    rtol: float | None = None,
    atol: float | None = None,
    steps: dict[str, float] | None = None,
    lossy: float | None = None,
    noise: dict[str, Noise] | None = None,
) -> Verification:
    """The Verification of two results. `steps` are the quanta of quantized outputs, `noise` how far their
    runtime varies; `lossy` is as `verify` says."""
    extra = [
        Comparison(n, np.inf, np.inf, 0.0, "is not in the reference") for n in actual if n not in expected
    ]
    rows = [
        _forgiven(
            _compare(name, value, actual[name], rtol, _allowed(value, atol, lossy)),
            (steps or {}).get(name, 0.0),
            (noise or {}).get(name),
        )
        if name in actual
        else Comparison(name, np.inf, np.inf, 0.0, "is missing")
        for name, value in expected.items()
    ]
    return Verification((*rows, *extra), (expected.engine, actual.engine))


def _allowed(value: Any, atol: float | None, lossy: float | None) -> float | None:
    """The absolute tolerance of an output: `lossy` is a part of its largest finite element."""
    if lossy is None or not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return atol
    sizes = np.abs(value.astype(np.float64))
    return max(lossy * float(sizes[np.isfinite(sizes)].max(initial=0)), FLOAT[1] if atol is None else atol)


def worst_of(results: list[Verification]) -> Verification:
    """The comparison of each output that fails, else the one with the largest error."""
    rows: dict[str, Comparison] = {}
    for row in (row for result in results for row in result.outputs):
        before = rows.get(row.name)
        if before is None or (not row.ok, row.max_abs) > (not before.ok, before.max_abs):
            rows[row.name] = row
    return Verification(tuple(rows.values()), results[-1].engines)


def _forgiven(row: Comparison, step: float, noise: Noise | None) -> Comparison:
    """A row that differs by no more than one quantum agrees, as does one no further off than twice what the
    reference's own runtime varies by: either of two runtimes may be so far from what is exact."""
    if row.problem != "differs":
        return row
    if step > 0 and row.max_abs <= step * (1 + 1e-4):
        return replace(row, problem="", quantum=step)
    if noise is None or not noise.allows(row.max_abs, row.rms):
        return row
    return replace(row, problem="", quantum=step, measure=noise.words(step))


def _compare(name: str, a: Any, b: Any, rtol: float | None, atol: float | None) -> Comparison:
    if isinstance(a, (list, tuple)) or isinstance(b, (list, tuple)):
        return _sequence(name, a, b, rtol, atol)
    if a is None or b is None:
        same = a is None and b is None
        return Comparison(name, 0.0 if same else np.inf, 0.0, float(same), "" if same else "one is absent")
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return Comparison(name, np.inf, np.inf, 0.0, f"shape {list(b.shape)}, not {list(a.shape)}")
    if (a.dtype.kind in "OSU") != (b.dtype.kind in "OSU"):
        return Comparison(name, np.inf, np.inf, 0.0, f"dtype {b.dtype}, not {a.dtype}")
    if a.dtype.kind in "OSU":
        same = a.astype(str).tolist() == b.astype(str).tolist()
        return Comparison(name, 0.0 if same else np.inf, 0.0, float(same), "" if same else "strings differ")
    if a.dtype != b.dtype:
        return Comparison(name, np.inf, np.inf, 0.0, f"dtype {b.dtype}, not {a.dtype}")
    if a.dtype.kind in "biu":
        return _measured(name, a, b, 0.0, 0.0)
    low, high = TOLERANCE.get(a.dtype.name, FLOAT)
    return _measured(name, a, b, low if rtol is None else rtol, high if atol is None else atol)


def _sequence(name: str, a: Any, b: Any, rtol: float | None, atol: float | None) -> Comparison:
    if not (isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b)):
        return Comparison(name, np.inf, np.inf, 0.0, "is no sequence of the same length")
    items = [_compare(name, x, y, rtol, atol) for x, y in zip(a, b, strict=True)]
    return max(items, key=lambda c: (not c.ok, c.max_abs), default=Comparison(name, 0.0, 0.0, 1.0))


def _measured(name: str, a: np.ndarray, b: np.ndarray, rtol: float, atol: float) -> Comparison:
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    x, y = a.astype(wide).ravel(), b.astype(wide).ravel()
    finite = np.isfinite(x) & np.isfinite(y)
    special = np.array_equal(x[~finite], y[~finite], equal_nan=True)
    x, y = x[finite], y[finite]
    error = np.abs(x - y)
    relative = error / np.maximum(np.abs(x), np.finfo(np.float32).tiny)
    cosine = _cosine(x, y)
    exact = a.dtype.kind in "biu"
    close = np.array_equal(a, b) if exact else bool(np.all(error <= atol + rtol * np.abs(x)))
    problem = "" if close and special else "differs" if special else "NaN or infinity elsewhere"
    rms = float(np.sqrt(np.mean(error**2))) if error.size else 0.0
    worst = float(error.max(initial=0)), float(relative.max(initial=0))
    return Comparison(name, *worst, cosine, problem, rms=rms, histogram=_histogram(error))


def _histogram(error: np.ndarray) -> tuple[int, ...]:
    """Number of absolute errors in each of RANGES."""
    edges = np.array([10.0**d for d in (*DECADES, DECADES[-1] + 1)])
    places = np.where(error == 0, 0, 1 + np.searchsorted(edges, error, side="right"))
    return tuple(np.bincount(places, minlength=len(RANGES)).tolist())


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Cosine similarity of finite vectors, scaled first so that no product overflows or vanishes."""
    sizes = [float(np.abs(v).max(initial=0)) for v in (x, y)]
    if not all(sizes):
        return float(np.array_equal(x, y))
    x, y = x / sizes[0], y / sizes[1]
    return float(np.vdot(x, y).real / (np.linalg.norm(x) * np.linalg.norm(y)))


def last_place(values: dict[str, Any]) -> float:
    """One unit in the last place of the largest finite element: what the order of a sum may change anywhere
    in it."""
    floats = [
        v
        for v in values.values()
        if isinstance(v, np.ndarray) and v.dtype.name in ("bfloat16", "float16", "float32", "float64")
    ]
    sizes = [np.abs(v.astype(np.float64)) for v in floats]
    largest = [float(s[np.isfinite(s)].max(initial=0.0)) for s in sizes]
    return min(
        (float(ml_dtypes.finfo(v.dtype).eps) * n for v, n in zip(floats, largest, strict=True)), default=0.0
    )
