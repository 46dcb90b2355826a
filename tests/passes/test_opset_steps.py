"""Every change an operator went through is lifted over, and keeps what ONNX Runtime computed at the opset of
the model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from build import model_from_text

import bridge
from bridge.passes.opset import up
from bridge.runtime import Outputs
from bridge.verify import compare

DEPRECATED = {
    ("Upsample", 10): "becomes Resize at 11",
    ("TreeEnsembleClassifier", 5): "the hub keeps it beside TreeEnsemble",
    ("TreeEnsembleRegressor", 5): "the hub keeps it beside TreeEnsemble",
}


def history() -> Iterator[tuple[onnx.defs.OpSchema, onnx.defs.OpSchema]]:
    """Consecutive versions of every operator of the domains the hub lifts, from opset 7 on."""
    versions: dict[tuple[str, str], list[onnx.defs.OpSchema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in ("", "ai.onnx.ml"):
            versions.setdefault((schema.domain, schema.name), []).append(schema)
    for (domain, _), found in sorted(versions.items()):
        found.sort(key=lambda s: s.since_version)
        for old, new in itertools.pairwise(found):
            if domain or new.since_version > 7:
                yield old, new


def incompatible(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> str:
    """How a node of `old` may be no node of `new`, or mean something else there; empty when it cannot."""

    def default(attribute):
        return attribute.default_value.SerializeToString() if attribute.default_value.type else None

    if new.deprecated:
        return "is deprecated"
    for name, attribute in old.attributes.items():
        other = new.attributes.get(name)
        if other is None or other.type != attribute.type:
            return f"attribute {name} went"
        if not attribute.required and default(attribute) != default(other):
            return f"the default of {name} changed"
    if any(a.required for name, a in new.attributes.items() if name not in old.attributes):
        return "an attribute is required"
    if (
        len(new.inputs) < len(old.inputs)
        or len(new.outputs) < len(old.outputs)
        or new.min_input > old.min_input
    ):
        return "inputs or outputs went"
    return ""


def test_every_incompatible_version_of_an_operator_has_a_step():
    missing = [
        f"{new.name} {new.since_version}: {why}"
        for old, new in history()
        if (why := incompatible(old, new))
        and (new.name, new.since_version) not in up.STEPS
        and (new.name, new.since_version) not in DEPRECATED
    ]
    assert missing == []


def test_every_step_is_a_version_of_its_operator():
    known = {(s.name, s.since_version) for s in onnx.defs.get_all_schemas_with_history()}
    assert {key for key in up.STEPS if key not in known} <= {("Upsample", 11)}


X = "float[2,3,4] x"
CASES = [
    (8, f"({X}) => (float[5,2,3,4] y) {{ s = Constant <value: tensor = int64[4] {{5, 2, 3, 4}}> () y = "
        f"Expand (x, s) }}"),
    (9, "(float[1,2,4,4] x) => (float[1,2,8,8] y) { s = Constant <value: tensor = float[4] {1, 1, 2, 2}> "
        "() y = Upsample (x, s) }"),
    (7, '(float[1,2,4,4] x) => (float[1,2,8,8] y) { y = Upsample <mode: string = "nearest", scales: '
        'floats = [1.0, 1.0, 2.0, 2.0]> (x) }'),
    (7, '(float[1,2,4,4] x) => (float[1,2,8,8] y) { y = Upsample <mode: string = "linear", scales: floats '
        '= [1.0, 1.0, 2.0, 2.0]> (x) }'),
    (9, f"({X}) => (float[2,2,4] y) {{ y = Slice <axes: ints = [1], starts: ints = [1], ends: ints = [3]> "
        f"(x) }}"),
    (9, f"({X}) => (float[2,1,4] y) {{ y = Slice <axes: ints = [-2], starts: ints = [-1], ends: ints = "
        f"[2147483647]> (x) }}"),
    (9, f"({X}) => (float[2,3,2] v, int64[2,3,2] i) {{ v, i = TopK <k: int = 2> (x) }}"),
    (9, f"({X}) => (float[2,1,4] v, int64[2,1,4] i) {{ v, i = TopK <k: int = 1, axis: int = 1> (x) }}"),
    (10, "(float[1,2,4,4] x) => (float[1,2,8,8] y) { s = Constant <value: tensor = float[4] {1, 1, 2, 2}> "
        "() y = Resize (x, s) }"),
    (10, '(float[1,2,4,4] x) => (float[1,2,2,2] y) { s = Constant <value: tensor = float[4] {1, 1, 0.5, '
        '0.5}> () y = Resize <mode: string = "linear"> (x, s) }'),
    (11, '(float[1,2,4,4] x) => (float[1,2,8,8] y) { r = Constant <value: tensor = float[0] {}> () s = '
        'Constant <value: tensor = float[4] {1, 1, 2, 2}> () y = Resize <mode: string = "cubic"> (x, r, '
        's) }'),
    (10, f"({X}) => (float[2,3,4] y) {{ y = Clip <min: float = -0.5, max: float = 0.25> (x) }}"),
    (10, f"({X}) => (float[2,3,4] y) {{ y = Clip <max: float = 0.25> (x) }}"),
    (10, f"({X}) => (float[2,3,8] y) {{ y = Pad <pads: ints = [0, 0, 1, 0, 0, 3], value: float = 2.5> (x) }}"),
    (10, f'({X}) => (float[2,3,6] y) {{ y = Pad <pads: ints = [0, 0, 1, 0, 0, 1], mode: string = '
        f'"reflect"> (x) }}'),
    (10, f"({X}) => (float[2,3,4] y) {{ y = Dropout <ratio: float = 0.3> (x) }}"),
    (11, f"({X}) => (float[2,3,4] y) {{ y = Softmax (x) }}"),
    (11, f"({X}) => (float[2,3,4] y) {{ y = Softmax <axis: int = 2> (x) }}"),
    (11, f"({X}) => (float[2,3,4] y) {{ y = LogSoftmax <axis: int = 0> (x) }}"),
    (11, f"({X}) => (float[2,3,4] y) {{ y = Hardmax <axis: int = 1> (x) }}"),
    (11, f"({X}) => (float[2,1,4] a, float[2,2,4] b) {{ a, b = Split <axis: int = 1, split: ints = [1, 2]> "
        f"(x) }}"),
    (13, f"({X}) => (float[2,3,2] a, float[2,3,2] b) {{ a, b = Split <axis: int = 2> (x) }}"),
    (11, "(float[2,1,4] x) => (float[2,4] y) { y = Squeeze <axes: ints = [1]> (x) }"),
    (11, "(float[2,1,4] x) => (float[2,4] y) { y = Squeeze (x) }"),
    (11, f"({X}) => (float[1,2,3,1,4] y) {{ y = Unsqueeze <axes: ints = [0, 3]> (x) }}"),
    (11, f"({X}) => (float[2,1,4] y) {{ y = ReduceSum <axes: ints = [1]> (x) }}"),
    (11, f"({X}) => (float y) {{ y = ReduceSum <keepdims: int = 0> (x) }}"),
    *((13, f"({X}) => (float[2,4] y) {{ y = Reduce{name} <axes: ints = [-2], keepdims: int = 0> (x) }}") for name in up.REDUCTIONS),
    (13, "(float[3,2,5] x, float[2] s, float[2] b, float[2] m, float[2] v) => (float[3,2,5] y) { a = Abs "
        "(v) y = BatchNormalization (x, s, b, m, a) }"),
    (8, "(float[3,2,5] x, float[2] s, float[2] b, float[2] m, float[2] v) => (float[3,2,5] y) { a = Abs "
        "(v) y = BatchNormalization <epsilon: float = 0.01> (x, s, b, m, a) }"),
    (13, "(float[5,2,3] x, float[1,12,3] w, float[1,12,3] r) => (float[5,1,2,3] y) { y = LSTM "
        "<hidden_size: int = 3> (x, w, r) }"),
    (13, "(float[5,2,3] x, float[1,9,3] w, float[1,9,3] r) => (float[5,1,2,3] y) { y = GRU <hidden_size: "
        "int = 3> (x, w, r) }"),
    (13, "(float[5,2,3] x, float[1,3,3] w, float[1,3,3] r) => (float[5,1,2,3] y) { y = RNN <hidden_size: "
        "int = 3> (x, w, r) }"),
    (17, "(float[1,8,1] x) => (float[1,5,2] y) { y = DFT <axis: int = 1, onesided: int = 1> (x) }"),
    (16, "(float[1,1,4,4] x, float[1,3,3,2] g) => (float[1,1,3,3] y) { y = GridSample (x, g) }"),
    (16, '(float[1,1,4,4] x, float[1,3,3,2] g) => (float[1,1,3,3] y) { y = GridSample <mode: string = '
        '"bicubic"> (x, g) }'),
    (18, "(float[2,4,3] x, float[2] s, float[2] b) => (float[2,4,3] y) { y = GroupNormalization "
        "<num_groups: int = 2> (x, s, b) }"),
    (18, "(float[2,4,3] x, float[2] s, float[2] b) => (float[2,4,3] y) { k = Constant <value: tensor = bool[4] "
        "{1, 1, 1, 1}> () c = Compress <axis = 1> (x, k) y = GroupNormalization <num_groups = 2> (c, s, b) }"),
    (12, "(float[1,1,6,6] x) => (float[1,1,2,2] y) { r = Constant <value: tensor = float[1,4] {0, 0, 4, "
        "4}> () i = Constant <value: tensor = int64[1] {0}> () y = RoiAlign <output_height: int = 2, "
        "output_width: int = 2, sampling_ratio: int = 2> (x, r, i) }"),
    (9, "(float[6] x) => (float[6] y) { i = Constant <value: tensor = int64[2] {2, 0}> () u = Constant "
        "<value: tensor = float[2] {7, 8}> () y = Scatter <axis: int = 0> (x, i, u) }"),
]  # fmt: skip


@pytest.mark.parametrize(("opset", "graph"), CASES, ids=lambda v: str(v)[:60])
def test_a_lifted_model_computes_what_it_did_at_its_own_opset(opset, graph):
    proto = model_from_text(graph, opset)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    rng = np.random.default_rng(0)
    inputs = {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    expected = Outputs(dict(zip(names, session.run(None, inputs), strict=True)), "its own opset")
    result = compare(expected, bridge.run(bridge.load(proto), inputs), 1e-5, 1e-6)
    assert result.ok, str(result)
