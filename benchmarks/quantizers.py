"""ONNX Runtime's quantizers over models of several kinds, each quantized file to every format, with verification.

`python benchmarks/quantizers.py [MODEL.onnx …] [--forms F,…] [--to F,…] [--jsonl FILE]`: without models those that `MODELS`
names, of the folder --shared. Each is quantized in the forms of `FORMS`, calibrated on random inputs, and converted. A verdict
is held against a comparison of its own, on other inputs: how far the file is from the quantized source in ONNX Runtime, how
far that is from itself without optimizations, and from the float model, each as a part of the largest element. A line each,
then the table; `doubtful` is a verdict that the comparison speaks against, and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

import bridge
from bridge import hub
from bridge.detect import by_name
from bridge.errors import UnsupportedModel, VerificationFailed
from bridge.inputs.lengths import Lengths
from bridge.inputs.values import inputs_at

SHARED = Path(__file__).parents[2] / "shared" / "models" / "onnx"
MODELS = (
    "microsoft_onnxruntime-inference-examples/mnist.onnx",
    "google-deepmind_mujoco_playground/go1_policy.onnx",
    "oracle_tribuo/cnn_mnist.onnx",
    "vespa-engine_vespa/random_encoder.onnx",
    "oracle_tribuo/tinybert.onnx",
    "sonos_tract/model.onnx",
    "microsoft_onnxruntime-extensions/pytorch_super_resolution.onnx",
    "vespa-engine_vespa/random_decoder.onnx",
    "ShiqiYu_libfacedetection.train/yunet_n_320_320.onnx",
    "vespa-engine_vespa/dummy_transformer_mlm.onnx",
    "microsoft_onnxruntime-inference-examples/Ultraface.version-RFB-320.onnx",
    "microsoft_onnxruntime-extensions/FastestDet.onnx",
)
TARGETS = ("onnx", "tflite", "torchscript", "savedmodel", "coreml")
OPSET = 17
NEWEST = 21
"""The first opset whose DequantizeLinear takes blocks of 4 bits."""
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
INTEGER = ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul")
WEIGHTS = 64
"""Elements from which a constant is a weight."""
SEEDS = (101, 102)


class Samples(CalibrationDataReader):
    """Random inputs that the model can take."""

    def __init__(self, inputs: list[dict[str, np.ndarray]]) -> None:
        self.left = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def static(form: QuantFormat, activations: QuantType, weights: QuantType, per_channel: bool) -> Callable:
    def quantize(model: Path, result: Path, samples: list[dict[str, np.ndarray]]) -> None:
        types = {"activation_type": activations, "weight_type": weights}
        quantize_static(model, result, Samples(samples), quant_format=form, per_channel=per_channel, **types)

    return quantize


def dynamic(weights: QuantType) -> Callable:
    def quantize(model: Path, result: Path, samples: list[dict[str, np.ndarray]]) -> None:
        quantize_dynamic(model, result, weight_type=weights)

    return quantize


def four_bits(form: QuantFormat) -> Callable:
    def quantize(model: Path, result: Path, samples: list[dict[str, np.ndarray]]) -> None:
        quantizer = MatMulNBitsQuantizer(onnx.load(model), block_size=32, quant_format=form)
        quantizer.process()
        onnx.save(quantizer.model.model, result)

    return quantize


QDQ, QOPERATOR, SIGNED, UNSIGNED = QuantFormat.QDQ, QuantFormat.QOperator, QuantType.QInt8, QuantType.QUInt8
FORMS: dict[str, Callable] = {
    "qdq int8": static(QDQ, SIGNED, SIGNED, False),
    "qdq channels": static(QDQ, SIGNED, SIGNED, True),
    "qdq uint8": static(QDQ, UNSIGNED, UNSIGNED, False),
    "qoperator uint8": static(QOPERATOR, UNSIGNED, UNSIGNED, False),
    "qoperator channels": static(QOPERATOR, UNSIGNED, SIGNED, True),
    "dynamic int8": dynamic(SIGNED),
    "dynamic uint8": dynamic(UNSIGNED),
    "4 bits": four_bits(QOPERATOR),
    "4 bits qdq": four_bits(QDQ),
}


def prepared(source: Path, opset: int, folder: Path) -> Path:
    """The float model at an opset that quantizers take, without what training left."""
    path = folder / f"{source.stem}-{opset}.onnx"
    if not path.exists():
        bridge.convert(source, path, opset=opset)
    return path


def sampled(model: Path, seeds: tuple[int, ...]) -> list[dict[str, np.ndarray]]:
    lengths = Lengths(bridge.load(model))
    pair = next(lengths.pairs(), [lengths.smallest()])
    return [inputs_at(lengths, pair[0], seed) for seed in seeds]


def session(path: Path, optimized: bool = True) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


Results = list[dict[str, np.ndarray]]


def answers(opened: ort.InferenceSession, samples: list[dict[str, np.ndarray]]) -> Results:
    names = [o.name for o in opened.get_outputs()]
    return [dict(zip(names, opened.run(names, inputs), strict=True)) for inputs in samples]


def step(expected: Results) -> dict[str, float]:
    """The least difference of two elements, of outputs that have few enough to be quantized."""
    steps = {}
    for name in expected[0]:
        found = np.unique(np.concatenate([np.ravel(r[name]) for r in expected]))
        steps[name] = (
            float(np.diff(found).min()) if 2 <= found.size <= 256 and found.dtype.kind == "f" else 0.0
        )
    return steps


def within(expected: Results, found: Results, steps: dict[str, float]) -> bool:
    """True if no element is off by more than a step of what is quantized."""
    return all(
        steps[n] and a[n].shape == b[n].shape and np.abs(a[n] - b[n]).max(initial=0) <= 1.001 * steps[n]
        for a, b in zip(expected, found, strict=True)
        for n in steps
    )


def distance(one: Results, other: Results) -> float:
    """The root mean square of what differs, as a part of the root mean square; the worst output's."""
    worst = 0.0
    for name in one[0]:
        a, b = (
            np.concatenate([np.ravel(r[name]).astype(np.float64) for r in results])
            for results in (one, other)
        )
        size = float(np.sqrt(np.mean(a**2))) or 1.0
        worst = max(worst, float(np.sqrt(np.mean((a - b) ** 2))) / size if a.shape == b.shape else np.inf)
    return worst


def dequantized(value: ir.Value | None) -> bool:
    """True for what is an integer, moved or not, and scaled."""
    while value is not None and (node := value.producer()) is not None:
        if node.op_type == "DequantizeLinear":
            return True
        if node.op_type not in ("Transpose", "Reshape", "Identity", "Unsqueeze", "Squeeze"):
            return False
        value = node.inputs[0]
    return False


def integers(model: ir.Model) -> tuple[int, int, int, int]:
    """Products of integers, of float activations and integer weights, other products; and the bytes of
    weights that are integers, per mille of all."""
    both = weights = floats = 0
    for node in hub.all_nodes(model):
        if node.op_type in INTEGER:
            both += 1
        elif node.op_type in PRODUCTS:
            scaled = [dequantized(value) for value in node.inputs[:2]]
            both += all(scaled)
            weights += any(scaled) and not all(scaled)
            floats += not any(scaled)
    held = [
        v.const_value
        for graph in model.graphs()
        for v in graph.initializers.values()
        if v.const_value is not None
    ]
    sizes = [(t.dtype.is_integer(), t.nbytes) for t in held if t.size >= WEIGHTS]
    whole = sum(size for _, size in sizes)
    return (
        both,
        weights,
        floats,
        round(1000 * sum(size for integer, size in sizes if integer) / whole) if whole else 0,
    )


def verdict(source: Path, path: Path, to: str) -> tuple[str, str]:
    """The outcome of a conversion, and what it says; a file that is judged wrong is kept."""
    try:
        done = bridge.convert(source, path, to=to, verify=True, keep=True, overwrite=True)
    except VerificationFailed as error:
        return "wrong", str(error)
    except UnsupportedModel as error:
        return "refused", str(error)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    return "right", "; ".join(dict.fromkeys(o.measure for o in done.verification.outputs if o.measure))  # type: ignore[union-attr]


def measured(source: Path, form: str, targets: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """A row for every target of one model in one form."""
    plain = prepared(source, NEWEST if form == "4 bits qdq" else OPSET, folder)
    samples = sampled(plain, SEEDS)
    quantized = folder / f"{source.stem}-{form.replace(' ', '-')}.onnx"
    row: dict[str, Any] = {"model": source.stem, "form": form}
    try:
        FORMS[form](plain, quantized, sampled(plain, (0, 1, 2)))
        expected = answers(session(quantized), samples)
    except Exception as error:
        yield row | {"to": "", "outcome": "not quantized", "said": f"{type(error).__name__}: {error}"}
        return
    row["noise"] = distance(expected, answers(session(quantized, False), samples))
    row["quantization"] = distance(expected, answers(session(plain), samples))
    row["source"] = integers(bridge.load(quantized))
    for to in targets:
        path = folder / f"written{by_name(to).suffixes[0]}"
        start = time.monotonic()
        outcome, said = verdict(quantized, path, to)
        row |= {"to": to, "outcome": outcome, "said": said, "seconds": time.monotonic() - start}
        row.pop("held", None)
        if outcome in ("right", "wrong") and path.exists():
            try:
                found = [dict(bridge.run(path, inputs)) for inputs in samples]
                row["error"] = distance(expected, found)
            except bridge.BridgeError as error:
                found = []
                row |= {"error": np.inf, "said": f"{said} {error}"}
            with suppress(bridge.BridgeError):  # what is written need not be read
                row["held"] = integers(bridge.load(path))
            near = bool(found) and (
                row["error"] <= max(2 * row["noise"], 1e-3) or within(expected, found, step(expected))
            )
            far = not near and row["error"] > row["quantization"]
            row["doubtful"] = far if outcome == "right" else near
        yield dict(row)


def table(rows: list[dict[str, Any]], targets: list[str]) -> Iterator[str]:
    """Of each form, the outcomes by target, and the integers held of those the source holds."""
    yield f"| form | {' | '.join(targets)} |"
    yield "|---" * (len(targets) + 1) + "|"
    grouped = defaultdict(list)
    for row in rows:
        grouped[row["form"], row["to"]].append(row)
    for form in dict.fromkeys(row["form"] for row in rows):
        cells = []
        for to in targets:
            ends = Counter(row["outcome"] for row in grouped[form, to])
            held = [(row["held"][0], row["source"][0]) for row in grouped[form, to] if "held" in row]
            products = (
                f"; {sum(h for h, _ in held)} of {sum(s for _, s in held)}" if any(s for _, s in held) else ""
            )
            cells.append(", ".join(f"{n} {end}" for end, n in ends.most_common()) + products)
        yield f"| {form} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--to", default=",".join(TARGETS))
    parser.add_argument("--jsonl", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    ort.set_default_logger_severity(4)
    targets, rows = options.to.split(","), []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models or [options.shared / name for name in MODELS]:
            for form in options.forms.split(","):
                for row in measured(model, form, targets, Path(folder)):
                    rows.append(row)
                    figures = " ".join(
                        f"{n} {row[n]:.1e}" for n in ("error", "noise", "quantization") if n in row
                    )
                    flag = "DOUBTFUL " * bool(row.get("doubtful"))
                    print(
                        f"{row['outcome']:<8} {row['to']:<11} {row['model']:<24} {row['form']:<18} {figures}"
                        f" {row.get('source')} {row.get('held')} {flag}{' / '.join(row['said'].splitlines()[:6])[:500]}",
                        flush=True,
                    )
                    if options.jsonl:
                        with options.jsonl.open("a") as file:
                            print(json.dumps(row), file=file)
    print(*table(rows, targets), sep="\n")
    sys.exit(any(row["outcome"] in ("wrong", "failed") or row.get("doubtful") for row in rows))


if __name__ == "__main__":
    main()
