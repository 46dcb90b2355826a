"""Model files in their own libraries.

Files are read by their importers first: the libraries end the process on some that are broken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.errors import ExecutionFailed
from bridge.formats import Runtime
from bridge.session import Session
from bridge_boosters import catboost_import, lightgbm_import, xgboost_import
from bridge_boosters.sessions import LibrarySession


def opened(library: str, load: Any) -> Any:
    """The object a library makes of a file. Raises ExecutionFailed in its words."""
    try:
        return load()
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ExecutionFailed(f"{library}: {lines[0]}") from error


def open_xgboost(path: Path) -> Session:
    """JSON or UBJSON in XGBoost. Raises ExecutionFailed for leaves of before 3.2, on which newer ones end."""
    import xgboost

    model = xgboost_import.load(path)
    newer = tuple(int(v) for v in xgboost.__version__.split(".")[:2]) >= (3, 2)
    if newer and xgboost_import.has_leaves_in_nodes(xgboost_import.document_of(path)):
        raise ExecutionFailed("xgboost: leaves that are vectors are not read from files of before 3.2")
    return LibrarySession(opened("xgboost", lambda: xgboost.Booster(model_file=str(path))), model)


def open_lightgbm(path: Path, raw_score: bool = False) -> Session:
    """Text in LightGBM."""
    import lightgbm

    model = lightgbm_import.load(path, raw_score)
    booster = opened("lightgbm", lambda: lightgbm.Booster(model_file=str(path)))
    return LibrarySession(booster, model, raw_score=raw_score)


def open_catboost(path: Path) -> Session:
    """A .cbm or .json file in CatBoost."""
    import catboost

    model = catboost_import.load(path)
    made = catboost.CatBoostClassifier() if len(model.graph.outputs) > 1 else catboost.CatBoostRegressor()
    kind = "cbm" if catboost_import.is_binary(path) else "json"
    opened("catboost", lambda: made.load_model(str(path), format=kind))
    return LibrarySession(made, model)


xgboost = Runtime(open_xgboost)
lightgbm = Runtime(open_lightgbm, ("raw_score",))
catboost = Runtime(open_catboost)
