"""XGBoost, LightGBM and CatBoost: their model files, and models in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl

HEAD = 4096


def of_library(src: Any, library: str) -> bool:
    """True for a fitted model whose class, or a base of it, comes from the library."""
    if isinstance(src, type):
        return False
    modules = {base.__module__.split(".")[0] for base in type(src).__mro__}
    return library in modules and hasattr(src, "predict")


def head(src: Any) -> bytes:
    """The first bytes of a file; none of what is no file."""
    if not isinstance(src, (str, Path)) or not Path(src).is_file():
        return b""
    with open(src, "rb") as file:
        return file.read(HEAD).lstrip()


def is_xgboost(src: Any) -> bool:
    """A model of XGBoost, or an object in JSON or UBJSON whose first key is "learner", or the binary form of
    before XGBoost 3.1."""
    start = head(src)
    if start.startswith(b"binf"):
        return True
    return of_library(src, "xgboost") or (start.startswith(b"{") and b"learner" in start[:40])


def is_lightgbm(src: Any) -> bool:
    """A model of LightGBM, or text that starts as its models do."""
    start = head(src)
    return of_library(src, "lightgbm") or (start.startswith(b"tree") and b"num_class=" in start)


def is_catboost(src: Any) -> bool:
    """A model of CatBoost, its binary form, or an object in JSON that holds its trees."""
    start = head(src)
    if start.startswith(b"CBM1"):
        return True
    keys = (b'"features_info"', b'"model_info"', b'"oblivious_trees"', b'"ctr_data"')
    return of_library(src, "catboost") or (start.startswith(b"{") and any(key in start for key in keys))


def declare(name: str, title: str, suffixes: tuple[str, ...], versions: str, detect: Any) -> Format:
    """A library's format: it is read, and run by the library; nothing is written."""
    return Format(
        name=name,
        title=title,
        suffixes=suffixes,
        importer=f"bridge_boosters.{name}_import:importer",
        runtime=Part(f"bridge_boosters.runtime:{name}", (name,)),
        versions=versions,
        extra=name,
        packages=(name,),
        detect=detect,
    )


@hookimpl
def bridge_formats() -> list[Format]:
    return [
        declare("catboost", "CatBoost", (".cbm",), ".cbm and .json, models in memory", is_catboost),
        declare("lightgbm", "LightGBM", (".txt",), "text of 2 to 4, models in memory", is_lightgbm),
        declare(
            "xgboost",
            "XGBoost",
            (".json", ".ubj"),
            "JSON and UBJSON of 1 to 3, models in memory",
            is_xgboost,
        ),
    ]
