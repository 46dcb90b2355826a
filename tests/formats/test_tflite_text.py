"""Text crosses to LiteRT as far as its kernels take it; operators that move text move its places."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import OpResolverType
from bridge_tflite import runtime
from bridge_tflite.reader import read
from build import hub_from_text

import bridge
from bridge.errors import UnsupportedModel

GRAPHS = {
    "Equal": "(string[2,3] x, string[3] z) => (bool[2,3] y) { y = Equal (x, z) }",
    "Equal, constant": '(string[3] x) => (bool[3] y) <string[3] k = {"b", "hello", ""}> { y = Equal (x, k) }',
    "Gather": "(string[3] x, int64[2] i) => (string[2] y) { y = Gather (x, i) }",
    "Gather, columns": "(string[2,3] x, int64[2] i) => (string[2,2] y) { y = Gather <axis: int = 1> (x, i) }",
    "GatherND": "(string[2,3] x, int64[2,2] i) => (string[2] y) { y = GatherND (x, i) }",
    "Slice": "(string[4,3] x) => (string[2,3] y) <int64[1] a = {3}, int64[1] b = {-5}, int64[1] c = {0}, "
    "int64[1] d = {-2}> { y = Slice (x, a, b, c, d) }",
    "Reshape": "(string[4] x) => (string[2,2] y) <int64[2] s = {2,2}> { y = Reshape (x, s) }",
    "Unsqueeze": "(string[4] x) => (string[4,1] y) <int64[1] s = {1}> { y = Unsqueeze (x, s) }",
    "Squeeze": "(string[4,1] x) => (string[4] y) <int64[1] s = {1}> { y = Squeeze (x, s) }",
    "Tile": "(string[2] x, int64[1] r) => (string[k] y) { y = Tile (x, r) }",
    "Expand": "(string[1] x) => (string[3] y) <int64[1] s = {3}> { y = Expand (x, s) }",
    "Transpose": "(string[2,3] x) => (string[3,2] y) { y = Transpose (x) }",
    "Identity": "(string[2,2] x) => (string[2,2] y) { y = Identity (x) }",
    "Shape": "(string[2,2] x) => (int64[2] y) { y = Shape (x) }",
}
WORDS = np.array(["a", "b", "hello", "", "zwölf"], object)


@pytest.mark.parametrize("name", GRAPHS)
def test_text_arrives(name, tmp_path):
    model, rng = hub_from_text(GRAPHS[name]), np.random.default_rng(0)
    feed = {
        v.name: rng.choice(WORDS, list(v.shape))
        if v.dtype.name == "STRING"
        else rng.integers(1, 2, list(v.shape))
        for v in model.graph.inputs
    }
    path = bridge.save(model, tmp_path / "text.tflite").path
    result = bridge.verify(model, path, feed)
    assert result.ok, str(result)
    assert bridge.verify(model, bridge.load(path), feed).ok


@pytest.mark.parametrize(
    "graph",
    [
        "(string[2] x, string[2] z) => (string[4] y) { y = Concat <axis: int = 0> (x, z) }",
        "(bool[2] c, string[2] x, string[2] z) => (string[2] y) { y = Where (c, x, z) }",
    ],
)
def test_no_kernel_joins_text(graph, tmp_path):
    with pytest.raises(UnsupportedModel, match="needs input"):
        bridge.save(hub_from_text(graph), tmp_path / "text.tflite")


def encoder(attributes: str, graph: str) -> str:
    return graph.replace("LabelEncoder", f"ai.onnx.ml.LabelEncoder <{attributes}>")


LABELS = {
    "text to integers": 'keys_strings = ["a", "zwölf", ""], values_int64s = [5, 1099511627776, -3], '
    "default_int64 = 7",
    "text to integers, no default": 'keys_strings = ["a"], values_int64s = [5]',
    "integers to text": 'keys_int64s = [1, 2, -7], values_strings = ["u", "ü", ""], default_string = "none"',
    "text to numbers": 'keys_strings = ["a", "b"], values_floats = [0.5, 0.25], default_float = 9.0',
    "text to text": 'keys_strings = ["a", "b"], values_strings = ["A", "B"], default_string = "?"',
    "numbers to text": 'keys_floats = [1.5, 2.5], values_strings = ["A", "B"], default_string = "?"',
}
KEYS = {
    "text": np.array([["a", "zwölf", "x"], ["", "b", "a"]], object),
    "integers": np.array([[1, 2, 3], [-7, 9, 1]], np.int64),
    "numbers": np.array([[1.5, 2.5, 3], [-7, 9, 1]], np.float32),
}
TYPES = {"text": "string", "integers": "int64", "numbers": "float"}


@pytest.mark.parametrize("kernels", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"])
@pytest.mark.parametrize("name", LABELS)
def test_labels_are_looked_up_in_hash_tables(name, kernels, tmp_path):
    source, target = name.split(",")[0].split(" to ")
    graph = f"({TYPES[source]}[N,3] x) => ({TYPES[target]}[N,3] y) {{ y = LabelEncoder (x) }}"
    model = hub_from_text(encoder(LABELS[name], graph), ml=4)
    path = bridge.save(model, tmp_path / "labels.tflite").path
    feed = {"x": KEYS[source]}
    expected = bridge.run(model, feed)["y"]
    outputs = runtime.LiteRTSession(path, resolver=getattr(OpResolverType, kernels)).run(feed)["y"]
    assert (outputs.dtype, outputs.tolist()) == (expected.dtype, expected.tolist())
    assert bridge.run(bridge.load(path), feed)["y"].tolist() == expected.tolist()


def test_tables_are_filled_once_for_all_subgraphs(tmp_path):
    table = encoder(LABELS["text to integers"], "LabelEncoder (x)")
    text = (
        "(string[3] x, bool c) => (int64[3] y) { a = TABLE "
        "b = If (c) <then_branch = t () => (int64[3] p) { p = TABLE }, "
        "else_branch = e () => (int64[3] q) { q = Neg (a) }> y = Add (a, b) }"
    ).replace("TABLE", table)
    model = hub_from_text(text, ml=4)
    path = bridge.save(model, tmp_path / "labels.tflite").path
    names = [o.name for g in read(path).subgraphs for o in g.operators]
    assert [names.count(n) for n in ("CALL_ONCE", "HASHTABLE_IMPORT", "HASHTABLE_FIND")] == [1, 1, 2]
    for going in (True, False):
        feed = {"x": KEYS["text"][0], "c": np.array(going)}
        assert bridge.verify(model, path, feed).ok


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize(
    ("dtype", "pool"), [("string", '"a", "b", "a", "b", "b", "x"'), ("int32", "1, 2, 1, 2, 2, 9")]
)
@pytest.mark.parametrize("shape", ["3", "2,3"])
def test_n_grams_are_counted(mode, dtype, pool, shape, tmp_path):
    """Two words, then two pairs, which are counted next to one another and with one word between."""
    pool_attribute = "pool_strings" if dtype == "string" else "pool_int64s"
    attributes = (
        f'mode = "{mode}", {pool_attribute} = [{pool}], ngram_counts = [0, 2], ngram_indexes = [2, 0, 1, 4], '
        "min_gram_length = 1, max_gram_length = 2, max_skip_count = 1, weights = [0.5, 2.0, 3.0, 0.25]"
    )
    result = shape.replace("3", "5")
    model = hub_from_text(
        f"({dtype}[{shape}] x) => (float[{result}] y) {{ y = TfIdfVectorizer <{attributes}> (x) }}"
    )
    words = np.array([["a", "b", "b"], ["b", "x", "b"]], object)
    rows = words if dtype == "string" else np.array([[1, 2, 2], [2, 9, 2]], np.int32)
    path = bridge.save(model, tmp_path / "grams.tflite").path
    for row in [rows] if "," in shape else rows:
        assert bridge.verify(model, path, {"x": row}).ok, str(bridge.verify(model, path, {"x": row}))


@pytest.mark.parametrize("kernels", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"])
@pytest.mark.parametrize("stop", ['"b", ""', '"zwölf", "a", "b", "x", ""'])
@pytest.mark.parametrize("shape", ["4", "1,4"])
def test_stop_words_are_left_out(shape, stop, kernels, tmp_path):
    graph = (
        f"(string[{shape}] x) => (string[{shape.replace('4', 'n')}] y) {{ y = StringNormalizer "
        "<stopwords "
        f"= [{stop}], is_case_sensitive = 1> (x) }}"
    )
    model, feed = hub_from_text(graph), {"x": np.array(["a", "b", "zwölf", "a"], object)}
    feed["x"] = feed["x"].reshape([int(n) for n in shape.split(",")])
    path = bridge.save(model, tmp_path / "text.tflite").path
    outputs = runtime.LiteRTSession(path, resolver=getattr(OpResolverType, kernels)).run(feed)["y"]
    assert outputs.tolist() == bridge.run(model, feed)["y"].tolist()


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        ("StringConcat (x, x)", "make none"),
        ('StringNormalizer <case_change_action = "UPPER"> (x)', "case_change_action=NONE"),
    ],
)
def test_text_that_is_made_is_refused_with_the_reason(operator, reason, tmp_path):
    with pytest.raises(UnsupportedModel, match=reason):
        bridge.save(
            hub_from_text(f"(string[2] x) => (string[n] y) {{ y = {operator} }}"), tmp_path / "text.tflite"
        )
