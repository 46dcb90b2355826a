"""Fitted estimators × settings × data to each format: `python benchmarks/classical.py [PART OF A NAME…]
[--only PART,…] [--targets onnx,pmml] [--jobs N] [--limit N] [--out FILE]`.

Each model of `classical_models.py` is fitted on seeded data of one kind, converted, run in the format's own runtime,
and compared with the estimator on every row: training rows, rows of the same kind it never saw, and rows of zeros,
of large numbers, with missing values and unknown categories, where the estimator takes them. Labels must be equal,
numbers within 1e-6 of the row's largest (1e-5 where the file reads floats of 32 bits, which the rows then are, and
of libraries that compute in them; 1e-3 in Core ML, TFLite and TorchScript). Prints what was converted, refused and
wrong by target, and the reasons. What each model came to is a line of FILE, and is not done again when the command is
given the same file: it may be stopped, and its targets done at different times. Nothing here is shared with the
importer's own check.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pandas as pd
from classical_models import Case, cases

import bridge
from bridge.errors import BridgeError
from bridge.load import reader
from bridge.ports import port_of
from bridge.runtime import open_session

TARGETS = ("onnx", "pmml", "coreml", "tflite", "torchscript", "savedmodel")
SUFFIXES = {
    "onnx": ".onnx",
    "pmml": ".pmml",
    "coreml": ".mlpackage",
    "tflite": ".tflite",
    "torchscript": ".pt",
}
NARROW = ("coreml", "tflite", "torchscript")
SINGLE = ("xgboost", "XGB", "CatBoost", "booster")
"""Words in the names of models whose library computes in floats of 32 bits."""


def tables(case: Case, ports: Any) -> dict[str, np.ndarray]:
    """The rows to compare on, as a file's inputs take them."""
    test, inputs = case.data.test, {}
    for port in ports:
        if isinstance(test, pd.DataFrame) and port.name in test:
            column = test[[port.name]].to_numpy()
            text = column.dtype == object
            inputs[port.name] = np.where(pd.isna(column), "", column).astype(object) if text else column
        elif isinstance(test, list):
            inputs[port.name] = np.array(test, object).reshape(-1, 1)
        else:
            inputs[port.name] = test.to_numpy() if isinstance(test, pd.DataFrame) else test
        if inputs[port.name].dtype != object:
            narrow = str(port.dtype).lower() in ("float", "float32")
            inputs[port.name] = inputs[port.name].astype(np.float32 if narrow else np.float64)
    return inputs


def wrong_rows(
    estimator: Any, case: Case, inputs: dict[str, np.ndarray], found: list[np.ndarray], target: str
) -> int:
    """Rows in which a file answers otherwise than its estimator."""
    test = case.data.test
    floats = any(v.dtype == np.float32 for v in inputs.values())
    if isinstance(test, np.ndarray):
        test = next(iter(inputs.values())).astype(np.float64)
    elif floats:
        test = test.assign(
            **{n: v[:, 0].astype(np.float64) for n, v in inputs.items() if v.dtype == np.float32}
        )
    single = floats or any(word in case.name for word in SINGLE)
    bound = 1e-3 if target in NARROW else 1e-5 if single else 1e-6
    expected = np.asarray(estimator.predict(test))
    expected = expected.ravel() if expected.ndim == 2 and expected.shape[1] == 1 else expected
    bad = np.zeros(len(expected), bool)
    shares = estimator.predict_proba(test) if hasattr(estimator, "predict_proba") else None
    shares = None if isinstance(shares, list) else shares
    if case.target is not None and case.target.dtype.kind == "f":
        bad |= differs(found[0], expected, bound)
    else:
        told = np.asarray(found[0]).reshape(expected.shape)
        if expected.dtype.kind in "OSU":
            unlike = told.astype(str) != expected.astype(str)
        else:
            unlike = told.astype(np.int64) != expected.astype(np.int64)
        bad |= unlike.reshape(len(bad), -1).any(axis=1)
        if target in NARROW and shares is not None and expected.ndim == 1:
            ordered = np.sort(shares, axis=1)
            bad &= ordered[:, -1] - ordered[:, -2] > 1e-4
    if shares is not None:
        tables = [f for f in found[1:] if np.asarray(f).size == shares.size]
        columns = [f for f in found[1:] if np.asarray(f).size == len(expected)]
        joined = (
            tables[0] if tables else np.concatenate([np.asarray(c).reshape(-1, 1) for c in columns], axis=1)
        )
        bad |= differs(joined, shares, bound)
    return int(bad.sum())


def differs(found: Any, expected: np.ndarray, bound: float) -> np.ndarray:
    expected = expected.reshape(len(expected), -1).astype(float)
    found = np.asarray(found, float).reshape(expected.shape)
    scale = np.maximum(np.abs(expected).max(1, keepdims=True), np.median(np.abs(expected)))
    return ~((np.abs(found - expected) <= bound * scale) | (np.isnan(found) & np.isnan(expected))).all(1)


def reason_of(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(" ".join(lines[:3]).split())[:170]


def source_of(estimator: Any) -> Any:
    """What is converted."""
    return getattr(estimator, "source", estimator)


def outcome(case: Case, estimator: Any, model: ir.Model, target: str, folder: Path) -> tuple[str, str]:
    path = folder / f"model{SUFFIXES.get(target, '')}"
    try:
        path = bridge.save(model, path, to=target, overwrite=True).path
        inputs = tables(case, map(port_of, model.graph.inputs))
        found = list(open_session(reader(path, target)).run(inputs).values())
    except BridgeError as error:
        return "refused", reason_of(error)
    except Exception as error:
        return "broken", f"{type(error).__name__}: {reason_of(error)}"
    count = wrong_rows(estimator, case, inputs, found, target)
    return ("wrong", f"{count} rows") if count else ("converted", "")


@functools.cache
def all_cases() -> list[Case]:
    return list(cases())


def done(number: int, targets: list[str]) -> list[dict[str, Any]]:
    """What became of one model on each target."""
    warnings.filterwarnings("ignore")
    case, lines = all_cases()[number], []
    estimator = copy.deepcopy(case.model).fit(case.data.train, case.target)
    try:
        model = bridge.load(source_of(estimator))
    except BridgeError as error:
        refusal = {"said": "refused", "detail": reason_of(error), "seconds": 0.0}
        return [{"case": case.name, "target": target, **refusal} for target in targets]
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            start = time.perf_counter()
            said, detail = outcome(case, estimator, model, target, Path(folder))
            spent = round(time.perf_counter() - start, 2)
            lines.append(
                {"case": case.name, "target": target, "said": said, "detail": detail, "seconds": spent}
            )
    return lines


def told(line: dict[str, Any]) -> None:
    if line["said"] != "converted":
        print(
            f"{line['said']:9} {line['target']:11} {line['case']:55} {line['seconds']:4.1f} s {line['detail']}",
            flush=True,
        )


def summary(lines: list[dict[str, Any]], targets: list[str]) -> None:
    for target in targets:
        own = [line for line in lines if line["target"] == target]
        said = Counter(line["said"] for line in own)
        share = said["converted"] / max(len(own), 1)
        print(f"{target}: {len(own)} models, {', '.join(f'{n} {w}' for w, n in said.items())} ({share:.1%})")
        reasons = Counter(f"{line['said']}: {line['detail']}" for line in own if line["detail"])
        for reason, count in reasons.most_common(12):
            print(f"   {count:4} {reason}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--only", default="", help="parts of names, comma separated")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--limit", type=int, default=0, help="as many models, evenly chosen")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a file of lines of JSON, read first and added to")
    options = parser.parse_args()
    names = [*options.names, *filter(None, options.only.split(","))]
    targets = options.targets.split(",")
    chosen = [i for i, c in enumerate(all_cases()) if not names or any(n in c.name for n in names)]
    if options.limit and options.limit < len(chosen):
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, options.limit).astype(int)]
    wanted = {all_cases()[i].name for i in chosen}
    known = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    lines = [line for line in map(json.loads, known) if line["case"] in wanted and line["target"] in targets]
    have = {(line["case"], line["target"]) for line in lines}
    left = {i: [t for t in targets if (all_cases()[i].name, t) not in have] for i in chosen}
    left = {i: missing for i, missing in left.items() if missing}
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for made in pool.map(done, left.keys(), left.values()):
            lines += made
            for line in made:
                told(line)
            if options.out:
                with options.out.open("a") as file:
                    file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in made)
    summary(lines, targets)
    return int(any(line["said"] in ("wrong", "broken") for line in lines))


if __name__ == "__main__":
    sys.exit(main())
