"""Models of PMML answer as the specification says and as PMML4S does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from documents import ACTIVE, document, rows, schema, scores, transformed, write

import bridge
from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel, VerificationFailed
from bridge.verify import compare

NAN = math.nan


def tree(attributes="", target="y", function="regression", left="1", right="2"):
    return (
        f'<TreeModel functionName="{function}" {attributes}>{schema(target=target)}'
        '<Node id="r" score="0" defaultChild="b" recordCount="10"><True/>'
        f'<Node id="a" score="{left}" recordCount="4"><SimplePredicate field="x" operator="lessOrEqual" value="0.1"/></Node>'
        f'<Node id="b" score="{right}" recordCount="6"><SimplePredicate field="x" operator="greaterThan" value="0.1"/></Node>'
        "</Node></TreeModel>"
    )


def test_thresholds_are_compared_as_doubles(tmp_path):
    path = write(tmp_path, document(tree()))
    near = [0.1, np.nextafter(0.1, 1), float(np.float32(0.1)), np.nextafter(0.1, 0)]
    assert scores(path, rows(near))["predicted_y"] == [1, 2, 2, 1]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ('missingValueStrategy="none"', NAN),
        ('missingValueStrategy="none" noTrueChildStrategy="returnLastPrediction"', 0),
        ('missingValueStrategy="lastPrediction"', 0),
        ('missingValueStrategy="nullPrediction" noTrueChildStrategy="returnLastPrediction"', NAN),
        ('missingValueStrategy="defaultChild"', 2),
    ],
)
def test_missing_values_in_trees(strategy, expected, tmp_path):
    path = write(tmp_path, document(tree(strategy)))
    np.testing.assert_array_equal(scores(path, rows([None, 0, 1]))["predicted_y"], [expected, 1, 2])


@pytest.mark.parametrize(
    ("field", "values", "expected"),
    [
        ('<MiningField name="c"/>', ["a", "zzz", None], [1, NAN, 0]),
        ('<MiningField name="c" invalidValueTreatment="asIs"/>', ["a", "zzz", None], [1, 0, 0]),
        ('<MiningField name="c" invalidValueTreatment="asMissing" missingValueReplacement="a"/>', ["a", "zzz", None], [1, 1, 1]),
        ('<MiningField name="c" invalidValueTreatment="asValue" invalidValueReplacement="a"/>', ["b", "zzz", None], [0, 1, 0]),
        ('<MiningField name="c" missingValueTreatment="returnInvalid"/>', ["a", "b", None], [1, 0, NAN]),
    ],
)  # fmt: skip
def test_treatments_of_a_mining_field(field, values, expected, tmp_path):
    table = '<RegressionTable intercept="0"><CategoricalPredictor name="c" value="a" coefficient="1"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{schema(field)}{table}</RegressionModel>'
    np.testing.assert_array_equal(
        scores(write(tmp_path, document(model)), rows(c=values))["predicted_y"], expected
    )


@pytest.mark.parametrize(("outliers", "expected"), [("asIs", [-5, 1, 9]), ("asMissingValues", [NAN, 1, NAN]), ("asExtremeValues", [0, 1, 3])])  # fmt: skip
def test_outliers(outliers, expected, tmp_path):
    active = f'<MiningField name="x" outliers="{outliers}" lowValue="0" highValue="3"/>'
    path = write(tmp_path, transformed('<FieldRef field="x"/>', active))
    np.testing.assert_array_equal(scores(path, rows([-5, 1, 9]))["out"], expected)


LOGIT = {
    "softmax": lambda a, b: np.exp(a) / (np.exp(a) + np.exp(b)),
    "simplemax": lambda a, b: a / (a + b),
    "logit": lambda a, b: 1 / (1 + np.exp(-a)),
    "cloglog": lambda a, b: 1 - np.exp(-np.exp(a)),
    "loglog": lambda a, b: np.exp(-np.exp(-a)),
    "cauchit": lambda a, b: 0.5 + np.arctan(a) / np.pi,
    "probit": lambda a, b: np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in a]),
    "none": lambda a, b: np.clip(a, 0, 1),
}


@pytest.mark.parametrize("method", LOGIT)
def test_normalizations_of_two_classes(method, tmp_path):
    tables = (
        '<RegressionTable targetCategory="yes" intercept="0.5"><NumericPredictor name="x" coefficient="2"/></RegressionTable>'
        '<RegressionTable targetCategory="no" intercept="1.25"/>'
    )
    model = f'<RegressionModel functionName="classification" normalizationMethod="{method}">{schema(target="k")}{tables}</RegressionModel>'
    xs = np.array([0.3, 1.7, 0.0])
    found = scores(write(tmp_path, document(model)), rows(xs))
    np.testing.assert_allclose(
        found["probability_yes"], LOGIT[method](0.5 + 2 * xs, np.full(3, 1.25)), rtol=1e-12
    )
    best = np.array(found["probability_yes"]) > np.array(found["probability_no"])
    assert found["predicted_k"] == ["yes" if b else "no" for b in best]


def segmented(method, count=3, function="regression", attributes=""):
    parts = []
    for index in range(count):
        value = f'<RegressionTable intercept="{index + 1}"><NumericPredictor name="x" coefficient="{index}"/></RegressionTable>'
        parts.append(
            f'<Segment id="s{index}" weight="{index + 1}"><True/><RegressionModel functionName="regression">'
            f'<MiningSchema><MiningField name="x"/></MiningSchema>{value}</RegressionModel></Segment>'
        )
    held = f'<Segmentation multipleModelMethod="{method}" {attributes}>{"".join(parts)}</Segmentation>'
    return f'<MiningModel functionName="{function}">{schema()}{held}</MiningModel>'


@pytest.mark.parametrize(("method", "expected"), [("sum", 12), ("average", 4), ("weightedAverage", 5), ("weightedSum", 30), ("median", 4), ("weightedMedian", 4), ("selectFirst", 1)])  # fmt: skip
def test_segments_combined(method, expected, tmp_path):
    found = scores(write(tmp_path, document(segmented(method))), rows([2]))["predicted_y"]
    assert found == pytest.approx([expected])


def test_segments_without_a_result_are_skipped_when_told_to(tmp_path):
    for treatment, expected in (("continue", NAN), ("returnMissing", NAN), ("skipSegment", 1.0)):
        path = write(tmp_path, document(segmented("average", 1, attributes=f'missingPredictionTreatment="{treatment}"').replace("</Segmentation>", '<Segment><True/><RegressionModel functionName="regression"><MiningSchema><MiningField name="z"/></MiningSchema><RegressionTable intercept="0"><NumericPredictor name="z" coefficient="1"/></RegressionTable></RegressionModel></Segment></Segmentation>')), f"{treatment}.pmml")  # fmt: skip
        np.testing.assert_array_equal(scores(path, rows([2], [None]))["predicted_y"], [expected])


def forest(method, function="regression", target="y"):
    trees = "".join(
        f'<Segment weight="{w}"><True/>{tree(left=left, right=right, function=function, target=target)}</Segment>'
        for w, left, right in ((1, "1", "2"), (2, "3", "5"), (4, "1", "2"))
    )
    held = f'<Segmentation multipleModelMethod="{method}">{trees}</Segmentation>'
    return f'<MiningModel functionName="{function}">{schema(target=target)}{held}</MiningModel>'


@pytest.mark.parametrize(("method", "expected"), [("sum", [5, 9, NAN]), ("average", [5 / 3, 3, NAN]), ("weightedAverage", [11 / 7, 20 / 7, NAN]), ("median", [1, 2, NAN])])  # fmt: skip
def test_forests_are_one_ensemble_or_agree_with_it(method, expected, tmp_path):
    path = write(tmp_path, document(forest(method)))
    np.testing.assert_allclose(scores(path, rows([0, 1, None]))["predicted_y"], expected, rtol=1e-15)
    assert [n.op_type for n in bridge.load(path).graph].count("TreeEnsemble") == 1


def test_votes_of_a_forest(tmp_path):
    model = forest("weightedMajorityVote", "classification", "k").replace('score="2"', 'score="no"')
    model = model.replace('score="1"', 'score="yes"').replace('score="3"', 'score="no"').replace('score="5"', 'score="no"').replace('score="0"', 'score="no"')  # fmt: skip
    found = scores(write(tmp_path, document(model)), rows([0, 1, None]))
    assert found["predicted_k"] == ["yes", "no", ""]
    assert found["probability_yes"][:2] == pytest.approx([5 / 7, 0])


def test_a_chain_hands_outputs_on(tmp_path):
    first = f'<Segment id="1"><True/><RegressionModel functionName="regression">{schema()}<Output><OutputField name="half" feature="predictedValue"/></Output><RegressionTable intercept="0"><NumericPredictor name="x" coefficient="0.5"/></RegressionTable></RegressionModel></Segment>'
    second = '<Segment id="2"><True/><RegressionModel functionName="regression"><MiningSchema><MiningField name="half"/><MiningField name="y" usageType="target"/></MiningSchema><RegressionTable intercept="1"><NumericPredictor name="half" coefficient="10"/></RegressionTable></RegressionModel></Segment>'
    model = f'<MiningModel functionName="regression">{schema()}<Segmentation multipleModelMethod="modelChain">{first}{second}</Segmentation></MiningModel>'
    assert scores(write(tmp_path, document(model)), rows([3]))["predicted_y"] == [16]


def test_targets_limit_rescale_and_round(tmp_path):
    targets = '<Targets><Target field="y" min="0" max="10" rescaleFactor="2" rescaleConstant="0.6" castInteger="round"><TargetValue defaultValue="-1"/></Target></Targets>'
    table = '<RegressionTable intercept="0"><NumericPredictor name="x" coefficient="1"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{schema()}{targets}{table}</RegressionModel>'
    assert scores(write(tmp_path, document(model)), rows([-3, 2, 99, None]))["predicted_y"] == [1, 5, 21, -1]


def kernel_machine(kernel):
    vectors = '<VectorFields><FieldRef field="x"/><FieldRef field="z"/></VectorFields><VectorInstance id="u"><Array n="2" type="real">1 2</Array></VectorInstance><VectorInstance id="v"><REAL-SparseArray n="2"><Indices>2</Indices><REAL-Entries>-1</REAL-Entries></REAL-SparseArray></VectorInstance>'
    machine = '<SupportVectorMachine><SupportVectors><SupportVector vectorId="u"/><SupportVector vectorId="v"/></SupportVectors><Coefficients absoluteValue="0.25"><Coefficient value="2"/><Coefficient value="-3"/></Coefficients></SupportVectorMachine>'
    return f'<SupportVectorMachineModel functionName="regression">{schema()}{kernel}<VectorDictionary>{vectors}</VectorDictionary>{machine}</SupportVectorMachineModel>'


KERNELS = {
    "<LinearKernelType/>": lambda p, q: p @ q,
    '<PolynomialKernelType gamma="0.5" coef0="1.5" degree="3"/>': lambda p, q: (0.5 * (p @ q) + 1.5) ** 3,
    '<RadialBasisKernelType gamma="0.3"/>': lambda p, q: math.exp(-0.3 * ((p - q) @ (p - q))),
    '<SigmoidKernelType gamma="0.5" coef0="0.1"/>': lambda p, q: math.tanh(0.5 * (p @ q) + 0.1),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels(kernel, tmp_path):
    found = scores(write(tmp_path, document(kernel_machine(kernel))), rows([0.5, None], [1.5, 1]))[
        "predicted_y"
    ]
    p, k = np.array([0.5, 1.5]), KERNELS[kernel]
    expected = 2 * k(p, np.array([1.0, 2])) - 3 * k(p, np.array([0.0, -1])) + 0.25
    np.testing.assert_allclose(found, [expected, NAN], rtol=1e-12)


ACTIVATIONS = {
    "logistic": lambda v: 1 / (1 + math.exp(-v)),
    "tanh": math.tanh,
    "identity": lambda v: v,
    "exponential": math.exp,
    "reciprocal": lambda v: 1 / v,
    "square": lambda v: v * v,
    "Gauss": lambda v: math.exp(-v * v),
    "sine": math.sin,
    "cosine": math.cos,
    "Elliott": lambda v: v / (1 + abs(v)),
    "arctan": lambda v: 2 * math.atan(v) / math.pi,
    "rectifier": lambda v: max(0, v),
    "threshold": lambda v: float(v > 0.5),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, tmp_path):
    inputs = '<NeuralInputs><NeuralInput id="0"><DerivedField optype="continuous" dataType="double"><FieldRef field="x"/></DerivedField></NeuralInput></NeuralInputs>'
    layer = '<NeuralLayer><Neuron id="1" bias="0.25"><Con from="0" weight="2"/></Neuron></NeuralLayer>'
    outputs = '<NeuralOutputs><NeuralOutput outputNeuron="1"><DerivedField optype="continuous" dataType="double"><NormContinuous field="y"><LinearNorm orig="0" norm="-1"/><LinearNorm orig="10" norm="1"/></NormContinuous></DerivedField></NeuralOutput></NeuralOutputs>'
    model = f'<NeuralNetwork functionName="regression" activationFunction="{name}" threshold="0.5">{schema()}{inputs}{layer}{outputs}</NeuralNetwork>'
    xs = [0.3, -0.7]
    expected = [(ACTIVATIONS[name](2 * x + 0.25) + 1) * 5 for x in xs]
    np.testing.assert_allclose(
        scores(write(tmp_path, document(model)), rows(xs))["predicted_y"], expected, rtol=1e-12
    )


MEASURES = {
    "<euclidean/>": lambda d: math.sqrt((d * d).sum()),
    "<squaredEuclidean/>": lambda d: (d * d).sum(),
    "<chebychev/>": lambda d: np.abs(d).max(),
    "<cityBlock/>": lambda d: np.abs(d).sum(),
    '<minkowski p-parameter="3"/>': lambda d: (np.abs(d) ** 3).sum() ** (1 / 3),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_clusters_by_every_measure(measure, tmp_path):
    fields = '<ClusteringField field="x"/><ClusteringField field="z"/>'
    clusters = '<Cluster id="p" name="P"><Array n="2" type="real">0 0</Array></Cluster><Cluster id="q" name="Q"><Array n="2" type="real">3 4</Array></Cluster>'
    model = f'<ClusteringModel functionName="clustering" modelClass="centerBased" numberOfClusters="2"><MiningSchema>{ACTIVE}</MiningSchema><ComparisonMeasure kind="distance">{measure}</ComparisonMeasure>{fields}{clusters}</ClusteringModel>'
    found = scores(write(tmp_path, document(model)), rows([1, 3, None], [0.5, 3, 4]))
    d = MEASURES[measure]
    assert found["cluster"][:2] == ["p", "q"]
    assert found["distance"][:2] == pytest.approx([d(np.array([1, 0.5])), d(np.array([0.0, -1]))])
    assert found["cluster"][2] == "q"


def test_naive_bayes_counts_its_target_where_its_output_lacks_the_counts(tmp_path):
    def table(counts):
        return "".join(f'<TargetValueCount value="{v}" count="{c}"/>' for v, c in counts)

    pairs = "".join(
        f'<PairCounts value="{v}"><TargetValueCounts>{table(c)}</TargetValueCounts></PairCounts>'
        for v, c in (("a", [("no", 3), ("yes", 1)]), ("b", [("no", 3), ("yes", 5)]))
    )
    inputs = f'<BayesInputs><BayesInput fieldName="c">{pairs}</BayesInput></BayesInputs>'
    output = f'<BayesOutput fieldName="k"><TargetValueCounts>{table([("no", 6), ("yes", 6)])}</TargetValueCounts></BayesOutput>'
    text = f'<NaiveBayesModel functionName="classification" threshold="0.1">{schema(target="k")}{inputs}{output}</NaiveBayesModel>'
    given = rows(c=["a", "b", None])
    whole = scores(write(tmp_path, document(text)), given)
    assert scores(write(tmp_path, document(text.replace(output, "")), "less.pmml"), given) == whole
    assert whole["probability_no"] == pytest.approx([0.75, 0.375, 0.5])
    uneven = text.replace(output, "").replace("</BayesInputs>", inputs[13:].replace('count="5"', 'count="6"'))
    with pytest.raises(UnreadableFile, match="no counts of its target"):
        bridge.load(write(tmp_path, document(uneven), "uneven.pmml"))


def test_the_namespace_tells_the_version_a_document_leaves_out(tmp_path):
    path = write(tmp_path, document(tree()).replace(' version="4.4"', ""))
    assert bridge.load(path).metadata_props["bridge.version"] == "4.4"


def test_a_gaussian_process_interpolates_with_its_kernel(tmp_path):
    table = "".join(f"<row><x>{x}</x><y>{y}</y></row>" for x, y in [(0, 1), (1, 3), (2, 2)])
    held = f'<TrainingInstances><InstanceFields><InstanceField field="x" column="x"/><InstanceField field="y" column="y"/></InstanceFields><InlineTable>{table}</InlineTable></TrainingInstances>'
    model = f'<GaussianProcessModel functionName="regression">{schema()}<RadialBasisKernel gamma="1.5" noiseVariance="0.1" lambda="0.8"/>{held}</GaussianProcessModel>'
    rows_, y = np.array([0.0, 1, 2]), np.array([1.0, 3, 2])
    k = lambda a, b: 1.5 * np.exp(-0.5 * (a[:, None] - b[None]) ** 2 / 0.8**2)  # noqa: E731
    xs = np.array([0.5, 1.0, 4])
    expected = k(xs, rows_) @ np.linalg.solve(k(rows_, rows_) + 0.1 * np.eye(3), y)
    np.testing.assert_allclose(
        scores(write(tmp_path, document(model)), rows(xs))["predicted_y"], expected, rtol=1e-10
    )


def test_numeric_fields_can_be_one_matrix(tmp_path):
    path = write(tmp_path, document(kernel_machine("<LinearKernelType/>")))
    apart = scores(path, rows([0.5, 2], [1.5, 1]))["predicted_y"]
    model = bridge.load(path, inputs="matrix")
    assert [(v.name, list(v.shape)[1]) for v in model.graph.inputs] == [("inputs", 2), ("c", 1)]
    given = {"inputs": np.array([[0.5, 1.5], [2, 1]]), "c": np.array([["a"], ["a"]], object)}
    assert bridge.run(model, given)["predicted_y"][:, 0].tolist() == apart


def test_float_fields_compare_as_floats(tmp_path):
    fields = '<DataField name="x" optype="continuous" dataType="float"/><DataField name="y" optype="continuous" dataType="double"/>'
    model = tree().replace(ACTIVE, '<MiningField name="x"/>')
    hub_model = bridge.load(write(tmp_path, document(model, fields)))
    found = bridge.run(hub_model, {"x": np.array([[0.1], [0.2]], np.float32)})["predicted_y"]
    assert found[:, 0].tolist() == [1, 2]


def verification(expected):
    fields = '<VerificationFields><VerificationField field="x" column="x"/><VerificationField field="predicted_y" column="p"/></VerificationFields>'
    table = f"<InlineTable><row><x>0</x><p>1</p></row><row><x>7</x><p>{expected}</p></row></InlineTable>"
    return (
        f'<ModelVerification recordCount="2" fieldCount="2">{fields}{table}</ModelVerification></TreeModel>'
    )


def test_a_document_is_checked_against_its_own_records(tmp_path):
    good, bad = (tree().replace("</TreeModel>", verification(v)) for v in ("2", "3"))
    bridge.load(write(tmp_path, document(good)))
    path = write(tmp_path, document(bad), "bad.pmml")
    with pytest.raises(VerificationFailed, match="record 2"):
        bridge.load(path)
    bridge.load(path, self_check=False)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", UnreadableFile),
        ("<PMML", UnreadableFile),
        ("<html/>", UnreadableFile),
        ('<PMML version="4.4"/>', UnreadableFile),
        ('<PMML version="9.9"/>', UnreadableFile),
        ('<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><PMML version="4.4">&b;</PMML>', UnreadableFile),
        ('<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><PMML version="4.4">&a;</PMML>', UnreadableFile),
        ("<a>" * 100_000, UnreadableFile),
        (document(tree().replace('operator="lessOrEqual"', "")), UnreadableFile),
        (document(tree().replace('field="x"', "")), UnreadableFile),
        (document(tree().replace('field="x"', 'field="nowhere"')), UnreadableFile),
        (document(tree().replace('value="0.1"', 'value="zero"')), BridgeError),
        (document(tree().replace('score="1"', 'score="one"')), BridgeError),
        (document(f'<SequenceModel functionName="sequences">{schema()}</SequenceModel>'), UnsupportedModel),
        (document(f'<MiningModel functionName="regression">{schema()}</MiningModel>'), BridgeError),
    ],
    ids=["empty", "cut", "html", "no-model", "version", "bomb", "external", "deep", "no-operator", "no-field", "unknown-field", "no-number", "no-score", "sequences", "no-segments"],
)  # fmt: skip
def test_bad_documents_give_typed_errors(text, error, tmp_path):
    with pytest.raises(error):
        bridge.load(write(tmp_path, text), source="pmml")


SCORED = {
    "tree": tree("missingValueStrategy='defaultChild'"),
    "forest": forest("average"),
    "sum": segmented("sum"),
    "machine": kernel_machine('<RadialBasisKernelType gamma="0.3"/>'),
}


@pytest.mark.parametrize("name", SCORED)
def test_pmml4s_agrees(name, tmp_path):
    pytest.importorskip("pypmml")
    path = write(tmp_path, document(SCORED[name]))
    rng = np.random.default_rng(0)
    given = rows(rng.normal(size=50), rng.normal(size=50), rng.choice(["a", "b"], 50))
    model = bridge.load(path)
    found = bridge.run(model, given)
    expected = bridge.run(path, given)
    result = compare(type(found)({k: expected[k] for k in found}, expected.engine), found, 1e-9, 1e-12)
    assert result.ok, str(result)
