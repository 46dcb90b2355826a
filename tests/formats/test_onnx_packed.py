"""Attention of sequences packed, chosen by blocks or kept in one matrix, from ONNX files."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from vendor_nodes import (
    Case,
    f,
    model_of,
    one_of_each,
    require_as_onnx_runtime,
    require_equal,
    require_in_tflite,
    u8,
)

import bridge

LENGTHS = np.array([1, 2, 4], np.int32)
OFFSETS = np.array([[0, 4, 5, 8], [9, 10, 11, 1], [2, 3, 6, 7]], np.int32)
SUMS = np.array([0, 1, 3, 7], np.int32)
HEADS, SIZE = 2, 4


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def apart(q: np.ndarray, k: np.ndarray, v: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Attention of every sequence by itself."""
    results = []
    for n, (start, end) in enumerate(pairwise(SUMS)):
        q1, k1, v1 = (x[start:end].reshape(end - start, HEADS, -1).transpose(1, 0, 2) for x in (q, k, v))
        scores = q1 @ k1.transpose(0, 2, 1) / SIZE**0.5
        if bias is not None:
            scores = scores + bias[min(n, len(bias) - 1), :, : end - start, : end - start]
        results.append((softmax(scores) @ v1).transpose(1, 0, 2).reshape(end - start, -1))
    return np.concatenate(results)


def run(case: Case) -> dict[str, np.ndarray]:
    model, inputs = model_of(case)
    return bridge.run(bridge.load(model), inputs)


@pytest.mark.parametrize("bias", [None, f(1, HEADS, 4, 4), f(3, 1, 4, 4)])
def test_packed_heads_attend_to_their_own_sequence(bias):
    q, k, v, b = f(7, 8), f(7, 8), f(7, 8), f(24)
    case = Case(
        "PackedMultiHeadAttention",
        [q, k, v, b, OFFSETS, SUMS, bias],
        {"num_heads": HEADS},
        fed=[0, 1, 2, 4, 5],
    )
    expected = apart(*(x + part for x, part in zip((q, k, v), np.split(b, 3), strict=True)), bias)
    require_equal({"y0": expected}, run(case))


def test_packed_heads_in_one_mean_what_the_parts_mean():
    q, k, v = f(7, 8), f(7, 8), f(7, 8)
    together = np.stack([x.reshape(7, HEADS, SIZE) for x in (q, k, v)], axis=2)
    case = Case("PackedMultiHeadAttention", [together, None, None, None, OFFSETS, SUMS], {"num_heads": HEADS})
    require_equal({"y0": apart(q, k, v)}, run(case))


def test_packed_attention_projects_first():
    x, w, b = f(7, 8), f(8, 28), f(28)
    attributes = {"num_heads": HEADS, "qkv_hidden_sizes": [8, 8, 12]}
    case = Case("PackedAttention", [x, w, b, OFFSETS, SUMS], attributes, fed=[0, 3, 4])
    require_equal({"y0": apart(*np.split(x @ w + b, [8, 16], axis=1))}, run(case))


def test_padding_taken_away_and_put_back():
    x = f(3, 4, 8)
    rows = np.concatenate([x[n, :length] for n, length in enumerate(LENGTHS)])
    removed = run(Case("RemovePadding", [x, LENGTHS], {}, 4, fed=[0, 1]))
    expected = {"y0": rows, "y1": OFFSETS, "y2": SUMS, "y3": np.array([4], np.int32)}
    require_equal(expected, removed)
    restored = run(Case("RestorePadding", [rows, OFFSETS], {}, fed=[0, 1]))
    require_equal({"y0": x * (np.arange(4) < LENGTHS[:, None])[..., None].astype(np.float32)}, restored)


def linear(rule: str, queries: int, values: int, steps: int = 3, **given: Any) -> Case:
    by_element, one_rate = given.pop("by_element", True), given.pop("one_rate", False)
    decay = -np.abs(f(2, steps, values * (4 if by_element else 1))) if "gated" in rule else None
    beta = np.abs(f(2, steps, 1 if one_rate else values)) if "delta" in rule else None
    past = None if given.pop("new", False) else f(2, values, 4, 5)
    inputs = [f(2, steps, queries * 4), f(2, steps, values * 4), f(2, steps, values * 5), past, decay, beta]
    attributes = {"q_num_heads": queries, "kv_num_heads": values, "update_rule": rule, **given}
    return Case(
        "LinearAttention", inputs, attributes, 2, fed=[i for i, v in enumerate(inputs) if v is not None]
    )


LINEAR = {
    "linear": linear("linear", 2, 2),
    "gated": linear("gated", 2, 2),
    "gated by head, of groups": linear("gated", 4, 2, by_element=False),
    "delta": linear("delta", 2, 2),
    "gated delta, one rate, of groups": linear("gated_delta", 4, 2, one_rate=True),
    "gated delta of more values": linear("gated_delta", 2, 4, by_element=False),
    "gated delta of nothing before": linear("gated_delta", 2, 2, new=True, scale=0.3),
    "one token": linear("gated_delta", 2, 2, 1),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_attention_equals_onnx_runtime(name):
    require_as_onnx_runtime(LINEAR[name])


def test_linear_attention_of_varying_length_equals_onnx_runtime():
    case = linear("gated_delta", 2, 2, 7)
    dims = {i: ["b", "t", v.shape[2]] for i, v in enumerate(case.inputs) if v is not None and i != 3}
    require_as_onnx_runtime(case, dims)


ROWS = np.array([[0, 1, 3, 5, 8], [0, 1, 3, 6, 9]], np.int32)
COLUMNS = np.array([[0, 0, 1, 1, 2, 1, 2, 3, -1], [0, 0, 1, 0, 1, 2, 0, 2, 3]], np.int32)


def sparse(batch: int, new: int, ends: list[int], rotated: int = 1, packed: bool = False) -> Case:
    q = f(batch, new, (4 + 4 * packed) * 16)
    kv = [None, None] if packed else [f(batch, new, 32), f(batch, new, 32)]
    past, counts = (
        [f(batch, 2, 64, 16) for _ in range(2)],
        [np.array([max(ends)], np.int32), np.array(ends, np.int32)],
    )
    inputs = [q, *kv, *past, ROWS, COLUMNS, *counts, *([f(64, 8), f(64, 8)] if rotated else [])]
    attributes = {"num_heads": 4, "kv_num_heads": 2, "sparse_block_size": 16, "do_rotary": rotated}
    fed = [i for i, v in enumerate(inputs[:9]) if v is not None and i not in (5, 6)]
    return Case("SparseAttention", inputs, attributes, 3, fed=fed)


def in_one_buffer(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """ONNX Runtime's results, keys and values written into the buffers they are read from."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = {name: ort.OrtValue.ortvalue_from_numpy(array.copy()) for name, array in inputs.items()}
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_output("y0")
    binding.bind_ortvalue_output("y1", values["i3"])
    binding.bind_ortvalue_output("y2", values["i4"])
    session.run_with_iobinding(binding)
    return dict(zip(("y0", "y1", "y2"), (v.numpy().copy() for v in binding.get_outputs()), strict=True))


SPARSE = {
    "first tokens": sparse(2, 20, [20, 20]),
    "one token": sparse(2, 1, [40, 33]),
    "packed": sparse(2, 1, [40, 33], packed=True),
    "not turned": sparse(2, 1, [40, 33], rotated=0),
    "several tokens": sparse(1, 5, [40]),
}


def row_of(case: Case, row: int) -> Case:
    """One row of a batch by itself: of several lengths at once ONNX Runtime multiplies the wrong ones."""
    inputs = [v if v is None or i in (5, 6) or i > 8 else v[row : row + 1] for i, v in enumerate(case.inputs)]
    inputs[7] = inputs[8]
    return case._replace(inputs=inputs)


@pytest.mark.parametrize("name", SPARSE)
def test_attention_by_blocks_equals_onnx_runtime(name):
    """Behind its tokens a buffer holds what it held, and here zeros."""
    case = SPARSE[name]
    model, inputs = model_of(case)
    found = bridge.run(bridge.load(model), inputs)
    for row, end in enumerate(case.inputs[8]):
        expected = in_one_buffer(*model_of(row_of(case, row)))
        own = {name: value[row : row + 1] for name, value in found.items()}
        for results in (expected, own):
            results.update({n: results[n][:, :, :end] for n in ("y1", "y2")})
        require_equal(expected, own)


def bits(x: np.ndarray, codes: np.ndarray, scales: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A product by weights of four bits around 8, two in a byte."""
    numbers = np.stack([codes & 15, codes >> 4], -1).reshape(len(codes), -1).astype(np.float32) - 8
    return x @ (numbers.reshape(*scales.shape, 32) * scales[..., None]).reshape(len(codes), -1).T + bias


def rows(count: int) -> list[np.ndarray]:
    return [u8(count, 2, 16), np.abs(f(count, 2)), f(count)]


def normed(x: np.ndarray, scale: np.ndarray, epsilon: float) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * scale


@pytest.mark.parametrize("added", [False, True])
def test_products_fused_behind_a_norm_are_what_the_specification_says(added):
    x, skip, scale, parts = f(3, 64), f(3, 64) if added else None, f(64), [rows(n) for n in (8, 4, 4)]
    total = x if skip is None else x + skip
    given = [x, skip, scale, *(v for part in parts for v in part)]
    options = {"K": 64, "block_size": 32, "bits": 4}
    three = run(Case("MatMulNBitsQkv", given, {**options, "Nq": 8, "Nkv": 4}, 4))
    expected = [bits(normed(total, scale, 1e-6), *part) for part in parts]
    require_equal({**{f"y{n}": v for n, v in enumerate(expected)}, "y3": total}, three)
    gated = run(Case("MatMulNBitsMlp", given[:3] + given[6:], {**options, "N": 4, "activation": "silu"}, 2))
    gate, raised = (bits(normed(total, scale, 1e-5), *part) for part in parts[1:])
    require_equal({"y0": gate / (1 + np.exp(-gate)) * raised, "y1": total}, gated)


@pytest.mark.parametrize("name", one_of_each(LINEAR))
def test_operator_equals_onnx_runtime_in_tflite(tmp_path, name):
    require_in_tflite(LINEAR[name], tmp_path)
