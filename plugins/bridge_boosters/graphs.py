"""Graphs of boosted models: one matrix in, the columns that tests read, what a classifier answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.classical.records import Known
from bridge.classical.trees import Trees
from bridge.errors import Blocker, UnreadableFile, UnsupportedModel

Outputs = dict[str, ir.Value]
Form = Callable[[Any, ir.Value], ir.Value]


def unsupported(library: str, what: str, reason: str, hint: str = "") -> UnsupportedModel:
    """A model that cannot be read, for one reason."""
    return UnsupportedModel(f"The {library} model cannot be read:", [Blocker(what, "", "", reason)], hint)


BROKEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a document whose entries are missing, or of another kind, raises where it is read."""


@contextmanager
def reading(path: Path, library: str) -> Iterator[None]:
    """A context in which what a broken document raises is an UnreadableFile."""
    try:
        yield
    except BROKEN as error:
        what = f"{type(error).__name__}: {error}"[:300]
        raise UnreadableFile(
            f"{path} is not a valid {library} model: {what}",
            "Is the file complete, and as the library wrote it?",
        ) from error


def start_graph(library: str, count: int, dtype: ir.DataType) -> tuple[hub.Builder, ir.Value]:
    """A graph of one input `X`, [N, count]."""
    opsets = {"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    graph = ir.Graph([], [], nodes=[], name=library, opset_imports=opsets)
    x = ir.Value(name="X", type=ir.TensorType(dtype), shape=ir.Shape(["N", count]))
    graph.inputs.append(x)
    op = hub.Builder(graph)
    op.begin(library)
    return op, x


def finish_model(op: hub.Builder, outputs: Outputs, names: Sequence[str], library: str) -> ir.Model:
    """The model of a graph and its outputs; `names` are those of its columns, empty where it has none."""
    graph = op.graph
    assert isinstance(graph, ir.Graph)
    for name, value in outputs.items():
        made = value if value.producer() is not None and value not in graph.outputs else op.Identity(value)
        made.name = name
        graph.outputs.append(made)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    facts.FORMAT.set(model, library)
    if names:
        facts.FEATURE_NAMES.set(model, list(names))
    return model


@dataclass
class Columns:
    """The columns that tests read: those of the model's input, and some of them in other forms behind."""

    count: int
    derived: dict[tuple[Form, int], int] = field(default_factory=dict)
    categories: dict[int, set[float]] = field(default_factory=dict)

    def at(self, column: int, form: Form | None = None) -> int:
        """The place of a column in a form, before `gather` settles the order. Raises ValueError for a column
        that is not there."""
        self.require(np.array([column]))
        if form is None:
            return column
        return self.count + self.derived.setdefault((form, column), len(self.derived))

    def require(self, columns: np.ndarray) -> None:
        """Raises ValueError where one of these columns is not there."""
        outside = (columns < 0) | (columns >= self.count)
        if outside.any():
            raise ValueError(f"a tree tests column {columns[outside][0]} of {self.count}")

    def of_categories(self, column: int, form: Form, members: Iterable[float]) -> int:
        """The place of a column whose categories a test names; they are remembered. Raises ValueError as
        `at` does."""
        self.categories.setdefault(column, set()).update(members)
        return self.at(column, form)

    @property
    def known(self) -> Known:
        """Values of the columns of categories: those that tests name, some between and beside them."""
        return {
            ("X", column): np.array([*sorted(members), max(members, default=0) + 1, 0.7, -0.5])
            for column, members in self.categories.items()
        }

    def gather(self, op: hub.Builder, x: ir.Value, trees: Trees) -> ir.Value:
        """The matrix of all columns, by which those of the trees are numbered anew."""
        parts, order = [x], list(range(self.count))
        for form in dict.fromkeys(form for form, _ in self.derived):
            own = [(at, column) for (f, column), at in self.derived.items() if f is form]
            parts.append(form(op, op.Gather(x, op.const([column for _, column in own]), axis=1)))
            order += [self.count + at for at, _ in own]
        if len(parts) == 1:
            return x
        places = {at: place for place, at in enumerate(order)}
        trees.columns = [places[at] for at in trees.columns]
        return op.Concat(*parts, axis=1)


def floor(op: Any, x: ir.Value) -> ir.Value:
    return op.Floor(x)


def truncated(op: Any, x: ir.Value) -> ir.Value:
    """Whole numbers, rounded towards zero."""
    return op.Where(op.Less(x, 0.0), op.Ceil(x), op.Floor(x))


def missing_where(op: Any, mask: ir.Value, x: ir.Value) -> ir.Value:
    """`x` with NaN where the mask is true."""
    assert x.dtype is not None
    return op.Where(mask, op.const(np.array(np.nan, x.dtype.numpy())), x)


def both_shares(op: Any, second: ir.Value) -> ir.Value:
    """Probabilities of two classes from that of the second, [N, 1]."""
    return op.Concat(op.Sub(1.0, second), second, axis=1)


def label_values(classes: Any) -> np.ndarray:
    """Classes as texts, int64 where all are whole numbers, else double. Raises UnsupportedModel for whole
    numbers past 64 bits."""
    values = np.asarray(classes)
    if values.dtype.kind in "OSU":
        return values.astype(object)
    if values.dtype.kind == "u" and values.size and int(values.max()) > np.iinfo(np.int64).max:
        raise unsupported("classifier's", "label", f"{values.max()} needs more than 63 bits")
    whole = values.astype(np.int64)
    return whole if np.array_equal(whole, values) else values.astype(np.float64)


def label_of(op: hub.Builder, classes: Any, index: ir.Value) -> ir.Value:
    """The class of an index, [N]."""
    return op.Gather(op.const(label_values(classes)), index, axis=0)


def positive_index(op: Any, passed: ir.Value) -> ir.Value:
    """1 where the mask [N, 1] is true, else 0, [N]."""
    return op.Squeeze(op.Cast(passed, to=int(ir.DataType.INT64)), np.array([1]))
