"""Every operator does what the kinds it is said to be of do, and none that does is forgotten."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from test_source import SCHEMAS

from bridge import traits

RNG = np.random.default_rng(11)
ATTRIBUTES = {
    "BitShift": {"direction": "LEFT"},
    "Cast": {"to": onnx.TensorProto.FLOAT},
    "DepthToSpace": {"blocksize": 2},
    "SpaceToDepth": {"blocksize": 2},
}
DTYPES = {
    "BitShift": np.uint8,
    "BitwiseNot": np.int32,
    "BitwiseAnd": np.int32,
    "BitwiseOr": np.int32,
    "BitwiseXor": np.int32,
}
TRUTHS = {"Not", "And", "Or", "Xor"}
IMAGES = {"DepthToSpace", "SpaceToDepth"}
# They pick elements by tables of places, whose own tests hold them
SECOND = {
    "Compress": np.array([True, False, True]),
    "CumProd": np.array(0),
    "CumSum": np.array(0),
    "Expand": np.array([2, 3, 4]),
    "Gather": np.array([2, 0]),
    "GatherElements": np.array([[1, 0, 2, 1]]),
    "GatherND": np.array([[2, 1], [0, 3]]),
    "Reshape": np.array([2, 6]),
    "ReverseSequence": np.array([1, 2, 3, 2]),
    "Split": np.array([1, 2]),
    "Squeeze": np.array([0]),
    "Tile": np.array([2, 1]),
    "Unsqueeze": np.array([0, 3]),
}
# Of one tensor to one tensor of its shape, but computed of more than the element in its place, or of nothing
# in it
NOT_ELEMENTWISE = {
    "Bernoulli", "Dropout", "EyeLike", "LRN", "LpNormalization", "MeanVarianceNormalization", "OptionalGetElement",
    "RandomNormalLike", "RandomUniformLike", "Trilu",
}  # fmt: skip
KNOWN = traits.ELEMENTWISE | traits.BROADCASTING | traits.ON_AXIS | traits.REDUCTION
# Matrices and text
NOT_BROADCASTING = {"MatMul", "Gemm", "StringConcat"}


def tensor(op: str, *shape: int) -> np.ndarray:
    if op in TRUTHS:
        return RNG.random(shape) < 0.5
    if op in DTYPES:
        return RNG.integers(0, 7, shape).astype(DTYPES[op])
    low = 1.0 if op == "Acosh" else 0.05 if op in ("Log", "Sqrt", "Pow", "Acos", "Asin", "Atanh") else -2.0
    return RNG.uniform(low, 0.95 if op in ("Acos", "Asin", "Atanh") else 3.0, shape).astype(np.float32)


def computed(op: str, *inputs: np.ndarray, outputs: int = 1, **attributes) -> list[np.ndarray]:
    names = [f"x{i}" for i in range(len(inputs))]
    made = [f"y{i}" for i in range(outputs)]
    node = onnx.helper.make_node(op, names, made, **{**ATTRIBUTES.get(op, {}), **attributes})
    types = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), None)
        for n, v in zip(names, inputs, strict=True)
    ]
    graph = onnx.helper.make_graph([node], "g", types, [onnx.ValueInfoProto(name=n) for n in made])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 26)])
    return [np.asarray(v) for v in ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))]


@pytest.mark.parametrize("op", sorted(traits.ELEMENTWISE))
def test_elementwise(op):
    x = tensor(op, 3, 4)
    (whole,) = computed(op, x)
    assert whole.shape == x.shape
    (turned,) = computed(op, x[::-1, ::2].copy())
    np.testing.assert_array_equal(turned, whole[::-1, ::2])


@pytest.mark.parametrize("op", sorted(traits.BROADCASTING))
def test_broadcasting(op):
    x, y = tensor(op, 3, 1), tensor(op, 1, 4)
    if op == "Clip":
        given = [tensor(op, 3, 4), np.float32(-1), np.float32(1)]
    elif op == "Where":
        given = [x > 0, y, tensor(op, 3, 4)]
    elif op in ("PRelu", "Mean"):
        given = [tensor(op, 3, 4), y]
    else:
        given = [x, y]
    (whole,) = computed(op, *given)
    assert whole.shape == (3, 4)
    wide = np.broadcast_arrays(*given)
    for i, j in ((0, 0), (2, 3), (1, 2)):
        (one,) = computed(
            op,
            *(
                np.atleast_2d(v[i : i + 1, j : j + 1]) if v.ndim else v
                for v in (wide if op != "Clip" else [wide[0], *given[1:]])
            ),
        )
        np.testing.assert_array_equal(one.reshape(()), whole[i, j])


def test_reductions_are_those_of_the_schemas():
    assert {name for name in SCHEMAS if name.startswith("Reduce")} == traits.REDUCTION


@pytest.mark.parametrize("op", sorted(traits.ON_AXIS - {"Concat", "Split"}))
def test_lines_along_an_axis_are_computed_apart(op):
    x = tensor(op, 3, 4)
    given, named = ((x, np.array(0)), {}) if op.startswith("Cum") else ((x,), {"axis": 0})
    (whole,) = computed(op, *given, **named)
    for column in range(4):
        (one,) = computed(op, x[:, column : column + 1], *given[1:], **named)
        np.testing.assert_allclose(whole[:, column : column + 1], one, rtol=1e-6)


@pytest.mark.parametrize("op", sorted(traits.MOVES_DATA))
def test_elements_are_moved_and_not_changed(op):
    shape = (1, 4, 2, 2) if op in IMAGES else (1, 3, 4) if op == "Squeeze" else (3, 4)
    x = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    more = (
        [SECOND[op]]
        if op in SECOND
        else [np.array([0, 1]), np.array([2, 4])]
        if op == "Slice"
        else [x + 100] * (op == "Concat")
    )
    named = {"axis": 0} if op in ("Concat", "Compress", "Gather", "GatherElements", "Split") else {}
    named |= {"batch_axis": 1, "time_axis": 0} if op == "ReverseSequence" else {}
    found = computed(op, x, *more, outputs=2 if op == "Split" else 1, **named)
    allowed = set(x.ravel()) | (set((x + 100).ravel()) if op == "Concat" else set())
    assert all(set(v.ravel()) <= allowed and v.size for v in found)
    if op in traits.RESHAPES:
        assert found[0].ravel().tolist() == x.ravel().tolist()
    described = SCHEMAS[op]
    types = described.inputs[0].type_str
    assert described.outputs[0].type_str == types
    assert (
        len(next(c for c in described.type_constraints if c.type_param_str == types).allowed_type_strs) >= 12
    )


@pytest.mark.parametrize("op", sorted(traits.MONOTONE))
def test_monotone(op):
    assert op in traits.ELEMENTWISE
    x = np.sort(tensor(op, 64))
    assert (np.diff(computed(op, x)[0]) >= 0).all()


@pytest.mark.parametrize("op", sorted(traits.NON_NEGATIVE))
def test_non_negative(op):
    assert (computed(op, tensor(op, 8, 16))[0] >= 0).all()


def test_random_operators_are_those_with_a_seed():
    assert {name for name, s in SCHEMAS.items() if "seed" in s.attributes} - {"Dropout"} == traits.RANDOM


def test_no_operator_of_one_tensor_is_forgotten():
    for name, schema in SCHEMAS.items():
        alone = len(schema.inputs) == len(schema.outputs) == 1 and schema.min_input == 1 and not schema.domain
        if not alone or name in KNOWN | NOT_ELEMENTWISE:
            continue
        x = tensor(name, 1, 2, 3, 4)
        try:
            (found,) = computed(name, x)
        except Exception:
            continue
        assert found.shape != x.shape or name in traits.MOVES_DATA, name


def test_no_operator_that_broadcasts_is_forgotten():
    for name, schema in SCHEMAS.items():
        words = (schema.doc or "").lower()
        if (
            "numpy-style" in words
            and "broadcasting" in words
            and not schema.domain
            and name not in NOT_BROADCASTING
        ):
            assert name in traits.BROADCASTING, name
