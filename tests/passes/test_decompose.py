"""What an operator is spelled out in computes what the operator does: ONNX's own node cases, and generated
geometry."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx_ir as ir
import pytest
from build import assert_unchanged, hub_from_text, operators, without
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import bridge
from bridge import hub
from bridge.comparison import compare, last_place
from bridge.errors import BridgeError
from bridge.matrix.cases import frozen, node_cases
from bridge.passes.decompose import DECOMPOSITIONS, Decompose
from bridge.passes.names import NameValues
from bridge.passes.widen import ComputeWider
from bridge.runtime import Outputs, run_onnxruntime

OPERATORS = sorted({rule.op for rule in DECOMPOSITIONS})
RANDOM = ("Dropout",)
LOSSY = {
    "test_roialign_mode_max": "the case takes the largest of products, as the operator did before opset 16"
}


@cache
def cases_of() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, case in node_cases().items():
        if len(case.model.graph.node) == 1 and not name.endswith("_expanded"):
            node = case.model.graph.node[0]
            found.setdefault(f"{node.domain}::{node.op_type}" if node.domain else node.op_type, []).append(
                name
            )
    return found


def spelled_out(case, operator: str) -> bool:
    """Whether `operator` was spelled out; raises AssertionError where that changed the answer."""
    try:
        model = bridge.load(case.model)
        bridge.run(model, case.inputs[0])
    except BridgeError:
        return False
    before = [node for node in hub.all_nodes(model) if hub.qualified(node) == operator]
    Decompose(lambda node: node not in before)(model)
    if not before or any(node in before for node in hub.all_nodes(model)):
        return False
    NameValues()(model)
    hub.verify(model)
    names = [value.name for value in case.model.graph.output]
    expected = Outputs(dict(zip(names, case.expected[0], strict=True)), "expected")
    got, atol = bridge.run(model, case.inputs[0]), max(1e-5, last_place(expected))
    result = compare(expected, got, 1e-3, atol)
    if not result.ok and operator == "Resize":
        own = run_onnxruntime(case.model.SerializeToString(), names, case.inputs[0])
        result = compare(own, got, 1e-3, atol)
    if operator not in RANDOM or len(case.model.graph.node[0].input) < 3:
        assert result.ok, f"{case.name}\n{result}"
    return True


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_node_cases_of_an_operator_survive_its_decomposition(operator):
    names = cases_of().get(operator, [])
    cases = [c for n in names for c in (node_cases()[n], frozen(node_cases()[n])) if c is not None]
    done = [spelled_out(case, operator) for case in cases]
    if not any(done):
        pytest.skip("no node case takes this decomposition")


def assert_decomposed(
    model: ir.Model,
    operator: str,
    inputs: dict[str, np.ndarray] | None = None,
    rtol: float | None = 1e-4,
    atol: float | None = 1e-5,
) -> None:
    """The model without `operator` computes what it did."""
    assert_unchanged(model, without(operator), NameValues(), inputs=inputs, rtol=rtol, atol=atol)
    assert operator not in operators(model)


@st.composite
def geometry(draw):
    rank = draw(st.integers(1, 3))
    size = [draw(st.integers(4, 7)) for _ in range(rank)]
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    pads = [draw(st.integers(0, k // 2)) for k in kernel * 2]
    return size, kernel, strides, dilations, pads


def listed(values) -> str:
    return ", ".join(map(str, values))


@settings(max_examples=40, deadline=None)
@given(geometry(), st.sampled_from(["MaxPool", "AveragePool"]), st.booleans(), st.booleans(), st.booleans())
def test_pools_of_any_geometry_by_gathering(shape, operator, ceil, counted, dynamic):
    size, kernel, strides, dilations, pads = shape
    assume(not (dynamic and ceil))
    dims = ",".join(f"d{i}" if dynamic else str(n) for i, n in enumerate(size))
    extra = f", count_include_pad: int = {int(counted)}" if operator == "AveragePool" else ""
    assume(
        all(
            n + pads[i] + pads[i + len(size)] >= (k - 1) * d + 1
            for i, (n, k, d) in enumerate(zip(size, kernel, dilations, strict=True))
        )
    )
    model = hub_from_text(
        f"""(float[2,3,{dims}] x) => (float[2,3,{",".join("o" + str(i) for i in range(len(size)))}] y) {{
        y = {operator} <kernel_shape: ints = [{listed(kernel)}], strides: ints = [{listed(strides)}], pads: ints = [{listed(pads)}],
        dilations: ints = [{listed(dilations)}], ceil_mode: int = {int(ceil)}{extra}> (x) }}"""
    )
    inputs = {"x": np.random.default_rng(0).standard_normal([2, 3, *size]).astype(np.float32)}
    assert_unchanged(model, without(operator), inputs=inputs, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(geometry(), st.sampled_from([1, 2]), st.booleans(), st.sampled_from(["Conv", "ConvTranspose"]))
def test_convolutions_of_any_geometry_as_products(shape, group, constant, operator):
    size, kernel, strides, dilations, pads = shape
    assume(
        all(
            n + pads[i] + pads[i + len(size)] >= (k - 1) * d + 1
            for i, (n, k, d) in enumerate(zip(size, kernel, dilations, strict=True))
        )
    )
    weights = [4, 2 // group, *kernel] if operator == "Conv" else [2, 4 // group, *kernel]
    spatial = ",".join(map(str, size))
    model = hub_from_text(
        f"""(float[1,2,{spatial}] x, float[{",".join(map(str, weights))}] w, float[4] b) => (float[1,4,{",".join("o" + str(i) for i in range(len(size)))}] y) {{
        y = {operator} <strides: ints = [{listed(strides)}], pads: ints = [{listed(pads)}], group: int = {group},
        dilations: ints = [{listed(dilations)}]> (x, w, b) }}"""
    )
    assert_decomposed(model, operator)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    st.lists(st.integers(1, 9), min_size=2, max_size=2),
    st.booleans(),
)
def test_resizes_of_any_mode_as_weighted_gathers(coordinate, mode, rounding, sizes, dynamic):
    dims = "h,w" if dynamic else "4,5"
    model = hub_from_text(
        f"""(float[1,2,{dims}] x) => (float[1,2,{sizes[0]},{sizes[1]}] y) <int64[4] s = {{1, 2, {sizes[0]}, {sizes[1]}}}> {{
        y = Resize <mode: string = "{mode}", coordinate_transformation_mode: string = "{coordinate}", nearest_mode: string = "{rounding}"> (x, , , s) }}"""
    )
    inputs = {"x": np.random.default_rng(1).standard_normal([1, 2, 4, 5]).astype(np.float32)}
    assert_unchanged(model, without("Resize"), inputs=inputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "equation",
    [
        "ij,jk->ik",
        "bij,bjk->bik",
        "...ij,...jk->...ik",
        "ii->i",
        "ii",
        "ij->ji",
        "i,j->ij",
        "bhwc,hkc->bhwk",
        "ij,ij->",
        "ij,jk,kl->il",
        "b...->b",
    ],
)
def test_einsum_of_any_equation_as_products(equation):
    letters = dict(zip("bhwcijklq", (2, 3, 4, 5, 3, 4, 5, 2, 2), strict=True))
    if "ii" in equation:
        letters["i"] = 3
    shapes = []
    for term in equation.split("->")[0].split(","):
        named = term.replace("...", "q")
        shapes.append(",".join(str(letters[c]) for c in named))
    inputs = ", ".join(f"float[{s}] x{i}" for i, s in enumerate(shapes))
    result = equation.split("->")[1].replace("...", "q") if "->" in equation else ""
    shape = ",".join(str(letters[c]) for c in result)
    names = ", ".join(f"x{i}" for i in range(len(shapes)))
    kind = f"float[{shape}]" if shape else "float"
    assert_decomposed(
        hub_from_text(
            f'({inputs}) => ({kind} y) {{ y = Einsum <equation: string = "{equation}"> ({names}) }}'
        ),
        "Einsum",
    )


@pytest.mark.parametrize(
    ("equation", "declared", "fed"),
    [
        ("...j,jk->...", ("n", "1,3"), ([4], [1, 3])),
        ("ij,jk->ik", ("2,n", "1,3"), ([2, 4], [1, 3])),
        ("bij,bjk->bik", ("1,2,n", "b,n,3"), ([1, 2, 4], [5, 4, 3])),
        ("...ij,...jk->...ik", ("b,2,3", "c,3,2"), ([1, 2, 3], [5, 3, 2])),
        ("...ij,...jk->...ik", ("b,2,3", "c,3,2"), ([5, 2, 3], [1, 3, 2])),
    ],
)
def test_axes_of_one_element_broadcast_under_their_label(equation, declared, fed):
    inputs = ", ".join(f"float[{dims}] x{i}" for i, dims in enumerate(declared))
    rank = np.einsum(equation, *(np.ones(shape) for shape in fed)).ndim
    model = hub_from_text(
        f"({inputs}) => (float[{','.join('rst'[:rank])}] y) "
        f'{{ y = Einsum <equation: string = "{equation}"> (x0, x1) }}'
    )
    arrays = [np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate(fed)]
    without("Einsum")(model)
    assert not [node for node in model.graph if node.op_type == "Einsum"]
    got = bridge.run(model, {f"x{i}": a.astype(np.float32) for i, a in enumerate(arrays)})["y"]
    np.testing.assert_allclose(got, np.einsum(equation, *arrays), rtol=1e-5, atol=1e-6)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=8, max_size=8),
    st.lists(st.integers(-(2**40), 2**40), min_size=8, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_64_bit_division_is_exact(tops, bottoms):
    x, y = np.array(tops, np.int64), np.array([b or 3 for b in bottoms], np.int64)
    x = np.clip(x, -(2**62), 2**62)
    model = hub_from_text("(int64[8] x, int64[8] y) => (int64[8] z) { z = Div (x, y) }")
    Decompose(lambda node: node.op_type != "Div" or node.inputs[0].dtype.name != "INT64")(model)
    assert len(model.graph) > 1
    exact = [
        abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
    ]
    assert bridge.run(model, {"x": x, "y": y})["z"].tolist() == exact


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "uint8", "int16", "uint16", "uint32"])
@pytest.mark.parametrize("operator", ["Add", "Mul", "Sub"])
def test_wider_arithmetic_gives_the_same_elements(operator, dtype):
    model = hub_from_text(f"({dtype}[6] x, {dtype}[6] y) => ({dtype}[6] z) {{ z = {operator} (x, y) }}")
    wider = ComputeWider(lambda node: node.inputs[0].dtype.name in ("FLOAT", "INT32", "INT64"))
    assert_unchanged(model, wider, rtol=0.0, atol=0.0)
    assert "Cast" in operators(model)


@pytest.mark.parametrize("constant", [1.7e308, -1.7e308, 0.5])
@pytest.mark.parametrize("operator", ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"])
@pytest.mark.parametrize("operands", ["x, c", "c, x"])
def test_a_float64_bound_beyond_float32_compares_as_before(operator, constant, operands):
    text = f"(double[6] x) => (bool[6] y) <double c = {{{constant}}}> {{ y = {operator} ({operands}) }}"
    model = hub_from_text(text)
    largest = float(np.finfo(np.float32).max)
    x = {"x": np.array([-np.inf, -largest, 0.5, largest, np.inf, np.nan])}
    before = bridge.run(model, x)["y"]
    ComputeWider(lambda node: node.inputs[0].dtype.name == "FLOAT")(model)
    assert any(node.op_type == "Cast" for node in model.graph)
    np.testing.assert_array_equal(bridge.run(model, x)["y"], before)


def test_a_float64_constant_beyond_float32_is_not_made_infinite():
    model = hub_from_text("(double[2] x) => (double[2] y) <double c = {1e300}> { y = Mul (x, c) }")
    ComputeWider(lambda node: node.inputs[0].dtype.name == "FLOAT")(model)
    assert [node.op_type for node in model.graph] == ["Mul"]


def test_float64_computed_as_float32_is_reported_as_approximated(tmp_path):
    model = hub_from_text("(double[3] x) => (double[3] y) { y = Exp (x) }")
    report = bridge.save(model, tmp_path / "m.tflite").report
    assert report.counts() == {"approximated": 1}
    assert "float64 computed as float32" in report.crossings[0].detail


@pytest.mark.parametrize("mode", ["wrap", "reflect", "edge"])
@pytest.mark.parametrize("pads", [(-2, 1), (1, -2), (-3, 2), (3, -1), (-1, -1)])
def test_padding_cuts_before_it_repeats(mode, pads):
    graph = (
        f"(float[6] x) => (float[n] y) {{ p = Constant <value_ints=[{pads[0]}, {pads[1]}]> () y = Pad "
        f'<mode="{mode}"> (x, p) }}'
    )
    assert_decomposed(hub_from_text(graph), "Pad", {"x": np.arange(6, dtype=np.float32)}, None, None)


def test_overlapping_windows_unpool_a_place_once():
    graph = (
        "(float[1,1,6] x) => (float[1,1,6] y) { p, i = MaxPool <kernel_shape=[3]> (x) "
        "s = Constant <value_ints=[1, 1, 6]> () y = MaxUnpool <kernel_shape=[3]> (p, i, s) }"
    )
    x = np.float32([[[1, 5, 2, -3, -4, -5]]])
    model = hub_from_text(graph)
    assert_decomposed(model, "MaxUnpool", {"x": x}, None, None)
    assert all(n.op_type != "ScatterND" or hub.attr(n, "reduction") == "max" for n in model.graph)
