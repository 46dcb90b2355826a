"""The runner, its evidence and its pages, and a slice of the cases."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import main
from bridge.errors import InvalidOption, WriteFailed
from bridge.matrix import all_cases, evidence, render, run, selected, summary
from bridge.matrix.cases import features
from bridge.matrix.evidence import Evidence, Result

SLICE = (
    "test_add",
    "test_softmax_axis_1",
    "test_squeeze",
    "test_clip",
    "test_scan_sum",
    "test_upsample_nearest",
    "test_if_opt",
)
ROUTES = ["onnx:onnx", "onnx:tflite"]
NAMES = ("test_add", "test_sub", "test_relu", "test_matmul_2d")


def timeless(found: Evidence) -> list[Result]:
    return [dataclasses.replace(r, seconds=0.0) for r in found.results]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Evidence:
    return run(ROUTES, list(NAMES), tmp_path_factory.mktemp("whole"), jobs=2)


def test_cases_survive_the_round_trip(tmp_path):
    found = run(["onnx:onnx"], list(SLICE), tmp_path)
    assert {r.case: r.outcome for r in found.results} == dict.fromkeys(SLICE, "native")


def test_results_are_evidence_in_order(undisturbed, tmp_path):
    assert [(r.route, r.case) for r in undisturbed.results] == [(r, n) for r in ROUTES for n in NAMES]
    assert all(r.survived for r in undisturbed.results)
    assert "4 of 4 survived" in summary(undisturbed.results)
    evidence.write(tmp_path / "kept.jsonl.gz", undisturbed)
    assert evidence.read(tmp_path / "kept.jsonl.gz") == undisturbed


def test_a_case_that_cannot_be_the_first_format_is_untried_on_the_way_from_it(tmp_path):
    found = run(["onnx:tflite", "tflite:onnx"], ["test_string_concat"], tmp_path)
    assert [r.outcome for r in found.results] == ["refused", "untried"]
    assert found.results[1].reason == f"as tflite: {found.results[0].reason}"


@pytest.mark.parametrize("tail", ["", '{"route": "onnx:tfl', "\0\0\0\n", "not json\n"])
def test_a_run_goes_on_from_torn_evidence(tail, undisturbed, tmp_path):
    lines = list(evidence.lines(undisturbed))
    (tmp_path / "results.jsonl").write_text("\n".join(lines[:4]) + "\n" + tail)
    again = run(ROUTES, list(NAMES), tmp_path, resume=True)
    assert again.results[:3] == undisturbed.results[:3]
    assert timeless(again) == timeless(undisturbed)
    assert timeless(evidence.read(tmp_path / "results.jsonl")) == timeless(undisturbed)


def test_an_interrupted_run_goes_on(undisturbed, tmp_path):
    def interrupt(done, total):
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(ROUTES, list(NAMES), tmp_path, progress=interrupt)
    assert timeless(run(ROUTES, list(NAMES), tmp_path, resume=True)) == timeless(undisturbed)


def test_a_full_disk_is_told_and_what_was_kept_goes_on(undisturbed, tmp_path, monkeypatch):
    whole = evidence.line

    def full(result):
        if result.case == "test_relu":
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(result)

    with monkeypatch.context() as patch:
        patch.setattr(evidence, "line", full)
        with pytest.raises(WriteFailed, match="resume"):
            run(ROUTES, list(NAMES), tmp_path, jobs=1)
    assert 0 < len(evidence.read(tmp_path / "results.jsonl").results) < 8
    assert timeless(run(ROUTES, list(NAMES), tmp_path, resume=True)) == timeless(undisturbed)


def test_a_killed_worker_loses_nothing(undisturbed, tmp_path, monkeypatch):
    from bridge import workers

    fault = threading.Event()
    answers = workers.Worker._answer

    def killed(self, *limits):
        if not fault.is_set():
            fault.set()
            os.kill(self.process.pid, signal.SIGKILL)
        return answers(self, *limits)

    monkeypatch.setattr(workers.Worker, "_answer", killed)
    assert timeless(run(ROUTES, list(NAMES), tmp_path, jobs=1)) == timeless(undisturbed)
    assert fault.is_set()


def test_a_case_that_crashes_its_process_is_told_as_such(tmp_path, monkeypatch):
    from bridge import workers

    whole = workers.Worker._answer

    def crash(self, *limits):
        self.process.kill()
        return whole(self, *limits)

    with monkeypatch.context() as patch:
        patch.setattr(workers.Worker, "_answer", crash)
        found = run(ROUTES, ["test_add"], tmp_path, jobs=1)
    assert [(r.outcome, r.reason) for r in found.results] == [("crashed", "worker ended by SIGKILL")] * 2


def test_a_dask_cluster_loses_nothing_when_a_worker_dies(undisturbed, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        victim = next(iter(client.scheduler_info()["workers"]))
        pid = client.run(os.getpid, workers=[victim])[victim]
        threading.Timer(1.0, os.kill, (pid, signal.SIGKILL)).start()
        found = run(ROUTES, list(NAMES), tmp_path, executor=client.get_executor(pure=False))
    assert timeless(found) == timeless(undisturbed)


def test_frozen_results_are_marked_and_leave_out_what_cannot_be_frozen(tmp_path):
    names = ["test_add", "test_abs"]
    found = run(["onnx:onnx"], names, tmp_path, mode="both", jobs=1)
    assert [(r.case, r.frozen) for r in found.results] == [
        ("test_add", False),
        ("test_abs", False),
        ("test_add", True),
    ]


@pytest.mark.parametrize("route", ["onnx", "onnx:", ":onnx"])
def test_a_route_that_is_none_is_refused(route, tmp_path):
    with pytest.raises(InvalidOption):
        run([route], [], tmp_path)


def test_chosen_cases_cover_what_their_operator_takes():
    few, every = selected(("test_*pool*",), most=8), selected(("test_*pool*",))
    assert len(few) < len(every)
    for op in ("MaxPool", "AveragePool"):
        mine = [n for n in few if op in all_cases()[n].ops]
        assert 0 < len(mine) <= 8
        ranks = {
            f for n in every if op in all_cases()[n].ops for f in features(all_cases()[n], op) if "rank" in f
        }
        assert ranks <= set().union(*(features(all_cases()[n], op) for n in mine))


def test_every_operator_has_a_case_among_the_chosen():
    ops = {op for case in all_cases().values() for op in case.ops}
    assert {op for name in selected(most=1) for op in all_cases()[name].ops} == ops


def test_a_cell_says_the_worst():
    made = [Result("onnx:x", "c", outcome) for outcome in ("native", "expanded", "refused", "wrong")]
    assert [render.cell(made[:n]) for n in range(5)] == ["·", "●", "◐", "2/3", "✗"]


def test_the_command_writes_the_pages(tmp_path):
    words = ["matrix", "--routes", "onnx:tflite", "--ops", "relu", "--most", "1", "-o", str(tmp_path)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "| Relu | ● |" in (tmp_path / "format_matrix.md").read_text()
    html = (tmp_path / "matrix.html").read_text()
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    assert data["cases"] == ["test_relu"]
    assert Path(tmp_path / "results.jsonl").exists()


def test_check_tells_of_operators_that_do_not_always_survive(undisturbed, mnist, monkeypatch):
    import bridge
    from bridge import measured
    from bridge.matrix.render import condensed

    made = [
        Result("onnx:tflite", f"c{i}", outcome, ops=("Relu",))
        for i, outcome in enumerate(("native", "refused"))
    ]
    known = condensed([*undisturbed.results, *made])
    assert known["onnx:tflite"]["Add"] == [1, 1]
    monkeypatch.setattr(measured, "_measured", lambda: known)
    report = bridge.check(mnist, to="tflite")
    assert report.notes == ["Relu: 2 of 3 cases measured on onnx → tflite survive"]
