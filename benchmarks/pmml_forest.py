"""Time the import of a large forest, and its scoring in ONNX Runtime against PMML4S: `python
benchmarks/pmml_forest.py`.

A regression forest of 500 trees of depth 12, grown by scikit-learn on seeded data and written as PMML by this
file. Two fifths of it are written by bridge, in a process of their own whose peak is told.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pickle
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from bridge_pmml.runtime import engine
from sklearn.ensemble import RandomForestRegressor

import bridge
from bridge.passes.opset.down import for_runtime

FEATURES = 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pmml4s-rows", type=int, default=100_000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_000, FEATURES)).astype(np.float32).astype(np.float64)
    y = np.sin(x[:, 0]) * 3 + x[:, 1] * x[:, 2] + rng.normal(size=len(x)) * 0.3
    forest = RandomForestRegressor(given.trees, max_depth=given.depth, random_state=0, n_jobs=2).fit(x, y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forest.pmml"
        path.write_text(document(forest))
        nodes = sum(t.tree_.node_count for t in forest.estimators_)
        print(f"{given.trees} trees, {nodes} nodes, {path.stat().st_size / 1e6:.0f} MB")
        start, busy = time.perf_counter(), time.process_time()
        model = bridge.load(path)
        print(
            f"import: {time.perf_counter() - start:.1f} s, {time.process_time() - busy:.1f} s of it computing"
        )
        score(path, model, forest, given.rows, given.pmml4s_rows)
        forest.estimators_ = forest.estimators_[: given.trees * 2 // 5]
        pickled = Path(folder) / "forest.pickle"
        pickled.write_bytes(pickle.dumps(forest))
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(pickled,))
        writer.start()
        writer.join()


def write(pickled: Path) -> None:
    forest = pickle.loads(pickled.read_bytes())
    model, busy = bridge.load(forest), time.process_time()
    path = bridge.save(model, pickled.with_name("written.pmml")).path
    spent, peak = time.process_time() - busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    nodes = sum(t.tree_.node_count for t in forest.estimators_)
    print(
        f"{nodes} nodes written: {path.stat().st_size / 1e6:.0f} MB, {spent:.1f} s computing, the process's peak "
        f"{peak:.0f} MB"
    )


def score(path: Path, model: object, forest: RandomForestRegressor, count: int, few: int) -> None:
    import onnx_ir as ir
    import onnxruntime as ort

    fresh = np.random.default_rng(1).normal(size=(count, FEATURES)).astype(np.float32).astype(np.float64)
    inputs = {f"x{i + 1}": fresh[:, i : i + 1] for i in range(FEATURES)}
    session = ort.InferenceSession(ir.to_proto(for_runtime(model)).SerializeToString())
    session.run(None, {k: v[:10] for k, v in inputs.items()})
    start = time.perf_counter()
    found = session.run(None, inputs)[0][:, 0]
    fast = time.perf_counter() - start
    worst = np.abs(found - forest.predict(fresh)).max()
    print(f"ONNX Runtime: {fast:.2f} s for {count} rows; largest difference from scikit-learn {worst:.1e}")
    start = time.perf_counter()
    model = engine().fromFile(str(path))
    loading = time.perf_counter() - start
    rows = [{f"x{i + 1}": float(v) for i, v in enumerate(row)} for row in fresh[:few]]
    model.predict(json.dumps(rows[:200]))
    text = json.dumps(rows)
    start = time.perf_counter()
    scored = model.predict(text)
    slow = time.perf_counter() - start
    [name] = json.loads(scored)[0]
    far = np.abs(np.array([row[name] for row in json.loads(scored)]) - found[:few]).max()
    print(f"PMML4S: {loading:.1f} s to load, {slow:.2f} s for {few} rows, largest difference {far:.1e}")
    print(f"per row ONNX Runtime is {slow / few / (fast / count):.0f} times as fast")


def document(forest: RandomForestRegressor) -> str:
    """The forest as PMML."""
    fields = "".join(
        f'<DataField name="x{i + 1}" optype="continuous" dataType="double"/>' for i in range(FEATURES)
    )
    active = "".join(f'<MiningField name="x{i + 1}"/>' for i in range(FEATURES))
    schema = f'<MiningSchema>{active}<MiningField name="y" usageType="target"/></MiningSchema>'
    segments = "".join(
        f'<Segment><True/><TreeModel functionName="regression" splitCharacteristic="binarySplit">{schema}'
        f"{node(t.tree_, 0, '<True/>')}</TreeModel></Segment>"
        for t in forest.estimators_
    )
    return (
        f'<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/><DataDictionary>{fields}'
        '<DataField name="y" optype="continuous" dataType="double"/></DataDictionary>'
        f'<MiningModel functionName="regression">{schema}<Segmentation '
        f'multipleModelMethod="average">{segments}'
        "</Segmentation></MiningModel></PMML>"
    )


def node(tree: object, at: int, predicate: str) -> str:
    left, right = tree.children_left[at], tree.children_right[at]  # type: ignore[attr-defined]
    if left < 0:
        return f'<Node score="{float(tree.value[at, 0, 0])!r}">{predicate}</Node>'  # type: ignore[attr-defined]
    test = (
        f'<SimplePredicate field="x{tree.feature[at] + 1}" operator="{{}}" '
        f'value="{float(tree.threshold[at])!r}"/>'
    )  # type: ignore[attr-defined]
    below = node(tree, left, test.format("lessOrEqual")) + node(tree, right, test.format("greaterThan"))
    return f"<Node>{predicate}{below}</Node>"


if __name__ == "__main__":
    main()
