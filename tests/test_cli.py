"""The command line."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from build import model_from_text
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from conftest import FORMATS

import bridge as bridge_library
from bridge.cli import main
from bridge.cli.command import Steps, logged, spinner


@pytest.fixture
def bridge():
    def call(*words: str, code: int = 0):
        result = CliRunner().invoke(main, list(map(str, words)))
        assert result.exit_code == code, result.output
        return result

    return call


def test_help_lists_commands_and_exit_codes(bridge):
    text = bridge("--help").output
    assert "Exit codes" in text
    assert all(name in text for name in ("convert", "check", "verify", "run", "inspect", "formats", "matrix"))


def test_convert_verifies_and_prints_a_table(bridge, mnist, tmp_path):
    text = bridge("convert", mnist, tmp_path / "m.tflite", "--verify").output
    assert "agrees" in text
    assert (tmp_path / "m.tflite").exists()


def test_errors_are_sentences_and_exit_codes(bridge, mnist, tmp_path):
    assert "Did you mean 'tflite'?" in bridge("convert", mnist, "--to", "tflit", code=1).stderr
    refused = bridge("convert", mnist, tmp_path / "m.onnx", "-O", "opset=99", "--json", code=1).output
    assert json.loads(refused)["error"] == "InvalidOption"


def test_check_and_inspect_print_json(bridge, mnist):
    assert json.loads(bridge("check", mnist, "--to", "tflite", "--json").output)["ok"] is True
    assert json.loads(bridge("inspect", mnist, "--json").output)["operators"]["Conv"] == 2


def test_run_and_verify_agree_with_themselves(bridge, mnist, tmp_path):
    assert "Plus214_Output_0" in bridge("run", mnist, "-o", tmp_path / "out.npz").output
    assert "agrees" in bridge("verify", mnist, mnist).output


def test_formats_describes_options(bridge):
    assert "tflite" in bridge("formats").output
    assert "opset" in bridge("formats", "onnx").output


def test_formats_say_what_works_now_and_what_an_extra_adds(bridge, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "tensorflow" else found(n, *a)
    )
    (line,) = [one for one in bridge("formats").output.splitlines() if one.startswith("savedmodel")]
    assert line.split()[1] == "read"
    assert line.endswith("to write, run: pip install 'formatbridge[savedmodel]'")


@pytest.mark.parametrize("code", ["import bridge", "import bridge.cli"])
def test_importing_the_face_loads_no_framework(code):
    script = (
        f"{code}; import sys; print([m for m in ('numpy', 'onnx', 'onnx_ir', 'rich') if m in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"


def test_convert_prints_json(bridge, mnist, tmp_path):
    printed = json.loads(bridge("convert", mnist, tmp_path / "m.onnx", "--verify", "--json").stdout)
    assert printed["report"]["ok"]
    assert printed["verification"]["ok"]


@pytest.mark.parametrize("words", [("--opset", 13), ("--opset=13",), ("-O", "opset=13")])
def test_options_of_formats_are_flags_too(bridge, mnist, tmp_path, words):
    bridge("convert", mnist, tmp_path / "m.onnx", *words)
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 13


def test_a_flag_nobody_declares_is_wrong_usage(bridge, mnist):
    assert "No such option" in bridge("convert", mnist, "--to", "onnx", "--opsett", 13, code=2).stderr


def test_every_command_prints_json(bridge, mnist, tmp_path):
    assert [f["name"] for f in json.loads(bridge("formats", "--json").output)] == FORMATS
    assert json.loads(bridge("formats", "onnx", "--json").output)["options"]["exporter"][0]["name"] == "opset"
    outputs = json.loads(bridge("run", mnist, "--json").output)["outputs"]
    assert outputs["Plus214_Output_0"]["shape"] == [1, 10]
    assert json.loads(bridge("verify", mnist, mnist, "--json").output)["ok"] is True
    words = ("matrix", "--routes", "onnx:onnx", "--cases", "test_abs", "-o", tmp_path, "--jobs", 1, "--json")
    assert json.loads(bridge(*words).stdout)["onnx:onnx"]["survived"] == 1


def test_dimensions_of_random_inputs_are_given_by_name(bridge, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(model_from_text("(float[n,3] x) => (float[n,3] y) { y = Relu (x) }"), path)
    printed = json.loads(bridge("run", path, "--dims", "n=5", "--json").output)
    assert printed["outputs"]["y"]["shape"] == [5, 3]
    assert "agrees" in bridge("verify", path, path, "--dims", "n=4").output
    assert "Symbolic dimensions: n" in bridge("verify", path, path, "--dims", "m=4", code=1).stderr
    for wrong in ("n", "n=-1", "n=²", "n=99999999999999999999"):
        assert "NAME=LENGTH" in bridge("run", path, "--dims", wrong, code=2).stderr


def test_help_lists_the_options_of_the_formats_named(bridge, mnist):
    text = bridge("convert", mnist, "m.tflite", "--help").output
    assert "Options of TFLite as target" in text
    assert "--precision" in text
    assert "Options of SavedModel as source" in bridge("run", "--from", "savedmodel", mnist, "--help").output
    both = bridge("convert", "--from", "savedmodel", "--to", "tflite", "--help").output
    assert "Options of SavedModel as source" in both
    assert "Options of TFLite as target" in both


def test_a_former_name_of_an_option_is_taken_with_a_warning(bridge, mnist, tmp_path):
    with pytest.warns(FutureWarning, match="weights is called precision"):
        bridge("convert", mnist, tmp_path / "m.tflite", "--weights", "float16")


def test_results_are_written_whole_and_replaced_when_asked(bridge, mnist, tmp_path):
    path = tmp_path / "out"
    bridge("run", mnist, "-o", path)
    bridge("run", mnist, "-o", path, "--seed", 1, "--overwrite")
    assert np.load(path)["Plus214_Output_0"].shape == (1, 10)


def test_each_file_of_a_folder_is_run(bridge, mnist, tmp_path):
    folder, path = tmp_path / "inputs", tmp_path / "out.npz"
    folder.mkdir()
    for i in range(3):
        np.save(folder / f"{i}.npy", np.full((1, 28, 28), i, np.float64))
    printed = json.loads(bridge("run", mnist, "-i", folder, "-o", path, "--json").output)
    values = [one["outputs"]["Plus214_Output_0"]["values"] for one in printed]
    assert len({str(one) for one in values}) == 3
    assert sorted(np.load(path)) == [f"Plus214_Output_0/{i}" for i in range(3)]
    np.testing.assert_allclose(np.load(path)["Plus214_Output_0/2"], values[2])


def test_results_of_the_matrix_are_kept_unless_said(bridge, tmp_path):
    words = ("matrix", "--routes", "onnx:onnx", "--cases", "test_abs", "-o", tmp_path, "--jobs", 1)
    bridge(*words)
    assert "--overwrite" in bridge(*words, code=1).stderr
    bridge(*words, "--resume")
    bridge(*words, "--overwrite")


def test_the_matrix_replaces_no_page_of_others(bridge, tmp_path):
    (tmp_path / "format_matrix.md").write_text("years of work")
    words = ("matrix", "--routes", "onnx:onnx", "--cases", "test_abs", "-o", tmp_path, "--jobs", 1)
    assert "format_matrix.md exists already" in bridge(*words, code=1).stderr
    assert "format_matrix.md exists already" in bridge(*words, "--resume", code=1).stderr
    assert (tmp_path / "format_matrix.md").read_text() == "years of work"


def test_inspect_takes_lengths(bridge, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(model_from_text("(float[n,3] x) => (float[n,3] y) { y = Relu (x) }"), path)
    assert json.loads(bridge("inspect", path, "--dims", "n=5", "--json").output)["inputs"][0]["shape"] == [
        5,
        3,
    ]


def test_steps_are_logged_shown_or_silent(bridge, mnist, tmp_path):
    log = tmp_path / "log"
    words = ("convert", mnist, "--to", "onnx", "--log-file", log)
    assert "export (3 of 3)" in bridge(*words[:2], tmp_path / "a.onnx", *words[2:], "-v").stderr
    assert "onnx to onnx: import (1 of 3)" in log.read_text()
    assert bridge(*words[:2], tmp_path / "b.onnx", *words[2:], "-q").output == ""


def test_a_traceback_is_printed_when_asked(bridge, mnist):
    assert "Traceback" in bridge("convert", mnist, "--to", "onnx", "--opset", 99, "--debug", code=1).stderr
    assert "Traceback" not in bridge("convert", mnist, "--to", "onnx", "--opset", 99, code=1).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_or_installed(bridge, tmp_path, monkeypatch, shell):
    monkeypatch.setenv("HOME", str(tmp_path))
    script = bridge("completion", shell, "--print").output
    assert "_BRIDGE_COMPLETE" in script
    bridge("completion", shell)
    bridge("completion", shell)
    (written,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert written.read_text().strip() == script.strip()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("convert", "m.onnx", "--to", "tf"), "tflite"),
        (("convert", "m.onnx", "--from", "sav"), "savedmodel"),
        (("convert", "m.onnx", "m.tflite", "--prec"), "--precision"),
        (("convert", "m.onnx", "m.tflite", "-O", "prec"), "precision="),
        (("convert", "m.onnx", "m.tflite", "-O", "precision=f"), "precision=float16"),
        (("ver",), "verify"),
    ],
)
def test_a_shell_completes_commands_formats_options_and_choices(mnist, tmp_path, monkeypatch, words, wanted):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(mnist.read_bytes())
    *before, incomplete = words
    completed = ShellComplete(main, {}, "bridge", "_BRIDGE_COMPLETE").get_completions(before, incomplete)
    assert wanted in [item.value for item in completed]


def test_what_runtimes_write_to_the_process_is_silent_unless_verbose(mnist, tmp_path):
    words = [sys.executable, "-m", "bridge", "convert", mnist, tmp_path / "m.tflite", "--verify"]
    quiet = subprocess.run([*map(str, words)], capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    assert "agrees" in quiet.stdout


def test_each_of_several_signatures_is_run_where_none_is_named(bridge, tmp_path):
    tf = pytest.importorskip("tensorflow")
    module, spec = tf.Module(), tf.TensorSpec([2], tf.float32)
    signatures = {
        "doubled": tf.function(lambda x: {"y": 2 * x}, input_signature=[spec]),
        "raised": tf.function(lambda x: {"y": x + 1}, input_signature=[spec]),
    }
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=signatures)
    text = bridge("run", tmp_path / "m").output
    assert "signature=doubled: Run by TensorFlow" in text
    assert "signature=raised: Run by TensorFlow" in text
    assert "--signature" in bridge("run", tmp_path / "m", "-o", tmp_path / "out.npz", code=1).stderr
    assert "signature=" not in bridge("run", tmp_path / "m", "--signature", "raised").output
    np.save(tmp_path / "x.npy", np.ones(2, np.float32))
    words = ("convert", tmp_path / "m", tmp_path / "m.onnx", "--signature", "raised", "--verify")
    assert "agrees" in bridge(*words, "-i", tmp_path / "x.npy").output


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_progress_says_the_step_and_its_share(monkeypatch, tmp_path, mnist):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with logged(False, None), spinner("convert", shows=True, after=0):
        bridge_library.convert(mnist, tmp_path / "m.onnx", verify=True)
        time.sleep(0.5)
    assert "verify: the result on inputs 2 of 2" in shown.getvalue()


def test_progress_of_a_file_is_the_share_on_the_disk(tmp_path):
    steps = Steps("convert")
    (tmp_path / "m.onnx").write_bytes(bytes(250))
    record = logging.LogRecord("bridge", logging.DEBUG, "", 0, "export (3 of 3)", (), None)
    record.written = (tmp_path, 1000)
    steps.emit(record)
    assert str(steps) == "export (3 of 3), 25 % written"


def test_a_written_file_is_announced_with_its_size(tmp_path, mnist, caplog):
    with caplog.at_level(logging.DEBUG, "bridge"):
        bridge_library.convert(mnist, tmp_path / "m.onnx")
    ((folder, size),) = [r.written for r in caplog.records if hasattr(r, "written")]
    assert folder.parent == tmp_path
    assert 20_000 < size <= (tmp_path / "m.onnx").stat().st_size


@pytest.mark.parametrize(
    ("words", "terminal", "shown"), [((), True, True), ((), False, False), (("-q",), True, False)]
)
def test_progress_is_for_terminals_and_not_for_quiet_commands(
    bridge, mnist, tmp_path, monkeypatch, words, terminal, shown
):
    monkeypatch.setattr("bridge.cli.command.is_terminal", lambda: terminal)
    result = bridge("convert", mnist, "-o", tmp_path / "out", "--to", "onnx", *words)
    assert ("files" in result.stderr) == shown
