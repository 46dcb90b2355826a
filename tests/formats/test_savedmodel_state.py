"""Variables a TensorFlow model writes are inputs and outputs of its hub model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import UnsupportedModel

pytest.importorskip("tensorflow")

from bridge_savedmodel.tensorflow import tensorflow

tf = tensorflow()
v1 = tf.compat.v1
X = np.array([1.0, -2.0, 3.0], np.float32)


class Holder(tf.Module):
    def __init__(self) -> None:
        self.total = tf.Variable([0.5, 1.0, 2.0], name="total")
        self.steps = tf.Variable(7, name="steps")
        self.fixed = tf.Variable([1.0, 2.0, 3.0], name="fixed")


def added(m: Any, x: Any) -> Any:
    m.total.assign_add(x * m.fixed)
    m.steps.assign_add(1)
    return m.total * 2.0


def read_before_and_after(m: Any, x: Any) -> Any:
    before = m.total + 0.0
    m.total.assign_sub(x)
    m.total.assign(m.total * 3.0)
    return before - m.total


def in_a_branch(m: Any, x: Any) -> Any:
    def up() -> Any:
        m.total.assign_add(x)
        return tf.reduce_sum(m.total)

    def down() -> Any:
        m.steps.assign_sub(1)
        return tf.cast(m.steps, tf.float32)

    return tf.cond(tf.reduce_sum(x) > 0, up, down) + m.total


def in_a_loop(m: Any, x: Any) -> Any:
    def body(i: Any) -> Any:
        m.total.assign(m.total * 0.5 + x)
        m.steps.assign_add(i)
        return i + 1

    tf.while_loop(lambda i: i < m.steps - 4, body, [0], maximum_iterations=4)
    return m.total + 0.0


def in_a_function(m: Any, x: Any) -> Any:
    @tf.function(autograph=False)
    def once() -> Any:
        m.total.assign_add(x)
        return m.total * 1.0

    return once() + once()


def rows(m: Any, x: Any) -> Any:
    m.total.scatter_nd_update([[0], [2]], x[:2])
    m.total.scatter_add(tf.IndexedSlices(x[:2], tf.constant([1, 1])))
    m.total[1:].assign(x[:2])
    return m.total + x


def reads(m: Any, x: Any) -> Any:
    m.total.assign(x)
    shape = tf.raw_ops.VariableShape(input=m.fixed.handle)
    return m.fixed.sparse_read([1, 2]) * m.total.gather_nd([[0]]) + tf.cast(shape, tf.float32)


def scattered(operator: str) -> Any:
    def body(m: Any, x: Any) -> Any:
        indices = [[2], [0]] if "Nd" in operator else [2, 0]
        name = "ref" if "Nd" in operator else "resource"
        getattr(tf.raw_ops, operator)(**{name: m.total.handle}, indices=indices, updates=x[:2])
        return m.total + 0.0

    body.__name__ = operator
    return body


SCATTERS = [
    *(scattered(f"ResourceScatter{kind}") for kind in ("Update", "Add", "Sub", "Mul", "Min", "Max")),
    *(scattered(f"ResourceScatterNd{kind}") for kind in ("Update", "Add", "Sub", "Min", "Max")),
]
FUNCTIONS = [reads, *SCATTERS, added, read_before_and_after, in_a_branch, in_a_loop, in_a_function, rows]


def saved(body: Any, path: Path) -> Path:
    module = Holder()
    function = tf.function(lambda x: {"y": body(module, x)}, autograph=False)
    tf.saved_model.save(
        module, str(path), signatures=function.get_concrete_function(tf.TensorSpec([3], tf.float32, "x"))
    )
    return path


@pytest.mark.parametrize("body", FUNCTIONS, ids=lambda body: body.__name__)
def test_three_steps_in_a_row_are_those_of_tensorflow(body: Any, tmp_path: Path) -> None:
    path = saved(body, tmp_path / "m")
    model = bridge.load(path)
    loaded = tf.saved_model.load(str(path))
    variables = {v.name.split(":")[0]: v for v in (loaded.total, loaded.steps)}
    states = {v.name: v.const_value.numpy() for v in model.graph.inputs if v.const_value is not None}
    assert states
    for scale in (1.0, -1.0, 0.5):
        expected = loaded.signatures["serving_default"](x=tf.constant(X * scale))
        outputs = bridge.run(model, {"x": (X * scale).astype(np.float32), **states})
        np.testing.assert_allclose(outputs["y"], expected["y"].numpy(), rtol=1e-5)
        states = {n: outputs[f"{n}/next"] for n in states}
        for name, value in states.items():
            np.testing.assert_allclose(value, variables[name].numpy(), rtol=1e-5)


@pytest.mark.parametrize("body", [added, in_a_branch], ids=lambda body: body.__name__)
def test_a_folder_that_writes_converts_and_verifies(body: Any, tmp_path: Path) -> None:
    result = bridge.convert(saved(body, tmp_path / "m"), tmp_path / "m.onnx", verify=True)
    assert result.verification is not None
    assert result.verification.ok


def test_a_seed_of_keras_moves_on_as_in_keras(tmp_path: Path) -> None:
    """Random numbers of a variational autoencoder: normal numbers of a seed, and of the next seed in the next
    run."""
    keras = pytest.importorskip("keras")
    seed = keras.random.SeedGenerator(1337)

    class Drawn(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.seed = seed

        def call(self, x: Any) -> Any:
            return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)

    inputs = keras.Input((4,), name="x")
    keras.Model(inputs, Drawn()(keras.layers.Dense(4)(inputs))).export(tmp_path / "m", verbose=False)
    hub = bridge.load(tmp_path / "m")
    function = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    state: dict[str, Any] = {}
    rows = np.ones((3, 4), np.float32)
    for _ in range(3):
        (expected,) = function(tf.constant(rows)).values()
        outputs = bridge.run(hub, {"x": rows, **state})
        state = {n.removesuffix("/next"): v for n, v in outputs.items() if n.endswith("/next")}
        assert len(state) == 1
        np.testing.assert_allclose(outputs["output_0"], expected.numpy(), rtol=1e-4, atol=1e-5)
    assert bridge.convert(tmp_path / "m", tmp_path / "m.onnx", verify=True).verification.ok


def test_variables_that_begin_anew_leave_the_interface_of_the_file(tmp_path: Path) -> None:
    path = saved(added, tmp_path / "m")
    model = bridge.load(path, state="initial")
    assert [v.name for v in model.graph.inputs] == ["x"]
    assert [v.name for v in model.graph.outputs] == ["y"]
    expected = tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.constant(X))
    np.testing.assert_allclose(bridge.run(model, {"x": X})["y"], expected["y"].numpy())


def test_variables_of_version_1_are_read_in_their_order(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [3], "x")
        total = v1.get_variable("total", initializer=tf.constant([0.5, 1.0, 2.0]), use_resource=False)
        before = total * 1.0
        with tf.control_dependencies([before]):
            after = v1.assign_add(total, x)
        with tf.control_dependencies([after]):
            later = total.read_value() * 2.0
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": x}, {"a": before, "b": later})
    outputs = bridge.run(bridge.load(tmp_path / "m"), {"x": X})
    total = np.array([0.5, 1.0, 2.0], np.float32)
    assert np.allclose(outputs["a"], total)
    assert np.allclose(outputs["b"], (total + X) * 2)
    assert np.allclose(outputs["total/next"], total + X)


@pytest.mark.parametrize(
    "operation", ["update", "add", "sub", "mul", "min", "max", "nd_update", "nd_add", "nd_sub"]
)
def test_variables_of_version_1_are_scattered_to(operation: str, tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [3], "x")
        start = tf.constant([0.5, 1.0, 2.0])
        total = v1.get_variable("total", initializer=start, use_resource=False)
        indices = tf.constant([[2], [0]] if operation.startswith("nd_") else [2, 0])
        result = getattr(v1, f"scatter_{operation}")(total, indices, x[:2])
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": x}, {"a": result * 1.0})
        expected = session.run(result, {x: X})
    outputs = bridge.run(bridge.load(tmp_path / "m"), {"x": X})
    np.testing.assert_allclose(outputs["a"], expected)
    np.testing.assert_allclose(outputs["total/next"], expected)


def test_a_model_that_trains_as_it_runs_is_refused(tmp_path: Path) -> None:
    weight = tf.Variable([1.0, 2.0, 3.0])

    def step(x: Any) -> Any:
        tf.raw_ops.ResourceApplyGradientDescent(var=weight.handle, alpha=0.1, delta=x)
        return weight * x

    function = tf.function(step, autograph=False).get_concrete_function(tf.TensorSpec([3], tf.float32))
    with pytest.raises(UnsupportedModel, match="ResourceApplyGradientDescent"):
        bridge.load(function)
