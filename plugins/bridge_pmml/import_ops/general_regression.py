"""GeneralRegressionModel: parameters from predictors, betas, and the link that ends in a prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import special
from bridge_pmml.fields import Scope
from bridge_pmml.import_ops.regression import inverse_link, reorder_columns, softmax
from bridge_pmml.reader import (
    Element,
    child,
    children,
    describe,
    need_child,
    number,
    optional,
    read_matrix,
    text,
)
from bridge_pmml.results import Result, classified, target_labels, target_name
from bridge_pmml.values import Columns, parse

ops = OpTable()


@ops.op("GeneralRegressionModel")
def general_regression(scope: Scope, node: Element) -> Result:
    model_type = text(node, "modelType")
    handler = {
        "regression": linear_prediction,
        "generalLinear": linear_prediction,
        "generalizedLinear": generalized_linear,
        "multinomialLogistic": multinomial_logistic,
        "ordinalMultinomial": ordinal_multinomial,
        "CoxRegression": cox_regression,
    }.get(model_type)
    if handler is None:
        raise UnreadableFile(f"{describe(node)}: modelType={model_type!r} is unknown.")
    return handler(scope, node, Parameters(scope, node))


class Parameters:
    """The parameters of a model as columns: products of what the cells of its PPMatrix say."""

    def __init__(self, scope: Scope, node: Element) -> None:
        self.scope, self.node, self.columns = scope, node, scope.columns
        self.names = {text(p, "name") for p in children(child(node, "ParameterList"), "Parameter")}
        self.factors = {text(p, "name"): p for p in children(child(node, "FactorList"), "Predictor")}
        self.cells: dict[str, list[Element]] = {}
        for cell in children(child(node, "PPMatrix"), "PPCell"):
            if cell.get("targetCategory") is not None:
                raise UnreadableFile(
                    f"{describe(node)}: parameters that differ by target category are not read."
                )
            self.cells.setdefault(self._parameter(cell), []).append(cell)
        self.betas: dict[str, dict[str, float]] = {}
        for cell in children(need_child(node, "ParamMatrix"), "PCell"):
            row = self.betas.setdefault(cell.get("targetCategory", ""), {})
            row[self._parameter(cell)] = number(cell, "beta")
        self._columns_by_name: dict[str, Any] = {}

    def _parameter(self, cell: Element) -> str:
        """The parameter of a cell. Raises UnreadableFile for one that is not declared."""
        name = text(cell, "parameterName")
        if name not in self.names:
            raise UnreadableFile(f"{describe(cell)}: there is no parameter {name!r} in the ParameterList.")
        return name

    def parameter_column(self, name: str) -> Any:
        """One parameter, double [N, 1]."""
        if name not in self._columns_by_name:
            op = self.columns.op
            product = self.columns.constant(1.0).tensor
            for cell in self.cells.get(name, ()):
                product = op.Mul(product, self._cell(cell))
            self._columns_by_name[name] = product
        return self._columns_by_name[name]

    def _cell(self, cell: Element) -> Any:
        columns, name = self.columns, text(cell, "predictorName")
        val = self.scope.get(name)
        if name in self.factors:
            return self._factor(val, self.factors[name], text(cell, "value"))
        x = columns.to_number(val).tensor
        power = number(cell, "value", 1.0)
        if power == 1.0:
            return x
        return columns.op.Where(columns.op.IsNaN(x), x, columns.op.Pow(x, columns.scalar(power)))

    def _factor(self, val: Any, predictor: Element, category: str) -> Any:
        """1 for a category, or its column of the contrast matrix; missing stays missing."""
        columns, op = self.columns, self.columns.op
        contrasts = child(predictor, "Matrix")
        missing = columns.mask_column(columns.missing(val))
        if contrasts is None:
            coded = columns.lookup(val, {parse(category, val.data_type): 1.0}, 0.0, 0.0)
        else:
            categories = [
                text(c, "value") for c in children(child(predictor, "Categories"), "Category")
            ] or list(val.values)
            table = read_matrix(contrasts)
            if category not in categories or len(table) != len(categories):
                raise UnreadableFile(f"{describe(predictor)}: its matrix and categories do not match.")
            column_index = categories.index(category)
            if column_index >= table.shape[1]:
                raise UnreadableFile(f"{describe(predictor)}: its matrix has no column for {category!r}.")
            coded = columns.lookup(
                val,
                {parse(c, val.data_type): table[i, column_index] for i, c in enumerate(categories)},
                math.nan,
            )
        return op.Where(missing, columns.scalar(math.nan), coded.tensor)

    def linear_predictor(self, category: str = "") -> Any:
        """Σ beta · parameter for one target category, double [N, 1]; parameters of no category are every
        one's."""
        columns, op = self.columns, self.columns.op
        row = dict(self.betas.get("", {}))
        row.update(self.betas.get(category, {}))
        names = list(row)
        if not names:
            return columns.constant(0.0).tensor
        weights = op.const(np.array([[row[n]] for n in names]))
        parameters = [self.parameter_column(n) for n in names]
        return op.MatMul(parameters[0] if len(parameters) == 1 else op.Concat(*parameters, axis=1), weights)

    def offset(self) -> Any:
        name, value = self.node.get("offsetVariable"), number(self.node, "offsetValue", 0.0)
        return self.scope.get(name).tensor if name else self.columns.scalar(value)


def _first_category(parameters: Parameters) -> str:
    return next(iter(parameters.betas), "")


def linear_prediction(scope: Scope, node: Element, parameters: Parameters) -> Result:
    total = scope.columns.op.Add(
        parameters.linear_predictor(_first_category(parameters)), parameters.offset()
    )
    return Result("regression", scope.columns.number(total))


def apply_inverse_link(columns: Columns, node: Element, name: str, y: Any, parameter: float | None) -> Any:
    """The inverse of a link function of general regression."""
    op, one = columns.op, columns.scalar(1.0)
    if name in ("identity", "logit", "probit", "cloglog", "loglog", "cauchit"):
        return inverse_link(columns, name, y, node)
    if name == "log":
        return special.exp(op, y)
    if name == "logc":
        return op.Sub(one, special.exp(op, y))
    if name == "negbin":
        scale = columns.scalar(number(node, "distParameter"))
        return op.Div(one, op.Mul(scale, op.Sub(special.exp(op, op.Neg(y)), one)))
    if name in ("power", "oddspower"):
        d = parameter if parameter is not None else number(node, "linkParameter")
        if name == "power":
            return special.exp(op, y) if d == 0 else nan_safe_power(columns, y, 1 / d)
        if d == 0:
            return inverse_link(columns, "logit", y, node)
        raised = nan_safe_power(columns, op.Add(one, op.Mul(columns.scalar(d), y)), -1 / d)
        return op.Div(one, op.Add(one, raised))
    raise UnreadableFile(f"{describe(node)}: the link {name!r} is unknown.")


def nan_safe_power(columns: Columns, x: Any, exponent: float) -> Any:
    return columns.op.Where(columns.op.IsNaN(x), x, columns.op.Pow(x, columns.scalar(exponent)))


def generalized_linear(scope: Scope, node: Element, parameters: Parameters) -> Result:
    """link⁻¹(total + offset) · trials; a binomial classification gives it to the category of its betas."""
    columns, op = scope.columns, scope.columns.op
    category = _first_category(parameters)
    y = op.Add(parameters.linear_predictor(category), parameters.offset())
    mean = apply_inverse_link(
        columns, node, node.get("linkFunction", "identity"), y, optional(node, "linkParameter")
    )
    if node.get("functionName") != "classification":
        trials = node.get("trialsVariable")
        factor = scope.get(trials).tensor if trials else columns.scalar(number(node, "trialsValue", 1.0))
        return Result("regression", columns.number(op.Mul(mean, factor)))
    labels, data_type = target_labels(scope, node, [c for c in parameters.betas if c])
    if len(labels) != 2:
        raise UnreadableFile(f"{describe(node)}: a generalized linear model decides between two classes.")
    reference = node.get("targetReferenceCategory")
    if not category:
        category = next(c for c in labels if c != reference) if reference else labels[0]
    other = next(c for c in labels if parse(c, data_type) != parse(category, data_type))
    mean = special.clamped(op, mean, 0.0, 1.0)
    both = op.Concat(mean, op.Sub(columns.scalar(1.0), mean), axis=1)
    return classified(
        columns, reorder_columns(columns, both, [category, other], labels, data_type), labels, data_type
    )


def multinomial_logistic(scope: Scope, node: Element, parameters: Parameters) -> Result:
    """Softmax over the categories; the reference category scores 0."""
    columns = scope.columns
    categories = [c for c in parameters.betas if c]
    labels, data_type = target_labels(scope, node, categories)
    category_of_key = {parse(c, data_type): c for c in categories}
    zero = columns.constant(0.0).tensor
    scores = [
        parameters.linear_predictor(category_of_key[parse(c, data_type)])
        if parse(c, data_type) in category_of_key
        else zero
        for c in labels
    ]
    return classified(columns, softmax(columns.op, columns.op.Concat(*scores, axis=1)), labels, data_type)


def ordinal_multinomial(scope: Scope, node: Element, parameters: Parameters) -> Result:
    """Differences of cumulative probabilities, in the order of the target's categories; the last reaches
    1."""
    columns, op = scope.columns, scope.columns.op
    categories = [c for c in parameters.betas if c]
    labels, data_type = target_labels(scope, node, categories)
    category_of_key = {parse(c, data_type): c for c in categories}
    link = node.get("cumulativeLink", "logit")
    steps, before = [], None
    for label in labels[:-1]:
        key = parse(label, data_type)
        if key not in category_of_key:
            raise UnreadableFile(f"{describe(node)} has no intercept for the category {label!r}.")
        y = op.Add(parameters.linear_predictor(category_of_key[key]), parameters.offset())
        mean = apply_inverse_link(columns, node, link, y, None)
        steps.append(mean if before is None else op.Sub(mean, before))
        before = mean
    steps.append(op.Sub(columns.scalar(1.0), before))
    return classified(columns, op.Concat(*steps, axis=1), labels, data_type)


def cox_regression(scope: Scope, node: Element, parameters: Parameters) -> Result:
    """The cumulative hazard H0(t) · exp(r - s) at the record's end time; missing beyond the last time. The
    survival function is exp of its negative."""
    columns, op = scope.columns, scope.columns.op
    references = {
        text(p, "name"): number(p, "referencePoint", 0.0) for p in need_child(node, "ParameterList")
    }
    category = _first_category(parameters)
    row = parameters.betas.get(category, {})
    base = sum(references.get(name, 0.0) * beta for name, beta in row.items())
    time = scope.get(text(node, "endTimeVariable")).tensor
    tables = need_child(node, "BaseCumHazardTables")
    strata = node.get("baselineStrataVariable")
    if strata:
        hazard, val = columns.constant(math.nan).tensor, scope.get(strata)
        for stratum in children(tables, "BaselineStratum"):
            key = parse(text(stratum, "value"), val.data_type)
            here = op.Equal(val.tensor, columns.scalar(key))
            hazard = op.Where(here, cumulative_hazard(columns, stratum, time), hazard)
    else:
        hazard = cumulative_hazard(columns, tables, time)
    risk = special.exp(op, op.Sub(parameters.linear_predictor(category), columns.scalar(base)))
    return Result("regression", columns.number(op.Mul(hazard, risk)), target=target_name(node))


def cumulative_hazard(columns: Columns, table: Element, time: Any) -> Any:
    """The baseline hazard of the latest cell that is not after `time`; 0 before the first."""
    op = columns.op
    cells = sorted((number(c, "time"), number(c, "cumHazard")) for c in children(table, "BaselineCell"))
    times, hazards = np.array(cells).T
    cell_index = op.ReduceSum(op.Cast(op.GreaterOrEqual(time, op.const(times[None])), to=7), np.array([1]))
    hazard = op.Gather(op.const(np.array([0.0, *hazards])), cell_index, axis=0)
    late = op.Greater(time, columns.scalar(number(table, "maxTime")))
    return op.Where(op.Or(late, op.IsNaN(time)), columns.scalar(math.nan), hazard)
