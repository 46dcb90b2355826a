"""Live estimator → hub, from its own numbers or through skl2onnx."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir import DataType

from bridge import facts, hub
from bridge.classical.check import Disagreement, check
from bridge.errors import UnreadableFile, UnsupportedModel, first_line
from bridge.formats import Importer, Option
from bridge.load import load as load_hub
from bridge.passes import clean
from bridge.passes.rewrite import replace
from bridge.report import Blocker
from bridge_sklearn import is_booster
from bridge_sklearn.answers import decided_records, known_categories, own_answers, rounded_records
from bridge_sklearn.columns import encoders, is_search, read_columns
from bridge_sklearn.estimators import JOINED, first_builder, part_builder
from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import (
    Outputs,
    PartBuilder,
    Unwritten,
    cast,
    embed_model,
    finish_model,
    gather_labels,
    start_graph,
)
from bridge_sklearn.hist_gradient_boosting import is_hist_gradient_boosting
from bridge_sklearn.live_session import estimator_session
from bridge_sklearn.model_files import read_estimator
from bridge_sklearn.text import reads_documents
from bridge_sklearn.transformed_target import append_inverse
from bridge_sklearn.transformers import has_own_step, transform, writes

TREES = ("sklearn.tree", "sklearn.ensemble", "xgboost", "lightgbm")
PARTS = (
    "steps",
    "transformers_",
    "estimator",
    "estimators_",
    "final_estimator_",
    "calibrated_classifiers_",
)
OPSETS = {"": 21, "ai.onnx.ml": 3}


def load(src: Any, trusted: str = "") -> ir.Model:
    """A fitted estimator as a hub model: one input `X` [N, F], or one [N, 1] per column where a
    ColumnTransformer picks columns by name; outputs `label` and `probabilities` of a classifier, `variable`
    of a regressor.

    Computed in double where ONNX Runtime can, else in float, as trees are. Raises UnreadableFile for what is
    no fitted model, UnsupportedModel for what the converters do not take.
    """
    if isinstance(src, (str, Path)):
        src = read_estimator(Path(src), trusted)
    src = src.best_estimator_ if is_search(src) else src
    if is_booster(src):
        return load_hub(src)
    names, count = features(src)
    if type(final_of(src)).__name__ == "TransformedTargetRegressor":
        return load_transformed_target(src)
    unwritten: list[str] = []
    wrong: list[str] = []
    refused: list[str] = []
    for build, double in attempts(src):
        try:
            model = build(src, names, count, double)
            check_predictions(src, model)
        except ModuleNotFoundError:
            raise
        except Unwritten as error:
            unwritten.append(f"cannot be written: {error}")
            continue
        except Disagreement as error:
            wrong.append(str(error))
            continue
        except Exception as error:
            reason = f"is not taken by its converter ({type(error).__name__}: {first_line(error)})"
            refused.append(reason)
            continue
        facts.FORMAT.set(model, "sklearn")
        facts.ESTIMATOR.set(model, type(src).__name__)
        if names:
            facts.FEATURE_NAMES.set(model, names)
        return model
    reason = [*unwritten, *wrong, *refused][0]
    blocker = Blocker(type(final_of(src)).__name__, "", "", reason)
    raise UnsupportedModel("The estimator cannot be read:", [blocker])


Make = Callable[[Any, list[str], int, bool], ir.Model]


def attempts(src: Any) -> Iterator[tuple[Make, bool]]:
    """Ways to read a model, best first, each in double or not: from its own numbers where those are known to
    be better, through the converters, from its numbers where those fall short. Trees have no converter: what
    a missing value does there it does not know, and it does not end at a threshold of infinity."""
    final = final_of(src)
    first = first_builder(final)
    floats = has_trees(src) and not (is_hist_gradient_boosting(final) or first in JOINED)
    alone = final is src
    texts = reads_documents(src)
    joined = read_columns(src) is not None or has_own_step(src)
    direct = first is not None or (not alone and has_trees(final)) or joined or texts
    if direct:
        yield build_model, not (floats and alone)
    if texts or (first is not None and has_trees(src)):
        return
    if not floats:
        yield convert_model, True
    if not direct:
        yield build_model, True
    yield convert_model, False


def load_transformed_target(src: Any) -> ir.Model:
    """A regressor of a transformed target: that of the transformed one, and what undoes the transformation.

    Raises UnsupportedModel where that is not known, or numbers differ.
    """
    final = final_of(src)
    model = load(final.regressor_ if final is src else with_final(src, final.regressor_))
    try:
        append_inverse(model, final.transformer_)
        clean(model)
        check_predictions(src, model)
    except Exception as error:
        reason = f"cannot be written: {first_line(error)}"
        blocker = Blocker("TransformedTargetRegressor", "", "", reason)
        raise UnsupportedModel("The estimator cannot be read:", [blocker]) from error
    facts.ESTIMATOR.set(model, type(src).__name__)
    return model


def features(src: Any) -> tuple[list[str], int]:
    """Names of the columns a model was fitted on, empty when they had none, and their number."""
    names = getattr(src, "feature_names_in_", None)
    count = 1 if hasattr(src, "X_thresholds_") else getattr(src, "n_features_in_", None)
    if count is None and reads_documents(src):
        count = 1
    if count is None:
        raise UnreadableFile(
            f"This {type(src).__name__} does not say how many features it takes.", "Is it fitted?"
        )
    return [str(n) for n in names] if names is not None else [], int(count)


def convert_model(src: Any, names: list[str], count: int, double: bool) -> ir.Model:
    """The hub model of the converters' ONNX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proto = convert_estimator(src, names, count, double)
    model = load_hub(proto, source="onnx")
    model.graph.name = type(src).__name__
    model = restore_target_columns(unify_concat_dtypes(model))
    if numbered(src) is not src:
        name_labels(model, final_of(src).classes_)
    return model


def numbered(src: Any) -> Any:
    """An estimator whose classes are their numbers, where they are of a kind converters get wrong: booleans,
    unsigned integers, and those past 32 bits."""
    final = final_of(src)
    classes = getattr(final, "classes_", None)
    if (
        not isinstance(classes, np.ndarray)
        or classes.dtype.kind not in "bui"
        or "classes_" not in vars(final)
    ):
        return src
    if classes.dtype.kind == "i" and (np.abs(classes.astype(float)) < 2**31).all():
        return src
    again = copy.copy(final)
    again.classes_ = np.arange(len(classes))
    return again if final is src else with_final(src, again)


def name_labels(model: ir.Model, classes: np.ndarray) -> None:
    """Turn the first output, numbers of classes, into the classes."""
    output = model.graph.outputs[0]
    op = hub.Builder(model.graph, source=hub.origin(producer) if (producer := output.producer()) else None)
    label = gather_labels(op, classes, output)
    label.name, output.name = output.name, hub.fresh_name(model.graph, "number")
    model.graph.outputs[0] = label


def unify_concat_dtypes(model: ir.Model) -> ir.Model:
    """Cast the inputs of Concat to double where one is double: skl2onnx 1.20 leaves one-hot columns and
    bins in float."""
    for node in list(model.graph):
        dtypes = {v.dtype for v in node.inputs if v is not None}
        if node.op_type == "Concat" and dtypes == {DataType.FLOAT, DataType.DOUBLE}:
            op = hub.Builder(model.graph, before=node, source=hub.origin(node))
            for index, value in enumerate(node.inputs):
                if value is not None:
                    node.replace_input_with(index, cast(op, value, DataType.DOUBLE))
            node.outputs[0].dtype = DataType.DOUBLE
    return model


def build_model(src: Any, names: list[str], count: int, double: bool) -> ir.Model:
    """Hub model of an estimator and the steps before it, from their own numbers."""
    graph, blocks = start_graph(type(src).__name__, list(input_columns(src, names, count, double)))
    op = PartBuilder(graph, embed, final_of(src))
    by_name = {str(value.name): value for value in blocks}
    columns = list(by_name.values()) if "X" in by_name else [by_name.get(name) for name in names]
    model = finish_model(graph, embed(op, src, Frame(op, columns)), op.functions.values())
    op_types = {node.op_type for node in graph}
    if "TreeEnsemble" in op_types and op_types & {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}:
        raise Unwritten("it joins trees in double with trees in float, which no one opset of ai.onnx.ml has")
    return model


def embed(op: PartBuilder, src: Any, x: Any) -> Outputs:
    """The outputs of an estimator within another, for a matrix [N, F] or a frame: built in place, or read
    alone where nothing builds it. Raises Unwritten as `embed_model` does."""
    frame = x if isinstance(x, Frame) else Frame(op, [x])
    if is_search(src):
        return embed(op, src.best_estimator_, frame)
    if hasattr(src, "steps"):
        for _, step in src.steps[:-1]:
            frame = transform(op, step, frame)
        return embed(op, src.steps[-1][1], frame)
    if src is None or isinstance(src, str) or not hasattr(src, "predict"):
        if writes(src):
            return {"variable": op.Identity(transform(op, src, frame).matrix())}
        return embed_model(op, load(src), frame.matrix())
    build = part_builder(src)
    if build is None:
        return embed_model(op, load(src), frame.matrix())
    try:
        return build(op, src, frame if build in JOINED else frame.matrix())
    except Unwritten:
        if op.outermost is src:
            raise
        return embed_model(op, load(src), frame.matrix())


def input_columns(
    src: Any, names: list[str], count: int, double: bool
) -> Iterator[tuple[str, DataType, int]]:
    """Inputs with their types and widths: a matrix, or a column each where a ColumnTransformer picks them,
    those that are dropped left out."""
    texts = {column for column, values in encoders(src) if any(isinstance(v, str) for v in values)}
    number = DataType.DOUBLE if double else DataType.FLOAT
    used = read_columns(src)
    if not names or used is None:
        yield "X", DataType.STRING if texts else number, count
        return
    for index in used:
        text = names[index] in texts or index in texts
        yield names[index], DataType.STRING if text else number, 1


def final_of(src: Any) -> Any:
    """The last step of a pipeline; an estimator itself."""
    return src.steps[-1][1] if hasattr(src, "steps") else src


def restore_target_columns(model: ir.Model) -> ir.Model:
    """Put several targets side by side: skl2onnx 1.20 lays those of a multilayer perceptron one below the
    other."""
    for value in model.graph.outputs:
        node = value.producer()
        if node is None or node.op_type != "Reshape":
            continue
        shape, source = hub.const(node.inputs[1]), node.inputs[0]
        if shape is None or shape.tolist() != [-1, 1] or source is None or source.shape is None:
            continue
        width = source.shape[-1]
        if isinstance(width, int) and width > 1:
            op = hub.Builder(model.graph, before=node, source=hub.origin(node))
            value.shape = source.shape
            replace(model.graph, node, [op.Identity(source)], op)
    return model


def convert_estimator(src: Any, names: list[str], count: int, double: bool) -> Any:
    from skl2onnx import convert_sklearn

    src = make_convertible(numbered(src))
    final = final_of(src)
    types = list(columns(src, names, count, double))
    attempts: list[Any] = [None]
    if hasattr(final, "classes_") or hasattr(final, "predict_proba"):
        attempts = [{id(final): {"zipmap": False}}, None, {id(final): {"raw_scores": False}}]
    for index, options in enumerate(attempts):
        try:
            return convert_sklearn(src, initial_types=types, options=options, target_opset=OPSETS)
        except NameError:
            if index + 1 == len(attempts):
                raise
    return None


def make_convertible(src: Any) -> Any:
    """Model with the same predictions that its converter accepts, in every part. Unchanged parts are
    shared."""
    model = convertible_form(src)
    changes = {name: convert_attribute(vars(model)[name]) for name in PARTS if name in vars(model)}
    changes = {name: attribute for name, attribute in changes.items() if attribute is not vars(model)[name]}
    if changes:
        model = copy.copy(model)
        vars(model).update(changes)
    return model


def convert_attribute(attribute: Any) -> Any:
    """Attribute that holds estimators, or lists of them, with each one made convertible."""
    if isinstance(attribute, (list, tuple)):
        items = [convert_attribute(each) for each in attribute]
        return (
            attribute
            if all(a is b for a, b in zip(items, attribute, strict=True))
            else type(attribute)(items)
        )
    if not type(attribute).__module__.startswith("sklearn.") or type(attribute).__module__.startswith(
        "sklearn.tree"
    ):
        return attribute
    return make_convertible(attribute) if hasattr(attribute, "__dict__") else attribute


def convertible_form(src: Any) -> Any:
    """Form of one estimator that its converter accepts.

    How a vote is laid out as a transformation does not touch predictions; a discriminant analysis of two
    classes is a logistic model, whose scores skl2onnx 1.20 doubles.
    """
    name = type(src).__name__
    if name == "VotingClassifier":
        model = copy.copy(src)
        model.flatten_transform = False
        model.weights = None if src.weights is None else np.asarray(src.weights)
        return model
    if name == "LinearDiscriminantAnalysis" and len(getattr(src, "classes_", ())) == 2:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression()
        model.coef_, model.intercept_, model.classes_ = src.coef_, src.intercept_, src.classes_
        model.n_features_in_ = src.n_features_in_
        return model
    return src


def with_final(pipeline: Any, final: Any) -> Any:
    again = copy.copy(pipeline)
    again.steps = [*pipeline.steps[:-1], (pipeline.steps[-1][0], final)]
    return again


def columns(src: Any, names: list[str], count: int, double: bool) -> Iterator[tuple[str, Any]]:
    """Inputs and their types: a matrix, or a column each where columns are picked by name."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    number = DoubleTensorType if double else FloatTensorType
    steps = list(transformers(src))
    if not (names and steps):
        yield "X", number([None, count])
        return
    texts = {c for step, chosen in steps for c in text_columns(step, chosen)}
    for name in names:
        yield name, (StringTensorType if name in texts else number)([None, 1])


def transformers(src: Any) -> Iterator[tuple[Any, list[str]]]:
    """The steps of ColumnTransformers, with the names of the columns they take."""
    src = getattr(src, "regressor_", src)
    for _, step in getattr(src, "steps", [("", src)]):
        if type(step).__name__ == "ColumnTransformer":
            for _, inner, chosen in step.transformers_:
                if not isinstance(chosen, str) and all(isinstance(c, str) for c in chosen):
                    yield inner, list(chosen)


def text_columns(step: Any, chosen: list[str]) -> Iterator[str]:
    """Columns whose categories are text."""
    for _, inner in getattr(step, "steps", [("", step)]):
        for name, values in zip(chosen, getattr(inner, "categories_", []), strict=False):
            if values.dtype.kind in "OSU":
                yield name


def has_trees(src: Any) -> bool:
    """True if the model contains trees. scikit-learn's trees read float32, so their inputs must be
    float32."""
    steps = [step for _, step in getattr(src, "steps", [("", src)])]
    inside = [e for s in steps for e in getattr(s, "estimators_", [])]
    return any(type(s).__module__.startswith(TREES) for s in steps) or any(
        has_trees(e) for e in inside if hasattr(e, "n_features_in_")
    )


def check_predictions(src: Any, model: ir.Model) -> None:
    """Raise ExecutionFailed where ONNX Runtime has no kernels for the model, or it disagrees with the
    estimator's own predictions in any record."""
    check(
        model,
        own_answers(src, model),
        known_categories(src, model),
        decided=decided_records(src, model),
        rounding=rounded_records(src, model),
    )


importer = Importer(
    load,
    (
        Option(
            "trusted",
            "types of a skops file to trust, comma separated, beside those that skops trusts",
            "",
        ),
    ),
    live=estimator_session,
)
