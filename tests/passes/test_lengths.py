"""Dimensions of results have names that say how long they are."""

from __future__ import annotations

import numpy as np
import pytest
from build import hub_from_text, model_from_text

import bridge
from bridge.passes.lengths import NameLengths
from bridge.passes.reshape_lengths import ShareLengths

W3 = np.ones((4, 3, 3, 3), np.float32)
NAMED = {
    "a convolution by 2": ("y = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w)", ["n", "4", "(h + 1)//2", "(w + 1)//2"]),
    "two of them": (
        "a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w) y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)",
        ["n", "4", "(h + 1)//4", "(w + 1)//4"],
    ),
    "dilation": ("y = Conv <dilations = [2, 3], strides = [1, 3]> (x, w)", ["n", "4", "h - 4", "((w + 2)//3) - 2"]),
    "down and up": (
        "a = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x) y = Resize <mode = \"nearest\"> (a, , s2)",
        ["n", "3", "2*(h//2)", "2*(w//2)"],
    ),
    "down by scale": ("y = Resize (x, , half)", ["n", "3", "h//2", "w//2"]),
    "pixels in a row": ("y = Reshape (x, row)", ["n", "3", "h*w", "1"]),
    "all in a row": ("y = Reshape (x, column)", ["3*h*n*w", "1", "1", "1"]),
    "pixels of two sizes in a row": (
        "a = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x) b = Reshape (a, row) c = Reshape (x, row) "
        "y = Concat <axis = 2> (b, c)",
        ["n", "3", "(h//2)*(w//2) + h*w", "1"],
    ),
    "pixels of what is padded": (
        "a = Pad (x, around) y = Reshape (a, row)", ["n", "3", "(h + 2)*w", "1"],
    ),
    "a transposed convolution": (
        "y = ConvTranspose <strides = [2, 3], output_padding = [1, 0], pads = [1, 0, 1, 2]> (x, t)",
        ["n", "4", "2*h", "3*w - 2"],
    ),
}  # fmt: skip
CONSTANTS = {
    "w": W3,
    "t": np.ones((3, 4, 3, 3), np.float32),
    "row": np.array([0, 3, -1, 1]),
    "column": np.array([-1, 1, 1, 1]),
    "around": np.array([0, 0, 1, 0, 0, 0, 1, 0]),
    "s2": np.array([1, 1, 2, 2], np.float32),
    "half": np.array([1, 1, 0.5, 0.5], np.float32),
}


@pytest.mark.parametrize("name", NAMED)
def test_lengths_are_sums_and_quotients_of_those_of_the_inputs(name):
    body, wanted = NAMED[name]
    used = {
        k: v
        for k, v in CONSTANTS.items()
        if k in body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    }
    model = hub_from_text(f"g (float[n,3,h,w] x) => (float[p,q,r,s] y) {{ {body} }}", **used)
    NameLengths(set())(model)
    dims = [str(d) for d in model.graph.outputs[0].shape]
    assert dims == wanted
    for n, h, w in ((1, 7, 8), (2, 8, 11), (3, 13, 10), (2, 21, 30)):
        found = next(iter(bridge.run(model, {"x": np.ones((n, 3, h, w), np.float32)}).values()))
        assert [eval(dim, {"n": n, "h": h, "w": w}) for dim in dims] == list(found.shape)


def test_windows_counted_upwards_have_no_name():
    """Whether the last one counts depends on the length."""
    model = hub_from_text(
        "g (float[n,3,h,w] x) => (float[p,q,r,s] y) { y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x) }"
    )
    NameLengths(set())(model)
    assert [str(d) for d in model.graph.outputs[0].shape][2:] == ["r", "s"]


@pytest.mark.parametrize("table", [np.array(["lo", "hi"], object), np.array([np.nan, 1.5])])
def test_what_is_taken_from_a_table_is_no_length(table):
    dtype = "string" if table.dtype == object else "double"
    model = bridge.load(
        model_from_text(f"(int64[N] i) => ({dtype}[N] y) {{ y = Gather (table, i) }}", table=table)
    )
    assert not ShareLengths()(model).modified
