"""Tensor lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import X, f


def tensor_lists(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops

    def list_of(x: Any) -> Any:
        return raw.TensorListFromTensor(tensor=x, element_shape=[4])

    def stack(handle: Any) -> Any:
        return raw.TensorListStack(input_handle=handle, element_shape=[4], element_dtype=tf.float32)

    def push_back(x: Any) -> Any:
        tensors = raw.EmptyTensorList(element_shape=[4], max_num_elements=-1, element_dtype=tf.float32)
        for n in (2, 0):
            tensors = raw.TensorListPushBack(input_handle=tensors, tensor=x[n])
        return stack(tensors)

    def pop_back(x: Any) -> Any:
        rest, last = raw.TensorListPopBack(
            input_handle=list_of(x), element_shape=[4], element_dtype=tf.float32
        )
        return stack(rest), last

    return {
        "TensorListPushBack": (push_back, X),
        "TensorListPopBack": (pop_back, X),
        "TensorListLength": (lambda x: raw.TensorListLength(input_handle=list_of(x)), X),
        "TensorListGather": (
            lambda x: raw.TensorListGather(
                input_handle=list_of(x), indices=[2, 0], element_shape=[4], element_dtype=tf.float32
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
            lambda x, y: stack(
                raw.TensorListConcatLists(input_a=list_of(x), input_b=list_of(y), element_dtype=tf.float32)
            ),
            X,
            X,
        ),
        "TensorListScatter": (
            lambda x: stack(
                raw.TensorListScatter(tensor=tf.ensure_shape(x, [3, 4]), indices=[2, 0, 1], element_shape=[4])
            ),
            X,
        ),
    }
