"""Profiles: their data, what they choose and refuse, and that a release of ONNX Runtime agrees."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from build import model_from_text
from click.testing import CliRunner

import bridge
from bridge.cli import main
from bridge.detect import by_name
from bridge.errors import InvalidOption, PluginError, UnsupportedModel
from bridge.formats import Native, Written
from bridge.plugins import Plugins
from bridge.profiles.profile import DATA, Kernel, Profile, profile_of, profiles

ALL = profiles()


@pytest.mark.parametrize("profile", ALL, ids=lambda p: p.name)
def test_a_profile_says_whence_it_is_and_chooses_what_its_format_has(profile):
    assert profile.source
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", profile.date)
    fmt = by_name(profile.format, "exporter")
    exporter = fmt.resolve("exporter")
    exporter.parse(dict(profile.options), fmt.title)
    assert profile.operators is None or exporter.written is not None
    assert (DATA / f"{profile.name}.toml").exists()


@pytest.mark.parametrize("profile", ALL, ids=lambda p: p.name)
def test_a_profile_takes_a_small_network_of_its_format(profile, mnist):
    """Those for floats do; the ones that take quantized networks alone say so of every layer."""
    report = bridge.check(mnist, profile=profile.name)
    assert report.variant.endswith(f"{profile.title})")
    if report.blockers:
        assert all(profile.title in blocker.reason for blocker in report.blockers)
        assert profile.note
    assert any(profile.source in note for note in report.notes)


def test_the_opset_is_one_that_the_release_takes(mnist, tmp_path):
    bridge.convert(mnist, tmp_path / "m.onnx", profile="ort-1.16", verify=True)
    model = onnx.load(tmp_path / "m.onnx")
    assert model.opset_import[0].version <= 19
    assert model.ir_version <= 9


def test_trees_are_written_at_an_opset_of_their_domain_that_the_release_takes(tmp_path):
    text = """(float[N,2] x) => (float[N,2] y) { y = ai.onnx.ml.Scaler <offset=[1.0,2.0], scale=[2.0,3.0]> (x) }"""
    onnx.save(model_from_text(text, ml=3), tmp_path / "s.onnx")
    bridge.convert(tmp_path / "s.onnx", tmp_path / "m.onnx", profile="ort-1.16", verify=True)
    versions = {entry.domain: entry.version for entry in onnx.load(tmp_path / "m.onnx").opset_import}
    assert versions["ai.onnx.ml"] == 3


def test_an_operator_without_a_kernel_is_named_with_the_profile(tmp_path):
    text = "(double[2] x, float[2] z) => (double[2] y, float[2] w) { y = Asin (x) w = Asin (z) }"
    onnx.save(model_from_text(text), tmp_path / "m.onnx")
    report = bridge.check(tmp_path / "m.onnx", profile="ort-1.16")
    assert [b.reason for b in report.blockers] == ["takes no double in ONNX Runtime 1.16"]
    with pytest.raises(UnsupportedModel, match=r"cannot be written as ONNX \(ONNX Runtime 1\.16\)") as error:
        bridge.convert(tmp_path / "m.onnx", tmp_path / "out.onnx", profile="ort-1.16")
    assert "bridge profiles" in error.value.hint
    assert not (tmp_path / "out.onnx").exists()


def test_an_operator_newer_than_the_opset_is_a_blocker_of_check_too(tmp_path):
    onnx.save(
        model_from_text(
            "(float[2] x, float[2] z) => (uint4[2] y) { y = QuantizeLinear <axis=0, output_dtype=21> (x, z) }"
        ),
        tmp_path / "m.onnx",
    )
    report = bridge.check(tmp_path / "m.onnx", profile="ort-1.16")
    assert not report.ok


def test_a_grid_of_volumes_is_not_written_below_the_opset_that_has_it(tmp_path):
    text = "(float[1,1,2,2,2] x, float[1,2,2,2,3] grid) => (float[1,1,2,2,2] y) { y = GridSample (x, grid) }"
    onnx.save(model_from_text(text), tmp_path / "m.onnx")
    report = bridge.check(tmp_path / "m.onnx", profile="ort-1.16")
    assert [b.reason for b in report.blockers] == ["is of four dimensions before opset 20"]
    assert bridge.check(tmp_path / "m.onnx", profile="ort-1.19").ok


def test_half_precision_is_computed_in_single_and_a_function_by_its_body(tmp_path):
    text = "(float16[2,3] x) => (float16[2,3] y) { a = Mish (x) y = Erf (a) }"
    onnx.save(model_from_text(text), tmp_path / "m.onnx")
    assert bridge.check(tmp_path / "m.onnx", profile="ort-1.19").ok
    bridge.convert(tmp_path / "m.onnx", tmp_path / "out.onnx", profile="ort-1.19")
    onnxruntime.InferenceSession(tmp_path / "out.onnx", providers=["CPUExecutionProvider"])


def test_what_a_profile_chooses_is_not_given_beside_it(mnist, tmp_path):
    with pytest.raises(InvalidOption, match=r"max_opset is chosen by the profile ort-1\.16: 19"):
        bridge.convert(mnist, tmp_path / "m.onnx", profile="ort-1.16", max_opset=21)
    with pytest.raises(UnsupportedModel, match=r"is 21; ONNX Runtime 1\.16 takes 19 at most"):
        bridge.convert(mnist, tmp_path / "m.onnx", profile="ort-1.16", opset=21)
    with pytest.raises(InvalidOption, match="is of onnx, and TFLite is to be written"):
        bridge.convert(mnist, tmp_path / "m.tflite", profile="ort-1.16")
    with pytest.raises(InvalidOption, match=r"Did you mean 'ort-1\.16'"):
        bridge.check(mnist, profile="ort-1.166")


RUNTIME = "ort-" + ".".join(onnxruntime.__version__.split(".")[:2])
CASES = {
    "Abs of int64": "(int64[2] x) => (int64[2] y) { y = Abs (x) }",
    "Asin of double": "(double[2] x) => (double[2] y) { y = Asin (x) }",
    "BitShift of int64": '(uint16[2] x) => (uint16[2] y) { y = BitShift <direction="LEFT"> (x, x) }',
    "Conv of double": "(double[1,1,4] x, double[1,1,2] w) => (double[1,1,3] y) { y = Conv (x, w) }",
    "Conv of half": "(float16[1,1,4] x, float16[1,1,2] w) => (float16[1,1,3] y) { y = Conv (x, w) }",
    "Det": "(float[2,2] x) => (float y) { y = Det (x) }",
    "Gelu of double": "(double[2] x) => (double[2] y) { y = Gelu (x) }",
    "HardSwish of double": "(double[2] x) => (double[2] y) { y = HardSwish (x) }",
    "Max of int16": "(int16[2] x) => (int16[2] y) { y = Max (x, x) }",
    "Mod of uint8": "(uint8[2] x) => (uint8[2] y) { y = Mod (x, x) }",
    "Pow of int32": "(int32[2] x) => (int32[2] y) { y = Pow (x, x) }",
    "NegativeLogLikelihoodLoss": "(float[3,5] x, int64[3] t) => (float y) { y = NegativeLogLikelihoodLoss (x, t) }",
    "CenterCropPad": "(float[4,8] x) => (float[A,B] y) { s = Constant <value_ints=[2,9]> () y = CenterCropPad (x, s) }",
    "Sign of bfloat16": "(bfloat16[2] x) => (bfloat16[2] y) { y = Sign (x) }",
    "Sin of bfloat16": "(bfloat16[2] x) => (bfloat16[2] y) { y = Sin (x) }",
    "StringSplit": "(string[2] x) => (string[2,M] y, int64[2] z) { y, z = StringSplit (x) }",
    "Trilu of bool": "(bool[2,2] x) => (bool[2,2] y) { y = Trilu (x) }",
}


@pytest.mark.skipif(RUNTIME not in {p.name for p in ALL}, reason=f"there is no profile {RUNTIME}")
@pytest.mark.parametrize("case", CASES)
def test_the_release_installed_runs_what_its_profile_takes_and_no_more(case, tmp_path):
    onnx.save(model_from_text(CASES[case]), tmp_path / "m.onnx")
    report = bridge.check(tmp_path / "m.onnx", profile=RUNTIME)
    bridge.convert(tmp_path / "m.onnx", tmp_path / "out.onnx")
    try:
        onnxruntime.InferenceSession(tmp_path / "out.onnx", providers=["CPUExecutionProvider"])
        loads = True
    except Exception:
        loads = False
    assert report.ok == loads, report


def test_kernels_are_asked_for_form_and_dtype():
    old = Kernel(6, 12, {"T": frozenset({"float"})})
    newest = Kernel(13, None, {"T": frozenset({"float", "double"})}, exact=True)
    profile = Profile(
        "p", "P", "onnx", "here", "2026-01-01", operators={"Abs": (old, newest)}, casts={"float16": "float"}
    )

    def reasons(version, dtype):
        return [why for _, why in profile.refusals(Written({}, (Native("Abs", version, (), {"T": dtype}),)))]

    assert reasons(7, "float") == reasons(13, "double") == reasons(13, "float16") == []
    assert reasons(7, "double") == ["takes no double in P"]
    assert reasons(20, "float") == ["has no kernel of version 20 in P"]
    assert [why for _, why in profile.refusals(Written({}, (Native("Acos"),)))] == ["has no kernel in P"]


def test_a_file_that_is_no_profile_is_told(tmp_path):
    (tmp_path / "p.toml").write_text('name = "p"\n')
    with pytest.raises(PluginError, match="it has no title, format, source, date"):
        Profile.read(tmp_path / "p.toml")
    (tmp_path / "p.toml").write_text("name = ")
    with pytest.raises(PluginError, match="is no profile"):
        Profile.read(tmp_path / "p.toml")


def test_a_plugin_brings_a_profile(mnist, tmp_path, monkeypatch):
    (tmp_path / "box.toml").write_text(
        'name = "box"\ntitle = "our box"\nformat = "onnx"\nsource = "a list"\ndate = "2026-12-01"\n'
        'operators = ["Conv", "Relu", "MaxPool", "Add"]\n[options]\nmax_opset = 13\n'
    )
    box = Profile.read(tmp_path / "box.toml")
    provided = Plugins.provided

    def also(self, hook, **arguments):
        added = [("bridge-box", box)] if hook == "bridge_profiles" else []
        return [*provided(self, hook, **arguments), *added]

    monkeypatch.setattr(Plugins, "provided", also)
    profiles.cache_clear()
    try:
        assert profile_of("box") is box
        report = bridge.check(mnist, profile="box")
        assert report.blockers
        assert all(b.reason.endswith("has no kernel in our box") for b in report.blockers)
        assert "Reshape" in {b.op for b in report.blockers}
    finally:
        profiles.cache_clear()


def test_the_command_lists_profiles_and_says_all_of_one():
    listed = CliRunner().invoke(main, ["profiles"])
    assert listed.exit_code == 0
    assert all(profile.name in listed.output for profile in ALL)
    told = json.loads(CliRunner().invoke(main, ["profiles", "ort-1.16", "--json"]).output)
    assert told["versions"] == {"ai.onnx": 19, "ai.onnx.ml": 3, "IR": 9}
    assert "Conv" in told["operators"]
    assert "source: the CPU kernels" in CliRunner().invoke(main, ["profiles", "ort-1.16"]).output
    assert np.all([p.source for p in ALL])
