"""Random boosters, records that meet their thresholds and categories, and what their libraries say of them.

`python tests/boosters/random_boosters.py 1000` fits as many, half of them estimators, converts each to ONNX as a file
and in memory, and compares every record; `--first N` begins at another seed, `--library` chooses one library.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bridge

XGBOOST = (
    *(
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:quantileerror",
    ),
    *(
        "reg:logistic",
        "binary:logistic",
        "binary:logitraw",
        "binary:hinge",
        "multi:softprob",
        "multi:softmax",
    ),
    *("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"),
    *("rank:pairwise", "rank:ndcg", "rank:map"),
)
LIGHTGBM = (
    *(
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "quantile",
        "mape",
        "poisson",
        "gamma",
        "tweedie",
        "binary",
    ),
    *("multiclass", "multiclassova", "cross_entropy", "cross_entropy_lambda", "lambdarank", "rank_xendcg"),
)
CATBOOST = (
    *("Logloss", "MultiClass", "MultiClassOneVsAll", "MultiLogloss", "RMSE", "MAE", "Quantile", "Poisson"),
    *("Tweedie:variance_power=1.5", "MultiRMSE", "RMSEWithUncertainty", "YetiRank", "Cox"),
)
ZERO = float(np.float32(1e-35))
CODES = (0, 1, 2, 3, 4, 5, 6, 7, 31, 32, 33, 50, 1e6, 2.0**24, 3.7, -0.0, -1, -0.5, 1e9, np.nan)


@dataclass
class Case:
    """A fitted model: `predict` answers for records, `margin` what hinge says the sign of; `categories` are
    columns of codes."""

    name: str
    model: Any
    predict: Any
    categories: list[int]
    records: np.ndarray
    dtype: type
    suffixes: tuple[str, ...]
    finite: bool = False
    loose: bool = False
    margin: Any = None


def data(rng: np.random.Generator, dtype: type) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Records, a target that depends on three of their columns, and the columns of codes."""
    count, width = int(rng.integers(80, 300)), int(rng.integers(2, 6))
    records = rng.normal(size=(count, width)) * rng.choice([0.01, 1, 1, 1, 1e4])
    categories = [width - 1] if rng.random() < 0.4 else []
    effect = rng.normal(size=count)
    if categories:
        size = int(rng.choice([3, 8, 40]))
        records[:, -1] = rng.integers(0, size, count)
        effect = rng.normal(size=size)[records[:, -1].astype(int)]
    if rng.random() < 0.5:
        records[rng.random(records.shape) < 0.15] = np.nan
    if rng.random() < 0.3:
        records[rng.random(records.shape) < 0.3] = 0
    scaled = records / (np.nanstd(records, axis=0) + 1e-12)
    target = np.nan_to_num(scaled[:, 0] + scaled[:, 0] * scaled[:, 1]) + effect
    return records.astype(dtype), target, categories


def label(objective: str, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What an objective can be fitted to."""
    if "multi" in objective.lower() and "RMSE" not in objective and objective != "MultiLogloss":
        return np.digitize(target, np.quantile(target, [0.3, 0.7]))
    if objective.startswith(("binary", "rank", "lambdarank", "cross", "reg:logistic", "Logloss", "Yeti")):
        return (target > np.median(target)).astype(int)
    if objective == "MultiLogloss":
        return np.c_[target > 0, target > 0.5].astype(int)
    if objective == "MultiRMSE":
        return np.c_[target, -target]
    positive = (
        "count:",
        "reg:gamma",
        "reg:tweedie",
        "survival",
        "reg:squaredlog",
        "poisson",
        "gamma",
        "tweedie",
    )
    if objective.startswith((*positive, "Poisson", "Tweedie")):
        return np.exp(np.clip(target, -3, 3)).round(2) + 0.1
    return target * float(rng.choice([1, 1, 100, 1e5]))


def fit_xgboost(seed: int) -> Case:
    """A Booster of any objective and kind of booster, or an estimator."""
    import xgboost

    xgboost.set_config(verbosity=0)
    rng = np.random.default_rng(seed)
    records, target, categories = data(rng, np.float32)
    objective, booster = (
        str(rng.choice(XGBOOST)),
        str(rng.choice(["gbtree", "gbtree", "gbtree", "dart", "gblinear"])),
    )
    if booster == "gblinear" and categories:
        records, target, categories = records[:, :-1], target, []
    known = label(objective, target, rng)
    settings = {
        "objective": objective,
        "booster": booster,
        "max_depth": int(rng.integers(1, 7)),
        "seed": seed,
    }
    settings |= {"max_cat_to_onehot": int(rng.integers(1, 6)), "eta": float(rng.choice([0.1, 0.3, 1.0]))}
    if booster == "dart":
        settings["rate_drop"] = 0.3
    if booster == "gblinear":
        settings = {k: settings[k] for k in ("objective", "booster", "eta")}
    if rng.random() < 0.3 and objective not in ("multi:softprob", "multi:softmax"):
        settings["base_score"] = 0.3
    if objective.startswith("multi"):
        settings["num_class"] = 3
    if objective == "reg:quantileerror":
        settings["quantile_alpha"] = [0.2, 0.8] if rng.random() < 0.5 else 0.3
    if objective in ("reg:squarederror", "reg:pseudohubererror", "binary:logistic") and rng.random() < 0.3:
        known = np.c_[known, known[::-1]]
        if booster == "gbtree" and rng.random() < 0.5:
            settings["multi_strategy"] = "multi_output_tree"
    if booster == "gbtree" and rng.random() < 0.2:
        settings |= {"num_parallel_tree": 3, "subsample": 0.7}
    rounds = int(rng.integers(0, 12))
    name = f"xgboost {seed} {objective} {booster}"
    if rng.random() < 0.4 and not objective.startswith(("survival:aft", "rank")):
        return xgboost_estimator(name, rng, records, known, categories, settings, rounds or 1)
    types = ["c" if i in categories else "q" for i in range(records.shape[1])]
    matrix = xgboost.DMatrix(records, known, feature_types=types, enable_categorical=True)
    if objective.startswith("rank"):
        matrix.set_group([len(records)])
    if objective == "survival:aft":
        matrix.set_float_info("label_lower_bound", known)
        matrix.set_float_info("label_upper_bound", known * rng.choice([1, 2]))
    model = xgboost.train(settings, matrix, rounds)

    def predict(rows: np.ndarray, **how: bool) -> list[np.ndarray]:
        return [model.predict(xgboost.DMatrix(rows, feature_types=types, enable_categorical=True), **how)]

    def margin(rows: np.ndarray) -> np.ndarray:
        return predict(rows, output_margin=True)[0]

    linear = booster == "gblinear"
    files = (".json", ".ubj")
    return Case(name, model, predict, categories, records, np.float32, files, True, linear, margin)


def xgboost_estimator(
    name: str, rng: np.random.Generator, records: Any, known: Any, categories: Any, settings: Any, rounds: int
) -> Case:
    import xgboost

    objective = settings["objective"]
    classifies = objective.startswith(("binary", "multi"))
    settings = {{"eta": "learning_rate", "seed": "random_state"}.get(k, k): v for k, v in settings.items()}
    settings.pop("num_class", None)
    missing = float(rng.choice([np.nan, np.nan, -999.0, 0.0]))
    forest = settings["booster"] == "gbtree" and rng.random() < 0.2 and "num_parallel_tree" not in settings
    kind = f"XGB{'RF' * forest}{'Classifier' if classifies else 'Regressor'}"
    if forest:
        settings.pop("booster")
    types = ["c" if i in categories else "q" for i in range(records.shape[1])]
    stops = settings.get("booster") == "gbtree" and rng.random() < 0.3
    model = getattr(xgboost, kind)(
        n_estimators=rounds,
        missing=missing,
        feature_types=types,
        enable_categorical=True,
        **({"early_stopping_rounds": 2} if stops else {}),
        **settings,
    )
    held = {"eval_set": [(records[::2], known[::2])], "verbose": False} if stops else {}
    model.fit(records, known, **held)

    def predict(rows: np.ndarray) -> list[np.ndarray]:
        return [model.predict(rows), *([model.predict_proba(rows)] if classifies else [])]

    linear = settings.get("booster") == "gblinear"
    if not math.isnan(missing):
        records = np.where(np.random.default_rng(0).random(records.shape) < 0.2, missing, records)
    records = records.astype(np.float32)

    def margin(rows: np.ndarray) -> np.ndarray:
        return model.predict(rows, output_margin=True)

    return Case(f"{name} {kind}", model, predict, categories, records, np.float32, (), True, linear, margin)


def fit_lightgbm(seed: int) -> Case:
    """A Booster of any objective and kind of boosting, or an estimator."""
    import lightgbm

    rng = np.random.default_rng(seed)
    records, target, categories = data(rng, np.float64)
    objective = str(rng.choice(LIGHTGBM))
    kind = str(rng.choice(["gbdt", "gbdt", "dart", "rf", "goss", "linear"]))
    linear = kind == "linear" and objective not in ("regression_l1",)
    known = label(objective, target, rng)
    settings = {
        "objective": objective,
        "verbose": -1,
        "seed": seed,
        "num_leaves": int(rng.integers(2, 20)),
        "min_data_in_leaf": 5,
        "min_data_per_group": 3,
        "cat_smooth": 1.0,
        "max_cat_to_onehot": int(rng.integers(1, 6)),
        "sigmoid": float(rng.choice([1.0, 0.5, 2.0])),
        "reg_sqrt": bool(rng.random() < 0.2),
        "use_missing": bool(rng.random() < 0.8),
        "boosting": kind if kind in ("dart", "rf") else "gbdt",
    }
    settings["zero_as_missing"] = bool(rng.random() < 0.2) and not linear
    if linear:
        settings["linear_tree"] = True
    if kind == "goss":
        settings["data_sample_strategy"] = "goss"
    if kind == "rf":
        settings |= {"bagging_freq": 1, "bagging_fraction": 0.7}
    rounds = int(rng.integers(1, 12))
    name = f"lightgbm {seed} {objective} {kind}"
    if rng.random() < 0.4 and "rank" not in objective and not objective.startswith("cross"):
        if objective.startswith("multi") or objective == "binary":
            known = rng.choice([np.array([5, 7, 9]), np.array(["a", "b", "c"]), np.array([1.5, 2.0, 3.0])])[
                known
            ]
            model = lightgbm.LGBMClassifier(n_estimators=rounds, **settings)
        else:
            model = lightgbm.LGBMRegressor(n_estimators=rounds, **settings)
        model.fit(records, known, categorical_feature=categories or "auto")

        def answer(rows: np.ndarray) -> list[np.ndarray]:
            proba = [model.predict_proba(rows)] if hasattr(model, "classes_") else []
            return [model.predict(rows), *proba]

        return Case(
            f"{name} {type(model).__name__}", model, answer, categories, records, np.float64, (), linear
        )
    if objective.startswith("multi"):
        settings["num_class"] = 3
    groups = [len(records)] if "rank" in objective else None
    model = lightgbm.train(
        settings,
        lightgbm.Dataset(records, known, group=groups, categorical_feature=categories or "auto"),
        rounds,
    )
    return Case(
        name, model, lambda rows: [model.predict(rows)], categories, records, np.float64, (".txt",), linear
    )


def fit_catboost(seed: int) -> Case:
    """A model of any loss function and way of growing."""
    import catboost

    rng = np.random.default_rng(seed)
    records, target, _ = data(rng, np.float32)
    loss = str(rng.choice(CATBOOST))
    known: Any = label(loss, target, rng)
    if loss == "Cox":
        known = np.exp(np.clip(target, -3, 3)) * rng.choice([-1, 1], len(target))
    classifies = loss.startswith(("Logloss", "MultiClass", "MultiLogloss"))
    if classifies and loss != "MultiLogloss":
        known = np.array(["n", "y", "z"] if rng.random() < 0.5 else [3, 5, 8])[known]
    grow = str(rng.choice(["SymmetricTree", "Depthwise", "Lossguide"]))
    kind = "Classifier" if classifies else "Ranker" if loss == "YetiRank" else "Regressor"
    model = getattr(catboost, f"CatBoost{kind}")(
        iterations=int(rng.integers(1, 10)),
        depth=int(rng.integers(1, 6)),
        grow_policy=grow,
        loss_function=loss,
        nan_mode=str(rng.choice(["Min", "Max"])),
        verbose=0,
        allow_writing_files=False,
        random_seed=seed,
    )
    groups = {"group_id": np.zeros(len(records), int)} if kind == "Ranker" else {}
    model.fit(catboost.Pool(records, known, **groups))

    def predict(rows: np.ndarray) -> list[np.ndarray]:
        return [model.predict(rows), *([model.predict_proba(rows)] if classifies else [])]

    suffixes = () if kind == "Ranker" else (".json", ".cbm") if seed % 8 == 0 else (".json",)
    return Case(f"catboost {seed} {loss} {grow}", model, predict, [], records, np.float32, suffixes)


FIT = {"xgboost": fit_xgboost, "lightgbm": fit_lightgbm, "catboost": fit_catboost}


def thresholds(case: Case) -> Iterator[tuple[int, float]]:
    """Columns and thresholds of a model, as its own dump tells them."""
    model = case.model
    if case.name.startswith("catboost"):
        for column, borders in enumerate(model.get_borders().values()):
            yield from ((column, float(b)) for b in borders)
        return
    if case.name.startswith("lightgbm"):
        text = getattr(model, "booster_", model).model_to_string()
        for block in text.split("\nTree=")[1:]:
            lines = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            columns, bounds = lines.get("split_feature", "").split(), lines.get("threshold", "").split()
            for column, bound, kind in zip(
                columns, bounds, lines.get("decision_type", "").split(), strict=True
            ):
                if not int(kind) & 1:
                    yield int(column), float(bound)
        return
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    for tree in booster.get_dump() if "gblinear" not in case.name else []:
        for column, bound in re.findall(r"\[f(\d+)<([^\]]+)\]", tree):
            yield int(column), float(np.float32(bound))


def records(case: Case) -> np.ndarray:
    """Records on thresholds and a unit in the last place to either side, with categories seen, unseen and negative,
    with NaN in each column and in all, zeros, large numbers, and infinities where the library takes them."""
    rng = np.random.default_rng(1)
    base, width = case.records, case.records.shape[1]
    parts = [base[rng.integers(0, len(base), 40)], base[:40] * 10.0]
    bounds = list(thresholds(case))
    for at in rng.permutation(len(bounds))[:120].tolist():
        column, bound = bounds[at]
        rows = base[rng.integers(0, len(base), 3)].copy()
        number = case.dtype(bound)
        rows[:, column] = [
            np.nextafter(number, case.dtype(-np.inf)),
            number,
            np.nextafter(number, case.dtype(np.inf)),
        ]
        parts.append(rows)
    made = np.concatenate(parts).astype(case.dtype)
    for column in case.categories:
        made[40:, column] = rng.choice(np.array(CODES, case.dtype), len(made) - 40)
    made[rng.random(made.shape) < 0.05] = np.nan
    near_zero = [0.0, -0.0, ZERO, -ZERO, ZERO / 2, np.nextafter(ZERO, 1), -np.nextafter(ZERO, 1), 1e-40]
    made = np.where(
        rng.random(made.shape) < 0.05, rng.choice(np.array(near_zero, case.dtype), made.shape), made
    )
    special = np.zeros((width + 5, width))
    special[np.arange(width), np.arange(width)] = special[width] = np.nan
    special[width + 1], special[width + 2], special[width + 3], special[width + 4] = -0.0, 1e9, -1e9, 1.7e9
    if case.loose:
        return np.concatenate([made, special[:width]]).astype(case.dtype)
    infinite = rng.choice([np.inf, -np.inf, 0.0, 1.0], (0 if case.finite else 10, width))
    return np.concatenate([made, special, infinite]).astype(case.dtype)


def difference(actual: np.ndarray, expected: Any, rows: np.ndarray, case: Case) -> str:
    """The first record that differs, in words; nothing where none does.

    Numbers are within 1e-5 of a float's size and 1e-6 of a double's; of small ones within as much of the usual
    size. XGBoost's linear booster adds floats that cancel: there the size is that of the record.
    """
    expected = np.asarray(expected)
    if actual.size != expected.size:
        return f"{actual.shape} where {expected.shape} are expected"
    got, wanted = actual.reshape(len(rows), -1), expected.reshape(len(rows), -1)
    if wanted.dtype.kind != "f" or got.dtype.kind not in "fiu":
        same = got.astype(str) == wanted.astype(str) if got.dtype.kind in "OSU" else got == wanted
    else:
        with np.errstate(all="ignore"):
            finite = np.where(np.isfinite(wanted), np.abs(wanted), 0)
            size = np.maximum(finite, np.median(finite))
            if case.loose:
                size = size * (1 + np.nan_to_num(np.abs(rows)).max(axis=1, keepdims=True))
            limit = 1e-5 if case.dtype is np.float32 else 1e-6
            same = (
                (np.abs(got - wanted) <= limit * size) | (got == wanted) | (np.isnan(got) & np.isnan(wanted))
            )
    if same.all():
        return ""
    row = int(np.argmin(same.all(axis=1)))
    return f"{int((~same.all(axis=1)).sum())} of {len(rows)} records: {got[row]} where {wanted[row]}, of {rows[row]}"


def decided(case: Case, rows: np.ndarray) -> np.ndarray:
    """The records whose label the order of a sum of floats does not decide, [N]: hinge says the sign of one."""
    if "hinge" not in case.name:
        return np.ones(len(rows), bool)
    return np.abs(case.margin(rows)) > 1e-6


def compare(case: Case, folder: Path) -> list[str]:
    """What differs between a model and its conversions, in memory and by its files."""
    rows = records(case)
    rows = rows[decided(case, rows)]
    expected = case.predict(rows)
    problems = []
    sources: list[Any] = [case.model]
    for suffix in case.suffixes:
        path = folder / f"model{suffix}"
        path.unlink(missing_ok=True)
        case.model.save_model(str(path), **({"format": suffix[1:]} if "catboost" in case.name else {}))
        sources.append(path)
    for source in sources:
        outputs = list(bridge.run(bridge.load(source), {"X": rows}).values())
        for index, wanted in enumerate(expected):
            problem = difference(outputs[index], wanted, rows, case)
            if problem:
                problems.append(
                    f"{case.name} {getattr(source, 'suffix', 'in memory')} output {index}: {problem}"
                )
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--library", choices=[*FIT], action="append")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.count):
            for library in options.library or FIT:
                try:
                    case = FIT[library](seed)
                except Exception as error:
                    counts[f"{library}: not fitted"] += 1
                    counts[f"  {str(error).strip().splitlines()[0][-90:]}"] += 1
                    continue
                try:
                    problems = compare(case, Path(folder))
                except bridge.BridgeError as error:
                    counts[f"{library}: refused"] += 1
                    print("REFUSED", case.name, " ".join(str(error).split())[:300], flush=True)
                    continue
                counts[f"{library}: {'WRONG' if problems else 'equal'}"] += 1
                for problem in problems:
                    print("WRONG", problem, flush=True)
    print(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
