"""Matrices and their factorizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import X, Y, f


def matrices(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    square = f(2, 5, 5) + 4 * np.eye(5, dtype=np.float32)
    positive = (square @ square.swapaxes(1, 2)).astype(np.float32)
    return {
        "MatrixInverse": (lambda x: raw.MatrixInverse(input=x, adjoint=True), square),
        "MatrixInverse turned rows": (
            lambda x: raw.MatrixInverse(input=x),
            np.array([[[0, 2], [3, 0]]], np.float32),
        ),
        "MatrixSolve": (lambda a, x: raw.MatrixSolve(matrix=a, rhs=x), square, f(2, 5, 3)),
        "MatrixTriangularSolve": (
            lambda a, x: raw.MatrixTriangularSolve(matrix=a, rhs=x),
            square,
            f(2, 5, 3),
        ),
        "MatrixTriangularSolve upper": (
            lambda a, x: raw.MatrixTriangularSolve(matrix=a, rhs=x, lower=False),
            square,
            f(2, 5, 3),
        ),
        "MatrixTriangularSolve adjoint": (
            lambda a, x: raw.MatrixTriangularSolve(matrix=a, rhs=x, adjoint=True),
            square,
            f(2, 5, 3),
        ),
        "Cholesky": (lambda x: raw.Cholesky(input=x), positive),
        "TridiagonalMatMul": (
            lambda x: raw.TridiagonalMatMul(
                superdiag=f(2, 1, 4), maindiag=f(2, 1, 4), subdiag=f(2, 1, 4), rhs=x
            ),
            f(2, 4, 3),
        ),
        "complex products": (lambda x, y: tf.abs(tf.complex(x, y) * tf.complex(y, x) + 2.0), X, Y),
        "complex quotient": (lambda x, y: tf.math.imag(tf.complex(x, y) / tf.complex(y, x) - 1.0), X, Y),
        "complex matrix product": (
            lambda x, y: tf.math.real(tf.linalg.matmul(tf.complex(x, y), tf.complex(y, x), adjoint_b=True)),
            X,
            Y,
        ),
        "complex exponential": (
            lambda x: tf.math.real(tf.exp(tf.complex(x, x) * tf.constant(0.5 + 1j, tf.complex64))),
            X,
        ),
        "complex sum": (lambda x, y: tf.abs(tf.reduce_sum(-tf.complex(x, y), axis=0)), X, Y),
        "IRFFT2D": (lambda x: tf.signal.irfft2d(tf.signal.rfft2d(x) * 2.0), f(3, 6, 8)),
        "RFFT3D": (lambda x: tf.abs(tf.signal.rfft3d(x)), f(2, 4, 6, 5)),
        "IRFFT3D": (lambda x: tf.signal.irfft3d(tf.signal.rfft3d(x)), f(2, 4, 6, 4)),
    }


def factorizations(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    square, tall, wide = f(2, 5, 5), f(2, 6, 4), f(2, 3, 5)
    zeros = np.array([[[0, 2, 0], [0, 0, 3], [4, 0, 0]], [[1, 2, 3], [2, 4, 7], [0, 0, 1]]], np.float32)

    def qr(x: Any, **more: Any) -> Any:
        return list(raw.Qr(input=x, **more))

    def singular_values(x: Any) -> Any:
        return raw.Svd(input=x, compute_uv=False)[0]

    def least_squares(a: Any, b: Any, l2_regularizer: float = 0.0) -> Any:
        return raw.MatrixSolveLs(matrix=a, rhs=b, l2_regularizer=np.float64(l2_regularizer))

    banded = f(3, 5) + np.array([[4], [0], [0]], np.float32)

    def banded_solve(a: Any, b: Any, **more: Any) -> Any:
        return raw.BandedTriangularSolve(matrix=tf.ensure_shape(a, [3, 5]), rhs=b, **more)

    return {
        "Lu": (lambda x: list(raw.Lu(input=x)), square),
        "Lu turned rows": (lambda x: list(raw.Lu(input=x, output_idx_type=tf.int64)), zeros[:1]),
        "Lu and back": (lambda x: tf.linalg.lu_reconstruct(*tf.linalg.lu(x)), square),
        "Lu of one": (lambda x: list(raw.Lu(input=x)), f(2, 1, 1)),
        "Qr": (qr, square),
        "Qr tall": (qr, tall),
        "Qr tall whole": (lambda x: qr(x, full_matrices=True), tall),
        "Qr wide": (qr, wide),
        "Qr of zeros": (qr, zeros),
        "Qr of one": (qr, f(2, 1, 1)),
        "Svd values": (singular_values, square),
        "Svd values tall": (singular_values, tall),
        "Svd values wide": (singular_values, wide),
        "Svd values of one": (singular_values, f(2, 1, 4)),
        "Svd values double": (singular_values, f(3, 4, 4).astype(np.float64)),
        "SelfAdjointEigV2 values": (lambda x: raw.SelfAdjointEigV2(input=x, compute_v=False)[0], square),
        "SelfAdjointEigV2 values of four": (
            lambda x: tf.linalg.eigvalsh(tf.ensure_shape(x, [4, 4])),
            f(4, 4),
        ),
        "MatrixSolveLs": (least_squares, tall, f(2, 6, 2)),
        "MatrixSolveLs wide": (least_squares, wide, f(2, 3, 2)),
        "MatrixSolveLs regular": (lambda a, b: least_squares(a, b, 0.5), tall, f(2, 6, 2)),
        "TridiagonalSolve": (
            lambda d, b: raw.TridiagonalSolve(diagonals=d, rhs=b),
            f(2, 3, 5) + np.array([[0], [4], [0]], np.float32),
            f(2, 5, 2),
        ),
        "TridiagonalSolve turned rows": (
            lambda d, b: raw.TridiagonalSolve(diagonals=tf.ensure_shape(d, [3, 3]), rhs=b),
            np.float32([[2, 1, 0], [0, 3, 1], [0, 1, 5]]),
            f(3, 1),
        ),
        "BandedTriangularSolve": (banded_solve, banded, f(5, 2)),
        "BandedTriangularSolve upper": (
            lambda a, b: banded_solve(a, b, lower=False),
            banded[::-1].copy(),
            f(5, 2),
        ),
        "BandedTriangularSolve adjoint": (lambda a, b: banded_solve(a, b, adjoint=True), banded, f(5, 2)),
    }
