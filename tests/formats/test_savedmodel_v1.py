"""Graphs of TensorFlow 1: loops and branches of single operators, arrays of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import UnsupportedModel
from bridge.runtime import Outputs
from bridge.verify import compare

pytest.importorskip("tensorflow")

from bridge_savedmodel.tensorflow import tensorflow

tf = tensorflow()
v1 = tf.compat.v1

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def branch(x: Any) -> Any:
    big = tf.reduce_sum(x) > 0
    return v1.cond(big, lambda: (x * 2, tf.constant(3.0)), lambda: (x - 1, tf.constant(4.0)))


def branch_of_constants(x: Any) -> Any:
    return v1.cond(tf.reduce_sum(x) > 0, lambda: tf.constant(3.0), lambda: tf.constant(4.0))


def branches_inside_branches(x: Any) -> Any:
    total = tf.reduce_sum(x)
    inner = lambda: v1.cond(total > 2, lambda: x * 2, lambda: x * 3)  # noqa: E731
    return v1.cond(total > 0, inner, lambda: v1.cond(total < -2, lambda: -x, lambda: tf.exp(x)))


def two_branches_of_one_condition(x: Any) -> Any:
    big = tf.reduce_sum(x) > 0
    first = v1.cond(big, lambda: x * 2, lambda: x - 1)
    return v1.cond(big, lambda: first + 1, lambda: first * x)


def choice(x: Any) -> Any:
    total = tf.reduce_sum(x)
    return v1.case([(total > 2, lambda: x * 2), (total > 0, lambda: x * 3)], default=lambda: x + 1)


def loop(x: Any) -> Any:
    return v1.while_loop(lambda i, v: i < 4, lambda i, v: (i + 1, v * 1.5 + tf.reduce_mean(x)), [0, x])


def loop_of_unknown_length(x: Any) -> Any:
    return v1.while_loop(lambda v: tf.reduce_sum(tf.abs(v)) < 50, lambda v: v * 2, [x])


def loops_inside_loops(x: Any) -> Any:
    def body(i: Any, v: Any) -> Any:
        _, w = v1.while_loop(lambda j, _: j < i, lambda j, w: (j + 1, w + x), [0, v])
        return i + 1, w * 0.5

    return v1.while_loop(lambda i, v: i < 5, body, [0, x])[1]


def branch_inside_loop(x: Any) -> Any:
    body = lambda i, v: (i + 1, v1.cond(tf.equal(i % 2, 0), lambda: v + x, lambda: v * 2))  # noqa: E731
    return v1.while_loop(lambda i, v: i < 5, body, [0, x])[1]


def loop_inside_branch(x: Any) -> Any:
    inner = lambda: v1.while_loop(lambda v: tf.reduce_sum(v) < 50, lambda v: v * 2, [x])  # noqa: E731
    return v1.cond(tf.reduce_sum(x) > 0, inner, lambda: x)


def loops_in_a_row(x: Any) -> Any:
    first = v1.while_loop(lambda i, v: i < 2, lambda i, v: (i + 1, v + x), [0, x])[1]
    return v1.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * first), [0, x])[1]


def array(x: Any) -> Any:
    rows = tf.TensorArray(tf.float32, size=tf.shape(x)[0]).unstack(x)
    out = tf.TensorArray(tf.float32, size=tf.shape(x)[0])

    def body(i: Any, state: Any, out: Any) -> Any:
        state = tf.tanh(state + rows.read(i))
        return i + 1, state, out.write(i, state)

    _, last, out = v1.while_loop(
        lambda i, *_: i < tf.shape(x)[0], body, [0, tf.zeros([3]), out], parallel_iterations=1
    )
    return last, out.stack()


def array_in_a_row(x: Any) -> Any:
    out = tf.TensorArray(tf.float32, size=2, element_shape=[3], clear_after_read=False)
    out = out.write(1, x[0]).write(0, x[1])
    return out.stack(), out.concat(), out.size(), out.read(1)


def scan(x: Any) -> Any:
    return v1.scan(lambda a, b: a + b, x), v1.map_fn(lambda r: r * 2, x)


def recurrent(x: Any) -> Any:
    steps = tf.reshape(x, [1, 2, 3])
    weights = tf.constant(np.random.default_rng(0).standard_normal((7, 16)).astype(np.float32))

    def cell(h: Any, c: Any, row: Any) -> Any:
        i, j, f, o = tf.split(tf.concat([row, h], 1) @ weights, 4, axis=1)
        c = tf.sigmoid(f + 1.0) * c + tf.sigmoid(i) * tf.tanh(j)
        return tf.sigmoid(o) * tf.tanh(c), c

    rows = tf.TensorArray(tf.float32, size=2).unstack(tf.transpose(steps, [1, 0, 2]))
    out = tf.TensorArray(tf.float32, size=2, dynamic_size=True)

    def body(i: Any, h: Any, c: Any, out: Any) -> Any:
        h, c = cell(h, c, rows.read(i))
        return i + 1, h, c, out.write(i, h)

    zeros = tf.zeros([1, 4])
    _, h, c, out = v1.while_loop(lambda i, *_: i < 2, body, [0, zeros, zeros, out])
    return h, c, out.stack()


GRAPHS = [
    branch,
    branch_of_constants,
    branches_inside_branches,
    two_branches_of_one_condition,
    choice,
    loop,
    loop_of_unknown_length,
    loops_inside_loops,
    branch_inside_loop,
    loop_inside_branch,
    loops_in_a_row,
    array,
    array_in_a_row,
    scan,
    recurrent,
]


def frozen(make: Any, path: Path) -> list[str]:
    """Write the graph, its control flow in single operators; the names of its outputs."""
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default() as graph:
            x = v1.placeholder(tf.float32, [None, 3], "x")
            made = [tf.identity(v, f"y{n}") for n, v in enumerate(tf.nest.flatten(make(x)))]
    finally:
        v1.enable_control_flow_v2()
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return [v.op.name for v in made]


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_a_graph_of_version_1_computes_the_same(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "frozen.pb"
    names = frozen(make, path)
    model = bridge.load(path)
    assert not {"Switch", "Merge"} & {n.op_type for n in model.graph.all_nodes()}
    for scale in (1.0, -0.5, 4.0):
        arrays = {"x": X * scale + scale}
        expected = bridge.run(path, arrays)
        found = bridge.run(model, arrays)
        assert [n for n in found if n in names] == names
        kept = Outputs({n: expected[n] for n in names}, "TensorFlow")
        checked = compare(kept, Outputs({n: found[n] for n in names}, "bridge"))
        assert checked.ok, str(checked)


SQUARE = np.array([[4, 1, 0.5], [1, 3, 0.25], [0.5, 0.25, 2]], np.float32)
ROWS = np.array([0, 0, 1, 3], np.int32)
RENAMED = {
    "BatchCholesky": lambda x: tf.raw_ops.Cholesky(input=x + SQUARE),
    "BatchMatrixBandPart": lambda x: tf.raw_ops.MatrixBandPart(input=x + SQUARE, num_lower=1, num_upper=0),
    "BatchMatrixDeterminant": lambda x: tf.raw_ops.MatrixDeterminant(input=x + SQUARE),
    "BatchMatrixDiag": lambda x: tf.raw_ops.MatrixDiag(diagonal=x),
    "BatchMatrixDiagPart": lambda x: tf.raw_ops.MatrixDiagPart(input=x + SQUARE),
    "BatchMatrixInverse": lambda x: tf.raw_ops.MatrixInverse(input=x + SQUARE),
    "BatchMatrixSetDiag": lambda x: tf.raw_ops.MatrixSetDiag(input=x + SQUARE, diagonal=x[0]),
    "BatchMatrixSolve": lambda x: tf.raw_ops.MatrixSolve(matrix=x + SQUARE, rhs=SQUARE),
    "BatchMatrixTriangularSolve": lambda x: tf.raw_ops.MatrixTriangularSolve(matrix=x + SQUARE, rhs=SQUARE),
    "BiasAddV1": lambda x: tf.raw_ops.BiasAdd(value=x, bias=SQUARE[0]),
    "TopK": lambda x: tf.raw_ops.TopKV2(input=x, k=2),
    **{
        f"Segment{k}V2": lambda x, k=k: getattr(tf.raw_ops, f"UnsortedSegment{k}")(
            data=tf.transpose(tf.concat([x, x], 0)[:4] + 1), segment_ids=ROWS[:3], num_segments=4
        )
        for k in ("Sum", "Prod", "Max", "Min")
    },
}
"""Names the present TensorFlow has given up or has no kernel for, by what computes the same."""


@pytest.mark.parametrize("name", RENAMED)
def test_operators_of_older_graphs_are_read(name: str, tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [3, 3] if name.startswith("Batch") else [2, 3], "x")
        found = tf.nest.flatten(RENAMED[name](x))[0]
    present, definition = found.op.type, graph.as_graph_def()
    rows = np.resize(X, x.shape.as_list())
    with v1.Session(graph=graph) as session:
        expected = session.run(found, {x: rows})
    for node in definition.node:
        node.op = name if node.op == present else node.op
        if name == "TopK" and node.op == name:
            node.attr["k"].i = 2
            del node.input[1:], node.attr["Tk"], node.attr["index_type"]
    (tmp_path / "m.pb").write_bytes(definition.SerializeToString())
    model = bridge.load(tmp_path / "m.pb")
    result = bridge.run(model, {"x": rows})[found.op.name]
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_buckets_of_boosted_trees_end_with_the_last_boundary(tmp_path: Path) -> None:
    """No TensorFlow of today has a kernel; the last one (2.12) gave what lies past every boundary the bucket
    of the last."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        bounds = [tf.constant([-1.0, 0.0, 2.0]), tf.constant([], tf.float32)]
        found = tf.raw_ops.BoostedTreesBucketize(float_values=[x, x], bucket_boundaries=bounds)
        for n, each in enumerate(found):
            tf.identity(each, f"y{n}")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    made = bridge.run(bridge.load(tmp_path / "m.pb"), {"x": np.float32([-5, -1, -0.5, 0, 1, 2, 9])})
    assert made["y0"].tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert made["y1"].tolist() == [0] * 7


@pytest.mark.parametrize("scaled", [True, False])
def test_the_first_batch_normalization_is_read(scaled: bool, tmp_path: Path) -> None:
    """Graphs of 2015 hold it; TensorFlow has taken it out of new ones."""
    definition = v1.GraphDef()
    definition.versions.producer = 7
    definition.node.add(name="x", op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
    definition.node[0].attr["shape"].shape.CopyFrom(tf.TensorShape([None, 2, 1, 3]).as_proto())
    rows = np.abs(np.random.default_rng(0).standard_normal((4, 3))).astype(np.float32)
    for name, row in zip("mvbg", rows, strict=True):
        node = definition.node.add(name=name, op="Const")
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(row))
    node = definition.node.add(name="y", op="BatchNormWithGlobalNormalization", input=["x", *"mvbg"])
    node.attr["T"].type = tf.float32.as_datatype_enum
    node.attr["variance_epsilon"].f, node.attr["scale_after_normalization"].b = 0.01, scaled
    (tmp_path / "m.pb").write_bytes(definition.SerializeToString())
    x = np.random.default_rng(1).standard_normal((2, 2, 1, 3)).astype(np.float32)
    mean, variance, shift, scale = rows
    expected = (x - mean) / np.sqrt(variance + 0.01) * (scale if scaled else 1) + shift
    np.testing.assert_allclose(bridge.run(bridge.load(tmp_path / "m.pb"), {"x": x})["y"], expected, rtol=1e-4)


def iterator(x: Any) -> Any:
    rows = v1.data.make_one_shot_iterator(tf.data.Dataset.from_tensors((X, np.float32(2)))).get_next()
    return rows[0] * rows[1] + x


def queue(x: Any) -> Any:
    waiting = v1.FIFOQueue(8, [tf.float32, tf.int32], [[3], []])
    waiting.enqueue([tf.ones([3]), 1])
    rows, scale = waiting.dequeue_up_to(2)
    return rows * tf.cast(scale, tf.float32)[:, None] + x


@pytest.mark.parametrize("make", [iterator, queue], ids=lambda make: make.__name__)
def test_elements_of_a_pipeline_are_inputs(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "frozen.pb"
    (result,) = frozen(make, path)
    model = bridge.load(path)
    first, second = (v for v in model.graph.inputs if v.name != "x")
    assert first.name == second.name.removesuffix("1") + "0"
    scale = np.float32(3) if make is iterator else np.array([3, 5], np.int32)
    rows = X - 1
    found = bridge.run(model, {"x": X, first.name: rows, second.name: scale})
    np.testing.assert_allclose(found[result], rows * np.reshape(scale, (-1, 1)) + X, rtol=1e-6)
    assert bridge.verify(path, model, {"x": X, first.name: rows, second.name: scale}).ok


def test_sparse_inputs_are_their_parts(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.sparse_placeholder(tf.float32, [None, 4], "x")
        outputs = {"y": tf.sparse.to_dense(x) * 2, "z": tf.sparse.reorder(x)}
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": x}, outputs)
    model = bridge.load(tmp_path / "m")
    assert [v.name for v in model.graph.inputs] == ["x_indices", "x_values", "x_dense_shape"]
    arrays = {
        "x_indices": np.array([[0, 3], [2, 1]]),
        "x_values": np.float32([5, 6]),
        "x_dense_shape": np.array([3, 4]),
    }
    assert bridge.verify(tmp_path / "m", model, arrays).ok


@pytest.mark.parametrize("version", [1, 2])
def test_features_of_examples_are_inputs(version: int, tmp_path: Path) -> None:
    spec = {
        "a": tf.io.FixedLenFeature([2], tf.float32),
        "b": tf.io.FixedLenFeature([], tf.int64, default_value=7),
    }
    with tf.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], "examples")
        if version == 1:
            parsed = v1.io.parse_example(text, spec)
        else:
            keys = {
                "sparse_keys": np.array([], object),
                "dense_keys": ["a", "b"],
                "ragged_keys": np.array([], object),
            }
            values = tf.raw_ops.ParseExampleV2(
                serialized=text,
                names=np.array([], object),
                **keys,
                dense_defaults=[[], tf.constant(7, tf.int64)],
                num_sparse=0,
                sparse_types=[],
                ragged_value_types=[],
                ragged_split_types=[],
                dense_shapes=[[2], []],
            )[3]
            parsed = dict(zip(["a", "b"], values, strict=True))
        result = {"y": parsed["a"] * tf.cast(parsed["b"], tf.float32)[:, None]}
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"examples": text}, result)
    with pytest.raises(UnsupportedModel, match="examples=features"):
        bridge.load(tmp_path / "m")
    model = bridge.load(tmp_path / "m", examples="features")
    assert sorted(v.name for v in model.graph.inputs) == ["a", "b"]
    arrays = {"a": X[:, :2].copy(), "b": np.array([3, -2])}
    np.testing.assert_allclose(bridge.run(model, arrays)["y"], X[:, :2] * np.float32([[3], [-2]]))
    assert bridge.verify(tmp_path / "m", model, arrays).ok


def test_attributes_that_are_left_out_have_their_registered_defaults(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        scores, places = tf.math.top_k(tf.nn.leaky_relu(x), 3)
        tf.identity(tf.cumsum(scores, axis=1), name="y")
        tf.cast(places, tf.int64, name="z")
    definition = graph.as_graph_def()
    for node in definition.node:
        for name in {"alpha", "sorted", "index_type", "exclusive", "reverse", "Truncate"} & set(node.attr):
            del node.attr[name]
    (tmp_path / "m.pb").write_bytes(definition.SerializeToString())
    array = np.float32([[-1, 2, -3, 0.5], [4, -2, 1, 3]])
    found = bridge.run(bridge.load(tmp_path / "m.pb"), {"x": array})
    leaky = -np.sort(-np.where(array < 0, array * np.float32(0.2), array), axis=1)[:, :3]
    np.testing.assert_allclose(found["y"], np.cumsum(leaky, axis=1), rtol=1e-6)
    np.testing.assert_array_equal(found["z"], [[1, 3, 0], [0, 3, 2]])
