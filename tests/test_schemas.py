"""Operands and attributes that are not as an operator's specification says are named when a model is read;
those of ONNX's own cases are not."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from build import model_from_text
from onnx import numpy_helper

import bridge
from bridge import hub, schemas
from bridge.errors import UnreadableFile

I = np.array  # noqa: E741
IMAGE = "float[1,4,6,6] x"
DAMAGED = {
    "a block of nothing": ("y = SpaceToDepth <blocksize=0> (x)", {}, "blocksize of 0"),
    "blocks that do not divide": ("y = SpaceToDepth <blocksize=4> (x)", {}, "length of 6 in blocks of 4"),
    "depth of no blocks": ("y = DepthToSpace <blocksize=3> (x)", {}, "length of 4 in blocks of 9"),
    "a kernel of nothing": ("y = MaxPool <kernel_shape=[0,1]> (x)", {}, "kernel_shape of 0"),
    "strides back": ("y = AveragePool <kernel_shape=[1,1], strides=[-1,1]> (x)", {}, "strides of -1"),
    "dilations of nothing": ("y = MaxPool <kernel_shape=[1,1], dilations=[0,0]> (x)", {}, "dilations of 0"),
    "strides of an axis": ("y = MaxPool <kernel_shape=[1,1], strides=[1]> (x)", {}, "1 strides for 2 axes"),
    "no group": ("y = Conv <group=0> (x, w)", {"w": np.ones((4, 4, 1, 1), np.float32)}, "group of 0"),
    "channels of another kernel": ("y = Conv (x, w)", {"w": np.ones((4, 3, 1, 1), np.float32)}, "4 channels"),
    "a kernel of another rank": ("y = Conv (x, w)", {"w": np.ones((4, 4, 1), np.float32)}, "differ by 1"),
    "a kernel of other windows": (
        "y = Conv <kernel_shape=[3,3]> (x, w)",
        {"w": np.ones((4, 4, 1, 1), np.float32)},
        "kernel of [1, 1]",
    ),
    "groups of channels": (
        "y = GroupNormalization <num_groups=3> (x, s, s)",
        {"s": I([1.0] * 4)},
        "3 groups",
    ),
    "a scale of other channels": (
        "y = BatchNormalization (x, s, s, s, s)",
        {"s": np.ones(3, np.float32)},
        "4 channels and a scale of 3",
    ),
    "an axis far away": ("y = Softmax <axis=4> (x)", {}, "an axis 4 of 4"),
    "an axis to gather along": ("y = Gather <axis=-5> (x, i)", {"i": I(0)}, "an axis -5 of 4"),
    "a reduced axis": ("y = ReduceSum (x, a)", {"a": I([7])}, "an axis 7 of 4"),
    "an axis squeezed": ("y = Squeeze (x, a)", {"a": I([-9])}, "an axis -9 of 4"),
    "an axis put in": ("y = Unsqueeze (x, a)", {"a": I([5])}, "an axis 5 of 5"),
    "an axis put in twice": ("y = Unsqueeze (x, a)", {"a": I([1, 1])}, "an axis twice"),
    "axes to sum along": ("y = CumSum (x, a)", {"a": I([0] * 8)}, "not one number"),
    "pads of another length": ("y = Pad (x, p)", {"p": I([1, 1, 1, 1])}, "length 4 for 4 axes"),
    "pads of other axes": (
        "y = Pad (x, p, , a)",
        {"p": I([1, 1, 1, 1]), "a": I([1])},
        "length 4 for 1 axes",
    ),
    "repeats of two": ("y = Tile (x, r)", {"r": I([2, 2])}, "length 2 for 4 axes"),
    "repeats below nothing": ("y = Tile (x, r)", {"r": I([1, 1, 1, -2])}, "-2, less than 0"),
    "starts and ends": ("y = Slice (x, s, e)", {"s": I([0, 0]), "e": I([1])}, "length 1, not 2"),
    "starts of five": ("y = Slice (x, s, s)", {"s": I([0] * 5)}, "5 starts for 4 axes"),
    "scales of two": ("y = Resize (x, , s)", {"s": np.ones(2, np.float32)}, "length 2 for 4 axes"),
    "scales of nothing": ("y = Resize (x, , s)", {"s": np.zeros(4, np.float32)}, "a scale of 0"),
    "sizes below nothing": ("y = Resize (x, , , s)", {"s": I([1, 4, -1, 6])}, "-1, less than 0"),
    "sizes of a split": ("y, z = Split <axis=1> (x, s)", {"s": I([1, 2])}, "3 in all for a length of 4"),
    "parts of a split": ("y, z = Split <axis=1> (x, s)", {"s": I([4])}, "1 sizes for 2 outputs"),
    "numbers of a split": ("y, z = Split <num_outputs=3> (x)", {}, "2 outputs, not 3"),
    "more than all": ("y, i = TopK (x, k)", {"k": I([7])}, "a K of 7"),
    "less than nothing": ("y, i = TopK (x, k)", {"k": I([-1])}, "-1, less than 0"),
    "an order of three": ("y = Transpose <perm=[0,2,1]> (x)", {}, "perm of [0, 2, 1] for 4"),
    "an axis ordered twice": ("y = Transpose <perm=[0,1,1,3]> (x)", {}, "perm of [0, 1, 1, 3]"),
    "lengths that do not meet": ("y = Add (x, b)", {"b": np.ones(5, np.float32)}, "lengths 5 and 6"),
    "a shape below nothing": ("y = Reshape (x, s)", {"s": I([-2, 3])}, "-2, less than -1"),
    "a shape of a matrix": ("y = Reshape (x, s)", {"s": I([[4, 36]])}, "2 dimensions, not 1"),
    "places of other numbers": ("y = GatherND (x, i)", {"i": I([[0] * 5])}, "5 numbers for 4 dimensions"),
    "batches of more": ("y = GatherND <batch_dims=4> (x, i)", {"i": I([[0]])}, "batch_dims of 4"),
    "boxes of three numbers": (
        "y = RoiAlign (x, r, b)",
        {"r": np.ones((1, 3), np.float32), "b": I([0])},
        "length 3, not 4",
    ),
    "a matrix of four": ("y = Gemm (x, x)", {}, "4 dimensions, not 2"),
    "a triangle of a vector": ("y = Trilu (v)", {"v": np.ones(3, np.float32)}, "1 dimensions, not 2 or more"),
    "a step of nothing": ("y = Range (a, a, d)", {"a": I(3), "d": I(0)}, "a delta of 0"),
    "weights of other gates": (
        "y = LSTM <hidden_size=2> (v, w, r)",
        {k: np.ones(s, np.float32) for k, s in {"v": (1, 1, 3), "w": (1, 6, 3), "r": (1, 6, 2)}.items()},
        "length 6, not 8",
    ),
    "a mode that is none": ('y = Resize <mode="no_such"> (x, , s)', {"s": I([1.0] * 4)}, "mode of 'no_such'"),
    "a direction that is none": (
        'y = LSTM <hidden_size=1, direction="1"> (v, v, w)',
        {"v": np.ones((1, 4, 1), np.float32), "w": np.ones((1, 4, 1), np.float32)},
        "direction of '1', none of forward",
    ),
    "pads of no kind": ('y = AveragePool <kernel_shape=[1,1], auto_pad="x"> (x)', {}, "auto_pad of 'x'"),
    "a dtype that is none": ("y = Cast <to=99> (x)", {}, "to of 99, which is no dtype"),
    "no dtype": ("y = Cast <to=0> (x)", {}, "to of 0, which is no dtype"),
    "scales of an axis of another length": (
        "y = DequantizeLinear <axis=0> (q, s)",
        {"q": np.ones((6, 2), np.int8), "s": np.ones(3, np.float32)},
        "3 scales for a length of 6",
    ),
    "scales of no axis": (
        "y = DequantizeLinear <axis=2> (q, s)",
        {"q": np.ones((6, 2), np.int8), "s": np.ones(3, np.float32)},
        "an axis 2 of 2",
    ),
    "zero points of other scales": (
        "y = QuantizeLinear (x, s, z)",
        {"s": np.ones(4, np.float32), "z": np.zeros(3, np.int8)},
        "4 scales and 3 zero points",
    ),
    "a body of fewer": (
        "y = Loop (n, , x) <body = b (int64 i, bool go) => (bool on, float[1] r) { on = Identity (go) "
        "r = Cast <to=1> (i) }>",
        {"n": I(2)},
        "body of 2 inputs, not 3",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_operands_that_no_operator_takes_are_named(name):
    body, constants, said = DAMAGED[name]
    model = model_from_text(f"({IMAGE}) => (float y) {{ {body} }}", **constants)
    model.graph.output[0].ClearField("type")
    with pytest.raises(UnreadableFile, match="is not a valid model") as raised:
        bridge.load(model)
    assert said in str(raised.value)


def test_the_tables_name_operators():
    for table in (schemas.SHAPES, schemas.SINGLE, schemas.AXES, schemas.LEAST, schemas.OWN):
        assert all(onnx.defs.has(name) for name in table)
    attributes = {name for schema in onnx.defs.get_all_schemas() for name in schema.attributes}
    assert attributes >= schemas.POSITIVE | schemas.NATURAL | schemas.NAMES_AXES
    assert attributes >= schemas.CHOICES.keys() | schemas.NAMES_DTYPES.keys()
    for name, operators in schemas.CHOICES.items():
        assert all(name in onnx.defs.get_schema(op).attributes for op in operators if op)


def with_constants(case) -> onnx.ModelProto:
    """The model of a case, whose numbers are constants as far as they can be."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs = case.data_sets[0][0] if case.data_sets else []
    for given, value in zip(case.model.graph.input, inputs, strict=False):
        if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
            tensor = numpy_helper.from_array(value, given.name)
            if tensor.data_type == given.type.tensor_type.elem_type:
                model.graph.initializer.append(tensor)
                model.graph.input.remove(given)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def test_nothing_is_said_of_what_onnx_shows():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases()
    for case in cases:
        for proto in (case.model, with_constants(case)):
            model = ir.from_proto(proto)
            for node in hub.all_nodes(model):
                schema = hub.schema(node, model.opset_imports.get(node.domain, 1))
                if schema is not None and not schema.deprecated:
                    assert not list(schemas.problems_of(node, schema)), case.name
    assert len(cases) > 1500
