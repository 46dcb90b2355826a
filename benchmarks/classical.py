"""Fitted estimators × settings × data to each format: `python benchmarks/classical.py [PART OF A NAME…]
[--targets onnx,pmml] [--limit N]`.

Each model is fitted on seeded data of one kind, converted, run in the format's own runtime, and compared with
the estimator on every row: training rows, rows of the same kind it never saw, and rows of zeros, of large
numbers, with missing values and unknown categories, where the estimator takes them. Labels must be equal, numbers
within 1e-6 of the row's largest (1e-5 where the file reads floats of 32 bits, which the rows then are;
1e-3 in Core ML, TFLite and TorchScript). Prints what was converted, refused and wrong by target, and the
reasons. Nothing here is shared with the importer's own check.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

import bridge
from bridge.errors import BridgeError

TARGETS = ("onnx", "pmml", "coreml", "tflite", "torchscript", "savedmodel")
SUFFIXES = {
    "onnx": ".onnx",
    "pmml": ".pmml",
    "coreml": ".mlpackage",
    "tflite": ".tflite",
    "torchscript": ".pt",
}
NARROW = ("coreml", "tflite", "torchscript")
ROWS, UNSEEN = 240, 120


@dataclass
class Data:
    """Records to fit on, records to compare on, and a number that a target is made of."""

    kind: str
    train: Any
    test: Any
    signal: np.ndarray


def floats(rng: np.random.Generator, scale: float = 1.0, shift: float = 0.0) -> Data:
    x = rng.normal(size=(ROWS + UNSEEN, 5))
    signal = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=len(x))
    edges = np.concatenate([np.zeros((1, 5)), np.full((1, 5), 3.0), np.eye(5) * 20])
    x, edges = x * scale + shift, edges * scale + shift
    return Data("floats", x[:ROWS], np.concatenate([x, edges]), signal[:ROWS])


def missing(rng: np.random.Generator) -> Data:
    data = floats(rng)
    gaps = rng.random((len(data.test), 5)) < 0.15
    test = np.where(gaps, np.nan, data.test)
    return Data("missing", test[:ROWS], np.concatenate([test, np.full((1, 5), np.nan)]), data.signal)


def dates(rng: np.random.Generator) -> Data:
    data = floats(rng, 86_400 * 90.0, 1_700_000_000.0)
    return Data("dates", np.floor(data.train), np.floor(data.test), data.signal)


def large(rng: np.random.Generator) -> Data:
    data = floats(rng, 1e9)
    return Data("large", data.train, data.test, data.signal)


def counts(rng: np.random.Generator) -> Data:
    x = rng.integers(0, 6, (ROWS + UNSEEN, 5)).astype(float)
    signal = x[:, 0] - x[:, 1] + np.isin(x[:, 2], [1, 4]) * 3 + rng.normal(size=len(x))
    return Data("counts", x[:ROWS], x, signal[:ROWS])


def categories(rng: np.random.Generator) -> Data:
    count = ROWS + UNSEEN
    frame = pd.DataFrame(
        {
            "kind": pd.Series(rng.choice(np.array(["a", "b", "c", np.nan], object), count), dtype=object),
            "city": pd.Series(rng.choice(["Paris", "Rome", "Oslo"], count), dtype=object),
            "size": rng.normal(size=count),
            "age": np.where(rng.random(count) < 0.1, np.nan, rng.integers(18, 90, count)),
        }
    )
    signal = (frame.kind == "a") * 1.0 + (frame.city == "Rome") * 1.5 + frame["size"] + frame.age.isna()
    return Data("categories", frame[:ROWS], frame, signal.to_numpy()[:ROWS])


def labels(signal: np.ndarray, kind: str) -> np.ndarray:
    """A target: two or three classes as integers, text, booleans, unsigned or large numbers; or a number."""
    three = np.digitize(signal, np.quantile(signal, [0.35, 0.7]))
    return {
        "number": signal,
        "positive": np.exp(signal / 4),
        "two": (three > 0).astype(int),
        "three": three,
        "text": np.array(["low", "mid", "high"])[three],
        "boolean": three > 0,
        "unsigned": three.astype(np.uint8),
        "large": three.astype(np.int64) * 10**12 - 5,
    }[kind]


@dataclass
class Case:
    name: str
    make: Callable[[], Any]
    data: Data
    target: np.ndarray | None


def encoded(final: Any, encoder: Any) -> Any:
    numbers = pipeline.make_pipeline(impute.SimpleImputer(add_indicator=True), preprocessing.StandardScaler())
    columns = [("c", encoder, ["kind", "city"]), ("n", numbers, ["size", "age"])]
    return pipeline.make_pipeline(compose.ColumnTransformer(columns), final)


def classifiers() -> Iterator[tuple[str, Any, str]]:
    """Classifiers with the kinds of data they are fitted on, comma separated."""
    trees, every = "floats,missing,dates,large,counts", "floats,dates,large,counts"
    lr = linear_model.LogisticRegression
    for depth in (2, 5, None):
        yield (
            f"DecisionTree depth {depth}",
            tree.DecisionTreeClassifier(max_depth=depth, random_state=0),
            trees,
        )
    yield "ExtraTree", tree.ExtraTreeClassifier(max_depth=5, random_state=0), trees
    for count, depth in ((5, 4), (20, None)):
        settings = {"n_estimators": count, "max_depth": depth, "random_state": 0}
        yield f"RandomForest {count}", ensemble.RandomForestClassifier(**settings), trees
        yield f"ExtraTrees {count}", ensemble.ExtraTreesClassifier(**settings), trees
    yield "Bagging", ensemble.BaggingClassifier(n_estimators=5, max_features=0.7, random_state=0), trees
    yield "HistGradientBoosting", ensemble.HistGradientBoostingClassifier(max_iter=10), trees
    yield (
        "HistGradientBoosting categories",
        ensemble.HistGradientBoostingClassifier(max_iter=10, categorical_features=[0, 2]),
        "counts",
    )
    yield "GradientBoosting", ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0), every
    yield "AdaBoost", ensemble.AdaBoostClassifier(n_estimators=6, random_state=0), every
    for c in (0.1, 10.0):
        yield f"Logistic C={c}", pipeline.make_pipeline(preprocessing.StandardScaler(), lr(C=c)), every
    yield "Logistic", lr(), "floats,counts"
    yield "Ridge", linear_model.RidgeClassifier(), every
    yield "SGD", linear_model.SGDClassifier(random_state=0), "floats,counts"
    yield "SGD log", linear_model.SGDClassifier(loss="log_loss", random_state=0), "floats,counts"
    yield "SGD huber", linear_model.SGDClassifier(loss="modified_huber", random_state=0), "floats,counts"
    yield "Perceptron", linear_model.Perceptron(random_state=0), "floats,counts"
    yield "LinearSVC", svm.LinearSVC(random_state=0), "floats,counts"
    for kernel in ("linear", "rbf", "poly", "sigmoid"):
        yield (
            f"SVC {kernel}",
            pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC(kernel=kernel)),
            every,
        )
    yield "NuSVC", svm.NuSVC(nu=0.2), "floats,counts"
    yield "LDA", discriminant_analysis.LinearDiscriminantAnalysis(), every
    yield "QDA", discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1), "floats,counts"
    yield "GaussianNB", naive_bayes.GaussianNB(), "floats,counts"
    yield "BernoulliNB", naive_bayes.BernoulliNB(), every
    yield "MultinomialNB", naive_bayes.MultinomialNB(), "counts"
    yield "ComplementNB", naive_bayes.ComplementNB(), "counts"
    yield "CategoricalNB", naive_bayes.CategoricalNB(min_categories=8), "counts"
    yield "KNeighbors", neighbors.KNeighborsClassifier(), "floats"
    yield (
        "MLP",
        pipeline.make_pipeline(
            preprocessing.StandardScaler(), neural_network.MLPClassifier((8,), max_iter=50, random_state=0)
        ),
        every,
    )
    for method in ("sigmoid", "isotonic", "temperature"):
        yield (
            f"Calibrated {method}",
            calibration.CalibratedClassifierCV(lr(), method=method, cv=2),
            "floats,counts",
        )
    yield (
        "Calibrated forest",
        calibration.CalibratedClassifierCV(
            ensemble.RandomForestClassifier(4, max_depth=4, random_state=0), method="isotonic", cv=2
        ),
        trees,
    )
    yield "Calibrated SVC", calibration.CalibratedClassifierCV(svm.SVC(), cv=2), "floats"
    pair = [("a", lr()), ("b", tree.DecisionTreeClassifier(max_depth=4, random_state=0))]
    for voting in ("soft", "hard"):
        yield f"Voting {voting}", ensemble.VotingClassifier(pair, voting=voting), "floats,counts"
    yield "Stacking", ensemble.StackingClassifier(pair, cv=2), "floats,counts"
    yield "OneVsRest", multiclass.OneVsRestClassifier(lr()), "floats,counts"
    yield "OneVsOne", multiclass.OneVsOneClassifier(svm.LinearSVC(random_state=0)), "floats,counts"
    yield "Search", model_selection.GridSearchCV(lr(), {"C": [0.1, 1.0]}, cv=2), "floats"
    steps = {
        "PCA": decomposition.PCA(3),
        "KBins": preprocessing.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
        "Polynomial": preprocessing.PolynomialFeatures(2),
        "Spline": preprocessing.SplineTransformer(),
        "Robust": preprocessing.RobustScaler(),
        "Quantile": preprocessing.QuantileTransformer(n_quantiles=20),
        "YeoJohnson": preprocessing.PowerTransformer(),
        "Select": feature_selection.SelectKBest(k=2),
    }
    for name, step in steps.items():
        yield (
            f"{name} Logistic",
            pipeline.make_pipeline(preprocessing.StandardScaler(), step, lr()),
            "floats,counts",
        )
        yield f"{name} Tree", pipeline.make_pipeline(step, tree.DecisionTreeClassifier(max_depth=4)), "floats"
    hot = preprocessing.OneHotEncoder(handle_unknown="ignore")
    ordinal = preprocessing.OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    )
    finals = {
        "Logistic": lr(),
        "Forest": ensemble.RandomForestClassifier(5, max_depth=5, random_state=0),
        "Boosting": ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0),
        "Histogram": ensemble.HistGradientBoostingClassifier(max_iter=5),
        "SVC": svm.SVC(),
    }
    for name, final in finals.items():
        for title, encoder in (
            ("OneHot", hot),
            ("Ordinal", ordinal),
            ("Target", preprocessing.TargetEncoder()),
        ):
            yield f"{title} {name}", encoded(final, encoder), "categories"


def regressors() -> Iterator[tuple[str, Any, str]]:
    trees, every = "floats,missing,dates,large,counts", "floats,dates,large,counts"
    yield "DecisionTree", tree.DecisionTreeRegressor(max_depth=6, random_state=0), trees
    yield "RandomForest", ensemble.RandomForestRegressor(8, random_state=0), trees
    yield "ExtraTrees", ensemble.ExtraTreesRegressor(8, random_state=0), trees
    yield "Bagging", ensemble.BaggingRegressor(n_estimators=5, random_state=0), trees
    yield "AdaBoost", ensemble.AdaBoostRegressor(n_estimators=5, random_state=0), every
    for loss in ("squared_error", "huber", "quantile"):
        yield (
            f"GradientBoosting {loss}",
            ensemble.GradientBoostingRegressor(n_estimators=8, loss=loss, random_state=0),
            every,
        )
    for loss in ("squared_error", "absolute_error", "gamma", "poisson"):
        yield (
            f"HistGradientBoosting {loss}",
            ensemble.HistGradientBoostingRegressor(max_iter=8, loss=loss),
            trees,
        )
    for made in (linear_model.LinearRegression(), linear_model.Ridge(), linear_model.Lasso(0.01)):
        yield type(made).__name__, made, every
    yield "ElasticNet", linear_model.ElasticNet(0.01), "floats,counts"
    yield "BayesianRidge", linear_model.BayesianRidge(), "floats,counts"
    yield "Huber", linear_model.HuberRegressor(max_iter=500), "floats,counts"
    yield "Poisson", linear_model.PoissonRegressor(), "floats,counts"
    yield "Gamma", linear_model.GammaRegressor(), "floats,counts"
    yield "Tweedie", linear_model.TweedieRegressor(power=1.5), "floats,counts"
    yield "SVR", pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVR()), every
    yield "LinearSVR", svm.LinearSVR(random_state=0), "floats,counts"
    yield "KNeighbors", neighbors.KNeighborsRegressor(3), "floats"
    yield (
        "MLP",
        pipeline.make_pipeline(
            preprocessing.StandardScaler(),
            neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0),
        ),
        every,
    )
    yield "GaussianProcess", gaussian_process.GaussianProcessRegressor(alpha=0.1), "floats"
    yield (
        "Log target",
        compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log, inverse_func=np.exp),
        "floats,counts",
    )
    pair = [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4, random_state=0))]
    yield "Voting", ensemble.VotingRegressor(pair), "floats,counts"
    yield "Stacking", ensemble.StackingRegressor(pair, cv=2), "floats"
    hot = preprocessing.OneHotEncoder(handle_unknown="ignore")
    yield "OneHot Ridge", encoded(linear_model.Ridge(), hot), "categories"
    yield "OneHot Forest", encoded(ensemble.RandomForestRegressor(5, random_state=0), hot), "categories"


def others() -> Iterator[tuple[str, Any, str]]:
    """Models of records alone."""
    yield "IsolationForest", ensemble.IsolationForest(n_estimators=15, random_state=0), "floats,large"
    yield "OneClassSVM", svm.OneClassSVM(), "floats"
    yield "EllipticEnvelope", covariance.EllipticEnvelope(random_state=0), "floats"
    yield "KMeans", cluster.KMeans(3, n_init=1, random_state=0), "floats,counts"
    for kind in ("full", "tied", "diag", "spherical"):
        yield (
            f"GaussianMixture {kind}",
            mixture.GaussianMixture(2, covariance_type=kind, random_state=0),
            "floats",
        )


def cases() -> Iterator[Case]:
    makers = (floats, missing, dates, large, counts, categories)
    data = {each.kind: each for each in (make(np.random.default_rng(0)) for make in makers)}
    kinds = ("three", "two", "text", "boolean", "unsigned", "large")
    turn = 0
    for name, made, wanted in classifiers():
        for kind in wanted.split(","):
            turn += 1
            chosen = dict.fromkeys((kinds[0], kinds[turn % len(kinds)]))
            for target in chosen:
                yield Case(
                    f"{name} classifier, {kind}, {target}",
                    lambda m=made: m,
                    data[kind],
                    labels(data[kind].signal, target),
                )
    for name, made, wanted in regressors():
        for kind in wanted.split(","):
            target = (
                "positive"
                if name.split()[-1] in ("gamma", "poisson", "Gamma", "Poisson", "Tweedie", "target")
                else "number"
            )
            yield Case(
                f"{name} regressor, {kind}", lambda m=made: m, data[kind], labels(data[kind].signal, target)
            )
    for name, made, wanted in others():
        for kind in wanted.split(","):
            yield Case(f"{name}, {kind}", lambda m=made: m, data[kind], None)


def tables(case: Case, ports: Any) -> dict[str, np.ndarray]:
    """The rows to compare on, as a file's inputs take them."""
    test, inputs = case.data.test, {}
    for port in ports:
        if isinstance(test, pd.DataFrame) and port.name in test:
            column = test[[port.name]].to_numpy()
            text = column.dtype == object
            inputs[port.name] = np.where(pd.isna(column), "", column).astype(object) if text else column
        else:
            inputs[port.name] = test.to_numpy() if isinstance(test, pd.DataFrame) else test
        if inputs[port.name].dtype != object:
            narrow = str(port.dtype).lower() in ("float", "float32")
            inputs[port.name] = inputs[port.name].astype(np.float32 if narrow else np.float64)
    return inputs


def wrong_rows(
    estimator: Any, case: Case, inputs: dict[str, np.ndarray], found: list[np.ndarray], target: str
) -> int:
    """Rows in which a file answers otherwise than its estimator."""
    test = case.data.test
    floats = any(v.dtype == np.float32 for v in inputs.values())
    if not isinstance(test, pd.DataFrame):
        test = next(iter(inputs.values())).astype(np.float64)
    elif floats:
        test = test.assign(
            **{n: v[:, 0].astype(np.float64) for n, v in inputs.items() if v.dtype == np.float32}
        )
    bound = 1e-3 if target in NARROW else 1e-5 if floats else 1e-6
    expected = np.asarray(estimator.predict(test))
    bad = np.zeros(len(expected), bool)
    shares = estimator.predict_proba(test) if hasattr(estimator, "predict_proba") else None
    if case.target is not None and case.target.dtype.kind == "f":
        bad |= differs(found[0], expected, bound)
    else:
        told = np.asarray(found[0]).reshape(expected.shape)
        if expected.dtype.kind in "OSU":
            bad |= told.astype(str) != expected.astype(str)
        else:
            bad |= told.astype(np.int64) != expected.astype(np.int64)
        if target in NARROW and shares is not None:
            ordered = np.sort(shares, axis=1)
            bad &= ordered[:, -1] - ordered[:, -2] > 1e-4
    if shares is not None:
        tables = [f for f in found[1:] if np.asarray(f).size == shares.size]
        columns = [f for f in found[1:] if np.asarray(f).size == len(expected)]
        joined = (
            tables[0] if tables else np.concatenate([np.asarray(c).reshape(-1, 1) for c in columns], axis=1)
        )
        bad |= differs(joined, shares, bound)
    return int(bad.sum())


def differs(found: Any, expected: np.ndarray, bound: float) -> np.ndarray:
    expected = expected.reshape(len(expected), -1).astype(float)
    found = np.asarray(found, float).reshape(expected.shape)
    scale = np.maximum(np.abs(expected).max(1, keepdims=True), np.median(np.abs(expected)))
    return ~((np.abs(found - expected) <= bound * scale) | (np.isnan(found) & np.isnan(expected))).all(1)


def reason_of(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(" ".join(lines[:3]).split())[:170]


def outcome(case: Case, estimator: Any, target: str, folder: Path) -> tuple[str, str]:
    path = folder / f"model{SUFFIXES.get(target, '')}"
    try:
        path = bridge.convert(estimator, path, to=target, overwrite=True).path
        inputs = tables(case, bridge.inspect(path).inputs)
        found = list(bridge.run(path, inputs).values())
    except BridgeError as error:
        return "refused", reason_of(error)
    except Exception as error:
        return "broken", f"{type(error).__name__}: {reason_of(error)}"
    count = wrong_rows(estimator, case, inputs, found, target)
    return ("wrong", f"{count} rows") if count else ("converted", "")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--limit", type=int, default=0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    chosen = [c for c in cases() if not options.names or any(n in c.name for n in options.names)]
    if options.limit and options.limit < len(chosen):
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, options.limit).astype(int)]
    targets = options.targets.split(",")
    found: dict[str, Counter[str]] = {target: Counter() for target in targets}
    reasons: dict[str, Counter[str]] = {target: Counter() for target in targets}
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(chosen):
            estimator = case.make().fit(case.data.train, case.target)
            for target in targets:
                start = time.perf_counter()
                said, detail = outcome(case, estimator, target, Path(folder))
                found[target][said] += 1
                if detail:
                    reasons[target][f"{said}: {detail}"] += 1
                if said != "converted":
                    spent = time.perf_counter() - start
                    print(
                        f"{number:4} {said:9} {target:11} {case.name:55} {spent:4.1f} s {detail}", flush=True
                    )
    for target in targets:
        print(f"{target}: {len(chosen)} models, {', '.join(f'{n} {w}' for w, n in found[target].items())}")
        for reason, count in reasons[target].most_common(12):
            print(f"   {count:4} {reason}")
    return int(any(each["wrong"] or each["broken"] for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
