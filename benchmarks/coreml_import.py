"""Hold the Core ML importer to Apple's own operator tests, which come with coremltools.

Every test builds a program of a few MIL operators, has coremltools convert it, and says what Core ML must
answer. Where they compare with Core ML on a Mac, this reads the package back and compares our numbers with
what they expect. --target neuralnetwork holds the layers to the same tests, --target layers to the tests of
the layers alone; they go into one file with --resume. With --resume, tests whose results the file holds
already are not run again.

python benchmarks/coreml_import.py [--most 8] [-k EXPRESSION] [--only test_pool.py] [-o results.jsonl]
[--resume]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

FRONT_END = ("tf_", "torch_")
NEVER_IN_A_FILE = {
    "_const_symbolic": "a name for what is not known while converting",
    "const": "constants are read as weights",
}


class Held:
    """A pytest plugin: results by test, operators by test."""

    def __init__(self, output: Path | None, most: int, resume: bool) -> None:
        self.current, self.most = "", most
        self.seen: dict[str, list[str]] = defaultdict(list)
        self.outcomes: dict[str, str] = {}
        for line in output.read_text().splitlines() if output and resume and output.exists() else []:
            row = json.loads(line)
            self.keep(row["test"], row["outcome"], row["operators"])
        self.file = output.open("a" if resume else "w") if output else None

    def keep(self, name: str, outcome: str, found: list[str]) -> None:
        self.outcomes[name] = outcome
        for operator in found if outcome == "agrees" else ():
            self.seen[operator].append(name)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """At most so many parameters of a test, spread over all of them."""
        groups: dict[str, list[Any]] = defaultdict(list)
        for item in items:
            groups[item.nodeid.partition("[")[0]].append(item)
        if self.most:
            items[:] = [i for g in groups.values() for i in g[:: max(-(-len(g) // self.most), 1)]]
        items[:] = [i for i in items if title(i) not in self.outcomes]

    def pytest_runtest_protocol(self, item: Any) -> None:
        self.current, self.compared, self.operators = item.nodeid, 0, set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and not (report.when == "setup" and report.skipped):
            return
        outcome = (
            "agrees"
            if report.passed and self.compared
            else "not compared"
            if report.passed
            else report.outcome
        )
        if report.skipped:
            outcome = "skipped"
        name = title(report)
        self.keep(name, outcome, sorted(self.operators))
        reason = str(report.longrepr)[-1500:] if report.failed else ""
        if self.file:
            row = {"test": name, "outcome": outcome, "operators": sorted(self.operators), "reason": reason}
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()

    def predict(self, mlmodel: Any, data: Any, state: Any = None) -> Any:
        """What MLModel.predict does on a Mac, with our importer and ONNX Runtime."""
        import bridge

        if isinstance(data, list):
            return [self.predict(mlmodel, one) for one in data]
        spec = mlmodel.get_spec()
        self.operators |= set(operators(spec))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("m.mlpackage" if spec.WhichOneof("Type") == "mlProgram" else "m.mlmodel")
            mlmodel.save(str(path))
            model = bridge.load(path, labels="output")
            inputs = {v.name: given(v, data[v.name]) for v in model.graph.inputs}
            found = bridge.run(model, inputs)
        self.compared += 1
        return dict(found)

    def compare(
        self, mlmodel, input_key_values, expected_outputs, dtype="fp32", atol=1e-4, rtol=1e-5, **rest
    ):
        """What Apple's compare_backend does on a Mac, with our importer and ONNX Runtime."""
        import bridge

        spec = mlmodel.get_spec()
        self.operators |= set(operators(spec))
        half = spec.WhichOneof("Type") == "mlProgram" and "dataType: FLOAT16" in str(spec.mlProgram)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("m.mlpackage" if spec.WhichOneof("Type") == "mlProgram" else "m.mlmodel")
            mlmodel.save(str(path))
            model = bridge.load(path)
            inputs = {}
            for v in model.graph.inputs:
                array = np.asarray(input_key_values[v.name]).astype(v.dtype.numpy())
                inputs[v.name] = array.reshape([1] * len(v.shape)) if array.size == 1 else array
            found = bridge.run(model, inputs)
        missing = [n for n in expected_outputs or {} if n not in found]
        assert not missing, f"no output {missing}, but {list(found)}"
        for name, value in (expected_outputs or {}).items():
            if dtype == "fp16" or half or np.asarray(value).dtype == np.float16:
                atol, rtol = max(atol, 1e-2), max(rtol, 1e-2)
            np.testing.assert_allclose(found[name], value, atol=atol, rtol=rtol, err_msg=name)
        self.compared += 1


def given(value: Any, data: Any) -> np.ndarray:
    """A test's input as our importer takes it."""
    array = np.asarray(data).astype(value.dtype.numpy())
    if array.ndim in (2, 3) and len(value.shape) == 4:
        array = array[..., None] if array.ndim == 2 else array
        return array.transpose(2, 0, 1)[None]
    known = all(isinstance(d, int) for d in value.shape)
    if known and array.size == np.prod(list(value.shape)):
        return array.reshape(list(value.shape))
    return array


def pretend(held: Held) -> Path:
    """Have coremltools' tests of NeuralNetwork layers think they run on a Mac; their folder."""
    import coremltools
    from coremltools.models import utils

    utils._is_macos, utils._macos_version = (lambda: True), (lambda: (15, 0))
    coremltools.models.MLModel.predict = lambda self, data, state=None: held.predict(self, data, state)
    return Path(coremltools.__file__).parent / "test" / "neural_network"


def title(item: Any) -> str:
    return item.nodeid.rpartition("tests/")[2]


def operators(spec: Any) -> list[str]:
    """MIL operators, or NeuralNetwork layers, of a model."""
    found: list[str] = []

    def walk(block: Any) -> None:
        for operation in block.operations:
            found.append(operation.type)
            for inner in operation.blocks:
                walk(inner)

    if spec.WhichOneof("Type") == "mlProgram":
        for function in spec.mlProgram.functions.values():
            for block in function.block_specializations.values():
                walk(block)
    else:
        network = getattr(spec, spec.WhichOneof("Type"))
        found = [layer.WhichOneof("layer") for layer in getattr(network, "layers", ())]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", default="", help="pytest's expression")
    parser.add_argument("--only", action="append", default=[], help="a test file's name, any number of times")
    parser.add_argument("-o", type=Path, help="results as JSON lines")
    parser.add_argument("--target", default="mlprogram", choices=("mlprogram", "neuralnetwork", "layers"))
    parser.add_argument("--most", type=int, default=0, help="parameters of one test to run; all without it")
    parser.add_argument("--resume", action="store_true", help="keep the results of -o and run the rest")
    parser.add_argument("--fp16", action="store_true", help="half precision programs too")
    given = parser.parse_args()
    os.environ["PYMIL_TEST_TARGETS"] = "mlprogram" if given.target == "mlprogram" else "neuralnetwork"
    os.environ["INCLUDE_MIL_FP32_UNIT_TESTS"] = "1"
    import coremltools.converters.mil.mil.ops.tests.testing_utils as utils
    import pytest
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    held = Held(given.o, given.most, given.resume)
    utils.compare_backend = held.compare
    folder = pretend(held) if given.target == "layers" else Path(utils.__file__).parent
    files = sorted(str(p) for p in folder.rglob("test_*.py") if not given.only or p.name in given.only)
    expression = " and ".join(filter(None, [given.k and f"({given.k})", "" if given.fp16 else "not fp16"]))
    arguments = [
        *files,
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "-x" if "-x" in sys.argv else "-q",
    ]
    arguments += ["-k", expression] if expression else []
    pytest.main([*arguments, "-o", "addopts=", "--rootdir", str(folder), "-W", "ignore"], plugins=[held])
    print(Counter(held.outcomes.values()))
    if given.target != "mlprogram":
        layer_coverage(held)
    else:
        names = [*SSAOpRegistry.core_ops, *SSAOpRegistry.dialect_ops]
        coverage(names, held)
    return 0


def layer_coverage(held: Held) -> None:
    """Every NeuralNetwork layer type: whether a rule reads it, and what showed that it reads it right."""
    from bridge_coreml.layers import ops
    from bridge_coreml.proto import messages

    described = messages().NeuralNetwork_pb2.NeuralNetworkLayer.DESCRIPTOR
    names = [field.name for field in described.oneofs_by_name["layer"].fields]
    read = [n for n in names if n in ops]
    own = cases(" layer")
    print(
        f"{len(read)} of {len(names)} layer types are read; {len(set(names) & set(held.seen))} agree with "
        "Apple's tests, "
        f"{len(set(names) & set(own))} with a case of ours"
    )
    for name in sorted(names):
        print_row(name, "read" if name in ops else "NOT READ", held, own)


def coverage(names: list[str], held: Held) -> None:
    """Every MIL operator: whether a rule reads it, and what showed that it reads it right."""
    from bridge_coreml.import_ops import ops

    names, own = [n for n in names if not n.startswith(FRONT_END)], cases("")
    read = [n for n in names if n in ops or n in NEVER_IN_A_FILE or n.startswith("complex")]
    shown = [n for n in names if held.seen.get(n)]
    print(
        f"{len(read)} of {len(names)} MIL operators are read or never in a file; "
        f"{len({*shown, *set(names) & set(own)})} are shown right: {len(shown)} by Apple's tests, "
        f"{len(set(names) & set(own))} by a case of ours"
    )
    for name in sorted(names):
        rule = NEVER_IN_A_FILE.get(name) or ("never in a file" if name.startswith("complex") else "")
        print_row(name, rule or ("read" if name in ops else "NOT READ"), held, own)


def cases(kind: str) -> dict[str, list[str]]:
    """The plugin's cases by operator: those of layers for " layer", those of MIL programs for none."""
    from bridge_coreml.cases import cases

    found: dict[str, list[str]] = defaultdict(list)
    for name, case in cases().items():
        if name.endswith(kind) if kind else not name.endswith((" layer", " model")):
            for operator in case.ops:
                found[operator].append(name)
    return found


def print_row(name: str, rule: str, held: Held, own: dict[str, list[str]]) -> None:
    shown, ours = held.seen.get(name, []), own.get(name, [])
    first = shown[0] if shown else f"case {ours[0]}" if ours else ""
    print(f"  {name:<42} {rule:<14} {len(shown):>5} tests {len(ours):>3} cases  {first}")


if __name__ == "__main__":
    sys.exit(main())
