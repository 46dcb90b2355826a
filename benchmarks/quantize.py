"""Every scheme of quantization over models and formats, side by side with the quantizers of others.

`python benchmarks/quantize.py [MODEL.onnx …] [--schemes S,…] [--to F,…] [--peers ort,litert] [--litert PYTHON] [--jsonl FILE]`:
without models those that `MODELS` names, of the folder --shared. Samples are seeded: pictures are smooth fields with edges, all
else is as `bridge.inputs.random_inputs` draws it. Each file is written with `verify`, so that it is compared with the quantized
hub model and measured against the float model on the samples held back, in the target's own runtime. A line each: SQNR of the
worst output in dB, agreement of the top class, bytes, milliseconds of processor time a run; then the table.

Peers have the same samples to calibrate on and are measured on the same ones held back: `onnxruntime.quantization` (QDQ, per
channel, int8 both; MatMulNBits of 4 bits), and LiteRT's own quantizer (`ai-edge-quantizer`) where --litert names a Python that has it,
on the float file that bridge writes. ONNX Runtime quantizes no Gemm to 4 bits: it is given MatMul in their place, as bridge writes them.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

import bridge
from bridge.detect import by_name
from bridge.errors import BridgeError
from bridge.inputs.lengths import Lengths
from bridge.inputs.values import inputs_at
from bridge.load import reader
from bridge.passes import settle
from bridge.quantize.accuracy import Meter, worst
from bridge.quantize.samples import Samples
from bridge.quantize.schemes import SCHEMES
from bridge.quantize.standard import STANDARD
from bridge.remote import here
from bridge.runtime import HubSession, open_session
from bridge.session import Outputs, Session

SHARED = Path(__file__).parents[2] / "shared" / "models" / "onnx"
MODELS = (
    "microsoft_onnxruntime-inference-examples/mnist.onnx",
    "oracle_tribuo/cnn_mnist.onnx",
    "google-deepmind_mujoco_playground/go1_policy.onnx",
    "microsoft_onnxruntime-extensions/pytorch_super_resolution.onnx",
    "ShiqiYu_libfacedetection.train/yunet_n_320_320.onnx",
    "microsoft_onnxruntime-inference-examples/Ultraface.version-RFB-320.onnx",
    "microsoft_onnxruntime-extensions/FastestDet.onnx",
    "oracle_tribuo/tinybert.onnx",
    "vespa-engine_vespa/random_encoder.onnx",
)
TARGETS = ("onnx", "tflite", "coreml", "torchscript", "savedmodel")
COUNT = 40
RUNS = 5
LITERT = """
import json, sys
import numpy as np
from ai_edge_quantizer import quantizer, recipe
model, samples, result, name = sys.argv[1:]
work = quantizer.Quantizer(model)
work.load_quantization_recipe(getattr(recipe, name)())
data = np.load(samples)
count = max(int(k.split('|')[0]) for k in data.files) + 1
rows = [{k.split('|', 1)[1]: data[k] for k in data.files if k.startswith(f'{i}|')} for i in range(count)]
statistics = work.calibrate({'serving_default': rows}) if work.need_calibration else None
work.quantize(statistics).export_model(result, overwrite=True)
"""
RECIPES = {"int8": "static_wi8_ai8", "int16x8": "static_wi8_ai16", "int8-weights": "weight_only_wi8_afp32"}


def picture(shape: list[int], rng: np.random.Generator, scale: float) -> np.ndarray:
    """A smooth field with edges and a little noise, from 0 to `scale`."""
    height, width = shape[-2:]
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = []
    for _ in range(int(np.prod(shape[:-2]))):
        field = sum(
            rng.normal()
            * np.sin(2 * np.pi * (rng.uniform(0, 4) * x + rng.uniform(0, 4) * y) + rng.uniform(0, 6))
            for _ in range(4)
        )
        for _ in range(3):
            left, top, size = rng.uniform(0, 0.7, 3)
            field = field + rng.normal() * 2 * ((x > left) & (x < left + size) & (y > top) & (y < top + size))
        field = field + 0.1 * rng.normal(size=field.shape)
        planes.append((field - field.min()) / max(np.ptp(field), 1e-6))
    return (np.reshape(planes, shape) * scale).astype(np.float32)


def rows_of(model: ir.Model, count: int = COUNT) -> list[dict[str, Any]]:
    """Seeded samples that the model takes."""
    lengths = Lengths(model)
    setting = next(lengths.pairs(), [lengths.smallest()])[0]
    rows = []
    for seed in range(count):
        row = inputs_at(lengths, setting, seed)
        rng = np.random.default_rng(seed)
        for name, array in row.items():
            if array.ndim == 4 and array.dtype == np.float32 and min(array.shape[-2:]) >= 16:
                row[name] = picture(list(array.shape), rng, 1.0)
        rows.append(row)
    return rows


class Integers(Session):
    """A TFLite file as LiteRT runs it, floats around inputs and outputs that are integers."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path), num_threads=1)
        self._runner = interpreter.get_signature_runner()

    def run(self, inputs: dict[str, Any]) -> Outputs:
        given = {}
        for name, detail in self._runner.get_input_details().items():
            scale, zero = detail["quantization"]
            array, dtype = inputs[name], detail["dtype"]
            if scale:
                info = np.iinfo(dtype)
                array = np.clip(np.rint(array / scale) + zero, info.min, info.max)
            given[name] = array.astype(dtype)
        found, details = self._runner(**given), self._runner.get_output_details()
        outputs = {}
        for name, array in found.items():
            scale, zero = details[name]["quantization"]
            outputs[name] = np.float32(scale) * (array.astype(np.float32) - zero) if scale else array
        return Outputs(outputs, "LiteRT")


def measured(path: Path, source: HubSession, samples: Samples) -> dict[str, Any]:
    """Accuracy, size and time of a file in its own runtime."""
    session = Integers(path) if path.suffix == ".tflite" else open_session(reader(path))
    meter = Meter()
    for row in samples.rows(samples.held):
        meter.add(source.run(row), session.run(row))
    row, times = samples.read(0), []
    for _ in range(RUNS):
        start = time.process_time()
        session.run(row)
        times.append((time.process_time() - start) * 1000)
    kept = worst(meter.accuracies())
    size = (
        path.stat().st_size
        if path.is_file()
        else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    )
    found = {"size": size, "ms": statistics.median(times)}
    return found | ({} if kept is None else {"sqnr": kept.sqnr, "agreement": kept.agreement})


def ours(model: Path, to: str, scheme: str, samples: Samples, folder: Path) -> dict[str, Any]:
    """A file that bridge quantizes and verifies."""
    path = folder / f"ours{by_name(to).suffixes[0]}"
    data = [samples.read(i) for i in range(samples.count)]
    try:
        bridge.convert(
            model, path, to=to, quantize=scheme, calibration=data, verify=True, keep=True, overwrite=True
        )
    except BridgeError as error:
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0]}", "said": str(error)}
    return {"path": path}


def onnxruntime_peer(model: Path, scheme: str, samples: Samples, folder: Path) -> Path | None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    class Data(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = samples.rows(samples.used)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rows, None)

    plain, result = folder / "plain.onnx", folder / "ort.onnx"
    bridge.convert(model, plain, opset=21, overwrite=True)
    if scheme == "int8":
        quantize_static(
            plain,
            result,
            Data(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
    elif scheme == "int8-dynamic":
        quantize_dynamic(plain, result, weight_type=QuantType.QInt8, per_channel=True)
    elif scheme.startswith("int4-weights") and scheme != "int4-weights-channel":
        block = SCHEMES[scheme].block
        products = bridge.load(plain)
        for step in STANDARD[scheme].prepare():
            step(products)
        settle(products)
        bridge.save(products, plain, opset=21, overwrite=True)
        work = MatMulNBitsQuantizer(
            onnx.load(plain), block_size=block, is_symmetric=True, quant_format=QuantFormat.QDQ
        )
        work.process()
        onnx.save(work.model.model, result)
    else:
        return None
    return result


def litert_peer(model: Path, scheme: str, samples: Samples, folder: Path, python: str) -> Path | None:
    if scheme not in RECIPES:
        return None
    plain, result, data = folder / "plain.tflite", folder / "litert.tflite", folder / "samples.npz"
    bridge.convert(model, plain, overwrite=True)
    np.savez(
        data, **{f"{i}|{n}": a for i, row in enumerate(samples.rows(samples.used)) for n, a in row.items()}
    )
    words = [python, "-c", LITERT, str(plain), str(data), str(result), RECIPES[scheme]]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no words"])[-1])
    return result


def compared(model: Path, options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for every scheme, target and peer of one model."""
    hub_model = bridge.load(model)
    rows = rows_of(hub_model, options.samples)
    samples, source = Samples(len(rows), rows.__getitem__), HubSession(hub_model)
    for scheme in options.schemes.split(","):
        for to in options.to.split(","):
            exporter = by_name(to).resolve("exporter")
            if scheme not in exporter.schemes(exporter.parse({}, to)):
                continue
            works: dict[str, Any] = {
                "bridge": lambda to=to, scheme=scheme: ours(model, to, scheme, samples, folder)
            }
            if to == "onnx" and "ort" in options.peers:
                works["onnxruntime"] = lambda scheme=scheme: {
                    "path": onnxruntime_peer(model, scheme, samples, folder)
                }
            if to == "tflite" and "litert" in options.peers and options.litert:
                works["litert"] = lambda scheme=scheme: {
                    "path": litert_peer(model, scheme, samples, folder, options.litert)
                }
            for who, work in works.items():
                row = {"model": model.stem, "scheme": scheme, "to": to, "by": who}
                try:
                    done = work()
                    path = done.pop("path", None)
                    row |= done | (measured(path, source, samples) if path is not None else {})
                except Exception as error:
                    row["failed"] = (
                        f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
                    )
                if len(row) > 4:
                    yield row


def shown(row: dict[str, Any]) -> str:
    named = f"{row['model'][:28]:<28} {row['scheme']:<20} {row['to']:<11} {row['by']:<11}"
    if "failed" in row:
        return f"{named} {row['failed']}"
    agreed = "" if row.get("agreement") is None else f"{row['agreement']:7.1%}"
    return f"{named} {row.get('sqnr', float('nan')):7.2f} dB {agreed:>7} {row['size']:>10} bytes {row['ms']:8.2f} ms"


def against(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Ours less the peer's in dB, and our size as a part of the peer's: worst and median."""
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    found = {(r["model"], r["scheme"], r["to"], r["by"]): r for r in rows if "sqnr" in r}
    for (model, scheme, to, who), row in found.items():
        own = found.get((model, scheme, to, "bridge"))
        if who != "bridge" and own is not None:
            pairs.setdefault((scheme, who), []).append((own["sqnr"] - row["sqnr"], own["size"] / row["size"]))
    for (scheme, who), values in pairs.items():
        gains, sizes = zip(*values, strict=True)
        yield (
            f"{scheme} against {who}: {len(values)} models, SQNR {min(gains):+.2f} dB at worst, "
            f"{statistics.median(gains):+.2f} in the median; size × {max(sizes):.3f} at most"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    parser.add_argument("--to", default=",".join(TARGETS))
    parser.add_argument("--peers", default="ort,litert")
    parser.add_argument("--litert", default="")
    parser.add_argument("--samples", type=int, default=COUNT)
    parser.add_argument("--jsonl", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    here.set(True)  # processor time is of this process
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models or [options.shared / name for name in MODELS]:
            for row in compared(model, options, Path(folder)):
                rows.append(row)
                print(shown(row), flush=True)
                if options.jsonl:
                    with options.jsonl.open("a") as file:
                        print(json.dumps(row), file=file)
    print(*against(rows), sep="\n")
    sys.exit(any("failed" in row and row["by"] == "bridge" for row in rows))


if __name__ == "__main__":
    main()
