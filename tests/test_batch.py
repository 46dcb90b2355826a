"""Many files at once: one table, one report, and what fails costs itself alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.batch import convert_all, jobs_of, read_jobs
from bridge.cli import main
from bridge.errors import BridgeError, InvalidOption, UnreadableFile

MODEL = Path(__file__).parent / "models" / "mnist.onnx"


@pytest.fixture
def zoo(tmp_path):
    """Two good models and a broken one."""
    for name in ("one", "two"):
        shutil.copy(MODEL, tmp_path / f"{name}.onnx")
    (tmp_path / "broken.onnx").write_bytes(MODEL.read_bytes()[:2000])
    return [str(tmp_path / f"{name}.onnx") for name in ("one", "broken", "two")]


def test_what_cannot_be_read_does_not_stop_the_rest(zoo, tmp_path):
    done = CliRunner().invoke(
        main, ["convert", *zoo, "--to", "tflite", "-o", str(tmp_path / "out"), "--json"]
    )
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert [file["outcome"] for file in report["files"]] == ["converted", "UnreadableFile", "converted"]
    assert report["files"][0]["report"]["counts"] == {"native": 11}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["one.tflite", "two.tflite"]


def test_the_table_names_every_file(zoo, tmp_path):
    text = str(convert_all(jobs_of(zoo, tmp_path / "out", to="onnx", opset=13, verify=True), at_once=1))
    assert [line.split()[0] for line in text.splitlines()[:3]] == zoo
    assert text.endswith("2 converted, 1 UnreadableFile")


def test_two_sources_of_one_name_are_refused_before_anything_is_written(zoo, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(MODEL, other / "one.onnx")
    with pytest.raises(InvalidOption, match="would both become"):
        convert_all(jobs_of([*zoo, str(other / "one.onnx")], tmp_path / "out", to="tflite"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--to", "tflite"], ["-o", "out"]])
def test_many_files_need_a_folder_and_a_format(zoo, words):
    done = CliRunner().invoke(main, ["convert", *zoo, *words])
    assert done.exit_code == 2
    assert "-o DIR" in done.output


def test_a_folder_stands_for_the_models_in_it(zoo, tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "broken.onnx").unlink()
    done = CliRunner().invoke(
        main, ["convert", str(tmp_path), "--to", "tflite", "-o", str(tmp_path / "out"), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["one.tflite", "two.tflite"]


def test_a_folder_without_models_is_named(tmp_path):
    with pytest.raises(UnreadableFile, match="holds no model"):
        jobs_of([tmp_path], tmp_path / "out", to="tflite")


MANIFEST = """
to = "onnx"
verify = true

[[job]]
source = "one.onnx"
opset = 13

[[job]]
source = "two.onnx"
to = "tflite"
destination = "phone/small.tflite"
precision = "float16"
"""


def test_a_manifest_gives_each_job_its_own_options(zoo, tmp_path):
    (tmp_path / "jobs").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"{name}.onnx").rename(tmp_path / "jobs" / f"{name}.onnx")
    manifest = tmp_path / "jobs" / "jobs.toml"
    manifest.write_text(MANIFEST.replace('"onnx"', '"torchscript"'))
    done = CliRunner().invoke(main, ["convert", "--batch", str(manifest), "--json"])
    report = json.loads(done.stdout)
    assert [file["outcome"] for file in report["files"]] == ["InvalidOption", "converted"]
    assert "opset" in report["files"][0]["message"]
    assert (tmp_path / "jobs" / "phone" / "small.tflite").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("to = ", "no readable TOML"),
        ('to = "onnx"', "no tables"),
        ('[[job]]\nto = "onnx"', "no tables"),
        ('[[job]]\nsource = "one.onnx"', "names no destination"),
        ('job = "one.onnx"', "no tables"),
    ],
)
def test_a_manifest_that_says_too_little_is_refused(text, message, tmp_path):
    manifest = tmp_path / "jobs.toml"
    manifest.write_text(text)
    with pytest.raises(BridgeError, match=message):
        read_jobs(manifest)
