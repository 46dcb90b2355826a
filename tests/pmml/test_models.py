"""Models of PMML answer as the specification says and as PMML4S does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from bridge_pmml.cases import cases
from bridge_pmml.import_ops import ops
from documents import (
    ACTIVE,
    document,
    forest_model,
    kernel_machine,
    rows,
    schema,
    scores,
    segmented_model,
    tree_model,
    write,
)

import bridge
from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel, VerificationFailed
from bridge.verify import compare

NAN = math.nan


def test_thresholds_are_compared_as_doubles(tmp_path):
    path = write(tmp_path, document(tree_model()))
    near = [0.1, np.nextafter(0.1, 1), float(np.float32(0.1)), np.nextafter(0.1, 0)]
    assert scores(path, rows(near))["predicted_y"] == [1, 2, 2, 1]


def test_segments_without_a_result_are_skipped_when_told_to(tmp_path):
    for treatment, expected in (("continue", NAN), ("returnMissing", NAN), ("skipSegment", 1.0)):
        path = write(
            tmp_path,
            document(
                segmented_model("average", 1, attributes=f'missingPredictionTreatment="{treatment}"').replace(
                    "</Segmentation>",
                    '<Segment><True/><RegressionModel functionName="regression"><MiningSchema><MiningField '
                    'name="z"/></MiningSchema><RegressionTable intercept="0"><NumericPredictor name="z" '
                    'coefficient="1"/></RegressionTable></RegressionModel></Segment></Segmentation>',
                )
            ),
            f"{treatment}.pmml",
        )
        np.testing.assert_array_equal(scores(path, rows([2], [None]))["predicted_y"], [expected])


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("sum", [5, 9, NAN]),
        ("average", [5 / 3, 3, NAN]),
        ("weightedAverage", [11 / 7, 20 / 7, NAN]),
        ("median", [1, 2, NAN]),
    ],
)
def test_forests_are_one_ensemble_or_agree_with_it(method, expected, tmp_path):
    path = write(tmp_path, document(forest_model(method)))
    np.testing.assert_allclose(scores(path, rows([0, 1, None]))["predicted_y"], expected, rtol=1e-15)
    assert [n.op_type for n in bridge.load(path).graph].count("TreeEnsemble") == 1


def test_votes_of_a_forest(tmp_path):
    model = forest_model("weightedMajorityVote", "classification", "k").replace('score="2"', 'score="no"')
    model = (
        model.replace('score="1"', 'score="yes"')
        .replace('score="3"', 'score="no"')
        .replace('score="5"', 'score="no"')
        .replace('score="0"', 'score="no"')
    )
    found = scores(write(tmp_path, document(model)), rows([0, 1, None]))
    assert found["predicted_k"] == ["yes", "no", ""]
    assert found["probability_yes"][:2] == pytest.approx([5 / 7, 0])


def test_a_chain_hands_outputs_on(tmp_path):
    first = (
        '<Segment id="1"><True/><RegressionModel '
        f'functionName="regression">{schema()}<Output><OutputField name="half" '
        'feature="predictedValue"/></Output><RegressionTable intercept="0"><NumericPredictor name="x" '
        'coefficient="0.5"/></RegressionTable></RegressionModel></Segment>'
    )
    second = (
        '<Segment id="2"><True/><RegressionModel functionName="regression"><MiningSchema><MiningField '
        'name="half"/><MiningField name="y" usageType="target"/></MiningSchema><RegressionTable '
        'intercept="1"><NumericPredictor name="half" '
        'coefficient="10"/></RegressionTable></RegressionModel></Segment>'
    )
    model = (
        f'<MiningModel functionName="regression">{schema()}<Segmentation '
        f'multipleModelMethod="modelChain">{first}{second}</Segmentation></MiningModel>'
    )
    assert scores(write(tmp_path, document(model)), rows([3]))["predicted_y"] == [16]


def test_targets_limit_rescale_and_round(tmp_path):
    targets = (
        '<Targets><Target field="y" min="0" max="10" rescaleFactor="2" rescaleConstant="0.6" '
        'castInteger="round"><TargetValue defaultValue="-1"/></Target></Targets>'
    )
    table = '<RegressionTable intercept="0"><NumericPredictor name="x" coefficient="1"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{schema()}{targets}{table}</RegressionModel>'
    assert scores(write(tmp_path, document(model)), rows([-3, 2, 99, None]))["predicted_y"] == [1, 5, 21, -1]


def test_naive_bayes_counts_its_target_where_its_output_lacks_the_counts(tmp_path):
    def table(counts):
        return "".join(f'<TargetValueCount value="{v}" count="{c}"/>' for v, c in counts)

    pairs = "".join(
        f'<PairCounts value="{v}"><TargetValueCounts>{table(c)}</TargetValueCounts></PairCounts>'
        for v, c in (("a", [("no", 3), ("yes", 1)]), ("b", [("no", 3), ("yes", 5)]))
    )
    inputs = f'<BayesInputs><BayesInput fieldName="c">{pairs}</BayesInput></BayesInputs>'
    output = (
        "<BayesOutput "
        f'fieldName="k"><TargetValueCounts>{table([("no", 6), ("yes", 6)])}</TargetValueCounts></BayesOutput>'
    )
    text = (
        '<NaiveBayesModel functionName="classification" '
        f'threshold="0.1">{schema(target="k")}{inputs}{output}</NaiveBayesModel>'
    )
    records = rows(c=["a", "b", None])
    whole = scores(write(tmp_path, document(text)), records)
    assert scores(write(tmp_path, document(text.replace(output, "")), "less.pmml"), records) == whole
    assert whole["probability_no"] == pytest.approx([0.75, 0.375, 0.5])
    uneven = text.replace(output, "").replace("</BayesInputs>", inputs[13:].replace('count="5"', 'count="6"'))
    with pytest.raises(UnreadableFile, match="no counts of its target"):
        bridge.load(write(tmp_path, document(uneven), "uneven.pmml"))


def test_the_namespace_tells_the_version_a_document_leaves_out(tmp_path):
    path = write(tmp_path, document(tree_model()).replace(' version="4.4"', ""))
    assert bridge.load(path).metadata_props["bridge.version"] == "4.4"


def test_numeric_fields_can_be_one_matrix(tmp_path):
    path = write(tmp_path, document(kernel_machine("<LinearKernelType/>")))
    apart = scores(path, rows([0.5, 2], [1.5, 1]))["predicted_y"]
    model = bridge.load(path, inputs="matrix")
    assert [(v.name, list(v.shape)[1]) for v in model.graph.inputs] == [("inputs", 2), ("c", 1)]
    inputs = {"inputs": np.array([[0.5, 1.5], [2, 1]]), "c": np.array([["a"], ["a"]], object)}
    assert bridge.run(model, inputs)["predicted_y"][:, 0].tolist() == apart


def test_float_fields_compare_as_floats(tmp_path):
    fields = (
        '<DataField name="x" optype="continuous" dataType="float"/><DataField name="y" '
        'optype="continuous" dataType="double"/>'
    )
    model = tree_model().replace(ACTIVE, '<MiningField name="x"/>')
    hub_model = bridge.load(write(tmp_path, document(model, fields)))
    found = bridge.run(hub_model, {"x": np.array([[0.1], [0.2]], np.float32)})["predicted_y"]
    assert found[:, 0].tolist() == [1, 2]


def verification_records(expected):
    fields = (
        '<VerificationFields><VerificationField field="x" column="x"/><VerificationField '
        'field="predicted_y" column="p"/></VerificationFields>'
    )
    table = f"<InlineTable><row><x>0</x><p>1</p></row><row><x>7</x><p>{expected}</p></row></InlineTable>"
    return (
        f'<ModelVerification recordCount="2" fieldCount="2">{fields}{table}</ModelVerification></TreeModel>'
    )


def test_a_document_is_checked_against_its_own_records(tmp_path):
    good, bad = (tree_model().replace("</TreeModel>", verification_records(v)) for v in ("2", "3"))
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
        (
            '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><PMML version="4.4">&b;</PMML>',
            UnreadableFile,
        ),
        (
            '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><PMML version="4.4">&a;</PMML>',
            UnreadableFile,
        ),
        ("<a>" * 100_000, UnreadableFile),
        (document(tree_model().replace('operator="lessOrEqual"', "")), UnreadableFile),
        (document(tree_model().replace('field="x"', "")), UnreadableFile),
        (document(tree_model().replace('field="x"', 'field="nowhere"')), UnreadableFile),
        (document(tree_model().replace('value="0.1"', 'value="zero"')), BridgeError),
        (document(tree_model().replace('score="1"', 'score="one"')), BridgeError),
        (document(f'<SequenceModel functionName="sequences">{schema()}</SequenceModel>'), UnsupportedModel),
        (document(f'<BaselineModel functionName="regression">{schema()}</BaselineModel>'), UnsupportedModel),
        (document(f'<MiningModel functionName="regression">{schema()}</MiningModel>'), BridgeError),
    ],
    ids=[
        "empty",
        "cut",
        "html",
        "no-model",
        "version",
        "bomb",
        "external",
        "deep",
        "no-operator",
        "no-field",
        "unknown-field",
        "no-number",
        "no-score",
        "sequences",
        "baseline",
        "no-segments",
    ],
)
def test_bad_documents_give_typed_errors(text, error, tmp_path):
    with pytest.raises(error):
        bridge.load(write(tmp_path, text), source="pmml")


SCORED = {
    "tree": tree_model("missingValueStrategy='defaultChild'"),
    "forest": forest_model("average"),
    "sum": segmented_model("sum"),
    "machine": kernel_machine('<RadialBasisKernelType gamma="0.3"/>'),
}


@pytest.mark.parametrize("name", SCORED)
def test_pmml4s_agrees(name, tmp_path):
    pytest.importorskip("pypmml")
    path = write(tmp_path, document(SCORED[name]))
    rng = np.random.default_rng(0)
    inputs = rows(rng.normal(size=50), rng.normal(size=50), rng.choice(["a", "b"], 50))
    model = bridge.load(path)
    found = bridge.run(model, inputs)
    expected = bridge.run(path, inputs)
    result = compare(type(found)({k: expected[k] for k in found}, expected.engine), found, 1e-9, 1e-12)
    assert result.ok, str(result)


def test_every_model_element_has_a_case():
    covered = {op for made in cases().values() for op in made.ops}
    assert sorted(rule.op for rule in ops if rule.op not in covered) == []
