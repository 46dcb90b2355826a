"""Branches, loops, lists, states, chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.facts import PRISTINE
from bridge.hub import const, shape_of
from bridge.importing import as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import DTYPES, INT32, RANKED, cast, lengths, rank_of, vector

ops = OpTable()


@ops.op("cond")
def cond(op, node, pred):
    branches = [node.branch(block) for block in node.operation.blocks]
    flag = op.Reshape(pred, op.const([]))
    made = op.If(flag, then_branch=branches[0], else_branch=branches[1], _outputs=len(node.outputs))
    return made


@ops.op("while_loop")
def while_loop(op, node):
    """A list that nobody wrote yet takes the shape that one step, done beforehand, gives it. A loop that
    counts to a number has that many steps, and lists written at the count alone do not grow."""
    condition, body = node.operation.blocks
    inputs = node.values("loop_vars")
    if any(pristine(v) for v in inputs):
        once = node.scope.inner(op).block(body, inputs)
        inputs = [
            op.Expand(op.const(0, v.dtype), op.Shape(w)) if pristine(v) else v
            for v, w in zip(inputs, once, strict=True)
        ]
    place = counter(condition, body)
    if place is None:
        go = op.Reshape(node.scope.inner(op).block(condition, inputs)[0], op.const([]))
        loop = node.loop(condition, body, inputs)
        return op.Loop(None, go, *inputs, body=loop, _outputs=len(inputs))
    test = next(o for o in condition.operations if o.type != "const")
    bound = node.scope.inner(op).after(condition, inputs).bound(test.inputs["y"].arguments[0])
    steps = op.Max(op.Sub(as_int64(op, bound), as_int64(op, inputs[place])), op.const(np.int64(0)))
    loop = node.loop(None, body, inputs, keeps(node, body, place, const(bound), inputs))
    return op.Loop(op.Reshape(steps, op.const([])), None, *inputs, body=loop, _outputs=len(inputs))


def counter(condition: Any, body: Any) -> int | None:
    """Which loop variable the condition holds below a number, one more after every step; None for any other
    loop."""
    tests = [o for o in condition.operations if o.type != "const"]
    if len(tests) != 1 or tests[0].type != "less" or list(condition.outputs) != [tests[0].outputs[0].name]:
        return None
    names, read = [i.name for i in condition.inputs], tests[0].inputs
    if read["x"].arguments[0].name not in names or read["y"].arguments[0].name in names:
        return None
    place = names.index(read["x"].arguments[0].name)
    own, result = body.inputs[place].name, body.outputs[place]
    ones = {o.outputs[0].name for o in body.operations if o.type == "const" and _is_one(o.attributes["val"])}
    for each in body.operations:
        if each.type == "add" and each.outputs[0].name == result:
            sides = [each.inputs[n].arguments[0] for n in ("x", "y")]
            one = [s.name in ones or (s.HasField("value") and _is_one(s.value)) for s in sides]
            return place if (sides[0].name == own and one[1]) or (sides[1].name == own and one[0]) else None
    return None


def _is_one(value: Any) -> bool:
    held = value.immediateValue.tensor
    return list(held.ints.values) == [1] and not value.type.tensorType.rank


def keeps(node: Any, body: Any, place: int, bound: np.ndarray | None, inputs: list[ir.Value]) -> bool:
    """Whether the lists of a loop that counts to a known number keep their lengths."""
    writes = [o for o in body.operations if o.type in ("list_write", "list_scatter")]
    plain = all(
        o.type == "list_write" and o.inputs["index"].arguments[0].name == body.inputs[place].name
        for o in writes
    )
    lists = [v for v, i in zip(inputs, body.inputs, strict=True) if i.type.WhichOneof("type") == "listType"]
    known = all(
        v.shape is not None and isinstance(v.shape[0], int) and bound is not None and v.shape[0] >= bound
        for v in lists
    )
    return plain and known and not any(o.blocks for o in body.operations)


def element_dims(node: Any) -> list[int | None]:
    """Dimensions of a list's elements, as its type or its maker says; None where one is not known."""
    described = node.outputs[0].type.listType.type.tensorType
    dims = [
        d.constant.size if d.WhichOneof("dimension") == "constant" else None for d in described.dimensions
    ]
    given = node.array("elem_shape")
    if given is not None and None in dims:
        flat = given if isinstance(given, list) else list(np.ravel(given))
        known = [
            int(v) if not isinstance(v, str) and np.asarray(v).dtype.kind in "iu" else None for v in flat
        ]
        dims = known if len(known) == len(dims) else dims
    return dims


@ops.op("make_list")
def make_list(op, node, init_length=None):
    """A list is a tensor with its elements stacked; an element of lengths not known yet has length 0."""
    dtype = DTYPES[node.get("dtype", "fp32")]
    dims = element_dims(node)
    count = const(init_length) if init_length is not None else np.array(1)
    if count is not None and None not in dims:
        return op.const(np.zeros([int(count), *dims], dtype.numpy()))
    first = int(count) if count is not None else op.Reshape(as_int64(op, init_length), [1])
    made = op.Expand(op.const(0, dtype), vector(op, [first, *[0 if d is None else d for d in dims]]))
    made.shape = ir.Shape([first if isinstance(first, int) else None, *[0 if d is None else d for d in dims]])
    PRISTINE.set(made.producer(), True)
    return made


def pristine(ls: ir.Value) -> bool:
    """Whether a list was made without knowing its elements, and never written."""
    made = ls.producer()
    return made is not None and bool(PRISTINE.get(made))


def _rows(op: hub.Builder, ls: ir.Value, value: ir.Value) -> Any:
    """The list with elements of the shape of `value` (of one element)."""
    if not pristine(ls):
        return ls
    dims = list(ls.shape or ())
    sizes = [
        d if isinstance(d, int) and d else size for d, size in zip(dims[1:], lengths(op, value), strict=True)
    ]
    first = dims[0] if isinstance(dims[0], int) else op.Shape(ls, start=0, end=1)
    return op.Expand(op.const(0, ls.dtype), vector(op, [first, *sizes]))


def _grown(op: hub.Builder, ls: ir.Value, last: ir.Value) -> Any:
    """The list, lengthened to hold place `last` (int64 of shape [1])."""
    missing = op.Max(op.Sub(op.Add(last, 1), op.Shape(ls, start=0, end=1)), 0)
    rank = rank_of(ls) or 1
    pads = op.Concat(op.const(ints(*[0] * rank)), missing, op.const(ints(*[0] * (rank - 1))), axis=0)
    return op.Pad(ls, pads)


def _grows(ls: ir.Value, indices: ir.Value) -> bool:
    """Whether a write may go past the end."""
    known, size = const(indices), shape_of(ls)
    return known is None or size is None or int(np.max(known, initial=-1)) >= size[0]


@ops.op("list_write")
def list_write(op, node, ls, index, value):
    place = op.Reshape(as_int64(op, index), [1])
    ls = _rows(op, ls, value)
    if node.scope.growing and _grows(ls, place):
        ls = _grown(op, ls, place)
    return placed(op, ls, op.Equal(arange(op, lengths(op, ls)[0]), place), op.Unsqueeze(value, [0]))


def placed(op: hub.Builder, ls: ir.Value, here: ir.Value, values: Any) -> Any:
    """The list with `values` where `here` [length] says."""
    made = op.Where(op.Reshape(here, op.const(ints(-1, *[1] * ((rank_of(ls) or 1) - 1)))), values, ls)
    made.shape = ls.shape
    return made


@ops.op("list_scatter")
def list_scatter(op, node, ls, indices, value):
    places = as_int64(op, indices)
    if _every(const(indices), ls.shape[0] if ls.shape is not None else None):
        return op.Identity(value)
    if pristine(ls):
        ls = _rows(op, ls, op.Gather(value, op.const(np.array(0, np.int64)), axis=0))
    if node.scope.growing and _grows(ls, places):
        ls = _grown(op, ls, op.Reshape(op.ReduceMax(places, keepdims=1), [1]))
    hits = op.Equal(op.Unsqueeze(arange(op, lengths(op, ls)[0]), [1]), op.Unsqueeze(places, [0]))
    hits = op.Cast(hits, to=int(ir.DataType.INT32))
    written = op.Greater(op.ReduceMax(hits, [1], keepdims=0), 0)
    last = op.ArgMax(hits, axis=1, keepdims=0, select_last_index=1)
    return placed(op, ls, written, op.Gather(value, last, axis=0))


def _every(indices: np.ndarray | None, length: Any) -> bool:
    """Whether indices name every place once, in order."""
    return indices is not None and indices.size == length and (indices.ravel() == np.arange(length)).all()


@ops.op("list_read")
def list_read(op, node, ls, index):
    return op.Gather(ls, as_int64(op, index), axis=0)


@ops.op("list_gather")
def list_gather(op, node, ls, indices):
    return op.Gather(ls, as_int64(op, indices), axis=0)


@ops.op("list_length")
def list_length(op, node, ls):
    return op.Cast(op.Reshape(op.Shape(ls, start=0, end=1), op.const([])), to=INT32)


def _state(node: Any) -> str:
    return node.bindings("input")[0].name


TOP = condition("a state that is not written inside a branch or loop", lambda n: n.scope.depth == 0)


@ops.op("read_state")
def read_state(op, node):
    return op.Identity(node.scope.states[_state(node)])


@ops.op("write_state", needs=(TOP,))
def write_state(op, node, data):
    node.scope.states[_state(node)] = op.Identity(data)
    return ()


@ops.op("coreml_update_state", needs=(TOP,))
def update_state(op, node, value):
    node.scope.states[node.bindings("state")[0].name] = op.Identity(value)
    return op.Identity(value)


def labels(node: Any) -> np.ndarray:
    """The classes of a classifier, as an array."""
    classes = node.array("classes")
    return np.ravel([np.ravel(c)[0] for c in classes]) if isinstance(classes, list) else np.ravel(classes)


@ops.op("classify")
def classify(op, node, probabilities):
    """The probabilities under the dictionary's name; the label too where it is asked for."""
    scope, classes = node.scope, labels(node)
    scope.classes = classes.tolist()
    made = op.Identity(probabilities)
    if scope.options.get("labels") != "output":
        return None, made
    best = op.ArgMax(op.Reshape(probabilities, [-1]), axis=0, keepdims=1)
    table = (
        ir.StringTensor(np.array([s.encode() for s in classes], object))
        if classes.dtype.kind in "OU"
        else classes
    )
    return op.Gather(op.const(table), best), made


def _shape(op: hub.Builder, node: Any, shape: ir.Value) -> Any:
    array = const(shape)
    return op.const(array.astype(np.int64)) if array is not None else as_int64(op, shape)


def _seed(node: Any) -> float | None:
    seed = node.get("seed", -1)
    return None if seed < 0 else float(seed)


@ops.op("random_uniform", "random_normal")
def random_like(op, node, shape):
    names = {"random_uniform": ("low", 0.0, "high", 1.0), "random_normal": ("mean", 0.0, "stddev", 1.0)}[
        node.op
    ]
    first, second = node.get(names[0], names[1]), node.get(names[2], names[3])
    frame = op.Expand(op.const(0, node.out_dtype()), _shape(op, node, shape))
    if node.op == "random_uniform":
        return op.RandomUniformLike(frame, low=first, high=second, seed=_seed(node))
    return op.RandomNormalLike(frame, mean=first, scale=second, seed=_seed(node))


@ops.op("random_bernoulli")
def random_bernoulli(op, node, shape):
    chance = op.const(np.array(node.get("prob", 0.5), np.float32))
    made = op.Bernoulli(op.Expand(chance, _shape(op, node, shape)), seed=_seed(node))
    return cast(op, made, node.out_dtype())


@ops.op("random_categorical", needs=(RANKED,))
def random_categorical(op, node, x):
    """The largest of the logits, each with noise of a Gumbel distribution, is a sample."""
    logits = op.Log(x) if node.get("mode", "logits") == "probs" else x
    return cast(op, drawn(op, logits, node.get("size", 1), _seed(node)), node.out_dtype())


def drawn(op: hub.Builder, logits: ir.Value, count: int, seed: float | None) -> Any:
    """`count` samples of the last dimension of logits."""
    wide = cast(op, logits, ir.DataType.FLOAT)
    sizes = lengths(op, wide)
    frame = op.Expand(op.Unsqueeze(wide, ints(-2)), vector(op, [*sizes[:-1], count, sizes[-1]]))
    noise = op.Neg(op.Log(op.Neg(op.Log(op.RandomUniformLike(frame, low=1e-7, high=1.0, seed=seed)))))
    return op.ArgMax(op.Add(frame, noise), axis=-1, keepdims=0)
