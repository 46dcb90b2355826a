"""Tensor lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import X, f


def tensor_lists(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops

    def of(x: Any) -> Any:
        return raw.TensorListFromTensor(tensor=x, element_shape=[4])

    def stacked(handle: Any) -> Any:
        return raw.TensorListStack(input_handle=handle, element_shape=[4], element_dtype=tf.float32)

    def pushed(x: Any) -> Any:
        made = raw.EmptyTensorList(element_shape=[4], max_num_elements=-1, element_dtype=tf.float32)
        for n in (2, 0):
            made = raw.TensorListPushBack(input_handle=made, tensor=x[n])
        return stacked(made)

    def popped(x: Any) -> Any:
        rest, last = raw.TensorListPopBack(input_handle=of(x), element_shape=[4], element_dtype=tf.float32)
        return stacked(rest), last

    return {
        "TensorListPushBack": (pushed, X),
        "TensorListPopBack": (popped, X),
        "TensorListLength": (lambda x: raw.TensorListLength(input_handle=of(x)), X),
        "TensorListGather": (
            lambda x: raw.TensorListGather(
                input_handle=of(x), indices=[2, 0], element_shape=[4], element_dtype=tf.float32
            ),
            X,
        ),
        "TensorListConcatV2": (
            lambda x: raw.TensorListConcatV2(
                input_handle=raw.TensorListFromTensor(tensor=x, element_shape=[3, 4]),
                element_shape=[3, 4],
                leading_dims=np.zeros(0, np.int64),
                element_dtype=tf.float32,
            )[0],
            f(2, 3, 4),
        ),
        "TensorListConcatLists": (
            lambda x, y: stacked(
                raw.TensorListConcatLists(input_a=of(x), input_b=of(y), element_dtype=tf.float32)
            ),
            X,
            X,
        ),
        "TensorListScatter": (
            lambda x: stacked(
                raw.TensorListScatter(tensor=tf.ensure_shape(x, [3, 4]), indices=[2, 0, 1], element_shape=[4])
            ),
            X,
        ),
    }
