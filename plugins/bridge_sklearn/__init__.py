"""Live classical models: scikit-learn estimators and pipelines, XGBoost and LightGBM boosters."""

from __future__ import annotations

from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl

PACKAGES = ("sklearn", "xgboost", "lightgbm")


def detect(src: Any) -> bool:
    """A fitted model of one of the libraries, by the module its class or a base of it comes from."""
    if isinstance(src, type):
        return False
    modules = {base.__module__.split(".")[0] for base in type(src).__mro__}
    return bool(modules & set(PACKAGES)) and any(hasattr(src, n) for n in ("predict", "transform"))


SKLEARN = Format(
    name="sklearn",
    title="scikit-learn",
    suffixes=(".skops", ".pkl", ".pickle", ".joblib"),
    importer=Part("bridge_sklearn.importer:importer", ("sklearn", "skl2onnx", "onnxmltools")),
    versions="estimators, pipelines, XGBoost and LightGBM boosters in memory; skops files",
    extra="sklearn",
    packages=("scikit-learn", "skl2onnx", "onnxmltools"),
    detect=detect,
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [SKLEARN]
