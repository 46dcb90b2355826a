"""Many files at once: one table, one report, and what fails costs itself alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.batch import convert_all
from bridge.cli import main
from bridge.errors import InvalidOption

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
    text = str(convert_all(zoo, tmp_path / "out", to="onnx", jobs=1, opset=13, verify=True))
    assert [line.split()[0] for line in text.splitlines()[:3]] == zoo
    assert text.endswith("2 converted, 1 UnreadableFile")


def test_two_sources_of_one_name_are_refused_before_anything_is_written(zoo, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(MODEL, other / "one.onnx")
    with pytest.raises(InvalidOption, match="would both become"):
        convert_all([*zoo, str(other / "one.onnx")], tmp_path / "out", to="tflite")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--to", "tflite"], ["-o", "out"]])
def test_many_files_need_a_folder_and_a_format(zoo, words):
    done = CliRunner().invoke(main, ["convert", *zoo, *words])
    assert done.exit_code == 2
    assert "-o DIR" in done.output
