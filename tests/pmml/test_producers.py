"""Documents as JPMML, R and others write them: names with prefixes, records to verify, extensions, targets
beside outputs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import (
    BASKET_FIELDS,
    association_model,
    column,
    document,
    forest_model,
    rows,
    schema,
    scores,
    tree_model,
    write,
)

import bridge
from bridge import hub
from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel, VerificationFailed

PREFIXED = 'xmlns:d="urn:table"'
LINEAR = '<RegressionTable intercept="10"><NumericPredictor name="{}" coefficient="5"/></RegressionTable>'


def prefixed(text: str) -> str:
    """A document that declares the prefix d."""
    return text.replace("<PMML ", f"<PMML {PREFIXED} ", 1)


def regression(content: str = "", predictor: str = "x", output: str = "", active: str = "x") -> str:
    """The regression 10 + 5 x."""
    field = f'<MiningField name="{active}"/>'
    return (
        f'<RegressionModel functionName="regression">{schema(field)}{output}'
        f"{LINEAR.format(predictor)}{content}</RegressionModel>"
    )


@pytest.mark.parametrize(("attribute", "cell"), [("d:", "d:"), ("", "d:"), ("d:", "")])
def test_columns_of_tables_are_compared_without_their_prefixes(attribute, cell, tmp_path):
    table = "".join(
        f"<d:row><{cell}in>{a}</{cell}in><{cell}out>{b}</{cell}out></d:row>" for a, b in (("a", 0), ("b", 1))
    )
    derived = (
        '<TransformationDictionary><DerivedField name="w" optype="continuous" dataType="double">'
        f'<MapValues outputColumn="{attribute}out" dataType="double"><FieldColumnPair field="c" '
        f'column="{attribute}in"/><InlineTable>{table}</InlineTable></MapValues></DerivedField>'
        "</TransformationDictionary>"
    )
    text = prefixed(document(regression(predictor="w", active="c"), dictionary=derived))
    assert scores(write(tmp_path, text), rows(c=["a", "b"]))["predicted_y"] == [10, 15]


def test_two_cells_of_one_column_are_no_row(tmp_path):
    table = "<row><d:x>1</d:x><x>2</x><p>15</p></row>"
    with pytest.raises(UnreadableFile, match="two cells of one column"):
        bridge.load(
            write(tmp_path, prefixed(document(regression(verification({"x": "x", "p": "p"}, table)))))
        )


def verification(fields: dict[str, str], table: str, attributes: str = "") -> str:
    """ModelVerification of fields by their columns."""
    listed = "".join(f'<VerificationField field="{f}" column="{c}" {attributes}/>' for f, c in fields.items())
    return (
        f"<ModelVerification><VerificationFields>{listed}</VerificationFields>"
        f"<InlineTable>{table}</InlineTable></ModelVerification>"
    )


OUTPUT = (
    '<Output><OutputField name="p" optype="continuous" dataType="double" feature="predictedValue"/></Output>'
)


@pytest.mark.parametrize("options", [{}, {"inputs": "matrix"}, {"outputs": "numbers"}])
@pytest.mark.parametrize("prefix", ["", "d:"])
def test_records_are_checked_whatever_their_prefix(prefix, options, tmp_path):
    cells = "<row><{0}x>1</{0}x><{0}p>{1}</{0}p></row><row><{0}x>2</{0}x><{0}p>20</{0}p></row>"

    def text(value: int) -> str:
        table = cells.format(prefix, value)
        records = verification({"x": f"{prefix}x", "p": f"{prefix}p"}, table)
        return prefixed(document(regression(records, output=OUTPUT)))

    good = bridge.load(write(tmp_path, text(15)), **options)
    assert hub.noted(good) == ["2 verification records were checked"]
    with pytest.raises(VerificationFailed, match="record 1"):
        bridge.load(write(tmp_path, text(16), "bad.pmml"), **options)


def test_a_target_is_an_expected_value_where_no_output_is(tmp_path):
    table = "<row><x>1</x><y>{}</y><p>15</p></row>"
    targets = {"x": "x", "y": "y"}
    path = write(tmp_path, document(regression(verification(targets, table.format(15)))))
    assert hub.noted(bridge.load(path)) == ["1 verification record was checked"]
    with pytest.raises(VerificationFailed, match="says y is 14"):
        bridge.load(write(tmp_path, document(regression(verification(targets, table.format(14))))))
    # Beside an output it is what was observed
    observed = verification({**targets, "p": "p"}, table.format(14))
    bridge.load(write(tmp_path, document(regression(observed, output=OUTPUT))))


def test_a_document_tells_when_none_of_its_records_could_be_checked(tmp_path):
    path = write(tmp_path, document(regression(verification({"x": "x"}, "<row><x>1</x></row>"))))
    assert hub.noted(bridge.load(path))[0].startswith("0 verification records were checked")


def chain(first: str, second: str, told: tuple[str, ...] = ("p", "q")) -> str:
    """10 + 5 x as p, then 10 + 5 p as q, each with its records."""
    one = regression(verification({"x": "x", "p": "p"}, first), output=OUTPUT)
    records = verification({f: f for f in told}, second)
    two = regression(records, predictor="p", active="p", output=OUTPUT.replace('"p"', '"q"'))
    segments = "".join(f"<Segment><True/>{each}</Segment>" for each in (one, two))
    fields = schema('<MiningField name="x"/>')
    return (
        f'<MiningModel functionName="regression">{fields}'
        f'<Segmentation multipleModelMethod="modelChain">{segments}</Segmentation></MiningModel>'
    )


FIRST, SECOND = "<row><x>1</x><p>15</p></row>", "<row><p>15</p><q>85</q></row>"


def test_records_of_models_inside_others_are_checked(tmp_path):
    notes = hub.noted(bridge.load(write(tmp_path, document(chain(FIRST, SECOND)))))
    assert len(notes) == 2
    assert all(n.startswith("1 verification record of RegressionModel") for n in notes)


@pytest.mark.parametrize(
    "records", [(FIRST.replace("15", "16"), SECOND), (FIRST, SECOND.replace("85", "86"))]
)
def test_records_of_models_inside_others_must_come_out(records, tmp_path):
    with pytest.raises(VerificationFailed, match="record 1"):
        bridge.load(write(tmp_path, document(chain(*records))))


def test_records_that_do_not_tell_what_an_inner_model_reads_are_not_checked(tmp_path):
    path = write(tmp_path, document(chain(FIRST, "<row><q>85</q></row>", told=("q",))))
    assert hub.noted(bridge.load(path))[1].startswith("no verification records of RegressionModel")


@pytest.mark.parametrize(
    ("expected", "attributes", "passes"),
    [
        ("15.00001", 'precision="1e-6"', True),
        ("15.0001", 'precision="1e-6"', False),
        ("15.0000000000001", 'precision="1e-16"', True),
        ("15.0000001", 'precision="1e-16"', False),
        ("1e-4", 'zeroThreshold="20"', True),
        ("0", 'zeroThreshold="1"', False),
        ("NaN", "", False),
        ("INF", "", False),
        ("fifteen", "", False),
    ],
)
def test_precision_is_in_proportion_and_zero_is_within_its_threshold(expected, attributes, passes, tmp_path):
    records = verification({"x": "x", "p": "p"}, f"<row><x>1</x><p>{expected}</p></row>", attributes)
    path = write(tmp_path, document(regression(records, output=OUTPUT)))
    if passes:
        bridge.load(path)
    else:
        with pytest.raises(VerificationFailed):
            bridge.load(path)


@pytest.mark.parametrize(("second", "passes"), [("4", True), ("3", False), ("", False)])
def test_the_rows_of_a_transaction_are_one_record(second, passes, tmp_path):
    asked = 'feature="ruleValue" ruleFeature="ruleId" algorithm="recommendation"'
    output = f'<OutputField name="best" {asked}/>' + (
        f'<OutputField name="all" {asked} rank="0" isMultiValued="1"/>'
    )
    cells = [("1", "Cracker", "5", "5"), ("1", "Water", "", second)]
    cells += [("1", "", "", rule) for rule in "321"]
    cells += [("2", "Water", "5", "5"), ("2", "", "", "2")]
    table = "".join(
        "<row>" + "".join(f"<{n}>{v}</{n}>" for n, v in zip(("t", "i", "best", "all"), row, strict=True) if v)
        + "</row>"
        for row in cells
    )  # fmt: skip
    records = verification({n: n for n in ("t", "i", "best", "all")}, table)
    text = association_model(output).replace("</AssociationModel>", f"{records}</AssociationModel>")
    path = write(tmp_path, document(text, BASKET_FIELDS))
    found = bridge.run(bridge.load(path, self_check=False), {"i": np.array([["Cracker", "Water"]], object)})
    assert [v for v in found["all"][0] if v] == ["5", "4", "3", "2", "1"]
    if passes:
        assert hub.noted(bridge.load(path)) == ["2 verification records were checked"]
    else:
        with pytest.raises(VerificationFailed, match="record 1"):
            bridge.load(path)


def test_items_are_fields_or_their_categories(tmp_path):
    fields = "".join(
        f'<DataField name="{n}" optype="categorical" dataType="{t}"/>'
        for n, t in (("a", "string"), ("b", "boolean"), ("day", "string"), ("day=off", "string"))
    )
    items = ("a", "b", "day=Monday", "day=off")
    listed = "".join(f'<Item id="{i}" value="{v}"/>' for i, v in enumerate(items))
    sets = "".join(f'<Itemset id="{i}"><ItemRef itemRef="{i}"/></Itemset>' for i in range(4))
    rules = "".join(
        f'<AssociationRule id="r{i}" antecedent="{i}" consequent="0" support="0.5" confidence="0.5"/>'
        for i in range(4)
    )
    active = "".join(f'<MiningField name="{n}"/>' for n in ("a", "b", "day", "day=off"))
    output = '<OutputField name="r" feature="ruleId" algorithm="recommendation" rank="0" isMultiValued="1"/>'
    text = (
        f'<AssociationModel functionName="associationRules"><MiningSchema>{active}</MiningSchema><Output>'
        f"{output}</Output>{listed}{sets}{rules}</AssociationModel>"
    )
    model = bridge.load(write(tmp_path, document(text, fields)))
    given = {"a": ["T", "F", ""], "b": [0, 1, 1], "day": ["Friday", "Monday", ""], "day=off": ["F", "T", ""]}
    found = bridge.run(model, {n: column(v) for n, v in given.items()})["r"]
    assert [[v for v in row if v] for row in found] == [["r0"], ["r1", "r2", "r3"], ["r1"]]


MACHINE = (
    '<SupportVectorMachine targetCategory="{}" alternateTargetCategory="{}"><SupportVectors>'
    '<SupportVector vectorId="v"/></SupportVectors><Coefficients absoluteValue="{}"><Coefficient value="1"/>'
    "</Coefficients></SupportVectorMachine>"
)
VECTORS = (
    '<LinearKernelType/><VectorDictionary><VectorFields><FieldRef field="x"/></VectorFields>'
    '<VectorInstance id="v"><Array n="1" type="real">1</Array></VectorInstance></VectorDictionary>'
)


def vector_machines(machines: str, attributes: str = "", output: str = "", target: str = "c") -> str:
    active = '<MiningField name="x"/>'
    return (
        f'<SupportVectorMachineModel functionName="classification" svmRepresentation="SupportVectors" '
        f"{attributes}>{schema(active, target)}{output}{VECTORS}{machines}</SupportVectorMachineModel>"
    )


def test_machines_of_pairs_are_known_by_their_categories(tmp_path):
    """x < 1 is a before b, x < 2 is a before d, x < 3 is b before d."""
    pairs = (("a", "b", -1), ("a", "d", -2), ("b", "d", -3))
    machines = "".join(MACHINE.format(*pair) for pair in pairs)
    output = "".join(
        f'<OutputField name="p{v}" feature="probability" value="{v}" dataType="double"/>' for v in "abd"
    )
    text = vector_machines(machines, output=f"<Output>{output}</Output>")
    found = scores(write(tmp_path, document(text, version="4.1")), rows([0, 2.5, 5]))
    assert found["predicted_c"] == ["a", "b", "d"]
    assert found["pa"] == pytest.approx([2 / 3, 0, 0])
    assert found["pb"] == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    one = vector_machines(machines.replace(' alternateTargetCategory="b"', ""))
    assert "predicted_c" in scores(write(tmp_path, document(one), "all.pmml"), rows([0]))
    with pytest.raises(UnreadableFile, match="classificationMethod='Guess'"):
        bridge.load(write(tmp_path, document(vector_machines(machines, 'classificationMethod="Guess"'))))


def test_the_value_of_a_machine_of_two_classes_is_rounded(tmp_path):
    machine = MACHINE.format("yes", "", 0).replace(' alternateTargetCategory=""', "")
    text = vector_machines(machine, 'alternateBinaryTargetCategory="no"', target="k")
    found = scores(
        write(tmp_path, document(text, version="3.2")), rows([0.1, 0.49, 0.5, 1.2, -0.3, 1.6, -0.6])
    )
    assert found["predicted_k"] == ["no", "no", "yes", "yes", "no", "", ""]


def test_a_cox_regression_predicts_the_cumulative_hazard(tmp_path):
    output = (
        '<Output><OutputField name="hazard" feature="predictedValue"/><OutputField name="survival" '
        'feature="transformedValue"><Apply function="exp"><Apply function="*"><Constant>-1.0</Constant>'
        '<FieldRef field="hazard"/></Apply></Apply></OutputField></Output>'
    )
    active = '<MiningField name="x"/><MiningField name="z"/>'
    model = (
        '<GeneralRegressionModel modelType="CoxRegression" functionName="regression" endTimeVariable="z">'
        f"{schema(active)}{output}<ParameterList><Parameter name=\"p0\" referencePoint=\"60\"/></ParameterList>"
        '<FactorList/><CovariateList><Predictor name="x"/></CovariateList><PPMatrix><PPCell value="1" '
        'predictorName="x" parameterName="p0"/></PPMatrix><ParamMatrix><PCell parameterName="p0" df="1" '
        'beta="0.01"/></ParamMatrix><BaseCumHazardTables maxTime="100"><BaselineCell time="50" cumHazard="0.9"/>'
        '<BaselineCell time="1" cumHazard="0.2"/></BaseCumHazardTables></GeneralRegressionModel>'
    )  # fmt: skip
    found = scores(write(tmp_path, document(model)), rows([70] * 6, [0.5, 1, 49, 60, 100, 101]))
    hazards = np.array([0, 0.2, 0.2, 0.9, 0.9, math.nan]) * math.exp(0.1)
    np.testing.assert_allclose(found["hazard"], hazards, rtol=1e-12)
    np.testing.assert_allclose(found["survival"], np.exp(-hazards), rtol=1e-12)
    for cell in ("PPCell", "PCell"):
        bad = model.replace(f"<{cell} ", f'<{cell} parameterName="p9" ', 1).replace(
            'parameterName="p9" parameterName="p0"', 'parameterName="p9"'
        )
        bad = bad.replace('parameterName="p9" value="1" predictorName="x" parameterName="p0"',
                          'parameterName="p9" value="1" predictorName="x"')  # fmt: skip
        with pytest.raises(UnreadableFile, match="no parameter 'p9'"):
            bridge.load(write(tmp_path, document(bad), "bad.pmml"))


BOOLEAN = (
    '<DataField name="b" optype="categorical" dataType="boolean"><Value value="false"/><Value value="true"/>'
    '</DataField><DataField name="y" optype="continuous" dataType="double"/>'
)


def test_booleans_reach_pmml4s_as_booleans(tmp_path):
    pytest.importorskip("pypmml")
    derived = (
        '<TransformationDictionary><DerivedField name="w" optype="continuous" dataType="double"><MapValues '
        'outputColumn="o" dataType="double"><FieldColumnPair field="b" column="i"/><InlineTable><row><i>false'
        "</i><o>0</o></row><row><i>true</i><o>1</o></row></InlineTable></MapValues></DerivedField>"
        "</TransformationDictionary>"
    )
    path = write(tmp_path, document(regression(predictor="w", active="b"), BOOLEAN, derived))
    for given in ([[0.0], [1.0], [math.nan]], [[False], [True], [True]]):
        asked = {"b": np.array(given)}
        expected = bridge.run(path, asked)["predicted_y"]
        assert expected[:2].ravel().tolist() == [10, 15]
        found = bridge.run(bridge.load(path), {"b": asked["b"].astype(float)})["predicted_y"]
        np.testing.assert_array_equal(found, expected)


def test_the_target_is_beside_the_outputs(tmp_path):
    pytest.importorskip("pypmml")
    tables = "".join(
        f'<RegressionTable targetCategory="{c}" intercept="{i}"><NumericPredictor name="x" '
        f'coefficient="{1 - 2 * i}"/></RegressionTable>'
        for i, c in enumerate(("no", "yes"))
    )
    fields = (
        '<OutputField name="probability(no)" feature="probability" value="no" optype="continuous" '
        'dataType="double"/>'
    )
    active = '<MiningField name="x"/>'

    def text(output: str) -> str:
        return document(
            '<RegressionModel functionName="classification" normalizationMethod="softmax">'
            f"{schema(active, 'k')}<Output>{output}</Output>{tables}</RegressionModel>"
        )

    path, given = write(tmp_path, text(fields)), {"x": column([3, -3])}
    for source in (path, bridge.load(path)):
        found = bridge.run(source, given)
        assert list(found) == ["probability(no)", "predicted_k"]
        assert found["predicted_k"].ravel().tolist() == ["no", "yes"]
    assert list(bridge.run(bridge.load(path, outputs="numbers"), given)) == ["probability(no)"]
    own = '<OutputField name="label" feature="predictedValue" optype="categorical" dataType="string"/>'
    assert [v.name for v in bridge.load(write(tmp_path, text(own))).graph.outputs] == ["label"]


def test_extensions_of_jpmml_are_read_noted_or_refused(tmp_path):
    def loaded(old: str, new: str) -> Any:
        return bridge.load(write(tmp_path, document(regression()).replace(old, new, 1)))

    double = loaded("<RegressionModel ", '<RegressionModel x-mathContext="double" ')
    assert hub.noted(double) == []
    single = loaded("<RegressionModel ", '<RegressionModel x-mathContext="float" ')
    assert hub.noted(single) == ["x-mathContext was ignored: numbers are computed in double precision"]
    assert "x-own" in hub.noted(loaded("<RegressionModel ", '<RegressionModel x-own="1" '))[0]
    report = '</MiningSchema><Output><OutputField name="r" feature="x-report" x-reportField="y"/></Output>'
    left = loaded("</MiningSchema>", report)
    assert [v.name for v in left.graph.outputs] == ["predicted_y"]
    assert "report" in hub.noted(left)[0]
    with pytest.raises(UnsupportedModel, match="several targets"):
        loaded("<RegressionTable ", '<RegressionTable x-targetField="y" ')
    old = '<MiningField name="x" invalidValueTreatment="asValue" x-invalidValueReplacement="2"'
    fields = (
        '<DataField name="x" optype="continuous" dataType="double"><Interval closure="closedClosed" '
        'leftMargin="0" rightMargin="5"/></DataField><DataField name="y" optype="continuous" dataType="double"/>'
    )
    text = document(regression(), fields).replace('<MiningField name="x"', old)
    assert scores(write(tmp_path, text), rows([1, 9]))["predicted_y"] == [15, 20]
    missing = document(regression()).replace(
        'name="x"/', 'name="x" missingValueTreatment="x-returnInvalid"/', 1
    )
    assert math.isnan(scores(write(tmp_path, missing), rows([None]))["predicted_y"][0])


def test_a_leak_is_what_a_rectifier_lets_through(tmp_path):
    net = (
        '<NeuralNetwork functionName="regression" activationFunction="rectifier">'
        f'{schema("<MiningField name=" + chr(34) + "x" + chr(34) + "/>")}<NeuralInputs><NeuralInput id="i">'
        '<DerivedField optype="continuous" dataType="double"><FieldRef field="x"/></DerivedField></NeuralInput>'
        '</NeuralInputs><NeuralLayer x-leakage="0.25"><Neuron id="h"><Con from="i" weight="1"/></Neuron>'
        '</NeuralLayer><NeuralOutputs><NeuralOutput outputNeuron="h"><DerivedField optype="continuous" '
        'dataType="double"><FieldRef field="y"/></DerivedField></NeuralOutput></NeuralOutputs></NeuralNetwork>'
    )
    found = scores(write(tmp_path, document(net)), rows([-4, 0, 3]))["predicted_y"]
    assert found == [-1, 0, 3]


def test_a_chain_of_several_targets_answers_for_each(tmp_path):
    fields = "".join(
        f'<DataField name="{n}" optype="continuous" dataType="double"/>' for n in ("x", "y", "w")
    )
    segments = "".join(
        f'<Segment id="{t}">{p}<RegressionModel functionName="regression"><MiningSchema><MiningField '
        f'name="x"/><MiningField name="{t}" usageType="target"/></MiningSchema>{LINEAR.format("x")}'
        "</RegressionModel></Segment>"
        for t, p in (("y", "<True/>"), ("w", '<SimplePredicate field="x" operator="greaterThan" value="1"/>'))
    )
    text = (
        '<MiningModel functionName="mixed"><MiningSchema><MiningField name="x"/><MiningField name="y" '
        'usageType="target"/><MiningField name="w" usageType="target"/></MiningSchema>'
        f'<Segmentation multipleModelMethod="x-multiModelChain">{segments}</Segmentation></MiningModel>'
    )
    found = scores(write(tmp_path, document(text, fields)), {"x": column([1, 2])})
    assert found["predicted_y"] == [15, 20]
    np.testing.assert_array_equal(found["predicted_w"], [math.nan, 20])


def test_outputs_may_ask_a_segment_of_a_chain(tmp_path):
    node = '<Node id="{0}" score="{0}"><SimplePredicate field="x" operator="{1}" value="0"/></Node>'
    tree = (
        '<TreeModel functionName="regression"><MiningSchema><MiningField name="x"/></MiningSchema><Output>'
        '<OutputField name="twice" feature="transformedValue" dataType="double"><Apply function="*"><Constant>2'
        '</Constant><FieldRef field="leaf"/></Apply></OutputField></Output><Node id="r"><True/>'
        f"{node.format(1, 'lessThan')}{node.format(2, 'greaterOrEqual')}</Node></TreeModel>"
    ).replace("<Output>", '<Output><OutputField name="leaf" feature="predictedValue" dataType="double"/>')
    asked = (
        '<Output><OutputField name="node" feature="entityId" segmentId="s"/>'
        '<OutputField name="own" feature="transformedValue" value="twice" segmentId="s"/></Output>'
    )
    active = '<MiningField name="x"/>'
    text = (
        f'<MiningModel functionName="regression">{schema(active)}{asked}<Segmentation '
        f'multipleModelMethod="modelChain"><Segment id="s"><True/>{tree}</Segment><Segment id="last"><True/>'
        f"{regression()}</Segment></Segmentation></MiningModel>"
    )
    found = scores(write(tmp_path, document(text)), rows([-1, 1]))
    assert found["node"] == ["1", "2"]
    assert found["own"] == [2, 4]
    assert found["predicted_y"] == [5, 15]


def test_the_first_segment_that_fires_is_the_entity(tmp_path):
    segments = "".join(
        f'<Segment id="{name}">{test}{regression()}</Segment>'
        for name, test in (
            ("low", '<SimplePredicate field="x" operator="lessThan" value="0"/>'),
            ("rest", "<True/>"),
        )
    )
    output = '<Output><OutputField name="e" feature="entityId"/></Output>'
    active = '<MiningField name="x"/>'
    text = (
        f'<MiningModel functionName="regression">{schema(active)}{output}<Segmentation '
        f'multipleModelMethod="selectFirst">{segments}</Segmentation></MiningModel>'
    )
    assert scores(write(tmp_path, document(text)), rows([-1, 1]))["e"] == ["low", "rest"]


def free(path: Path, expression: str, texts: list[str], data_type: str = "string") -> list[Any]:
    """The values of an expression of the field t, which is any text."""
    output = (
        f'<Output><OutputField name="out" feature="transformedValue" dataType="{data_type}">{expression}'
        "</OutputField></Output>"
    )
    model = (
        '<RegressionModel functionName="regression"><MiningSchema><MiningField name="t"/></MiningSchema>'
        f'{output}<RegressionTable intercept="0"/></RegressionModel>'
    )
    text = document(model, '<DataField name="t" optype="categorical" dataType="string"/>')
    return scores(write(path, text), {"t": np.array([[t] for t in texts], object)})["out"]


def applied(name: str, *constants: Any) -> str:
    held = "".join(f'<Constant dataType="string">{c}</Constant>' for c in constants)
    return f'<Apply function="{name}"><FieldRef field="t"/>{held}</Apply>'


TEXTS = ["Grüße AUS Köln", "  Ça Va ", "ЖИЗНЬ жизнь", "x", "日本語 Text", "Straße  ", "a.b.c", "", " "]


@pytest.mark.parametrize(
    ("expression", "function"),
    [
        (applied("lowercase"), str.lower),
        (applied("uppercase"), str.upper),
        (applied("trimBlanks"), str.strip),
        (applied("replace", "ü", "ue"), lambda t: t.replace("ü", "ue")),
        (applied("replace", r"\.", ""), lambda t: t.replace(".", "")),
        (applied("replace", "[aeiou]", "_"), lambda t: t.translate(str.maketrans("aeiou", "_____"))),
        (applied("concat", ""), lambda t: t),
        (applied("concat", "é!"), lambda t: t + "é!" if t else ""),
    ],
)
def test_functions_of_any_text(expression, function, tmp_path):
    assert free(tmp_path, expression, TEXTS) == [function(t) for t in TEXTS]


def test_parts_and_lengths_of_any_text(tmp_path):
    assert free(tmp_path, applied("substring", 2, 3), TEXTS) == [t[1:4] for t in TEXTS]
    found = free(tmp_path, applied("stringLength"), [*TEXTS[:-2], "ä" * 511], "integer")
    assert found == [*map(len, TEXTS[:-2]), 511]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (applied("uppercase"), "ﬁne"),
        (applied("lowercase"), "ΟΔΟΣ"),
        (applied("trimBlanks"), "a\n"),
        (applied("substring", 1, 2), "😀a"),
        (applied("stringLength"), "a" * 512),
    ],
)
def test_what_no_operator_does_of_a_text_fails_the_run(expression, text, tmp_path):
    with pytest.raises(BridgeError):
        free(tmp_path, expression, ["x", text], "string")


@pytest.mark.parametrize(
    "expression", [applied("replace", "a+", ""), applied("replace", "a", "$1"), applied("substring", 1, 1000)]
)
def test_functions_of_any_text_that_no_operator_does_are_refused(expression, tmp_path):
    with pytest.raises(UnsupportedModel):
        free(tmp_path, expression, ["a"])


def test_groups_are_replaced_in_declared_text(tmp_path):
    expression = '<Apply function="replace"><FieldRef field="c"/><Constant>([ab])</Constant><Constant>$1\\$1</Constant></Apply>'
    output = f'<Output><OutputField name="out" feature="transformedValue" dataType="string">{expression}</OutputField></Output>'
    path = write(tmp_path, document(regression(output=output, active="c", predictor="y")))
    model = bridge.load(path)
    found = bridge.run(
        model, {v.name: rows(z=[1, 1], c=["a", "d"]).get(v.name, column([1, 1])) for v in model.graph.inputs}
    )
    assert found["out"].ravel().tolist() == ["a$1", "d"]


@pytest.mark.parametrize(
    ("attributes", "term", "counts"),
    [
        (r'x-wordRE="(?u)\b\w\w+\b"', "cat", [2, 1, 0, 1]),
        (r'x-wordRE="\w+"', "the cat", [1, 0, 0, 1]),
        (r'wordSeparatorCharacterRE="\s+"', "cat", [2, 0, 0, 1]),
        (r'wordSeparatorCharacterRE="\s+"', "the cat", [1, 0, 0, 1]),
    ],
)
def test_words_are_found_in_any_white_space(attributes, term, counts, tmp_path):
    texts = ["the\tcat, a (cat)\nsat", "cat&dog", "the_cat", "the\ncat"]
    index = f'<TextIndex textField="t" {attributes}><Constant dataType="string">{term}</Constant></TextIndex>'
    assert free(tmp_path, index, texts, "integer") == counts


@pytest.mark.parametrize(("pattern", "term"), [("[a-z]+", "cat"), (r"\b\w\w+\b", "the cat")])
def test_words_of_other_expressions_are_refused(pattern, term, tmp_path):
    index = f'<TextIndex textField="t" x-wordRE="{pattern}"><Constant dataType="string">{term}</Constant></TextIndex>'
    with pytest.raises(UnsupportedModel, match="word characters"):
        free(tmp_path, index, ["x"], "integer")


@pytest.mark.parametrize("score", ["NaN", "INF", "-1e999", "one"])
@pytest.mark.parametrize("count", [1, 2])
def test_scores_that_are_no_finite_numbers_are_refused(score, count, tmp_path):
    trees = (
        forest_model("sum").replace('score="1"', f'score="{score}"') if count == 2 else tree_model(left=score)
    )
    with pytest.raises(UnreadableFile):
        bridge.load(write(tmp_path, document(trees)))
