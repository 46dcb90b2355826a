"""Trees as tensor operators, walked and by products: `python benchmarks/forest_expansion.py [--trees 50]
[--rows 2000]`.

For each depth, the time of a regression forest in LiteRT, torch and ONNX Runtime, expanded either way: where
products are faster decides `SHALLOW` in bridge/passes/decompose/ml.py.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor

import bridge
from bridge.passes.decompose import Decompose, ml

FEATURES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--depths", type=int, nargs="*", default=[1, 2, 3, 4, 5, 6, 8])
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4_000, FEATURES)).astype(np.float32)
    y = np.sin(x[:, 0]) * 3 + x[:, 1] * x[:, 2]
    print("depth    target   walked ms  products ms  ratio")
    for depth in given.depths:
        forest = RandomForestRegressor(given.trees, max_depth=depth, random_state=0).fit(x, y)
        for target in ("onnx", "tflite", "torchscript"):
            walked, products = (timed(forest, target, x[: given.rows], shallow) for shallow in (0, 99))
            print(
                f"{depth:5}  {target:>11}  {walked:9.1f}  {products:10.1f}  {products / walked:6.2f}",
                flush=True,
            )


def timed(forest: RandomForestRegressor, target: str, x: np.ndarray, shallow: int) -> float:
    """Milliseconds of the fastest of five runs, the forest expanded by products up to that depth."""
    ml.SHALLOW = shallow
    model = bridge.load(forest)
    Decompose(lambda node: node.domain == "")(model)
    with tempfile.TemporaryDirectory() as folder:
        path = bridge.save(model, Path(folder) / "model", to=target).path
        run = {"onnx": onnxruntime, "tflite": litert, "torchscript": torch}[target](path, x)
        run()
        return 1e3 * min(clock(run) for _ in range(5))


def clock(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def onnxruntime(path: Path, x: np.ndarray):
    import onnxruntime as ort

    session = ort.InferenceSession(str(path))
    return lambda: session.run(None, {"X": x})


def litert(path: Path, x: np.ndarray):
    from ai_edge_litert.interpreter import Interpreter

    held = Interpreter(str(path), num_threads=2)
    [place] = (d["index"] for d in held.get_input_details())
    held.resize_tensor_input(place, x.shape)
    held.allocate_tensors()
    held.set_tensor(place, x)
    return held.invoke


def torch(path: Path, x: np.ndarray):
    import torch

    module, value = torch.jit.load(str(path)), torch.from_numpy(x)
    return lambda: module(value)


if __name__ == "__main__":
    main()
