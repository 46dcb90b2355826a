"""The chain of conversions: written into every format, extended by each, and the same in each run."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from build import model_from_text
from click.testing import CliRunner

import bridge
from bridge.cli import main
from bridge.plugins import formats
from bridge.provenance.record import scrubbed

CARD = {
    "name": "digits",
    "version": "1.2",
    "description": "Reads <digits> & “more”.",
    "license": "Apache-2.0",
    "authors": [{"name": "Ada Lovelace", "email": "ada@example.org"}, {"name": "Émilie"}],
    "training": {"data": [{"name": "MNIST"}], "environment": {"software": ["CNTK 2.5"], "hours": 0.5}},
    "metrics": [
        {"name": "accuracy", "value": 0.989},
        {"name": "accuracy", "value": 0.9, "slice": "left-handed"},
    ],
}
LINEAR = "(float[n,3] x) => (float[n,1] y) { y = MatMul (x, w) }"
SUFFIXES = {fmt.name: fmt.suffixes[0] for fmt in formats()}
FIVE = ("tflite", "savedmodel", "torchscript", "coreml", "onnx")
TREE = """(float[n,3] x) => (float[n,1] y) {
  y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_treeids = [0,0,0], nodes_nodeids = [0,1,2],
    nodes_featureids = [1,0,0], nodes_modes = ["BRANCH_LEQ","LEAF","LEAF"], nodes_values = [0.5,0.0,0.0],
    nodes_truenodeids = [1,0,0], nodes_falsenodeids = [2,0,0], target_treeids = [0,0], target_nodeids = [1,2],
    target_ids = [0,0], target_weights = [0.25,0.75]> (x) }"""


def require(name: str) -> None:
    fmt = next(f for f in formats() if f.name == name)
    missing = [m for part in ("exporter", "runtime") if fmt.part(part) for m in fmt.part(part).missing()]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


def digests(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    return {str(f.relative_to(path.parent)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_chain_and_card_go_through_five_formats_and_back(mnist, tmp_path):
    path, before = mnist, []
    for number, target in enumerate((*FIVE, *FIVE[::-1][1:], "onnx")):
        require(target)
        card = {"card": CARD} if number == 0 else {}
        source = digests(path)
        path = bridge.convert(
            path, tmp_path / f"m{number}{SUFFIXES[target]}", to=target, verify=True, **card
        ).path
        found = bridge.inspect(path)
        steps = list(found.provenance.steps)
        assert found.card.fields == CARD
        assert steps[:-1] == before, "a step that is there stays as it is"
        step = steps[-1]
        assert step["target"]["format"] == target
        assert {f["sha256"] for f in step["source"]["files"].values()} == {*source.values()}
        assert step["verification"]["ok"]
        assert step["verification"]["inputs"]["seeds"] == [0, 1]
        assert step["verification"]["outputs"]["Plus214_Output_0"]["cosine"] == 1
        assert step["versions"]["formatbridge"] == bridge.__version__
        before = steps
    assert len(before) == 10


VISITS = [
    ("a document", TREE, ("pmml",)),
    ("a classical model", TREE, ("coreml", "pmml")),
    ("all six", LINEAR, ("tflite", "savedmodel", "torchscript", "coreml", "pmml")),
]


@pytest.mark.parametrize(("text", "formats"), [row[1:] for row in VISITS], ids=[row[0] for row in VISITS])
def test_chain_and_card_of_a_classical_model_go_through_its_formats_and_back(text, formats, tmp_path):
    first = path = tmp_path / "first.onnx"
    onnx.save(model_from_text(text, 21, w=np.array([[1.5], [-2], [0.25]], np.float32)), path)
    for number, target in enumerate((*formats, "onnx")):
        require(target)
        suffix = ".mlmodel" if target == "coreml" and text is TREE else SUFFIXES[target]
        card = {} if number else {"card": CARD}
        path = bridge.convert(path, tmp_path / f"m{number}{suffix}", to=target, verify=True, **card).path
        assert bridge.inspect(path).card.fields == CARD
    back = bridge.inspect(path)
    assert [s["target"]["format"] for s in back.provenance.steps] == [*formats, "onnx"]
    assert all(s["verification"]["ok"] for s in back.provenance.steps)
    assert back.provenance.route == " → ".join(["first.onnx (onnx)", *formats, "onnx"])
    assert bridge.verify(first, path).ok


REPEATED = [
    *((name, {}) for name in FIVE),
    ("savedmodel", {"weights": "constants"}),
    ("torchscript", {"optimize": True}),
    ("onnx", {"external_data": True}),
]
LOOP = """(float[n,4] x, int64 k) => (float[n,4] y, float[n,4] z) {
  t = Constant <value = bool {1}> ()
  y = Loop (k, t, x) <body = b (int64 i, bool c, float[n,4] s) => (bool d, float[n,4] r) {
    d = Identity (c) r = Tanh (s) }>
  zero = Constant <value = int64 {0}> ()
  q = Greater (k, zero)
  z = If (q) <then_branch = th () => (float[n,4] a) { a = Exp (x) },
    else_branch = el () => (float[n,4] b) { b = Abs (x) }> }"""


@pytest.mark.parametrize(
    ("target", "options"), REPEATED, ids=[f"{t} {' '.join(o)}".strip() for t, o in REPEATED]
)
def test_two_runs_give_the_same_bytes(target, options, mnist, tmp_path):
    require(target)
    made = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        path = bridge.convert(
            mnist,
            folder / f"m{SUFFIXES[target]}",
            to=target,
            verify=True,
            card=CARD,
            reproducible=True,
            **options,
        ).path
        made.append(digests(path))
        assert "made" not in bridge.inspect(path).provenance.steps[0]
    assert made[0] == made[1]


@pytest.mark.parametrize("between", ["tflite", "savedmodel", "torchscript", "coreml"])
def test_two_runs_give_the_same_bytes_of_loops_and_branches(between, tmp_path):
    require(between)
    onnx.save(model_from_text(LOOP, 18), tmp_path / "loop.onnx")
    made = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        first = bridge.convert(
            tmp_path / "loop.onnx", folder / f"m{SUFFIXES[between]}", to=between, reproducible=True
        ).path
        second = bridge.convert(first, folder / "back.onnx", reproducible=True, verify=True).path
        made.append(digests(first) | digests(second))
    assert made[0] == made[1]


def test_a_document_of_pmml_is_the_same_in_two_runs(tmp_path):
    require("pmml")
    onnx.save(model_from_text(TREE, 21), tmp_path / "tree.onnx")
    made = [
        bridge.convert(
            tmp_path / "tree.onnx", tmp_path / f"{n}.pmml", verify=True, card=CARD, reproducible=True
        ).path.read_bytes()
        for n in (1, 2)
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("target", FIVE)
def test_no_folder_of_this_machine_is_in_a_file(target, mnist, tmp_path):
    require(target)
    private = tmp_path / "private folder of ada"
    private.mkdir()
    source = Path(shutil.copy(mnist, private))
    inputs = np.zeros((1, 1, 28, 28), np.float32)
    options = {"class_labels": ",".join("0123456789")} if target == "coreml" else {}
    sampling = bridge.trials.Sampling(data=[{"Input3": inputs}])
    path = bridge.convert(
        source, private / f"m{SUFFIXES[target]}", to=target, verify=sampling, **options
    ).path
    step = bridge.inspect(path).provenance.steps[-1]
    assert step["source"]["name"] == "mnist.onnx"
    assert step["verification"]["inputs"]["arrays"] == 1
    assert len(step["verification"]["inputs"]["sha256"]) == 64
    for file in [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]:
        assert b"private folder" not in file.read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes()


def test_paths_are_taken_out_of_texts(tmp_path):
    (tmp_path / "data.npz").touch()
    assert scrubbed(f"x={tmp_path}/data.npz;/model/conv/Output") == "x=data.npz;/model/conv/Output"
    assert scrubbed(f"cannot read {tmp_path}/m.onnx: no such file") == "cannot read m.onnx: no such file"
    assert scrubbed("C:\\Users\\ada\\m.onnx") == "m.onnx"
    assert scrubbed("a\0b\udcffc") == "a b c"


def test_options_changes_and_quantization_are_noted(mnist, tmp_path):
    require("tflite")
    calibration = {"picture": np.random.default_rng(0).normal(size=(20, 1, 28, 28)).astype(np.float32)}
    path = bridge.convert(
        mnist,
        tmp_path / "m.tflite",
        rename={"Input3": "picture"},
        quantize="int8",
        calibration=calibration,
        layout="native",
        verify=True,
    ).path
    step = bridge.inspect(path).provenance.steps[-1]
    assert step["options"] == {"layout": "native"}
    assert step["changes"] == {"rename": {"Input3": "picture"}}
    assert step["quantization"]["scheme"] == "int8"
    assert step["quantization"]["samples"] == 20
    assert step["quantization"]["sqnr"] > 20
    part = bridge.extract(mnist, tmp_path / "part.onnx", to_values=["Pooling160_Output_0"]).path
    assert bridge.inspect(part).provenance.steps[-1]["changes"] == {"to_values": ["Pooling160_Output_0"]}


def test_a_hub_model_that_is_saved_goes_on_with_its_chain(mnist, tmp_path):
    bridge.convert(mnist, tmp_path / "a.onnx")
    bridge.save(bridge.load(tmp_path / "a.onnx"), tmp_path / "b.onnx", card=CARD)
    found = bridge.inspect(tmp_path / "b.onnx")
    assert len(found.provenance.steps) == 2
    assert found.card.fields == CARD


def test_a_large_file_is_not_read_for_its_digest_and_no_old_one_is_kept(tmp_path, monkeypatch, mnist):
    bridge.convert(mnist, tmp_path / "a.onnx")
    for module in ("bridge_onnx.importer", "bridge.provenance.record"):
        monkeypatch.setattr(f"{module}.DIGESTED", 10)
    bridge.convert(tmp_path / "a.onnx", tmp_path / "b.onnx")
    found = bridge.inspect(tmp_path / "b.onnx")
    assert found.provenance.steps[-1]["source"]["files"] == {
        "a.onnx": {"bytes": (tmp_path / "a.onnx").stat().st_size}
    }
    assert "bridge.sha256" not in found.metadata


def test_a_chain_that_is_none_is_not_read(mnist, tmp_path):
    for text in ("no JSON", "[1]", '{"a": 1}'):
        model = onnx.load(mnist)
        model.metadata_props.add(key="bridge.provenance", value=text)
        model.metadata_props.add(key="bridge.card", value=text)
        onnx.save(model, tmp_path / "m.onnx")
        found = bridge.inspect(tmp_path / "m.onnx")
        assert not found.provenance.steps
        assert not found.card.fields
        assert str(found.provenance) == "It says nothing of where it comes from."
        again = bridge.convert(tmp_path / "m.onnx", tmp_path / "n.onnx", overwrite=True).path
        assert len(bridge.inspect(again).provenance.steps) == 1


def test_a_chain_is_no_difference_and_a_card_is_one(mnist, tmp_path):
    for name, card in (("plain", None), ("carded", CARD)):
        bridge.convert(mnist, tmp_path / f"{name}.onnx", card=card, opset=21)
    again = bridge.convert(tmp_path / "plain.onnx", tmp_path / "again.onnx", opset=21).path
    found = bridge.diff(tmp_path / "plain.onnx", again)
    assert found.same
    assert found.metadata["bridge.provenance"] == (
        "mnist.onnx (onnx) → onnx",
        "mnist.onnx (onnx) → onnx → onnx",
    )
    assert not bridge.diff(tmp_path / "plain.onnx", tmp_path / "carded.onnx").same


def test_bare_files_carry_no_chain(mnist, tmp_path):
    path = bridge.convert(mnist, tmp_path / "m.onnx", bare=True, verify=True, card=CARD).path
    assert not bridge.inspect(path).provenance.steps
    assert bridge.inspect(path).card.fields == CARD


def test_weights_are_where_they_were_when_metadata_change(tmp_path):
    """Of every format but PMML, whose documents are copied."""
    for target in FIVE:
        require(target)
        weights = np.random.default_rng(0).normal(size=(64, 512)).astype(np.float32)
        onnx.save(
            model_from_text("(float[n,64] x) => (float[n,512] y) { y = MatMul (x, w) }", w=weights),
            tmp_path / "m.onnx",
        )
        path = bridge.convert(
            tmp_path / "m.onnx", tmp_path / f"m{SUFFIXES[target]}", to=target, overwrite=True
        ).path
        fmt = next(f for f in formats() if f.name == target)
        files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
        forms = (weights.tobytes(), np.ascontiguousarray(weights.T).tobytes())
        places = {(f, form): f.read_bytes().find(form) for f in files for form in forms}
        assert max(places.values()) >= 0
        text = json.dumps([{"verification": {"ok": True}, "long": "x" * 5000}])
        for value in (text, "[]", text):
            fmt.resolve("exporter").annotate(path, {"bridge.provenance": value, "not there": "1"})
            assert {place: place[0].read_bytes().find(place[1]) for place in places} == places
            read = bridge.inspect(path)
            assert list(read.provenance.steps) == json.loads(value)
            assert "not there" not in read.metadata
        x = np.ones((2, 64), np.float32)
        np.testing.assert_allclose(bridge.run(path, {"x": x})["y"], x @ weights, rtol=1e-3, atol=1e-4)


def test_the_command_line_prints_it(mnist, tmp_path):
    run = CliRunner().invoke
    assert (
        run(main, ["convert", str(mnist), str(tmp_path / "m.onnx"), "--verify", "--reproducible"]).exit_code
        == 0
    )
    told = run(main, ["inspect", str(tmp_path / "m.onnx"), "--provenance"]).output
    assert "1. mnist.onnx onnx → onnx\n" in told
    assert "verified: ONNX Runtime" in told
    assert "agrees" in told
    steps = json.loads(run(main, ["inspect", str(tmp_path / "m.onnx"), "--provenance", "--json"]).output)[
        "steps"
    ]
    assert steps[0]["target"]["format"] == "onnx"
    assert "provenance: mnist.onnx (onnx) → onnx" in run(main, ["inspect", str(tmp_path / "m.onnx")]).output
