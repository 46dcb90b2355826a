"""Fitted models of scikit-learn, XGBoost, LightGBM and CatBoost on data of every kind: the cases of
`classical.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import xgboost
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
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

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


WORDS = [
    "the",
    "cat",
    "dog",
    "bird",
    "sky",
    "sea",
    "moon",
    "Über",
    "café",
    "naïve",
    "straße",
    "it's",
    "“no”",
    "re-do",
    "x2",
    "a",
    "I",
    "42",
    "C++",
    "ab_c",
]


def documents(rng: np.random.Generator) -> Data:
    ends = np.array([" ", "  ", ", ", "! ", "\n\n", "\t", " — "], object)
    texts = []
    for _ in range(ROWS + UNSEEN):
        count = rng.integers(0, 14)
        chosen = zip(rng.choice(WORDS, count), rng.choice(ends, count), rng.random(count) < 0.2, strict=True)
        texts.append("".join((w.upper() if loud else w) + end for w, end, loud in chosen))
    signal = np.array([t.lower().count("cat") - t.count("sea") + len(t) / 40 for t in texts])
    test = [*texts, "nothing of this", "catcat cat", "\xa0cat\u2003dog "]
    return Data("documents", texts[:ROWS], test, signal[:ROWS])


def articles(rng: np.random.Generator) -> Data:
    data = documents(rng)
    frame = pd.DataFrame(
        {"text": pd.Series(data.test, dtype=object), "size": rng.normal(size=len(data.test))}
    )
    return Data("articles", frame[:ROWS], frame, data.signal)


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
        "share": (three > 0).astype(float),
        "place": three.astype(float),
        "numbers": np.stack([signal, np.sin(signal)], axis=1),
        "marks": np.stack([three > 0, three > 1], axis=1).astype(int),
    }[kind]


@dataclass
class Case:
    name: str
    model: Any
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
        likely = svm.SVC(kernel=kernel, probability=True, random_state=0)
        yield (
            f"SVC {kernel} with probabilities",
            pipeline.make_pipeline(preprocessing.StandardScaler(), likely),
            "floats,counts",
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


def several() -> Iterator[tuple[str, Any, str, str]]:
    """Models of several targets, with the kind of those."""
    lr, forest = linear_model.LogisticRegression, ensemble.RandomForestClassifier(4, random_state=0)
    yield "MultiOutput Ridge", multioutput.MultiOutputRegressor(linear_model.Ridge()), "floats", "numbers"
    yield "Forest of two numbers", ensemble.RandomForestRegressor(5, random_state=0), "missing", "numbers"
    yield "Linear of two numbers", linear_model.LinearRegression(), "floats", "numbers"
    yield (
        "Chain of Ridge",
        multioutput.RegressorChain(linear_model.Ridge(), order=[1, 0]),
        "floats",
        "numbers",
    )
    tall = tree.DecisionTreeRegressor(max_depth=4, random_state=0)
    yield "Chain of trees", multioutput.RegressorChain(tall), "floats", "numbers"
    yield "Chain of Logistic", multioutput.ClassifierChain(lr(), order=[1, 0]), "floats", "marks"
    yield "Chain of forests", multioutput.ClassifierChain(forest), "floats", "marks"
    yield "Marks by Logistic", multiclass.OneVsRestClassifier(lr()), "floats", "marks"
    net = neural_network.MLPClassifier((6,), max_iter=40, random_state=0)
    yield "Marks by MLP", net, "floats", "marks"


class Native:
    """A Booster, fitted by its library's own `train`. `source` is what is converted."""

    def __init__(self, **settings: Any) -> None:
        self.settings, self.source = settings, None

    def fit(self, records: Any, target: Any) -> Native:
        settings = dict(self.settings)
        rounds = settings.pop("rounds", 8)
        if "verbose" in settings:
            self.source = lightgbm.train(settings, lightgbm.Dataset(records, target), rounds)
        else:
            self.source = xgboost.train(settings, xgboost.DMatrix(records, target), rounds)
        return self

    def predict(self, records: Any) -> np.ndarray:
        lightly = isinstance(self.source, lightgbm.Booster)
        found = self.source.predict(records if lightly else xgboost.DMatrix(records))
        return np.asarray(found, float)


def native() -> Iterator[tuple[str, Any, str, str]]:
    """Boosters of XGBoost and LightGBM, with the kind of their target."""
    trees, deep = "floats,missing,counts", {"max_depth": 4, "eta": 0.4}
    for objective, target in (
        ("reg:squarederror", "number"),
        ("reg:pseudohubererror", "number"),
        ("binary:logistic", "share"),
        ("binary:logitraw", "share"),
        ("count:poisson", "positive"),
        ("reg:gamma", "positive"),
        ("reg:tweedie", "positive"),
        ("survival:cox", "positive"),
    ):
        yield f"XGBoost {objective}", Native(objective=objective, **deep), trees, target
    for objective in ("multi:softprob", "multi:softmax"):
        yield f"XGBoost {objective}", Native(objective=objective, num_class=3, **deep), trees, "place"
    dart = Native(booster="dart", objective="reg:squarederror", rate_drop=0.2, **deep)
    yield "XGBoost dart", dart, trees, "number"
    yield "XGBoost linear", Native(booster="gblinear", objective="reg:squarederror"), "floats", "number"
    quiet = {"verbose": -1, "num_leaves": 8, "min_data_in_leaf": 5}
    for objective, target in (
        ("regression", "number"),
        ("regression_l1", "number"),
        ("poisson", "positive"),
        ("tweedie", "positive"),
        ("binary", "share"),
        ("cross_entropy", "share"),
    ):
        yield f"LightGBM {objective}", Native(objective=objective, **quiet), trees, target
    for objective in ("multiclass", "multiclassova"):
        yield f"LightGBM {objective}", Native(objective=objective, num_class=3, **quiet), trees, "place"
    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    yield "LightGBM rf", Native(objective="regression", **forest, **quiet), trees, "number"


def boosters() -> Iterator[tuple[str, Any, str, str]]:
    """Estimators of XGBoost, LightGBM and CatBoost, with the kinds of their targets."""
    trees, every = "floats,missing,dates,large,counts", "two,three"
    for depth in (2, 6):
        settings = {"n_estimators": 8, "max_depth": depth}
        yield f"XGBClassifier depth {depth}", xgboost.XGBClassifier(**settings), trees, every
        yield f"XGBRegressor depth {depth}", xgboost.XGBRegressor(**settings), trees, "number"
    yield "XGBRFClassifier", xgboost.XGBRFClassifier(n_estimators=6), "floats,missing", every
    yield "XGBRFRegressor", xgboost.XGBRFRegressor(n_estimators=6), "floats,missing", "number"
    yield "XGBClassifier dart", xgboost.XGBClassifier(n_estimators=6, booster="dart"), "floats,missing", every
    kinds = ("text", "three", "boolean", "large")
    for boosting in ("gbdt", "dart"):
        settings = {"n_estimators": 8, "boosting_type": boosting, "verbose": -1}
        yield f"LGBMClassifier {boosting}", lightgbm.LGBMClassifier(**settings), trees, ",".join(kinds)
        yield f"LGBMRegressor {boosting}", lightgbm.LGBMRegressor(**settings), trees, "number"
    lines = lightgbm.LGBMRegressor(n_estimators=6, linear_tree=True, verbose=-1)
    yield "LGBMRegressor linear trees", lines, "floats,counts", "number"
    for loss in ("quantile", "huber", "mape"):
        yield (
            f"LGBMRegressor {loss}",
            lightgbm.LGBMRegressor(n_estimators=6, objective=loss, verbose=-1),
            "floats",
            "positive",
        )
    quiet = {"iterations": 8, "verbose": 0, "allow_writing_files": False, "random_seed": 0}
    for grow in ("SymmetricTree", "Depthwise"):
        made = catboost.CatBoostClassifier(depth=4, grow_policy=grow, **quiet)
        yield f"CatBoostClassifier {grow}", made, trees, "text,two"
        made = catboost.CatBoostRegressor(depth=4, grow_policy=grow, **quiet)
        yield f"CatBoostRegressor {grow}", made, trees, "number"
    for loss in ("MAE", "Quantile", "Poisson"):
        yield (
            f"CatBoostRegressor {loss}",
            catboost.CatBoostRegressor(loss_function=loss, **quiet),
            "floats",
            "positive",
        )
    boosted = xgboost.XGBClassifier(n_estimators=4, max_depth=3)
    yield (
        "Calibrated XGBClassifier",
        calibration.CalibratedClassifierCV(boosted, cv=2),
        "floats,missing",
        every,
    )
    pair = [("x", boosted), ("l", lightgbm.LGBMClassifier(n_estimators=4, verbose=-1))]
    yield "Voting of boosters", ensemble.VotingClassifier(pair, voting="soft"), "floats,missing", every
    yield "Stacking of boosters", ensemble.StackingClassifier(pair, cv=2), "floats", every


def texts() -> Iterator[tuple[str, Any, str, str]]:
    """Pipelines that begin with documents."""
    vectorizers = {
        "counts": CountVectorizer(),
        "seen": CountVectorizer(binary=True, ngram_range=(1, 2)),
        "capitals": CountVectorizer(lowercase=False, min_df=2),
        "weights": TfidfVectorizer(),
        "phrases": TfidfVectorizer(stop_words="english", ngram_range=(1, 3), max_features=60),
        "logarithms": TfidfVectorizer(sublinear_tf=True, norm="l1"),
        "characters": CountVectorizer(analyzer="char", ngram_range=(1, 2), max_features=60),
        "letters of words": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=80),
        "parts": CountVectorizer(token_pattern=r"\S+"),
    }
    lr = linear_model.LogisticRegression
    for title, made in vectorizers.items():
        for final, kinds in (
            (lr(), "text,two"),
            (naive_bayes.MultinomialNB(), "three"),
            (tree.DecisionTreeClassifier(max_depth=5, random_state=0), "large"),
            (linear_model.Ridge(), "number"),
        ):
            yield f"{title} {type(final).__name__}", pipeline.make_pipeline(made, final), "documents", kinds
        beside = [("t", made, "text"), ("n", preprocessing.StandardScaler(), ["size"])]
        columns = compose.ColumnTransformer(beside)
        yield f"{title} beside numbers", pipeline.make_pipeline(columns, lr()), "articles", "three"


def cases() -> Iterator[Case]:
    makers = (floats, missing, dates, large, counts, categories, documents, articles)
    data = {each.kind: each for each in (make(np.random.default_rng(0)) for make in makers)}
    kinds = ("three", "two", "text", "boolean", "unsigned", "large")
    turn = 0
    for name, made, wanted in classifiers():
        for kind in wanted.split(","):
            turn += 1
            for target in dict.fromkeys((kinds[0], kinds[turn % len(kinds)])):
                yield case_of(f"{name} classifier", made, data[kind], target)
    for name, made, wanted in regressors():
        positive = name.split()[-1] in ("gamma", "poisson", "Gamma", "Poisson", "Tweedie", "target")
        for kind in wanted.split(","):
            yield case_of(f"{name} regressor", made, data[kind], "positive" if positive else "number")
    for name, made, wanted in others():
        for kind in wanted.split(","):
            yield Case(f"{name}, {kind}", made, data[kind], None)
    for group in (several, native, boosters, texts):
        for name, made, wanted, targets in group():
            for kind in wanted.split(","):
                for target in targets.split(","):
                    yield case_of(name, made, data[kind], target)


def case_of(name: str, made: Any, data: Data, target: str) -> Case:
    return Case(f"{name}, {data.kind}, {target}", made, data, labels(data.signal, target))
