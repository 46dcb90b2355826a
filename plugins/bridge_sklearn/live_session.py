"""Estimators in memory, run by their own library."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import ExecutionFailed, MissingDependency
from bridge.ports import port_of
from bridge.session import Outputs, Session
from bridge_sklearn.columns import is_search
from bridge_sklearn.text import reads_documents

CALLS = {"label": "predict", "probabilities": "predict_proba", "variable": "predict"}
"""The method that computes each output of a hub model."""


class EstimatorSession(Session):
    """A fitted estimator; outputs have the names, dtypes and shapes of the hub model read from it."""

    def __init__(self, src: Any, read: ir.Model) -> None:
        self._src, self._outputs = src, list(read.graph.outputs)
        self.engine = f"{type(src).__module__.partition('.')[0]}'s {type(src).__name__}"
        self.inputs = tuple(map(port_of, read.graph.inputs))
        self.outputs = tuple(map(port_of, read.graph.outputs))

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Outputs by name. Raises ExecutionFailed in the library's words."""
        records = inputs["X"] if list(inputs) == ["X"] else _table(inputs)
        records = np.ravel(records) if reads_documents(self._src) else records
        values = {}
        for output in self._outputs:
            name = output.name or ""
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = np.asarray(getattr(self._src, CALLS[name])(records))
            except Exception as error:
                raise ExecutionFailed(f"{self.engine}: {str(error).strip()}") from error
            values[name] = _as(found, output)
        return Outputs(values, self.engine)


def _table(columns: dict[str, Any]) -> Any:
    try:
        from pandas import DataFrame
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "Columns by name need the package 'pandas', which is not installed."
        ) from error
    return DataFrame({name: column[:, 0] for name, column in columns.items()})


def _as(found: np.ndarray, output: ir.Value) -> np.ndarray:
    rank = found.ndim if output.shape is None else len(output.shape)
    shaped = found.reshape(len(found), *[-1] * (rank - 1)) if rank in (1, 2) else found
    if output.dtype is None or output.dtype == ir.DataType.STRING:
        return shaped.astype(str).astype(object)
    return shaped.astype(output.dtype.numpy())


def estimator_session(src: Any, model: ir.Model, **options: Any) -> Session | None:
    """A session of an estimator whose every output is a prediction; None for others."""
    src = src.best_estimator_ if is_search(src) else src
    names = {v.name or "" for v in model.graph.outputs}
    classifies = names == {"label", "probabilities"} and hasattr(src, "predict_proba")
    regresses = names == {"variable"} and hasattr(src, "predict") and not hasattr(src, "transform")
    known = (classifies or regresses) and type(src).__name__ != "Booster"
    return EstimatorSession(src, model) if known else None
