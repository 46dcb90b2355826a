"""Live scikit-learn estimators and pipelines; boosters of other libraries within them are read by theirs."""

from __future__ import annotations

from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl

BOOSTERS = ("xgboost", "lightgbm", "catboost")


def libraries(src: Any) -> set[str]:
    """The packages that the class of an object and its bases come from; none of a class itself."""
    return set() if isinstance(src, type) else {b.__module__.split(".")[0] for b in type(src).__mro__}


def is_booster(src: Any) -> bool:
    """A model of a library that has a format of its own."""
    return bool(libraries(src) & set(BOOSTERS))


def detect(src: Any) -> bool:
    """A fitted estimator, by the module its class or a base of it comes from."""
    return (
        "sklearn" in libraries(src)
        and not is_booster(src)
        and any(hasattr(src, name) for name in ("predict", "transform"))
    )


SKLEARN = Format(
    name="sklearn",
    title="scikit-learn",
    suffixes=(".skops", ".pkl", ".pickle", ".joblib"),
    importer=Part("bridge_sklearn.importer:importer", ("sklearn", "skl2onnx")),
    versions="estimators and pipelines in memory; skops files",
    extra="sklearn",
    packages=("scikit-learn", "skl2onnx"),
    detect=detect,
    words=("scikit-learn", "scikit", "pickle", "joblib"),
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [SKLEARN]
