"""A case for every operator of ai.onnx.ml and every value of its attributes: the hub is ONNX Runtime's answer, simpler
operators give the same, and so does PMML4S where PMML holds it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import bridge
from bridge import hub
from bridge.errors import UnsupportedModel
from bridge.passes.decompose import Decompose
from bridge.verify import compare

NAN = float("nan")
F, D, I, S = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING  # noqa: E741
REAL = np.array([[0.5, -1.25, 2.0], [0.0, 0.0, 0.0], [-3.0, 1.0, 0.25]], np.float32)
WHOLE = np.array([[0, 1, 2], [2, 7, 0], [3, 3, 1]], np.int64)
ONE = np.array([[0], [2], [7]], np.int64)
GAPS = np.array([[0.5, NAN, 2.0], [NAN, 0.0, 7.0], [-3.0, 7.0, 0.25]], np.float32)
WORDS = np.array([["a"], ["b"], ["zz"]], object)
LINEAR = {"coefficients": [1.0, -2, 0.5, 0.25, 1, 2], "intercepts": [0.1, -0.3]}
POSTS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def tensor(*values):
    return numpy_helper.from_array(np.array(values))


CASES = {
    "Scaler per column": ("Scaler", {"offset": [1.0, 2, 3], "scale": [0.5, 2, 4]}, REAL, [F]),
    "Scaler for all": ("Scaler", {"offset": [1.0], "scale": [0.5]}, REAL, [F]),
    "Scaler of integers": ("Scaler", {"offset": [1.0], "scale": [0.5]}, WHOLE, [F]),
    "Scaler of doubles": ("Scaler", {"offset": [1.0], "scale": [0.5]}, REAL.astype(np.float64), [F]),
    **{f"Normalizer {n}": ("Normalizer", {"norm": n}, REAL, [F]) for n in ("MAX", "L1", "L2")},
    "Binarizer": ("Binarizer", {"threshold": 0.4}, REAL, [F]),
    "Binarizer by default": ("Binarizer", {}, REAL, [F]),
    "Imputer per column": ("Imputer", {"imputed_value_floats": [1.0, 2, 3], "replaced_value_float": NAN}, GAPS, [F]),
    "Imputer for all": ("Imputer", {"imputed_value_floats": [9.0], "replaced_value_float": 7.0}, GAPS, [F]),
    "Imputer of integers": ("Imputer", {"imputed_value_int64s": [9], "replaced_value_int64": 3}, WHOLE, [I]),
    "OneHotEncoder of integers": ("OneHotEncoder", {"cats_int64s": [0, 2, 5]}, ONE, [F]),
    "OneHotEncoder of floats": ("OneHotEncoder", {"cats_int64s": [0, 2, 5]}, ONE.astype(np.float32), [F]),
    "OneHotEncoder of text": ("OneHotEncoder", {"cats_strings": ["a", "b"]}, WORDS, [F]),
    "OneHotEncoder of matrices": ("OneHotEncoder", {"cats_int64s": [0, 1, 2, 3, 7]}, WHOLE, [F]),
    "LabelEncoder text to integers": ("LabelEncoder", {"keys_strings": ["a", "b"], "values_int64s": [4, 5], "default_int64": -7}, WORDS, [I]),
    "LabelEncoder text to floats": ("LabelEncoder", {"keys_strings": ["a", "b"], "values_floats": [4.5, 5], "default_float": -7.5}, WORDS, [F]),
    "LabelEncoder text to text": ("LabelEncoder", {"keys_strings": ["a", "b"], "values_strings": ["x", "y"], "default_string": "none"}, WORDS, [S]),
    "LabelEncoder integers to text": ("LabelEncoder", {"keys_int64s": [0, 2], "values_strings": ["x", "y"]}, ONE, [S]),
    "LabelEncoder integers to floats": ("LabelEncoder", {"keys_int64s": [0, 2], "values_floats": [0.5, 1.5]}, ONE, [F]),
    "LabelEncoder integers to integers": ("LabelEncoder", {"keys_int64s": [0, 2], "values_int64s": [3, 4]}, ONE, [I]),
    "LabelEncoder floats to floats": ("LabelEncoder", {"keys_floats": [0.0, NAN], "values_floats": [5.0, 6], "default_float": -2.0}, GAPS, [F]),
    "LabelEncoder of tensors": ("LabelEncoder", {"keys_tensor": tensor(0, 7), "values_tensor": tensor(2.5, 3.5), "default_tensor": tensor(-1.5)}, ONE, [D]),
    "CategoryMapper to text": ("CategoryMapper", {"cats_int64s": [0, 2], "cats_strings": ["x", "y"], "default_string": "none"}, ONE, [S]),
    "CategoryMapper to integers": ("CategoryMapper", {"cats_int64s": [5, 6], "cats_strings": ["a", "b"], "default_int64": -3}, WORDS, [I]),
    "FeatureVectorizer": ("FeatureVectorizer", {"inputdimensions": [3]}, REAL, [F]),
    **{f"LinearRegressor {p}": ("LinearRegressor", {**LINEAR, "targets": 2, "post_transform": p}, np.abs(REAL) / 9, [F]) for p in POSTS[:3]},
    "LinearRegressor of one": ("LinearRegressor", {"coefficients": [1.0, -2, 0.5], "intercepts": [0.1]}, REAL, [F]),
    "LinearRegressor without intercepts": ("LinearRegressor", {"coefficients": [1.0, -2, 0.5]}, REAL, [F]),
    **{f"LinearClassifier {p}": ("LinearClassifier", {**LINEAR, "classlabels_ints": [3, 7], "post_transform": p}, REAL, [I, F]) for p in POSTS[:3]},
    "LinearClassifier of text": ("LinearClassifier", {**LINEAR, "classlabels_strings": ["n", "y"]}, REAL, [S, F]),
    "LinearClassifier of several": ("LinearClassifier", {**LINEAR, "classlabels_ints": [3, 7], "multi_class": 1}, REAL, [I, F]),
}  # fmt: skip

# What has no tensor operators of numbers to stand for it, or none that ONNX Runtime's kernels run
KEPT = ("text", "of tensors", "CategoryMapper", "Scaler of doubles")


def model(name: str):
    op_type, attributes, x, kinds = CASES[name]
    outputs = [helper.make_tensor_value_info(f"y{i}", k, None) for i, k in enumerate(kinds)]
    node = helper.make_node(op_type, ["x"], [o.name for o in outputs], domain="ai.onnx.ml", **attributes)
    kind = S if x.dtype == object else helper.np_dtype_to_tensor_dtype(x.dtype)
    given = helper.make_tensor_value_info("x", kind, ["N", x.shape[1]])
    version = 4 if "tensor" in "".join(attributes) or "floats to floats" in name else 2
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(
        helper.make_graph([node], "g", [given], outputs), opset_imports=opsets, ir_version=9
    ), {"x": x}


def reference(proto, x):
    import onnxruntime as ort

    session = ort.InferenceSession(proto.SerializeToString())
    return dict(zip([o.name for o in proto.graph.output], session.run(None, x), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_hub_and_simpler_operators_answer_as_onnx_runtime(name):
    proto, x = model(name)
    expected = reference(proto, x)
    held = bridge.load(proto)
    found = bridge.run(held, x)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)
    Decompose(lambda node: node.domain == "")(held)
    left = [n.op_type for n in hub.all_nodes(held) if n.domain]
    assert not left or any(word in name for word in KEPT), left
    result = compare(found, bridge.run(held, x), 1e-5, 1e-6)
    assert result.ok, str(result)


@pytest.mark.parametrize("name", CASES)
def test_pmml4s_answers_alike_or_the_operator_is_refused_by_name(name, tmp_path):
    pytest.importorskip("pypmml")
    proto, x = model(name)
    if np.isnan(x["x"].astype(np.float64) if x["x"].dtype != object else 0.0).any() and "Imputer" not in name:
        pytest.skip("what is missing in PMML has no value to compare")
    held = bridge.load(proto)
    refused = bridge.check(proto, to="pmml").blockers
    if refused:
        with pytest.raises(UnsupportedModel, match=refused[0].op):
            bridge.save(held, tmp_path / "model.pmml")
        return
    result = compare(bridge.run(held, x), bridge.run(bridge.save(held, tmp_path / "model.pmml").path, x))
    assert result.ok, str(result)
