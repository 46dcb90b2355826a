"""Attention operators of com.microsoft mean in the hub what ONNX Runtime computes for them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import pytest
from build import model_of_nodes
from onnx import TensorProto, helper
from vendor_nodes import (
    MS,
    RNG,
    Case,
    f,
    i8,
    in_onnx_runtime,
    model_of,
    one_of_each,
    require_as_onnx_runtime,
    require_equal,
    require_in_tflite,
    u8,
)

import bridge

HEADS, GROUPS, SIZE = 4, 2, 16
ANGLES = np.arange(32)[:, None] / 10000 ** (np.arange(8) / 8)
COS, SIN = np.cos(ANGLES).astype(np.float32), np.sin(ANGLES).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)


def grouped(
    batch: int,
    new: int,
    held: int | None,
    ends: list[int],
    count: int = 3,
    dtype: Any = np.float32,
    **given: Any,
) -> Case:
    """GroupQueryAttention of `new` tokens behind a cache of length `held`; rows hold `ends` tokens with them.
    `given` are attributes, and inputs by their names."""
    inputs = {name: given.pop(name, None) for name in ("position_ids", "bias", "sink")}
    packed, rotated = given.pop("packed", False), given.get("do_rotary")
    q = f(batch, new, (HEADS + 2 * GROUPS * packed) * SIZE)
    kv = [None, None] if packed else [f(batch, new, GROUPS * SIZE) for _ in range(2)]
    past = [None, None] if held is None else [f(batch, GROUPS, held, SIZE) for _ in range(2)]
    lengths = [np.array(ends, np.int32) - 1, np.array(max(ends), np.int32)]
    tables = [COS, SIN] if rotated else [None, None]
    values = [q, *kv, *past, *lengths, *tables, *inputs.values()]
    values = [v.astype(dtype) if v is not None and v.dtype == np.float32 else v for v in values]
    while values[-1] is None:
        values.pop()
    fed = [i for i, v in enumerate(values[:7]) if v is not None]
    attributes = {"num_heads": HEADS, "kv_num_heads": GROUPS, **given}
    return Case("GroupQueryAttention", values, attributes, count, fed=fed)


GROUPED = {
    "one token": grouped(2, 1, 4, [5, 5]),
    "turned": grouped(2, 1, 4, [5, 5], do_rotary=1),
    "turned by pairs": grouped(2, 1, 4, [5, 5], do_rotary=1, rotary_interleaved=1),
    "packed": grouped(2, 1, 4, [5, 5], do_rotary=1, packed=True),
    "rows of several lengths": grouped(2, 1, 6, [4, 7], do_rotary=1),
    "a buffer": grouped(2, 1, 12, [4, 7], do_rotary=1),
    "first tokens": grouped(2, 5, 0, [5, 5], do_rotary=1),
    "first tokens without a cache": grouped(2, 5, None, [5, 5], do_rotary=1),
    "first tokens into a buffer": grouped(2, 5, 9, [5, 5], do_rotary=1),
    "several tokens": grouped(1, 3, 4, [7], do_rotary=1),
    "a window": grouped(2, 1, 6, [4, 7], local_window_size=3),
    "a window of first tokens": grouped(2, 6, 0, [6, 6], local_window_size=3),
    "softcap": grouped(2, 1, 4, [5, 5], softcap=2.0),
    "smooth": grouped(2, 1, 4, [5, 5], smooth_softmax=1),
    "a sink": grouped(2, 1, 4, [5, 5], sink=f(HEADS)),
    "a bias": grouped(2, 1, 4, [5, 5], bias=f(1, HEADS, 1, 5)),
    "a bias of a buffer": grouped(2, 1, 9, [5, 4], bias=f(2, 1, 1, 5)),
    "places": grouped(2, 1, 4, [5, 5], do_rotary=1, position_ids=np.array([[7], [3]])),
    "places of first tokens": grouped(
        2, 4, 0, [4, 4], do_rotary=1, position_ids=np.array([[7, 8, 9, 10], [3, 4, 5, 6]])
    ),
    "a scale": grouped(2, 1, 4, [5, 5], scale=0.3),
    "scores": grouped(1, 3, 0, [3], 4, qk_output=1),
    "weights": grouped(2, 1, 4, [5, 5], 4, qk_output=2),
    "all keys": grouped(2, 5, 0, [5, 5], causal=0),
    "all keys of rows": grouped(2, 1, 5, [6, 4], causal=0),
    "much at once": grouped(
        1, 3, 4, [7], do_rotary=1, softcap=1.5, local_window_size=2, sink=f(HEADS), bias=f(1, 1, 3, 7)
    ),
    "half": grouped(2, 1, 6, [4, 7], do_rotary=1, dtype=np.float16),
}


def of_bytes(case: Case, kind: str, scales: tuple[int, ...]) -> Case:
    """The case with a cache of int8."""
    inputs = [*case.inputs, *[None] * 5]
    for index in (3, 4):
        inputs[index] = i8(*case.inputs[index].shape)
    inputs[12:] = [np.abs(f(*scales)) * np.float32(0.01) + np.float32(0.02) for _ in range(2)]
    kinds = {"k_quant_type": kind, "v_quant_type": kind, "kv_cache_bit_width": 8}
    return case._replace(inputs=inputs, attributes={**case.attributes, **kinds})


PLAIN = grouped(2, 1, 6, [4, 7])
GROUPED |= {
    "a cache of bytes": of_bytes(PLAIN, "PER_TENSOR", (1,)),
    "a cache of bytes by channel": of_bytes(PLAIN, "PER_CHANNEL", (1, GROUPS, 1, SIZE)),
}


@pytest.mark.parametrize("name", GROUPED)
def test_grouped_attention_equals_onnx_runtime(name):
    require_as_onnx_runtime(GROUPED[name], worst=4e-3 if name == "half" else 1e-4)


def drawn(seed: int) -> Case:
    """GroupQueryAttention with what it may have, drawn."""
    draw = random.Random(seed)
    batch, first = draw.choice([1, 2, 3]), draw.random() < 0.4
    new = draw.choice([1, 3, 5]) if first or batch == 1 else 1
    ends = [new if first else draw.randint(new + 1, 9) for _ in range(batch)]
    held = draw.choice([0, None, new + 3] if first else [max(ends) - new, max(ends), max(ends) + 4])
    given: dict[str, Any] = {
        "softcap": draw.choice([0.0, 1.0, 3.0]),
        "scale": draw.choice([0.0, 0.4]),
        "packed": draw.random() < 0.4,
        "sink": f(HEADS) if draw.random() < 0.3 else None,
        "smooth_softmax": draw.choice([-1, 1]),
    }
    if draw.random() < 0.6:
        given |= {"do_rotary": 1, "rotary_interleaved": draw.randint(0, 1)}
    if draw.random() < 0.4:
        given["bias"] = f(draw.choice([1, batch]), draw.choice([1, HEADS]), new, max(ends))
    given |= draw.choice([{}, {"local_window_size": draw.randint(1, 6)}, {"causal": 0}])
    return grouped(batch, new, held, ends, **given)


@pytest.mark.parametrize("seed", range(30))
def test_grouped_attention_as_it_may_come_equals_onnx_runtime(seed):
    require_as_onnx_runtime(drawn(seed))


def test_padded_rows_of_first_tokens_are_as_onnx_runtime_has_them():
    model, inputs = model_of(grouped(2, 5, 0, [5, 3], do_rotary=1))
    expected, found = in_onnx_runtime(model, inputs), bridge.run(bridge.load(model), inputs)
    expected["y0"], found["y0"] = (r["y0"] * MASK[::-1, :, None] for r in (expected, found))
    require_equal(expected, found)


@pytest.mark.parametrize("target", ["hub", "m.tflite", "m.onnx"])
def test_grouped_attention_of_varying_lengths(tmp_path, target):
    """First tokens, one more behind them, one into a longer buffer, by one file."""
    attributes = {"num_heads": HEADS, "kv_num_heads": GROUPS, "do_rotary": 1, "local_window_size": 4}
    names = ["q", "k", "v", "pk", "pv", "lengths", "total", "cos", "sin"]
    node = helper.make_node("GroupQueryAttention", names, ["y", "k2", "v2"], domain=MS, **attributes)
    past = (np.float32, ["b", GROUPS, "p", SIZE])
    described = {
        "q": (np.float32, ["b", "s", HEADS * SIZE]),
        **dict.fromkeys("kv", (np.float32, ["b", "s", GROUPS * SIZE])),
        **dict.fromkeys(("pk", "pv"), past),
        "lengths": (np.int32, ["b"]),
        "total": (np.int32, []),
    }
    outputs = {"y": (np.float32, ["b", "s", HEADS * SIZE]), "k2": past, "v2": past}
    outputs = {n: (d, [t if t != "p" else "t" for t in shape]) for n, (d, shape) in outputs.items()}
    model = model_of_nodes(node, described, outputs, {"cos": COS, "sin": SIN}, {"": 17, MS: 1})
    runner = bridge.load(model) if target == "hub" else bridge.convert(model, tmp_path / target).path
    for case in (grouped(2, 6, 0, [6, 6]), grouped(2, 1, 6, [7, 7]), grouped(1, 1, 12, [7])):
        inputs = dict(zip(names[:7], case.inputs, strict=True))
        require_equal(in_onnx_runtime(model, inputs), bridge.run(runner, inputs))


def normalized(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * weight


def test_normalized_heads_of_grouped_attention_are_what_the_specification_says():
    case, q_norm, k_norm = grouped(1, 4, 0, [4]), f(SIZE), f(SIZE)
    q, k, *rest = case.inputs
    model, inputs = model_of(case._replace(inputs=[q, k, *rest, *[None] * 7, q_norm, k_norm]))
    plain = [normalized(x.reshape(1, 4, -1, SIZE), w).reshape(x.shape) for x, w in ((q, q_norm), (k, k_norm))]
    expected, given = model_of(case._replace(inputs=[*plain, *rest]))
    require_equal(in_onnx_runtime(expected, given), bridge.run(bridge.load(model), inputs))


C4, S4, PLACES = f(16, 4), f(16, 4), np.array([[0, 1, 2], [4, 5, 6]])
THREE = RNG.integers(0, 16, (3, 2, 3))
ROTARY = {
    "of rank 3": Case("RotaryEmbedding", [f(2, 3, 16), PLACES, C4, S4], {}),
    "of rank 4 and one place": Case(
        "RotaryEmbedding", [f(2, 2, 3, 8), np.array([3]), C4, S4], {"interleaved": 1, "scale": 2.0}
    ),
    "of a part of rank 3": Case(
        "RotaryEmbedding", [f(2, 3, 32), PLACES, C4, S4], {"rotary_embedding_dim": 8, "num_heads": 2}
    ),
    "of a part of rank 4": Case(
        "RotaryEmbedding",
        [f(2, 2, 3, 16), PLACES, C4, S4],
        {"rotary_embedding_dim": 8, "num_heads": 2, "interleaved": 1},
    ),
    "packed": Case("RotaryEmbedding", [f(2, 3, 16), np.array(3), C4, S4], {"is_packed_batching": 1}),
    "of three places": Case(
        "MRotaryEmbedding", [f(2, 3, 16), THREE, C4, S4], {"num_heads": 2, "mrope_section": [2, 1, 1]}
    ),
    "of three places by turns": Case(
        "MRotaryEmbedding",
        [f(2, 3, 24), THREE, f(16, 12), f(16, 12)],
        {"num_heads": 1, "mrope_section": [6, 4, 2], "mrope_layout": 1},
    ),
    "of three places of rank 4": Case(
        "MRotaryEmbedding",
        [f(2, 2, 3, 16), THREE, C4, S4],
        {"mrope_section": [1, 1, 2], "rotary_embedding_dim": 8, "num_heads": 2, "interleaved": 1},
    ),
}


@pytest.mark.parametrize("name", ROTARY)
def test_rotary_embedding_equals_onnx_runtime(name):
    require_as_onnx_runtime(ROTARY[name])


def test_rotary_embedding_of_unknown_width_equals_onnx_runtime():
    require_as_onnx_runtime(ROTARY["of rank 3"], {0: ["b", "s", "w"]})


def test_angles_of_gemma_are_what_the_specification_says():
    angles, (q, q2, k, k2) = f(2, 3, 8), (f(2, 4, 3, 8) for _ in range(4))
    model, inputs = model_of(Case("GemmaRotaryEmbedding", [angles, q, q2, k, k2], {}, 2))
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    require_equal(
        {"y0": q * cos + q2 * sin, "y1": k * cos + k2 * sin}, bridge.run(bridge.load(model), inputs)
    )


X, W, B = f(2, 5, 8), f(8, 24), f(24)
TOKEN, BUFFER, THIRD = f(2, 1, 8), f(2, 2, 9, 4), np.array([3], np.int32)
TWO = {"num_heads": 2}


def quantized(
    mask: np.ndarray | None = None, past: np.ndarray | None = None, w: Any = u8, **given: Any
) -> Case:
    scales = [np.float32(0.05), np.float32(0.01)]
    inputs = [u8(2, 5, 8), w(8, 24), B, *scales, mask, np.uint8(120), w(1)[0], past]
    return Case("QAttention", inputs, {**TWO, **given}, 1 if past is None else 2)


WHOLE = {
    "lengths and their sums": Case("Attention", [X, W, B, np.array([3, 5, 0, 3, 8, 0, 3, 8], np.int32)], TWO),
    "ends and starts of one row": Case("Attention", [f(1, 5, 8), W, B, np.array([5, 2], np.int32)], TWO),
    "a bias of all heads": Case("Attention", [X, W, B, None, None, f(1, 1, 5, 5)], TWO),
    "a bias and a mask": Case("Attention", [X, W, B, MASK, None, f(1, 2, 5, 5)], TWO),
    "a mask of one column": Case("Attention", [X, W, B, np.array([[1], [0]], np.int32)], TWO),
    "a mask, causal": Case("Attention", [X, W, B, MASK], {**TWO, "unidirectional": 1}),
    "a mask from the left, causal": Case("Attention", [X, W, B, MASK[:, ::-1].copy()], {**TWO, "unidirectional": 1}),
    "lengths, causal": Case("Attention", [X, W, B, np.array([3, 5], np.int32)], {**TWO, "unidirectional": 1}),
    "nothing to see": Case("Attention", [X, W, B, np.zeros((2, 5), np.int32)], TWO),
    "a buffer": Case(
        "MultiHeadAttention", [TOKEN, TOKEN, TOKEN, None, None, None, BUFFER, BUFFER, THIRD], TWO, 3
    ),
    "a buffer with a mask and bias": Case(
        "MultiHeadAttention",
        [TOKEN, TOKEN, TOKEN, B, MASK[:, 1:].copy(), f(1, 2, 1, 4), BUFFER, BUFFER, THIRD],
        TWO,
        3,
    ),
    "a buffer, causal": Case(
        "MultiHeadAttention",
        [f(2, 3, 8), f(2, 3, 8), f(2, 3, 8), B, None, None, BUFFER, BUFFER, THIRD],
        {**TWO, "unidirectional": 1},
        3,
    ),
    "sums of lengths": Case(
        "MultiHeadAttention", [X, X, X, None, np.array([3, 5, 0, 5, 10, 0, 5, 10], np.int32)], TWO
    ),
    "values of another size": Case("MultiHeadAttention", [X, f(2, 7, 8), f(2, 7, 12), f(28)], TWO),
    "a token": Case(
        "DecoderMaskedMultiHeadAttention",
        [TOKEN, TOKEN, TOKEN, None, None, BUFFER, BUFFER, THIRD],
        {**TWO, "past_present_share_buffer": 1},
        3,
    ),
    "a token with all there is": Case(
        "DecoderMaskedMultiHeadAttention",
        [TOKEN, TOKEN, TOKEN, MASK[:, 1:].copy(), f(1, 2, 1, 4), BUFFER, BUFFER, THIRD, None, None, B],
        {**TWO, "past_present_share_buffer": 1, "scale": 0.3},
        3,
    ),
    "a token against a cache": Case(
        "DecoderMaskedMultiHeadAttention", [TOKEN, f(2, 2, 5, 4), f(2, 2, 5, 4), MASK], TWO
    ),
    "bytes": quantized(),
    "bytes with sign": quantized(w=i8),
    "bytes with a mask": quantized(MASK, scale=0.3, mask_filter_value=-2.0),
    "bytes with a mask of queries": quantized(RNG.integers(0, 2, (2, 5, 5)).astype(np.int32)),
    "bytes with lengths": quantized(np.array([3, 5], np.int32)),
    "bytes with a past": quantized(past=f(2, 2, 2, 3, 4), unidirectional=1),
    "bytes with a scale a column": Case(
        "QAttention",
        [u8(2, 5, 8), i8(8, 24), B, np.float32(0.05), np.abs(f(24)) * np.float32(0.01), None, np.uint8(120), i8(24)],
        TWO,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_attention_equals_onnx_runtime(name):
    require_as_onnx_runtime(WHOLE[name])


@pytest.mark.parametrize(
    "case",
    [
        Case("MultiHeadAttention", [X, f(2, 7, 8), f(2, 7, 8), None, np.array([3, 7], np.int32)], TWO, 4),
        Case(
            "DecoderMaskedMultiHeadAttention",
            [TOKEN, f(2, 2, 5, 4), f(2, 2, 5, 4), MASK],
            {**TWO, "output_qk": 1},
            outputs=["y0", "", "", "y3"],
        ),
    ],
    ids=lambda case: case.op,
)
def test_scores_of_attention_equal_onnx_runtime(case):
    model, inputs = model_of(case)
    scores = next(output for output in model.graph.output if output.name == "y3")
    scores.CopyFrom(helper.make_tensor_value_info("y3", TensorProto.FLOAT, None))
    require_equal(in_onnx_runtime(model, inputs), bridge.run(bridge.load(model), inputs))


def test_packed_token_means_what_its_parts_mean():
    q, k, v = (f(2, 1, 8) for _ in range(3))
    attributes = {**TWO, "past_present_share_buffer": 1}
    rest = [None, None, BUFFER, BUFFER, THIRD]
    apart, given = model_of(Case("DecoderMaskedMultiHeadAttention", [q, k, v, *rest], attributes, 3))
    packed, fed = model_of(
        Case(
            "DecoderMaskedMultiHeadAttention",
            [np.concatenate([q, k, v], 2), None, None, *rest],
            attributes,
            3,
        )
    )
    require_equal(in_onnx_runtime(apart, given), bridge.run(bridge.load(packed), fed))


ALL = {**GROUPED, **ROTARY, **WHOLE}


@pytest.mark.parametrize("name", one_of_each(ALL))
def test_operator_equals_onnx_runtime_in_tflite(tmp_path, name):
    require_in_tflite(ALL[name], tmp_path)


@pytest.mark.parametrize("shape", [(2, 1, 1, 5), (5,), (1, 5)])
def test_a_mask_of_one_row_is_written_as_onnx_runtime_reads_it(tmp_path, shape):
    """ONNX Runtime takes no mask of Attention but one with a row for every query."""
    mask = RNG.integers(0, 2, shape).astype(bool)
    mask[..., 0] = True
    node = helper.make_node("Attention", ["q", "q", "q", "mask"], ["y"], q_num_heads=2, kv_num_heads=2)
    model = model_of_nodes(
        node, {"q": (np.float32, ["b", "t", 8])}, {"y": (np.float32, ["b", "t", 8])}, {"mask": mask}, {"": 23}
    )
    converted = bridge.convert(model, tmp_path / "m.onnx").path
    q = f(2, 5, 8)
    heads = q.reshape(2, 5, 2, 4).transpose(0, 2, 1, 3)
    scores = np.where(mask, heads @ heads.transpose(0, 1, 3, 2) / 2, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = (weights / weights.sum(-1, keepdims=True) @ heads).transpose(0, 2, 1, 3).reshape(2, 5, 8)
    require_equal({"y": y.astype(np.float32)}, in_onnx_runtime(onnx.load(converted), {"q": q}))
