"""Control flow, and operators that return their input."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import X


def control_flow(tf: Any) -> dict[str, tuple]:
    def looped(x: Any, n: Any) -> Any:
        return tf.while_loop(
            lambda k, v: k < n, lambda k, v: [k + 1, v * 0.5 + tf.cast(k, tf.float32)], [0, x]
        )[1]

    def collected(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, 3)
        for_each = tf.while_loop(
            lambda k, a: k < 3, lambda k, a: [k + 1, a.write(k, x[k] * 2)], [tf.constant(0), array]
        )
        return for_each[1].stack()

    def filled(x: Any, n: Any, start: Any) -> Any:
        step = lambda k, a: [k + 1, a.write(k, x[k] * 2)]  # noqa: E731
        return tf.while_loop(lambda k, a: k < n, step, [0, start])[1].stack()

    def blank() -> Any:
        return tf.TensorArray(tf.float32, 3, element_shape=[4])

    def reread(x: Any) -> Any:
        step = lambda k, a: [k + 1, a.write(k, a.read(k - 1) + x[k])]  # noqa: E731
        return tf.while_loop(lambda k, a: k < 3, step, [1, blank().unstack(x)])[1].stack()

    def last(x: Any, n: Any, there: Any = None) -> Any:
        start = tf.TensorArray(tf.float32, 1, element_shape=[4])
        start = start if there is None else start.write(0, there)
        step = lambda k, a: [k + 1, a.write(0, x[k] * 2)]  # noqa: E731
        return tf.while_loop(lambda k, a: k < n, step, [0, start])[1].stack()

    def count(n: int) -> np.ndarray:
        return np.array(n, np.int32)

    return {
        "While keeps the last": (last, X, count(2)),
        "While keeps nothing": (last, X, count(0)),
        "While keeps what was there": (lambda x, n: last(x, n, x[2]), X, count(0)),
        "While ends early": (lambda x, n: filled(x, n, blank()), X, np.array(2, np.int32)),
        "While ends early over a list": (
            lambda x, n: filled(x, n, blank().unstack(x)),
            X,
            np.array(2, np.int32),
        ),
        "While rereads its list": (reread, X),
        "If": (lambda x, c: tf.cond(c, lambda: x * 2, lambda: x - 1), X, np.array(True)),
        "If of a number": (
            lambda x, c: tf.cond(c > 0, lambda: x * 2, lambda: x - 1),
            X,
            np.array(-1, np.int32),
        ),
        "While": (looped, X, np.array(4, np.int32)),
        "While collecting": (collected, X),
        "Case": (
            lambda x, k: tf.switch_case(k, [lambda: x, lambda: x * 2, lambda: x * 3]),
            X,
            np.array(1, np.int32),
        ),
        "TensorArray": (lambda x: tf.TensorArray(tf.float32, 2).unstack(x[:2]).read(1), X),
        "map_fn": (lambda x: tf.map_fn(lambda row: tf.reduce_sum(row) * row, x), X),
        "scan": (lambda x: tf.scan(lambda a, v: a + v, x), X),
    }


def identities(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops

    def printed(x: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_greater(tf.size(x), 0)]):
            return raw.Print(input=x, data=[x], first_n=0) + 1

    return {
        "Print": (printed, X),
        "CheckNumericsV2": (lambda x: raw.CheckNumericsV2(tensor=x, message="m") + 0, X),
        "PreventGradient": (lambda x: raw.PreventGradient(input=x) + 0, X),
        "GuaranteeConst": (lambda x: raw.GuaranteeConst(input=x) + 0, X),
        "DeepCopy": (lambda x: raw.DeepCopy(x=x) + 0, X),
        "PlaceholderWithDefault": (lambda x: raw.PlaceholderWithDefault(input=X, shape=[3, 4]) + x, X),
        "ToBool": (lambda x: raw.ToBool(input=x[0, 0]), X),
    }
