"""How TFLite files hold weights: float16 where it is exact or asked for, behind the flatbuffer where that is
too small."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from ai_edge_litert import schema_py_generated as schema
from build import hub_from_builder

import bridge


def product(weights: np.ndarray) -> ir.Model:
    """x[1, K] times `weights` [K, N]."""
    return hub_from_builder(
        lambda op, x: op.MatMul(x, op.const(weights)), {"x": (np.float32, [1, weights.shape[0]])}
    )


def tensors(path: Path) -> list[tuple[str, int]]:
    """Dtype and stored bytes of every tensor of the file's first subgraph."""
    raw = path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(raw, 0))
    names = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    buffers = [b.size if b.offset > 1 else len(b.data) if b.data is not None else 0 for b in model.buffers]
    return [(names[t.type], buffers[t.buffer]) for t in model.subgraphs[0].tensors]


def check(model: ir.Model, path: Path, **tolerance: float) -> None:
    assert bridge.verify(model, path, **tolerance).ok
    assert bridge.verify(model, bridge.load(path), **tolerance).ok


def test_what_float16_holds_exactly_is_stored_so(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((64, 48)).astype(np.float16).astype(np.float32)
    path = bridge.save(product(weights), tmp_path / "exact.tflite").path
    assert ("FLOAT16", 64 * 48 * 2) in tensors(path)
    check(product(weights), path)


def test_one_value_beyond_float16_keeps_float32(tmp_path: Path) -> None:
    weights = np.ones((64, 48), np.float32)
    weights[-1, -1] = 1 + 2**-20
    path = bridge.save(product(weights), tmp_path / "model.tflite").path
    assert ("FLOAT32", 64 * 48 * 4) in tensors(path)
    check(product(weights), path)


def test_rounding_is_asked_for_and_told(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((64, 48)).astype(np.float32)
    done = bridge.save(product(weights), tmp_path / "rounded.tflite", precision="float16")
    assert ("FLOAT16", 64 * 48 * 2) in tensors(done.path)
    assert done.report.counts() == {"approximated": 1}
    check(product(weights), done.path, rtol=1e-2, atol=1e-2)


def test_rounding_leaves_what_float16_cannot_reach(tmp_path: Path) -> None:
    weights = np.full((64, 48), 1e6, np.float32)
    done = bridge.save(product(weights), tmp_path / "large.tflite", precision="float16")
    assert done.report.counts() == {"native": 1}
    check(product(weights), done.path)


def test_weights_no_flatbuffer_holds_follow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge_tflite.flatbuffer.LARGEST", 10_000)
    weights = np.random.default_rng(0).standard_normal((64, 48)).astype(np.float32)
    path = bridge.save(product(weights), tmp_path / "behind.tflite").path
    assert ("FLOAT32", 64 * 48 * 4) in tensors(path)
    assert path.read_bytes().endswith(np.ascontiguousarray(weights.T).tobytes())
    check(product(weights), path)


@pytest.mark.parametrize("operator", ["MatMulInteger", "ConvInteger"])
def test_weights_of_dynamically_quantized_products_stay_bytes(operator: str, tmp_path: Path) -> None:
    shape, x = ([40, 24], [3, 40]) if operator == "MatMulInteger" else ([24, 40, 1, 1], [1, 40, 5, 5])
    weights = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)
    model = hub_from_builder(
        lambda op, x: op.Cast(
            getattr(op, operator)(
                *(q := op.DynamicQuantizeLinear(x, _outputs=3))[:1], op.const(weights), q[2]
            ),
            to=1,
        ),
        {"x": (np.float32, x)},
    )
    path = bridge.save(model, tmp_path / "bytes.tflite").path
    assert ("INT8", weights.size) in tensors(path)
    assert not any(size >= 2 * weights.size for _, size in tensors(path))
    check(model, path)
