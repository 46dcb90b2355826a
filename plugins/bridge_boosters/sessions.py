"""Models of the libraries, run by them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.ports import port_of
from bridge.session import Outputs, Session

LIBRARIES = ("xgboost", "lightgbm", "catboost")


def predictor(src: Any) -> Callable[..., np.ndarray]:
    """The predictions of a Booster or an estimator for records, [N, F], whatever their columns are called;
    those of XGBoost take `output_margin` for the sums."""
    if hasattr(src, "get_booster"):
        return lambda records, **how: src.predict(records, validate_features=False, **how)
    if not type(src).__module__.startswith("xgboost"):
        return src.predict
    import xgboost

    types = src.feature_types

    def predict(records: np.ndarray, **how: Any) -> np.ndarray:
        matrix = xgboost.DMatrix(records, feature_types=types, enable_categorical=types is not None)
        return src.predict(matrix, validate_features=False, **how)

    return predict


class LibrarySession(Session):
    """A Booster or an estimator; inputs and outputs are those of the hub model read from it. It is asked for
    its predictions with `how`."""

    def __init__(self, src: Any, model: ir.Model, **how: Any) -> None:
        self._src, self._values = src, list(model.graph.outputs)
        self._predict, self._how = predictor(src), how
        modules = [base.__module__.split(".")[0] for base in type(src).__mro__]
        library = next(name for name in modules if name in LIBRARIES)
        self._library = library
        self.engine = f"{library} {importlib.import_module(library).__version__}"
        self.inputs, self.outputs = tuple(map(port_of, model.graph.inputs)), tuple(map(port_of, self._values))
        self._input = model.graph.inputs[0]

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Raises InvalidInput for other inputs, ExecutionFailed in the library's words."""
        if list(inputs) != ["X"]:
            raise InvalidInput(f"The model's input is X, not {', '.join(inputs) or 'none'}.")
        records, width = np.asarray(inputs["X"]), self._input.shape[1]  # type: ignore[index]
        if records.ndim != 2 or records.shape[1] != width or records.dtype.kind not in "fiub":
            raise InvalidInput(f"Input X takes numbers [N, {width}], not {list(records.shape)}.")
        records = records.astype(self._input.dtype.numpy())  # type: ignore[union-attr]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = [self._predict(records, **self._how)]
                values += [self._src.predict_proba(records) for _ in self._values[1:]]
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ExecutionFailed(f"{self._library}: {lines[0]}") from error
        arrays = {str(v.name): shaped(np.asarray(a), v) for a, v in zip(values, self._values, strict=True)}
        return Outputs(arrays, self.engine)


def shaped(array: np.ndarray, value: ir.Value) -> np.ndarray:
    """Predictions in the rank and dtype of an output."""
    rank = len(value.shape or ())
    array = array.ravel() if rank == 1 else array.reshape(len(array), -1)
    if value.dtype is None or value.dtype == ir.DataType.STRING:
        return array.astype(str).astype(object)
    return array.astype(value.dtype.numpy())
