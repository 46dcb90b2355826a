"""Columns an estimator reads, and the categories it was fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bridge_sklearn.documents import documents


def is_search(src: Any) -> bool:
    """True for a search of parameters, whose predictions are those of the best estimator it found."""
    bases = {base.__name__ for base in type(src).__mro__}
    return "BaseSearchCV" in bases and hasattr(src, "best_estimator_")


def inner_models(src: Any) -> list[Any]:
    """The models an estimator hands its own records to."""
    for name in ("best_estimator_", "regressor_", "estimator_"):
        if hasattr(src, name) and hasattr(getattr(src, name), "predict"):
            return [getattr(src, name)]
    found = list(getattr(src, "estimators_", []))
    found += [each.estimator for each in getattr(src, "calibrated_classifiers_", [])]
    return [each for each in found if hasattr(each, "steps") or hasattr(each, "transformers_")]


def read_columns(src: Any) -> list[int] | None:
    """The columns that ColumnTransformers read, by index in order; None where no such step comes first."""
    if hasattr(src, "steps"):
        return read_columns(src.steps[0][1])
    if hasattr(src, "transformers_"):
        places = src._transformer_to_input_indices
        kept = [name for name, step, _ in src.transformers_ if not isinstance(step, str) or step != "drop"]
        return sorted({int(i) for name in kept for i in places.get(name, [])})
    parts = [read_columns(each) for each in inner_models(src)]
    if not parts or any(p is None for p in parts):
        return None
    return sorted({i for p in parts if p is not None for i in p})


def encoders(src: Any, columns: list[Any] | None = None) -> Iterator[tuple[Any, np.ndarray]]:
    """Columns, by index, that an estimator or the steps before it encode, with their categories."""
    own = src
    if hasattr(own, "steps"):
        for _, step in own.steps:
            found = list(encoders(step, columns))
            yield from found
            if found or not keeps_columns(step):
                return
    elif hasattr(own, "transformers_"):
        for name, step, _ in own.transformers_:
            places = own._transformer_to_input_indices.get(name, [])
            if not isinstance(step, str):
                yield from encoders(step, [i if columns is None else columns[i] for i in places])
    elif hasattr(own, "transformer_list"):
        for _, step in own.transformer_list:
            yield from encoders(step, columns)
    else:
        for each in inner_models(own):
            yield from encoders(each, columns)
        if hasattr(own, "vocabulary_"):
            yield (0 if columns is None else columns[0]), documents(own)
        for index, values in enumerate(categories_of(own)):
            if values is not None:
                yield (index if columns is None else columns[index]), values


def keeps_columns(step: Any) -> bool:
    """True if the columns of a step are those it reads, in their order and with their categories."""
    return type(step).__name__ == "SimpleImputer" and not step.add_indicator


def categories_of(src: Any) -> list[np.ndarray | None]:
    """Categories by column of an encoder or of a model that splits on them."""
    if hasattr(src, "categories_"):
        return list(src.categories_)
    if hasattr(src, "statistics_") and src.statistics_.dtype == object:
        return [None if v is None or v != v else np.array([v], object) for v in src.statistics_]
    if hasattr(src, "n_categories_"):
        return [np.arange(n, dtype=np.float64) for n in src.n_categories_]
    encoder = getattr(src, "_preprocessor", None)
    if encoder is not None and getattr(src, "is_categorical_", None) is not None:
        found: list[np.ndarray | None] = [None] * src.n_features_in_
        known = iter(encoder.named_transformers_["encoder"].categories_)
        for index in np.flatnonzero(src.is_categorical_):
            found[index] = next(known)
        return found
    return []
