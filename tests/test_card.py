"""Model cards: what is wrong is named with its line, what is right is in the fields formats have for it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import onnx
import pytest
from test_provenance import CARD, SUFFIXES, TREE, require

import bridge
from bridge.errors import InvalidCard, MissingDependency
from bridge.provenance.card import FIELDS, card_of

PAGE = (Path(__file__).parents[1] / "docs" / "provenance.md").read_text()
EXAMPLE = re.search(r"<!-- card -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)[1]


def written(text: str, folder: Path) -> Path:
    pytest.importorskip("yaml")
    (folder / "card.yaml").write_text(text)
    return folder / "card.yaml"


def fields_of(form, at=()):
    """Every field that a form has, by the names that lead to it."""
    if isinstance(form, list):
        yield from fields_of(form[0], at)
    elif isinstance(form, dict):
        for name, inner in form.items():
            yield (*at, name)
            yield from fields_of(inner, (*at, name))


def given(value, at=()):
    if isinstance(value, list):
        for item in value:
            yield from given(item, at)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield (*at, name)
            yield from given(inner, (*at, name))


def test_the_example_has_every_field_but_the_results_of_verification(tmp_path):
    card = card_of(written(EXAMPLE, tmp_path))
    alike = ("verification",), ("evaluation", "data")
    assert {*given(card)} >= {at for at in fields_of(FIELDS) if at[:1] not in alike and at[:2] not in alike}
    assert card["version"] == "1.2"
    assert card["metrics"][1] == {
        "name": "accuracy", "value": 0.972, "unit": "part", "slice": "left-handed writers", "threshold": 0.95
    }  # fmt: skip
    assert card_of(card) == card, "what was checked is valid"


def test_json_is_read_as_well_and_scalars_stay_as_they_are_written(tmp_path):
    assert card_of(written('{"name": "a", "version": 1.10, "authors": ["Ada"]}', tmp_path)) == {
        "name": "a", "version": "1.10", "authors": [{"name": "Ada"}]
    }  # fmt: skip
    assert card_of(written("", tmp_path)) == {}


WRONG = [
    ("licence: MIT", "line 1: licence is no field of a card. Did you mean 'license'?"),
    ("name: a\nmetrics:\n  - name: acc\n    value: high", "line 4: metrics[0].value is not a number: 'high'"),
    ("metrics:\n- name: acc\n- value: 1", "line 3: metrics[1] has no name"),
    ("metrics:\n- {name: a, value: .nan}", "line 2: metrics[0].value is not a number: '.nan'"),
    ("metrics: good", "line 1: metrics is not a list"),
    ("training: MNIST", "line 1: training is not a mapping of data"),
    ("training:\n  data:\n    - {url: x}", "line 3: training.data[0] has no name"),
    ("training:\n  environment:\n    gpu: 8", "line 3: training.environment.gpu is no field of a card"),
    ("name:", "line 1: name is empty"),
    ("name: [a]", "line 1: name is not text"),
    ("description: {a: b}", "line 1: description is not text"),
    ('name: "a\\u0001"', "line 1: name holds a control character"),
    ("name: a\nname: b", "line 2: name is there twice"),
    ("name: &a [*a]", "no YAML|nested too deep"),
    ("a: b: c", "line 1: this is no YAML"),
    ("name: \x80", "no YAML|no text in UTF-8"),
    ("- a", "it is not a mapping"),
    ("x", "it is not a mapping"),
    ("name: !!python/object:os.system a", "^ok$"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text[:30] for text, _ in WRONG])
def test_what_is_wrong_is_named_with_its_line(text, words, tmp_path):
    path = written(text, tmp_path)
    if words == "^ok$":
        assert card_of(path) == {"name": "a"}, "a tag makes no object"
        return
    with pytest.raises(InvalidCard) as refusal:
        card_of(path)
    assert re.search("|".join(map(re.escape, words.split("|"))), str(refusal.value))
    assert "docs/provenance.md" in str(refusal.value)


def test_all_that_is_wrong_is_told_at_once(mnist, tmp_path):
    card = {"licence": "MIT", "name": ["a"], "metrics": [{"name": "a", "value": "b"}], "tags": "one"}
    with pytest.raises(InvalidCard) as refusal:
        bridge.convert(mnist, tmp_path / "m.onnx", card=card)
    assert len(str(refusal.value).splitlines()) == 5
    assert not list(tmp_path.iterdir())


def test_a_card_that_grows_is_refused(tmp_path):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{n}: &{n} [{','.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdef", "bcdefg", strict=True)
    )
    with pytest.raises(InvalidCard):
        card_of(written(bomb, tmp_path))
    with pytest.raises(InvalidCard, match="bytes"):
        card_of(written("name: " + "a" * 2**20, tmp_path))


def test_without_pyyaml_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "card.yaml").write_text("name: a")
    with pytest.raises(MissingDependency, match=r"formatbridge\[cards\]"):
        card_of(tmp_path / "card.yaml")
    assert card_of({"name": "a"}) == {"name": "a"}


def test_onnx_has_the_description_author_and_license(mnist, tmp_path):
    model = onnx.load(bridge.convert(mnist, tmp_path / "m.onnx", card=CARD).path)
    metadata = {p.key: p.value for p in model.metadata_props}
    assert model.doc_string == CARD["description"]
    assert (metadata["model_author"], metadata["model_license"]) == ("Ada Lovelace, Émilie", "Apache-2.0")


@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
def test_core_ml_has_its_own_fields(suffix, tmp_path):
    require("coreml")
    import coremltools
    from build import model_from_text

    onnx.save(model_from_text(TREE, 21), tmp_path / "tree.onnx")
    path = bridge.convert(tmp_path / "tree.onnx", tmp_path / f"m{suffix}", card=CARD, verify=True).path
    metadata = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec().description.metadata
    found = (metadata.author, metadata.license, metadata.shortDescription, metadata.versionString)
    assert found == ("Ada Lovelace, Émilie", "Apache-2.0", CARD["description"], "1.2")


def test_tflite_has_its_model_metadata(mnist, tmp_path):
    path = bridge.convert(mnist, tmp_path / "m.tflite", card=CARD).path
    found = bridge.load(path).metadata_props["tflite.model"]
    for word in ("digits", "1.2", "Ada Lovelace, Émilie", "Apache-2.0"):
        assert word in found
    newer = bridge.convert(path, tmp_path / "n.tflite", card={"name": "newer"}).path
    assert "Ada" not in bridge.load(newer).metadata_props["tflite.model"]


def test_pmml_has_the_header(tmp_path):
    etree = pytest.importorskip("lxml.etree")
    from build import model_from_text

    onnx.save(model_from_text(TREE, 21), tmp_path / "tree.onnx")
    path = bridge.convert(tmp_path / "tree.onnx", tmp_path / "m.pmml", card=CARD).path
    header = etree.parse(str(path)).getroot().find("{*}Header")
    assert (header.get("description"), header.get("modelVersion")) == (CARD["description"], "1.2")


@pytest.mark.parametrize("target", ["tflite", "savedmodel", "torchscript", "coreml", "onnx", "pmml"])
def test_results_of_verification_are_added_behind_others(target, tmp_path):
    require(target)
    from build import model_from_text

    onnx.save(model_from_text(TREE, 21), tmp_path / "tree.onnx")
    path = tmp_path / "tree.onnx"
    for number, card in enumerate((CARD, None)):
        given = {} if card is None else {"card": card}
        path = bridge.convert(
            path, tmp_path / f"{number}{SUFFIXES[target]}", to=target, verify=True, card_results=True, **given
        ).path
    card = bridge.inspect(path).card.fields
    assert {k: v for k, v in card.items() if k != "verification"} == CARD
    assert len(card["verification"]) == 2
    assert {o["name"] for o in card["verification"][1]["outputs"]} == {"y"}
    alone = bridge.convert(
        tmp_path / "tree.onnx", tmp_path / f"a{SUFFIXES[target]}", to=target, verify=True, card_results=True
    ).path
    assert [*bridge.inspect(alone).card.fields] == ["verification"]


def test_the_first_card_is_kept_and_another_takes_its_place(mnist, tmp_path):
    bridge.convert(mnist, tmp_path / "a.onnx", card=CARD)
    bridge.convert(tmp_path / "a.onnx", tmp_path / "b.onnx")
    bridge.convert(tmp_path / "b.onnx", tmp_path / "c.onnx", card={"name": "other"})
    part = bridge.extract(tmp_path / "b.onnx", tmp_path / "d.onnx", to_values=["Pooling160_Output_0"]).path
    found = [bridge.inspect(tmp_path / f"{n}.onnx").card.fields for n in "abc"]
    assert found == [CARD, CARD, {"name": "other"}]
    assert bridge.inspect(part).card.fields == CARD


def test_a_card_prints_as_a_person_reads_it(tmp_path):
    text = str(bridge.summary.Card(card_of(written(EXAMPLE, tmp_path))))
    assert "license: Apache-2.0" in text
    assert "authors:\n  - name: Ada Lovelace\n    email: ada@example.org" in text
    assert text.count("accuracy") == 2
