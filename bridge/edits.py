"""Interfaces changed: names, dimensions, constants, dtypes and layouts, and what comes before and after."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidOption, near_miss
from bridge.load import load
from bridge.passes import clean, infer
from bridge.passes.dimensions import FixDimensions

__all__ = ["Edits", "Picture", "Suppression", "edit", "edited", "values_of"]

HEADS = ("softmax", "argmax")
LENGTH = "Give a whole number of 64 bits, or a name."
DTYPES = {t.name.lower(): t for t in ir.DataType if t is not ir.DataType.UNDEFINED} | {
    "float32": ir.DataType.FLOAT,
    "float64": ir.DataType.DOUBLE,
}


@dataclass(frozen=True)
class Picture:
    """Pictures as they are decoded, uint8 [N, height, width, channels], in the place of a float input: each
    number times `scale`, minus `mean`, divided by `std` of its channel; pictures of any size are resized to
    `size`, height and width, bilinearly. `reverse` turns RGB to BGR, or back."""

    scale: float = 1 / 255
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    size: Sequence[int] | None = None
    reverse: bool = False


@dataclass(frozen=True)
class Suppression:
    """Non-maximum suppression of the outputs `boxes` [N, boxes, 4] and `scores` [N, classes, boxes], whose
    result `selected` is int64 [found, 3]: picture, class and box. `centred` boxes are x, y, width, height."""

    boxes: str
    scores: str
    iou: float = 0.5
    score: float = 0.0
    most: int = 100
    centred: bool = False


@dataclass(frozen=True)
class Edits:
    """Changes of an interface, by the names that inputs and outputs have before them.

    `rename` gives new names to inputs and outputs; `dims` gives a dimension, by its name or as
    `INPUT:AXIS`, a length or a new name; `constants` gives inputs values of their own; `dtypes` another
    dtype, cast within; `layouts` another order of dimensions, such as NHWC, of pictures and sequences;
    `pictures` takes pictures as they are decoded; `heads` puts softmax or argmax, or a list of the names of
    classes, behind an output, along its last axis; `suppression` puts non-maximum suppression behind two.
    `add_outputs` are values within, as `bridge.extract` names them; `drop_outputs` are no outputs any more.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    dims: Mapping[str, int | str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    heads: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    suppression: Suppression | None = None
    add_outputs: Sequence[str] = ()
    drop_outputs: Sequence[str] = ()

    @classmethod
    def taken(cls, options: dict[str, Any]) -> tuple[Edits, dict[str, Any]]:
        """The edits among options, and those that are others'."""
        names = {f.name for f in fields(cls)}
        own = {name: value for name, value in options.items() if name in names}
        return cls(**own), {name: value for name, value in options.items() if name not in names}


def edit(src: Any, *, source: str | None = None, **options: Any) -> ir.Model:
    """A hub model with another interface, of one or of what `bridge.load` reads, which is left as it was.

    Options are the fields of `bridge.edits.Edits`, and those of the source's importer. Raises InvalidOption
    for a name that nothing has, with those that are near, and for what does not fit what it names; and what
    `load` raises.
    """
    edits, others = Edits.taken(options)
    return edited(src if isinstance(src, ir.Model) else load(src, source=source, **others), edits)


def edited(model: ir.Model, edits: Edits) -> ir.Model:
    """A hub model with another interface; the model handed in is left as it was. Raises InvalidOption."""
    model = model.clone()
    graph = model.graph
    inputs, outputs = ({v.name or "": v for v in side} for side in (graph.inputs, graph.outputs))
    added = {name: _found(values_of(graph), name, "value") for name in edits.add_outputs}

    def end(name: str) -> ir.Value:
        return _now([*graph.inputs, *graph.outputs], _found(inputs | outputs, name, "input or output"), name)

    _give_lengths(model, edits.dims)
    for name, value in edits.constants.items():
        _hold(graph, _found(inputs, name, "input"), value)
    for name, picture in edits.pictures.items():
        _take_pictures(graph, _found(inputs, name, "input"), picture)
    for name, layout in edits.layouts.items():
        _lay_out(graph, end(name), layout)
    for name, head in edits.heads.items():
        _put_behind(graph, _now(graph.outputs, _found(outputs, name, "output"), name), head)
    if edits.suppression is not None:
        _suppress(graph, outputs, edits.suppression)
    for name, dtype in edits.dtypes.items():
        _cast(graph, end(name), _dtype(dtype))
    for name in edits.drop_outputs:
        graph.outputs.remove(_now(graph.outputs, _found(outputs, name, "output"), name))
    for name, value in added.items():
        _add(graph, name, value)
    if not graph.outputs:
        raise InvalidOption("Nothing is left that the model gives: keep an output.")
    _rename(graph, edits.rename)
    clean(model)
    return model


def values_of(graph: ir.Graph) -> dict[str, ir.Value]:
    """Values by their names, and by those of the operators of the source that give them."""
    by_operator: dict[str, ir.Value] = {}
    for node in graph:
        name = hub.origin(node).name
        if name and node.outputs:
            by_operator[name] = node.outputs[0]
            by_operator |= {f"{name}:{index}": value for index, value in enumerate(node.outputs)}
    own = {v.name: v for v in [*graph.inputs, *(v for node in graph for v in node.outputs)] if v.name}
    return own | {name: value for name, value in by_operator.items() if name not in own}


def _found(things: Mapping[str, ir.Value], name: str, kind: str) -> ir.Value:
    if name not in things:
        known = ", ".join(list(things)[:8])
        raise InvalidOption(f"The model has no {kind} {name!r}.", f"{near_miss(name, things)}It has {known}.")
    return things[name]


def _dtype(name: str) -> ir.DataType:
    if name not in DTYPES:
        raise InvalidOption(f"{name!r} is no dtype.", near_miss(name, DTYPES))
    return DTYPES[name]


def _give_lengths(model: ir.Model, lengths: Mapping[str, int | str]) -> None:
    """Dimensions by name have lengths or other names everywhere; those of inputs, by axis, anew."""
    named = {name: new for name, new in lengths.items() if ":" not in name}
    fixed = {name: new for name, new in named.items() if not isinstance(new, str)}
    if fixed:
        FixDimensions(fixed)(model)
    known = {str(d.value) for v in model.graph.inputs for d in v.shape or () if not isinstance(d, int)}
    for name, new in named.items():
        if isinstance(new, str):
            if not new.isidentifier():
                raise InvalidOption(
                    f"dims: {new!r} is no length of {name}.", "Give a whole number, or a name."
                )
            if name not in known:
                raise InvalidOption(f"No input has a dimension {name!r}.", near_miss(name, known))
            _call_dimension(model, name, new)
    placed = [name for name in lengths if ":" in name]
    inputs = {v.name or "": v for v in model.graph.inputs}
    for place in placed:
        name, _, axis = place.rpartition(":")
        value = _found(inputs, name, "input")
        sizes: list[Any] = list(value.shape or ())
        if not axis.lstrip("-").isdecimal() or not -len(sizes) <= int(axis) < len(sizes):
            raise InvalidOption(f"{place!r} is no axis of an input: {name} has {len(sizes)} dimensions.")
        new = lengths[place]
        if not (new.isidentifier() if isinstance(new, str) else 0 <= new < 2**63):
            raise InvalidOption(f"dims: {new!r} is no length of {place}.", LENGTH)
        sizes[int(axis)] = new
        value.shape = ir.Shape(sizes)
    if placed:
        for node in hub.all_nodes(model):
            for value in node.outputs:
                value.shape = None
        infer(model)


def _call_dimension(model: ir.Model, name: str, new: str) -> None:
    word = re.compile(rf"\b{re.escape(name)}\b")
    values = [*model.graph.inputs, *(v for node in hub.all_nodes(model) for v in node.outputs)]
    for value in values:
        if value.shape is not None:
            dims = [
                d if isinstance(d, int) or d.value is None else word.sub(new, str(d.value))
                for d in value.shape
            ]
            value.shape = ir.Shape(dims)


def _hold(graph: ir.Graph, value: ir.Value, given: Any) -> None:
    """An input that has one value from now on. A number fills the shape of the input, where that is known."""
    array = np.asarray(given)
    shape = hub.shape_of(value)
    if array.ndim == 0 and shape:
        array = np.full(shape, array)
    dims = [] if value.shape is None else list(value.shape)
    fits = value.shape is None or (
        len(dims) == array.ndim
        and all(not isinstance(d, int) or d == n for d, n in zip(dims, array.shape, strict=True))
    )
    if not fits:
        raise InvalidOption(
            f"A constant of shape {list(array.shape)} is none of {value.name}: {value.shape}."
        )
    if value.dtype is not None:
        with np.errstate(all="ignore"):
            cast = array.astype(value.dtype.numpy())
        if not value.dtype.is_floating_point() and not np.array_equal(cast, array):
            raise InvalidOption(
                f"{array.ravel()[0]!r} is no {value.dtype.name.lower()}, the dtype of {value.name}."
            )
        array = cast
    graph.inputs.remove(value)
    value.const_value, value.shape = ir.Tensor(array, name=value.name), ir.Shape(array.shape)
    graph.register_initializer(value)


def _in_front(graph: ir.Graph, value: ir.Value, shape: Sequence[Any], dtype: ir.DataType | None) -> ir.Value:
    """An input in the place of another, and under its name; of which the other is to be computed."""
    own = value.type if dtype is None else ir.TensorType(dtype)
    given = ir.Value(name=value.name, type=own, shape=ir.Shape(shape))
    value.name = hub.fresh_name(graph, "inner")
    graph.inputs[list(graph.inputs).index(value)] = given
    return given


def _computed(graph: ir.Graph, value: ir.Value, made: ir.Value) -> None:
    """Have what was an input computed from now on."""
    ir.convenience.replace_all_uses_with(value, made, replace_graph_outputs=True)


def _behind(graph: ir.Graph, value: ir.Value, made: ir.Value) -> None:
    """An output computed of another, in its place and under its name."""
    made.name, value.name = value.name, hub.fresh_name(graph, "inner")
    graph.outputs[list(graph.outputs).index(value)] = made


def _now(values: Sequence[ir.Value], before: ir.Value, name: str) -> ir.Value:
    """The input or output of that name, which other edits may have put in the place of the one before."""
    return next((v for v in values if v.name == name), before)


def _take_pictures(graph: ir.Graph, value: ir.Value, picture: Picture) -> None:
    """Decoded pictures, prepared for the input, whichever of its dimensions are the channels."""
    name, dims = value.name, [*(value.shape or ())]
    axis = next((a for a in (1, 3) if len(dims) == 4 and dims[a] in (1, 3, 4)), None)
    if axis is None or value.dtype is None or not value.dtype.is_floating_point():
        raise InvalidOption(
            f"{name} takes no pictures: it needs 4 dimensions, 1, 3 or 4 channels, and floats."
        )
    count, sides = int(dims[axis]), dims[2:] if axis == 1 else dims[1:3]  # type: ignore[arg-type]
    if any(len(n) not in (1, count) for n in (picture.mean, picture.std)) or 0 in picture.std:
        raise InvalidOption(f"{name} has {count} channels: give one mean and std for all, or one for each.")
    free = [f"{name}_height", f"{name}_width"] if picture.size is not None else sides
    given = _in_front(graph, value, [dims[0], *free, count], ir.DataType.UINT8)
    op = hub.Builder(graph)
    x = op.Cast(given, to=int(value.dtype))
    if picture.size is not None:
        x = op.Transpose(x, perm=[0, 3, 1, 2])
        sizes = op.Concat(op.Shape(x, end=2), np.array(picture.size, np.int64), axis=0)
        x = op.Transpose(op.Resize(x, None, None, sizes, mode="linear"), perm=[0, 2, 3, 1])
    if picture.reverse:
        x = op.Gather(x, np.arange(count)[::-1].copy(), axis=3)
    dtype = value.dtype.numpy()
    x = op.Div(
        op.Sub(op.Mul(x, np.array(picture.scale, dtype)), np.array(picture.mean, dtype)),
        np.array(picture.std, dtype),
    )
    x = op.Transpose(x, perm=[0, 3, 1, 2]) if axis == 1 else x
    _computed(graph, value, x)


LAYOUTS = ("NCW", "NWC", "NCHW", "NHWC", "NCDHW", "NDHWC")


def _lay_out(graph: ir.Graph, value: ir.Value, layout: str) -> None:
    """An input or output in another order of dimensions; the order that it has is the other of its rank."""
    sizes = list(value.shape or ())
    fitting = [one for one in LAYOUTS if len(one) == len(sizes)]
    if layout not in fitting:
        raise InvalidOption(
            f"{layout!r} is no layout of {value.name}, which has {len(sizes)} dimensions.",
            f"There are {', '.join(fitting or LAYOUTS)}.",
        )
    (other,) = (one for one in fitting if one != layout)
    if value.is_graph_input():
        given = _in_front(graph, value, [sizes[other.index(letter)] for letter in layout], None)
        turned = hub.Builder(graph).Transpose(given, perm=[layout.index(letter) for letter in other])
        _computed(graph, value, turned)
    else:
        _behind(
            graph, value, hub.Builder(graph).Transpose(value, perm=[other.index(letter) for letter in layout])
        )


def _cast(graph: ir.Graph, value: ir.Value, dtype: ir.DataType) -> None:
    own = value.dtype
    if own is None or ir.DataType.STRING in (dtype, own):
        raise InvalidOption(f"{value.name} holds no numbers that could be cast.")
    if value.is_graph_input():
        given = _in_front(graph, value, list(value.shape or ()), dtype)
        _computed(graph, value, hub.Builder(graph).Cast(given, to=int(own)))
    else:
        _behind(graph, value, hub.Builder(graph).Cast(value, to=int(dtype)))


def _put_behind(graph: ir.Graph, value: ir.Value, head: str | Sequence[str]) -> None:
    op = hub.Builder(graph)
    if isinstance(head, str) and head not in HEADS:
        raise InvalidOption(f"{head!r} is neither {' nor '.join(HEADS)}, nor a list of names.")
    if head == "softmax":
        _behind(graph, value, op.Softmax(value, axis=-1))
        return
    place = op.ArgMax(value, axis=-1, keepdims=0)
    if head != "argmax":
        classes = value.shape[-1] if value.shape else None
        if isinstance(classes, int) and classes != len(head):
            raise InvalidOption(f"{value.name} tells {classes} classes, and there are {len(head)} names.")
        place = op.Gather(np.array(list(head), object), place)
    _behind(graph, value, place)


def _suppress(graph: ir.Graph, outputs: Mapping[str, ir.Value], asked: Suppression) -> None:
    boxes, scores = (
        _now(graph.outputs, _found(outputs, n, "output"), n) for n in (asked.boxes, asked.scores)
    )
    if any(len(v.shape or ()) != 3 for v in (boxes, scores)):
        raise InvalidOption(
            f"{asked.boxes} and {asked.scores} need the shapes [N, boxes, 4] and [N, classes, boxes]."
        )
    selected = hub.Builder(graph).NonMaxSuppression(
        *(boxes, scores, np.array([asked.most])),
        *(np.array([asked.iou], np.float32), np.array([asked.score], np.float32)),
        center_point_box=int(asked.centred),
    )
    selected.name = "selected"
    graph.outputs.append(selected)


def _add(graph: ir.Graph, name: str, value: ir.Value) -> None:
    """A value within that is an output too."""
    if value.is_graph_output():
        raise InvalidOption(f"{name} is an output already.")
    if value.type is None:
        raise InvalidOption(f"Of the value {name!r} not even the dtype is known; take another.")
    if value.name != name or value.producer() is None:
        value = hub.Builder(graph).Identity(value)
        value.name = name if name not in {v.name for v in graph.inputs} else f"{name}_output"
    graph.outputs.append(value)


def _rename(graph: ir.Graph, names: Mapping[str, str]) -> None:
    ends = {v.name or "": v for v in [*graph.inputs, *graph.outputs]}
    kept = [name for name in ends if name not in names]
    new = [*kept, *names.values()]
    if twice := next((name for name in new if new.count(name) > 1), None):
        raise InvalidOption(f"Two inputs or outputs would be called {twice!r}.")
    renamed = {_found(ends, old, "input or output"): fresh for old, fresh in names.items()}
    inner = [v for node in graph for v in node.outputs if v.name in renamed.values() and v not in renamed]
    for value in inner:
        value.name = hub.fresh_name(graph, "inner")
    for value, name in renamed.items():
        value.name = name
