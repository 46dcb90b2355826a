"""Imports in threads side by side read what each of them reads alone, to the byte."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx_ir as ir
import pytest
from torchscript_programs import WRITING, Counting, scripted, torch

import bridge

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

Load = Callable[[], ir.Model]
REPEATS = 5
GRAPHS = {
    "image": "g (float[n,2,6,6] x) => (float[n,a,b,c] y) { i = Constant <value_ints = [3,2,3,3]> () "
    "w = ConstantOfShape <value = float[1] {0.5}> (i) z = Conv <pads = [1,1,1,1]> (x, w) "
    "r = Relu (z) y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r) }",
    "row": "g (float[2,3] x) => (float[a,b] y) <float[3,4] w = {1,2,3,4,5,6,7,8,9,10,11,12}> "
    "{ z = MatMul (x, w) t = Tanh (z) y = Softmax <axis: int = 1> (t) }",
    "parts": "g (float[4,3] x) => (float[a,b] y) <int64[1] s = {1}, int64[1] e = {3}, int64[2] k = {3,2}> "
    "{ z = Slice (x, s, e) r = Reshape (z, k) m = ReduceMax <keepdims: int = 1> (r) y = Sub (r, m) }",
}
SUFFIXES = {
    "onnx": ".onnx",
    "tflite": ".tflite",
    "torchscript": ".pt",
    "savedmodel": ".savedmodel",
    "coreml": ".mlpackage",
}


def written(to: str, folder: Path, parse) -> Iterator[Load]:
    """Loads of the graphs as files of a format."""
    for name, text in GRAPHS.items():
        path = folder / f"{name}{SUFFIXES[to]}"
        bridge.convert(parse(text, opset=20), path, to=to)
        yield lambda path=path: bridge.load(path, source=to)


def programs(folder: Path) -> Iterator[Load]:
    for name, (arguments, described, code) in WRITING.items():
        (folder / name).mkdir()
        path = scripted(arguments, code, folder / name)
        yield lambda path=path, inputs=described: bridge.load(path, source="torchscript", inputs=inputs)
    torch.jit.save(torch.jit.script(Counting()), folder / "counting.pt")
    yield lambda: bridge.load(folder / "counting.pt", inputs=["x:float32[n,3]"])


def estimators() -> list:
    """Fitted estimators of different kinds, over the same rows."""
    sklearn = pytest.importorskip("sklearn")
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeRegressor

    assert sklearn
    rows = [[float(i % 5), float(i % 3), float(i)] for i in range(20)]
    classes, numbers = [i % 2 for i in range(20)], [i / 3 for i in range(20)]
    return [
        RandomForestClassifier(3, max_depth=3, random_state=0).fit(rows, classes),
        make_pipeline(StandardScaler(), LinearRegression()).fit(rows, numbers),
        DecisionTreeRegressor(max_depth=3).fit(rows, numbers),
    ]


def loads(source: str, folder: Path, parse) -> list[Load]:
    if source == "programs":
        return list(programs(folder))
    if source in SUFFIXES:
        return list(written(source, folder, parse))
    models = estimators()
    if source == "sklearn":
        return [lambda m=m: bridge.load(m, source="sklearn") for m in models]
    paths = [bridge.convert(m, folder / f"{i}.pmml").path for i, m in enumerate(models)]
    return [lambda p=p: bridge.load(p) for p in paths]


def content(load: Load) -> bytes:
    return ir.to_proto(load()).SerializeToString(deterministic=True)


def side_by_side(every: list[Load], alone: list[bytes], threads: int, repeats: int = REPEATS) -> list[str]:
    """What went otherwise than alone, in `threads` threads that each load every model `repeats` times."""
    barrier, wrong = threading.Barrier(threads), []

    def work(first: int) -> None:
        order = [(first + i) % len(every) for i in range(len(every))]
        barrier.wait()
        for index in order * repeats:
            try:
                if content(every[index]) != alone[index]:
                    wrong.append(f"model {index} differs")
            except Exception as error:
                wrong.append(f"model {index}: {type(error).__name__}: {error}")

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return wrong


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads give way to one another as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("source", [*SUFFIXES, "programs", "pmml", "sklearn"])
def test_threads_read_what_each_reads_alone(source: str, threads: int, tmp_path: Path, parse) -> None:
    every = loads(source, tmp_path, parse)
    alone = [content(load) for load in every]
    assert alone == [content(load) for load in every]
    wrong = side_by_side(every, alone, threads)
    assert not wrong, f"{len(wrong)} of {threads * len(every) * REPEATS}: {wrong[0]}"


@pytest.mark.usefixtures("switching")
def test_threads_read_live_modules() -> None:
    linear, relu = torch.nn.Linear(3, 4), torch.nn.ReLU()
    modules = [torch.nn.Sequential(linear, relu), torch.nn.Sequential(relu, linear)]
    every: list[Load] = [lambda m=m: bridge.load(m, inputs=["input:float32[n,3]"]) for m in modules]
    alone = [content(load) for load in every]
    assert not side_by_side(every, alone, threads=2, repeats=1)


FIRST = """
import hashlib, sys, threading
import bridge, onnx_ir as ir

def read(path):
    model = ir.to_proto(bridge.load(path))
    digest = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    sys.stdout.write(f"{digest} {path}\\n")

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=read, args=(path,)) for path in sys.argv[1:] * 2]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_first_imports_of_a_process_may_be_in_threads(tmp_path: Path, parse) -> None:
    paths = [tmp_path / f"m{suffix}" for suffix in SUFFIXES.values()]
    for path in paths:
        bridge.convert(parse(GRAPHS["row"], opset=20), path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIRST, *map(str, paths)], capture_output=True, text=True
    )
    alone = [hashlib.sha256(content(lambda p=p: bridge.load(p))).hexdigest() + f" {p}" for p in paths]
    assert sorted(done.stdout.splitlines()) == sorted(alone * 2), done.stderr
