"""Steps of products and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.testing.graphs.growth import Graph, step


@step(1)
def matmul(g: Graph, src: str, x: np.ndarray) -> str:
    """By a matrix, a vector, or a batch of matrices."""
    root = np.float32(math.sqrt(x.shape[-1]))
    n = int(g.rng.integers(1, 6))
    shape = g.pick(
        (x.shape[-1], n), (x.shape[-1],), (2, 1, x.shape[-1], n) if x.ndim < 4 else (x.shape[-1], n)
    )
    return g.add("MatMul", src, g.normal(*shape) / root)


@step(1)
def matmul_left(g: Graph, src: str, x: np.ndarray) -> str:
    length = x.shape[-2 if x.ndim > 1 else 0]
    shape = g.pick((3, length), (length,), (3, length))
    return g.add("MatMul", g.normal(*shape) / np.float32(math.sqrt(length)), src)


@step(2)
def matmul_self(g: Graph, src: str, x: np.ndarray) -> str:
    """By its transpose, all batches or one for all."""
    turned = g.add("Transpose", src, perm=[*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])
    if x.ndim > 2 and g.maybe(0.4):
        turned = g.add("ReduceMean", turned, g.ints(0))
    return g.add("MatMul", src, turned)


@step(2)
def gemm(g: Graph, src: str, x: np.ndarray) -> str:
    """Either side turned; C of every shape that broadcasts."""
    flat = src if x.ndim == 2 else g.add("Flatten", src, axis=g.pick(1, x.ndim - 1))
    width = math.prod(x.shape[1:]) if x.ndim == 2 or g.nodes[-1].attribute[0].i == 1 else x.shape[-1]
    rows, turned = x.size // width, g.pick(0, 0, 1)
    inner, outer = (rows, width) if turned else (width, rows)
    weights = g.normal(inner, 4) / np.float32(math.sqrt(inner))
    other = g.pick(0, 1)
    shape = g.pick((4,), (1, 4), (), (1,), (outer, 1), None)
    bias = [] if shape is None else [g.normal(*shape)]
    return g.add(
        "Gemm", flat, np.ascontiguousarray(weights.T if other else weights), *bias,
        transA=turned, transB=other, alpha=g.pick(1.0, 0.5, -2.0), beta=g.pick(1.0, 2.0, 0.0),
    )  # fmt: skip


@step(1)
def einsum(g: Graph, src: str, x: np.ndarray) -> str:
    g.fixed(src, -1)
    n = x.shape[-1]
    one = ("...j,jk->...k", "...j,jk->k...", "...j, jk -> ...", "...j,jk", "...j,...j->...")
    two = ("...ij,jk->...ik", "...ij,jk->...ki", "...ij,jk->...k", "...ij,jk->...i", "...ij,lj->l...i")
    equation = g.pick(*(one if x.ndim == 1 else one + two))
    if equation == "...j,...j->...":
        return g.add("Einsum", src, src, equation=equation)
    return g.add("Einsum", src, g.normal(*((3, n) if "lj" in equation else (n, 3))), equation=equation)


@step(2)
def einsum_of_one(g: Graph, src: str, x: np.ndarray) -> str:
    """Sums, turns and diagonals."""
    if x.ndim == 2:
        return g.add("Einsum", src, equation=g.pick("ij->ji", "ij->j", "ij->", "ij", "ji"))
    return g.add("Einsum", src, equation=g.pick("...ij->...ji", "...ij->...j", "b...j->...b", "...ij->..."))


@step(3, most=4)
def attention_by_hand(g: Graph, src: str, x: np.ndarray) -> str:
    width = x.shape[-1]
    q, k, v = (g.add("MatMul", src, g.normal(width, 4) / np.float32(2)) for _ in range(3))
    scores = g.add("MatMul", q, g.add("Transpose", k, perm=[*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]))
    scores = g.add("Softmax", g.add("Div", scores, np.array(2, np.float32)), axis=-1)
    return g.add("MatMul", scores, v)


@step(3, since=23, most=4)
def attention(g: Graph, src: str, x: np.ndarray) -> str:
    """With masks, fewer heads of keys, a soft cap."""
    if x.ndim == 4:
        x = x[:, 0]
        src = g.add("ReduceMean", src, g.ints(1), keepdims=0)
    heads, kept = g.pick((2, 2), (4, 2), (1, 1), (4, 1))
    q = g.add("MatMul", src, g.normal(x.shape[-1], heads * 3) / np.float32(2))
    k, v = (g.add("MatMul", src, g.normal(x.shape[-1], kept * 3) / np.float32(2)) for _ in range(2))
    chosen: dict[str, Any] = {
        "q_num_heads": heads,
        "kv_num_heads": kept,
        **g.pick({}, {"scale": 0.3}, {"softcap": 2.0}),
    }
    mask: list[Any] = []
    t = x.shape[1]
    way = g.pick("none", "causal", "bool", "float")
    if way == "causal":
        chosen["is_causal"] = 1
    elif way != "none":
        allowed = np.tril(np.ones((t, t), bool)) if g.maybe() else g.rng.random((1, 1, t, t)) < 0.7
        allowed[..., 0] = True
        mask = [allowed if way == "bool" else np.where(allowed, 0, np.float32(-1e4)).astype(np.float32)]
    return g.add("Attention", q, k, v, *mask, **chosen)


@step(3, since=23, most=3)
def rotary(g: Graph, src: str, x: np.ndarray) -> str:
    heads = g.pick(1, 2)
    y = g.add("MatMul", src, g.normal(x.shape[-1], heads * 4))
    angles = g.normal(x.shape[0], x.shape[1], 2)
    return g.add(
        "RotaryEmbedding", y, np.cos(angles), np.sin(angles), num_heads=heads, interleaved=g.pick(0, 1)
    )
