"""Linear algebra spelled out in hub operators agrees with LAPACK's, for every side, batch and rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from build import hub_from_builder
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
from bridge.passes.decompose import linalg as matrices


def computed(build: Callable, *arrays: np.ndarray) -> list[np.ndarray]:
    """What `build(op, *values)` computes; the batch is known at run time alone."""
    specs = {
        f"x{i}": (a.dtype, [*(f"n{d}" for d in range(a.ndim - 2)), *a.shape[-2:]])
        for i, a in enumerate(arrays)
    }
    model = bridge.load(hub_from_builder(build, specs))
    return list(bridge.run(model, dict(zip(specs, arrays, strict=True))).values())


@st.composite
def matrix(draw: Any, square: bool = False) -> np.ndarray:
    """Normal numbers, some columns of it alike or nothing."""
    rows = draw(st.integers(1, 7))
    shape = [
        *draw(st.lists(st.integers(1, 3), max_size=2)),
        rows,
        rows if square else draw(st.integers(1, 7)),
    ]
    x = np.random.default_rng(draw(st.integers(0, 999))).normal(size=shape)
    if draw(st.booleans()):
        x[..., draw(st.integers(0, shape[-1] - 1))] = x[..., 0] * draw(st.sampled_from([0.0, 1.0]))
    return x


@settings(max_examples=25, deadline=None)
@given(matrix(square=True))
def test_determinants(x: np.ndarray) -> None:
    (found,) = computed(matrices.determinant, x)
    np.testing.assert_allclose(found, np.linalg.det(x), rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(matrix())
def test_rows_exchanged_by_the_order_are_the_product_of_the_factors(x: np.ndarray) -> None:
    packed, _, order = computed(matrices.factored, x)
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    lower = np.tril(packed[..., :k], -1) + np.eye(rows, k)
    np.testing.assert_allclose(
        lower @ np.triu(packed[..., :k, :]), np.take_along_axis(x, order, axis=-2), atol=1e-12
    )


@settings(max_examples=25, deadline=None)
@given(matrix(), st.booleans())
def test_q_is_orthogonal_and_r_upper(x: np.ndarray, complete: bool) -> None:
    q, r = computed(lambda op, v: matrices.orthogonal_upper(op, v, complete), x)
    expected = np.linalg.qr(x, "complete" if complete else "reduced")
    assert q.shape == expected[0].shape
    np.testing.assert_allclose(q @ r, x, atol=1e-12)
    np.testing.assert_allclose(
        np.swapaxes(q, -1, -2) @ q,
        np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], *[q.shape[-1]] * 2)),
        atol=1e-12,
    )
    np.testing.assert_array_equal(r, np.triu(r))


@settings(max_examples=15, deadline=None)
@given(matrix())
def test_singular_values(x: np.ndarray) -> None:
    (found,) = computed(matrices.singular_values, x)
    np.testing.assert_allclose(found, np.linalg.svd(x, compute_uv=False), rtol=1e-9, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(matrix(square=True))
def test_eigenvalues_read_the_lower_triangle_alone(x: np.ndarray) -> None:
    (found,) = computed(lambda op, v: matrices.eigenvalues(op, matrices.symmetric(op, v)), x)
    np.testing.assert_allclose(found, np.linalg.eigvalsh(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 9, 32])
def test_systems_are_solved(size: int) -> None:
    rng = np.random.default_rng(size)
    a, b = rng.normal(size=(3, size, size)), rng.normal(size=(3, size, 2))
    (found,) = computed(matrices.eliminated, a, b)
    np.testing.assert_allclose(found, np.linalg.solve(a, b), rtol=1e-8, atol=1e-8)
    positive = a @ np.swapaxes(a, -1, -2) + np.eye(size)
    (lower,) = computed(matrices.cholesky, positive)
    np.testing.assert_allclose(lower, np.linalg.cholesky(positive), rtol=1e-8, atol=1e-8)
    (solved,) = computed(lambda op, m, v: matrices.substituted(op, m, v, lower=True), lower, b)
    np.testing.assert_allclose(lower @ solved, b, rtol=1e-8, atol=1e-8)
