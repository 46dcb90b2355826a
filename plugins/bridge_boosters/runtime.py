"""Model files in their own libraries."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.formats import Runtime
from bridge.ports import port_of
from bridge.session import Outputs, Session
from bridge_boosters import catboost_import, lightgbm_import, xgboost_import


class BoosterSession(Session):
    """A file in its library: inputs and outputs are those its importer gives it.

    The file is read by the importer first: the libraries end the process on some that are broken.
    """

    library = ""
    importer = xgboost_import.importer

    def __init__(self, path: Path) -> None:
        graph = self.importer.load(path).graph
        self.engine = f"{self.library} {importlib.import_module(self.library).__version__}"
        self.inputs, self.outputs = tuple(map(port_of, graph.inputs)), tuple(map(port_of, graph.outputs))
        dtype, shape = graph.inputs[0].dtype, graph.inputs[0].shape
        assert dtype is not None
        assert shape is not None
        self.dtype, self.features = dtype.numpy(), shape[1]
        try:
            self.open(str(path))
        except Exception as error:
            raise self.failed(error) from error

    @abstractmethod
    def open(self, path: str) -> None:
        """Load the file."""

    @abstractmethod
    def predict(self, records: np.ndarray) -> tuple[Any, ...]:
        """Values of the outputs for records, [N, F]."""

    def failed(self, error: Exception) -> ExecutionFailed:
        """The error of a library in its words."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return ExecutionFailed(f"{self.library}: {lines[0]}")

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Raises InvalidInput for other inputs, ExecutionFailed in the library's words."""
        if list(inputs) != ["X"]:
            raise InvalidInput(f"The model's input is X, not {', '.join(inputs) or 'none'}.")
        records = np.asarray(inputs["X"])
        if records.ndim != 2 or records.shape[1] != self.features or records.dtype.kind not in "fiub":
            raise InvalidInput(f"Input X takes numbers [N, {self.features}], not {list(records.shape)}.")
        try:
            values = self.predict(records.astype(self.dtype))
        except Exception as error:
            raise self.failed(error) from error
        arrays = {}
        for port, value in zip(self.outputs, values, strict=True):
            array = np.asarray(value)
            arrays[port.name] = (
                array.ravel()
                if port.name == "label" and array.size == len(records)
                else (array.reshape(len(records), -1))
            )
        return Outputs(arrays, self.engine)


class XgboostSession(BoosterSession):
    """JSON or UBJSON in XGBoost."""

    library = "xgboost"

    def open(self, path: str) -> None:
        import xgboost

        newer = tuple(int(v) for v in xgboost.__version__.split(".")[:2]) >= (3, 2)
        if newer and xgboost_import.has_leaves_in_nodes(xgboost_import.document_of(Path(path))):
            raise ValueError("leaves that are vectors are not read from files of before 3.2")
        self.booster = xgboost.Booster(model_file=path)

    def predict(self, records: np.ndarray) -> tuple[Any, ...]:
        import xgboost

        names, types = self.booster.feature_names, self.booster.feature_types
        matrix = xgboost.DMatrix(
            records, feature_names=names, feature_types=types, enable_categorical=types is not None
        )
        return (self.booster.predict(matrix),)


class LightgbmSession(BoosterSession):
    """Text in LightGBM."""

    library, importer = "lightgbm", lightgbm_import.importer

    def open(self, path: str) -> None:
        import lightgbm

        self.booster = lightgbm.Booster(model_file=path)

    def predict(self, records: np.ndarray) -> tuple[Any, ...]:
        return (self.booster.predict(records),)


class CatboostSession(BoosterSession):
    """A .cbm or .json file in CatBoost."""

    library, importer = "catboost", catboost_import.importer

    def open(self, path: str) -> None:
        import catboost

        kind = "CatBoostClassifier" if len(self.outputs) > 1 else "CatBoostRegressor"
        self.model = getattr(catboost, kind)()
        self.model.load_model(path, format="cbm" if catboost_import.is_binary(Path(path)) else "json")

    def predict(self, records: np.ndarray) -> tuple[Any, ...]:
        predicted = self.model.predict(records)
        return (predicted, self.model.predict_proba(records)) if len(self.outputs) > 1 else (predicted,)


xgboost = Runtime(XgboostSession)
lightgbm = Runtime(LightgbmSession)
catboost = Runtime(CatboostSession)
