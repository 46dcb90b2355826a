"""Text that a model looks up reaches every target: as text, or as places in names that come back as text."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

import bridge
from bridge.facts import STORED

NAMES = ["lo", "mid", "hi"]
TARGETS = ("coreml", "torchscript", "tflite", "savedmodel", "onnx")
HELD_AS_PLACES = ("coreml", "torchscript")


def fitted(estimator):
    records = np.random.default_rng(0).normal(size=(200, 3))
    return estimator.fit(records, np.array(NAMES)[np.digitize(records[:, 0], [-0.5, 0.5])]), records[:40]


def estimators():
    pytest.importorskip("skl2onnx")
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.svm import SVC

    voting = VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())])
    return [LogisticRegression(), RandomForestClassifier(3), SVC(), voting]


@pytest.mark.parametrize("labels", ["text", "index"])
@pytest.mark.parametrize("target", TARGETS)
def test_text_classes_are_those_that_the_estimator_predicts(target, labels, tmp_path):
    for number, estimator in enumerate(estimators()):
        source, records = fitted(estimator)
        done = bridge.convert(source, tmp_path / f"{number}", to=target, labels=labels, verify=True)
        places = labels == "index" or target in HELD_AS_PLACES
        assert any("places in its names" in note for note in done.report.notes) == places
        model = bridge.load(done.path, source=target)
        dtype = model.graph.inputs[0].dtype.numpy()
        outputs = bridge.run(done.path, {"X": records.astype(dtype)}, source=target)
        assert outputs["label"].tolist() == source.predict(records).tolist()
        assert model.graph.outputs[0].dtype == ir.DataType.STRING
        assert not list(STORED.all(model))


def test_an_onnx_file_of_places_has_integers_and_their_names(tmp_path):
    source, _ = fitted(estimators()[0])
    path = bridge.convert(source, tmp_path / "m.onnx", labels="index").path
    proto = onnx.load(path)
    assert proto.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert sorted(STORED.of("label").get(ir.from_proto(proto))["names"]) == sorted(NAMES)


def test_places_read_back_are_written_as_text_again(tmp_path):
    source, records = fitted(estimators()[0])
    held = bridge.convert(source, tmp_path / "m.pt", to="torchscript").path
    path = bridge.convert(held, tmp_path / "m.onnx", verify=True).path
    found = bridge.run(path, {"X": records})
    assert found["label"].tolist() == source.predict(records).tolist()


def hub_of(text):
    return bridge.load(parser.parse_model(text))


HEAD = '<ir_version: 10, opset_import: ["" : 22, "ai.onnx.ml" : 4]>\n'
TEXTS = {
    "chosen of two tables": """
agraph (int64[N] i, bool[N] c) => (string[N] name) <string[2] t = {"a", "b"}, string[3] u = {"c", "a", "ä"}> {
    one = Gather(t, i)
    other = Gather(u, i)
    name = Where(c, one, other)
}""",
    "moved": """
agraph (int64[N] i, bool[N] c) => (string[A, 1] name, string[B] twice)
<string[2] t = {"a", "b"}, int64[1] one = {1}> {
    first = Gather(t, i)
    name = Unsqueeze(first, one)
    twice = Concat <axis = 0> (first, first)
}""",
    "a label of a code": """
agraph (int64[N] i, bool[N] c) => (string[N] name) {
    name = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 7], values_strings = ["zero", "seven"],
        default_string = "other"> (i)
}""",
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("what", list(TEXTS))
def test_text_of_tables_is_held_whatever_moves_or_chooses_it(what, target, tmp_path):
    model = hub_of(HEAD + TEXTS[what])
    inputs = {"i": np.array([0, 1, 1, 0]), "c": np.array([True, False, True, False])}
    used = {v.name for v in model.graph.inputs}
    expected = bridge.run(model, {n: v for n, v in inputs.items() if n in used})
    path = bridge.save(model, tmp_path / "m", to=target, labels="index").path
    found = bridge.run(path, {n: v for n, v in inputs.items() if n in used}, source=target)
    for name, value in expected.items():
        assert found[name].tolist() == value.tolist()


def test_text_of_the_inputs_stays_text(tmp_path):
    model = hub_of(HEAD + "agraph (string[N] t) => (string[N] name) { name = Identity(t) }")
    path = bridge.save(model, tmp_path / "m.onnx", labels="index").path
    assert onnx.load(path).graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.STRING
    assert not bridge.check(str(path), to="torchscript").ok
