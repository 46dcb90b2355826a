"""Nodes held against the schemas of their operators, and against what the operators' specifications say of
the shapes and values of operands and attributes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_ir as ir

from bridge.traits import BROADCASTING, REDUCTION

__all__ = ["problems_of"]

Kind = onnx.defs.OpSchema.FormalParameterOption
SHAPES = {
    **dict.fromkeys(("Compress", "Reshape", "Expand", "Tile", "CenterCropPad"), "* | n"),
    **dict.fromkeys(REDUCTION, "* | n"),
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool", "LRN"), "N C ..."),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), "N C *"),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), "N C h w"),
    **dict.fromkeys(("MatMul", "MatMulInteger"), "* a | * b"),
    **dict.fromkeys(("RNN", "GRU"), "s t i | d w i | d w h | d b | n | x y h"),
    **dict.fromkeys(("Gather", "Split", "SplitToSequence", "TopK", "Concat"), "a *"),
    **dict.fromkeys(("CumSum", "CumProd"), "a *"),
    "AffineGrid": "N a b | s",
    "BatchNormalization": "* | C | C | C | C",
    "Col2Im": "N c L | n | n",
    "Conv": "N C ... | M c ... | M",
    "ConvInteger": "N C ... | M c ...",
    "ConvTranspose": "N C ... | C m ... | b",
    "DeformConv": "N C h w | M c k l | N o p q | M | N r p q",
    "Det": "* n n",
    "GatherElements": "a ... | b ...",
    "GatherND": "a * | b *",
    "Gemm": "a b | c d",
    "GridSample": "N C ... | N d ...",
    "InstanceNormalization": "N C * | C | C",
    "LSTM": "s t i | d w i | d w h | d b | n | x y h | x y h | d p",
    "MaxRoiPool": "N C h w | r 5",
    "MaxUnpool": "N C ... | N C ... | n",
    "Multinomial": "N c",
    "NegativeLogLikelihoodLoss": "N C ... | N ... | C",
    "NonMaxSuppression": "N s 4 | N c s",
    "OneHot": "* | * | 2",
    "Pad": "* | n | * | k",
    "Resize": "* | a | b | c",
    "ReverseSequence": "a b * | n",
    "RoiAlign": "N C h w | r 4 | r",
    "ScatterElements": "a ... | b ... | c ...",
    "ScatterND": "a * | b *",
    "Slice": "a * | n | n | n | n",
    "SoftmaxCrossEntropyLoss": "N C ... | N ... | C",
    "TensorScatter": "a ... | b ... | n",
    "Trilu": "* a b",
}
"""Dimensions of operands, by operator: what has one letter is as long, three dots are as many dimensions in
each, and a star is any number of them."""
SINGLE = {
    **dict.fromkeys(("CumSum", "CumProd", "OneHot", "TopK", "Trilu"), (1,)),
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow", "If"), (0,)),
    **dict.fromkeys(("Clip", "DFT", "Dropout"), (1, 2)),
    **dict.fromkeys(("SequenceAt", "SequenceErase"), (1,)),
    "Loop": (0, 1),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "NonMaxSuppression": (2, 3, 4),
    "Pad": (2,),
    "Range": (0, 1, 2),
    "SequenceInsert": (2,),
    "STFT": (1, 3),
}
"""Operands that are one number, by operator."""
AXES = {
    **dict.fromkeys(REDUCTION, 1),
    **dict.fromkeys(("CumSum", "CumProd", "Squeeze", "Unsqueeze"), 1),
    **dict.fromkeys(("Pad", "Slice"), 3),
    "DFT": 2,
}
"""Operands that name dimensions of the first, by operator."""
LEAST = {
    "Tile": (1, 0),
    "TopK": (1, 0),
    "OneHot": (1, 0),
    "Split": (1, 0),
    "SplitToSequence": (1, 0),
    "ConstantOfShape": (0, 0),
    "CenterCropPad": (1, 0),
    "Reshape": (1, -1),
    "Expand": (1, -1),
    "AffineGrid": (1, 1),
    "Col2Im": (2, 1),
    "Resize": (3, 0),
}
"""The operand that holds lengths or counts, and the least it may hold, by operator."""
POSITIVE = frozenset(
    [
        *("blocksize", "chunk_size", "dilations", "group", "hidden_size", "inputdimensions", "kernel_shape"),
        *("kv_num_heads", "max_gram_length", "min_gram_length", "n_targets", "num_groups", "num_outputs"),
        *("num_scan_inputs", "offset_group", "output_height", "output_shape", "output_width", "p"),
        *("pooled_shape", "q_num_heads", "sample_size", "size", "strides", "targets"),
    ]
)
"""Attributes whose numbers are 1 and more, of every operator."""
NATURAL = frozenset(
    [
        *("batch_axis", "batch_dims", "block_size", "max_skip_count", "num_heads", "output_padding"),
        *("rotary_embedding_dim", "sampling_ratio", "time_axis"),
    ]
)
"""Attributes whose numbers are 0 and more, of every operator."""
SCATTERED, AVERAGED = ("none", "add", "mul", "max", "min"), ("none", "mean", "sum")
DIRECTIONS = ("forward", "reverse", "bidirectional")
CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "approximate": {"": ("none", "tanh")},
    "auto_pad": {"": ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")},
    "case_change_action": {"": ("NONE", "LOWER", "UPPER")},
    "coordinate_transformation_mode": {
        "Resize": (
            *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"),
            *("tf_half_pixel_for_nn", "tf_crop_and_resize"),
        ),
        "RoiAlign": ("half_pixel", "output_half_pixel"),
    },
    "direction": {"BitShift": ("LEFT", "RIGHT"), **dict.fromkeys(("RNN", "GRU", "LSTM"), DIRECTIONS)},
    "keep_aspect_ratio_policy": {"": ("stretch", "not_larger", "not_smaller")},
    "mode": {
        "DepthToSpace": ("DCR", "CRD"),
        "GridSample": ("linear", "nearest", "cubic", "bilinear", "bicubic"),
        "Pad": ("constant", "reflect", "edge", "wrap"),
        "Resize": ("nearest", "linear", "cubic"),
        "RoiAlign": ("avg", "max"),
        "SpaceToDepth": ("DCR", "CRD"),
        "TensorScatter": ("linear", "circular"),
        "TfIdfVectorizer": ("TF", "IDF", "TFIDF"),
    },
    "nearest_mode": {"": ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")},
    "padding_mode": {"": ("zeros", "border", "reflection")},
    "reduction": {
        **dict.fromkeys(("ScatterElements", "ScatterND"), SCATTERED),
        **dict.fromkeys(("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), AVERAGED),
    },
    "round_mode": {"": ("up", "down", "nearest")},
}
"""Words that an attribute may be, by operator; of every operator that has it under no name."""
NAMES_DTYPES = {"to": 1, "dtype": 0, "output_dtype": 0, "output_datatype": 0}
"""Attributes that are the number of a dtype, and the least it may be."""
NAMES_AXES = frozenset(["axis", "axes", "batch_axis", "time_axis"])
AXIS_ROOM = {
    "Flatten": (0, 1),
    "OneHot": (1, 1),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "Unsqueeze"), None),
}
"""How many dimensions more than the first operand's an axis attribute may count, from the end and from the
start; None where they do not bound it."""
PER_AXIS = {
    "kernel_shape": 1,
    "strides": 1,
    "dilations": 1,
    "output_padding": 1,
    "output_shape": 1,
    "pads": 2,
}
"""Numbers that an attribute of a window has for each axis behind the channels."""
WINDOWS = frozenset(["Conv", "ConvTranspose", "ConvInteger", "MaxPool", "AveragePool", "LpPool", "MaxUnpool"])
DTYPES = frozenset(int(dtype) for dtype in ir.DataType)
SMALL = 1024
"""Elements of the largest operand whose values are looked at."""


class Described(NamedTuple):
    """Facts of a schema: the least and most operands and results, the names of operands that cannot be left
    out, the type of each attribute, and the attributes that cannot be left out."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    operands: tuple[str, ...]
    types: dict[str, str]
    required: frozenset[str]


class Held:
    """A node whose operands and attributes are looked at; shapes of what other nodes make only where they are
    `inferred`, not declared."""

    def __init__(self, node: ir.Node, inferred: bool) -> None:
        self.op_type, self.inputs, self.outputs = node.op_type, node.inputs, node.outputs
        self.attributes, self.inferred = node.attributes, inferred

    def shape(self, index: int) -> tuple[Any, ...] | None:
        """The lengths of an operand; a declared one of 0 or less is one that varies."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None or value.shape is None or not (self.inferred or value.producer() is None):
            return None
        if self.inferred or value.const_value is not None:
            return value.shape.dims
        return tuple(length if isinstance(length, int) and length > 0 else None for length in value.shape)

    def rank(self, index: int) -> int | None:
        shape = self.shape(index)
        return None if shape is None else len(shape)

    def constant(self, index: int) -> np.ndarray | None:
        """The numbers of a small constant operand, in one dimension."""
        value = self.inputs[index] if index < len(self.inputs) else None
        tensor = None if value is None or value.is_graph_input() else value.const_value
        if tensor is None or tensor.size > SMALL or tensor.dtype == ir.DataType.STRING:
            return None
        return tensor.numpy().ravel()

    def attribute(self, name: str, default: Any) -> Any:
        attribute = self.attributes.get(name)
        return default if attribute is None or attribute.is_ref() else attribute.value

    def called(self, index: int) -> str:
        """The name of an operand, or its place."""
        value = self.inputs[index]
        return value.name if value is not None and value.name else str(index)


def problems_of(node: ir.Node, schema: onnx.defs.OpSchema, inferred: bool = True) -> Iterator[str]:
    """Operands and attributes of a node that its operator does not have, or lacks, or that are not as its
    specification says, as far as they are known, in words that follow the node's name.

    Shapes of what nodes make are looked at where they are `inferred`: those that a file declares may be wrong
    of a model that runs.
    """
    problems = list(_signature_problems(node, _described(schema)))
    if not problems:
        held = Held(node, inferred)
        for check in (
            _dimension_problems,
            _attribute_problems,
            _word_problems,
            _value_problems,
            *OWN.get(node.op_type, ()),
        ):
            problems += check(held)
    yield from problems


def _signature_problems(node: ir.Node, described: Described) -> Iterator[str]:
    for what, count, (least, most) in (
        ("inputs", len(node.inputs), described.inputs),
        ("outputs", len(node.outputs), described.outputs),
    ):
        if not least <= count <= most:
            yield f"has {count} {what}, not {least}" + ("" if least == most else f" to {most}")
    for value, name in zip(node.inputs, described.operands, strict=False):
        if value is None and name:
            yield f"has no input {name}"
    for name in described.required - node.attributes.keys():
        yield f"has no attribute {name}"
    for name, attribute in node.attributes.items():
        type_name = described.types.get(name, attribute.type.name)
        if attribute.type.name != type_name and not attribute.is_ref():
            yield f"has an attribute {name} of type {attribute.type.name}, not {type_name}"


def _dimension_problems(node: Held) -> Iterator[str]:
    """Operands of other dimensions than SHAPES writes."""
    lengths: dict[str, int] = {}
    further: set[int] = set()
    for index, (before, free, after) in enumerate(_patterns(node.op_type)):
        shape = node.shape(index)
        if shape is None:
            continue
        rank, count = len(before) + len(after), len(shape)
        if count < rank or (count > rank and not free):
            more = " or more" * bool(free)
            yield f"has an input {node.called(index)} of {count} dimensions, not {rank}{more}"
            continue
        if free == "...":
            further.add(count - rank)
        for letter, length in zip(
            before + after, shape[: len(before)] + shape[count - len(after) :], strict=True
        ):
            known = (
                lengths.setdefault(letter, int(letter) if letter.isdigit() else length)
                if _known(length)
                else 0
            )
            if _known(length) and known != length:
                yield f"has an input {node.called(index)} of length {length}, not {known}"
    if len(further) > 1:
        yield f"has operands whose numbers of dimensions differ by {max(further) - min(further)}"


def _attribute_problems(node: Held) -> Iterator[str]:
    """Attributes out of range."""
    for name, attribute in node.attributes.items():
        least = 1 if name in POSITIVE else 0 if name in NATURAL else None
        names_axes = name in NAMES_AXES
        if (least is None and not names_axes) or attribute.is_ref():
            continue
        numbers = attribute.value if isinstance(attribute.value, Sequence) else [attribute.value]
        if least is not None and any(number < least for number in numbers):
            yield f"has an attribute {name} of {min(numbers)}, less than {least}"
        rank, room = node.rank(0), AXIS_ROOM.get(node.op_type, (0, 0))
        if names_axes and rank is not None and room is not None:
            yield from _axis_problems(numbers, rank + room[0], rank + room[1])


def _word_problems(node: Held) -> Iterator[str]:
    """Attributes that are no word, or no dtype, of those they may be."""
    for name in CHOICES.keys() & node.attributes.keys():
        words, word = CHOICES[name].get(node.op_type) or CHOICES[name].get(""), node.attribute(name, None)
        if words is not None and word is not None and word not in words:
            yield f"has an attribute {name} of {word!r}, none of {', '.join(words)}"
    for name in NAMES_DTYPES.keys() & node.attributes.keys():
        number = node.attribute(name, None)
        if number is not None and not (NAMES_DTYPES[name] <= number and number in DTYPES):
            yield f"has an attribute {name} of {number}, which is no dtype"


def _broadcast_problems(node: Held) -> Iterator[str]:
    """Operands of an operator that takes any of equal lengths or 1, and whose lengths are others."""
    shapes = [shape for i in range(len(node.inputs)) if (shape := node.shape(i)) is not None]
    if node.attributes.keys() & {"axis", "broadcast"}:
        return
    for lengths in zip_longest(*map(reversed, shapes), fillvalue=1):
        differing = {n for n in lengths if _known(n) and n != 1}
        if len(differing) > 1:
            yield f"has operands of lengths {min(differing)} and {max(differing)}"


def _axis_problems(axes: Iterable[int], below: int, above: int) -> Iterator[str]:
    """Axes that are none, as counted from the end and from the start; a scalar counts as of one dimension."""
    below, above = max(below, 1), max(above, 1)
    for axis in axes:
        if not -below <= axis < above:
            yield f"has an axis {axis} of {above} dimensions"


def _value_problems(node: Held) -> Iterator[str]:
    """Constant operands of more than one number where one is due, or out of range."""
    for index in SINGLE.get(node.op_type, ()):
        shape = node.shape(index)
        if shape is not None and any(_known(n) and n != 1 for n in shape):
            yield f"has an input {node.called(index)} of {list(shape)}, not one number"
    index, least = LEAST.get(node.op_type, (0, 0))
    lengths = node.constant(index) if node.op_type in LEAST else None
    if lengths is not None and (lengths < least).any():
        yield f"has an input {node.called(index)} of {lengths.min()}, less than {least}"
    axes, rank = node.constant(AXES[node.op_type]) if node.op_type in AXES else None, node.rank(0)
    if axes is not None and rank is not None:
        room = axes.size if node.op_type == "Unsqueeze" else 0
        yield from _axis_problems(axes, rank + room, rank + room)


def _window_problems(node: Held) -> Iterator[str]:
    """Attributes of a window that are not of its axes, and kernels that do not fit the channels."""
    rank = next((r for r in (node.rank(0), node.rank(1)) if r is not None), None)
    if rank is None:
        return
    for name, each in PER_AXIS.items():
        numbers = node.attribute(name, None)
        if numbers is not None and len(numbers) != each * (rank - 2):
            yield f"has {len(numbers)} {name} for {rank - 2} axes"
    if node.op_type.startswith("Conv"):
        yield from _kernel_problems(node)


def _kernel_problems(node: Held) -> Iterator[str]:
    x, w, group = node.shape(0), node.shape(1), max(1, node.attribute("group", 1))
    if w is None or len(w) < 2:
        return
    kernel = node.attribute("kernel_shape", w[2:])
    if any(_known(n) and n != k for n, k in zip(w[2:], kernel, strict=False)):
        yield f"has a kernel of {list(w[2:])}, not {list(kernel)}"
    transposed = node.op_type == "ConvTranspose"
    if _known(w[0]) and w[0] % group:
        yield f"has a kernel of {w[0]} channels in {group} groups"
    if x is not None and not transposed and _known(x[1]) and _known(w[1]) and x[1] != w[1] * group:
        yield f"has {x[1]} channels, not {w[1]} in each of {group} groups"


def _pad_problems(node: Held) -> Iterator[str]:
    yield from _count_problems(node, 1, 3, 2)


def _tile_problems(node: Held) -> Iterator[str]:
    yield from _count_problems(node, 1, None, 1)


def _count_problems(node: Held, index: int, axes: int | None, each: int) -> Iterator[str]:
    """Numbers that are not `each` for every axis, of those an operand names, else of all."""
    numbers, named = node.shape(index), None if axes is None else node.shape(axes)
    if axes is not None and named is None and axes < len(node.inputs) and node.inputs[axes] is not None:
        return
    dimensions: Any = named[0] if named else node.rank(0)
    if numbers and _known(numbers[0]) and _known(dimensions) and numbers[0] != each * dimensions:
        yield f"has an input {node.called(index)} of length {numbers[0]} for {dimensions} axes"


def _slice_problems(node: Held) -> Iterator[str]:
    starts, rank, steps = node.shape(1), node.rank(0), node.constant(4)
    if starts and _known(starts[0]) and rank is not None and starts[0] > rank:
        yield f"has {starts[0]} starts for {rank} axes"
    if steps is not None and (steps == 0).any():
        yield "has a step of 0"


def _resize_problems(node: Held) -> Iterator[str]:
    axes, rank = node.attribute("axes", None), node.rank(0)
    count = rank if axes is None else len(axes)
    first = 1 if len(node.inputs) == 2 else 2
    for index in (first, first + 1):
        shape, numbers = node.shape(index), node.constant(index)
        if shape and count is not None and _known(shape[0]) and shape[0] not in (0, count):
            yield f"has an input {node.called(index)} of length {shape[0]} for {count} axes"
        if numbers is not None and index == first and not (np.isfinite(numbers) & (numbers > 0)).all():
            yield f"has a scale of {numbers.min()}"


def _split_problems(node: Held) -> Iterator[str]:
    sizes, shape, count = node.constant(1), node.shape(0), len(node.outputs)
    if sizes is not None and sizes.size != count:
        yield f"has {sizes.size} sizes for {count} outputs"
    if node.attribute("num_outputs", count) != count:
        yield f"has {count} outputs, not {node.attribute('num_outputs', count)}"
    axis = node.attribute("axis", 0)
    length = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
    if sizes is not None and _known(length) and sizes.sum() != length:
        yield f"has sizes of {sizes.sum()} in all for a length of {length}"


def _transpose_problems(node: Held) -> Iterator[str]:
    order, rank = node.attribute("perm", None), node.rank(0)
    if order is not None and sorted(order) != list(range(len(order) if rank is None else rank)):
        yield f"has a perm of {list(order)}" + ("" if rank is None else f" for {rank} dimensions")


def _block_problems(node: Held) -> Iterator[str]:
    shape, size = node.shape(0), node.attribute("blocksize", 1)
    if shape is None or size < 1:
        return
    parts = [(shape[1], size * size)] if node.op_type == "DepthToSpace" else [(n, size) for n in shape[2:]]
    for length, part in parts:
        if _known(length) and length % part:
            yield f"has a length of {length} in blocks of {part}"


def _unsqueeze_problems(node: Held) -> Iterator[str]:
    axes, rank = node.constant(1), node.rank(0)
    if axes is not None and rank is not None and len(np.unique(axes % (rank + axes.size))) != axes.size:
        yield f"has an axis twice in {axes.tolist()}"


def _top_problems(node: Held) -> Iterator[str]:
    count, shape, axis = node.constant(1), node.shape(0), node.attribute("axis", -1)
    length = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
    if count is not None and count.size == 1 and _known(length) and count.item() > length:
        yield f"has a K of {count.item()} for a length of {length}"


def _range_problems(node: Held) -> Iterator[str]:
    step = node.constant(2)
    if step is not None and (step == 0).any():
        yield "has a delta of 0"


def _gather_problems(node: Held) -> Iterator[str]:
    rank, indices, batches = node.rank(0), node.shape(1), node.attribute("batch_dims", 0)
    if rank is None or not indices:
        return
    if not 0 <= batches < min(rank, len(indices)):
        yield f"has batch_dims of {batches} for {rank} and {len(indices)} dimensions"
    elif _known(indices[-1]) and indices[-1] > rank - batches:
        yield f"has indices of {indices[-1]} numbers for {rank - batches} dimensions"


def _norm_problems(node: Held) -> Iterator[str]:
    x, scale = node.shape(0), node.shape(1)
    channels = x[1] if x is not None and len(x) > 1 else None
    if scale and _known(channels) and _known(scale[0]) and scale[0] != channels:
        yield f"has {channels} channels and a scale of {scale[0]}"


def _group_norm_problems(node: Held) -> Iterator[str]:
    x, groups = node.shape(0), node.attribute("num_groups", 1)
    if x is not None and len(x) > 1 and groups > 0 and _known(x[1]) and x[1] % groups:
        yield f"has {x[1]} channels in {groups} groups"


def _scale_problems(node: Held) -> Iterator[str]:
    """Scales of one axis, or of blocks, that do not fit it; a single one fits any."""
    x, scale, zero, axis = node.shape(0), node.shape(1), node.shape(2), node.attribute("axis", 1)
    if scale is None or all(n == 1 for n in scale):
        return
    if zero is not None and len(zero) != len(scale):
        yield f"has scales of {len(scale)} dimensions and zero points of {len(zero)}"
    for one, other in zip(scale, zero or (), strict=False):
        if _known(one) and _known(other) and one != other:
            yield f"has {one} scales and {other} zero points"
    if x is None:
        return
    blocks = node.attribute("block_size", 0)
    if len(scale) != (len(x) if blocks else 1):
        yield f"has scales of {len(scale)} dimensions for {len(x)}"
    elif not -len(x) <= axis < len(x):
        yield f"has an axis {axis} of {len(x)} dimensions"
    elif not blocks and _known(scale[0]) and _known(x[axis]) and x[axis] != scale[0]:
        yield f"has {scale[0]} scales for a length of {x[axis]}"


GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _recurrent_problems(node: Held) -> Iterator[str]:
    r, gates = node.shape(2), GATES[node.op_type]
    if r is None or len(r) != 3:
        return
    hidden = node.attribute("hidden_size", r[2])
    directions = 2 if node.attribute("direction", "forward") == "bidirectional" else 1
    due = {
        2: (directions, gates * hidden, hidden) if _known(hidden) else (directions,),
        3: (directions, 2 * gates * hidden) if _known(hidden) else (directions,),
        7: (directions, 3 * hidden) if _known(hidden) else (directions,),
    }
    for index, lengths in due.items():
        for length, expected in zip(node.shape(index) or (), lengths, strict=False):
            if _known(length) and length != expected:
                yield f"has an input {node.called(index)} of length {length}, not {expected}"


def _body_problems(node: Held) -> Iterator[str]:
    """Bodies that take or make another number of values than their node; of a Scan before opset 9 an operand
    is the lengths."""
    given, made = len(node.inputs), len(node.outputs)
    inputs, outputs = {
        "If": ((0,), made),
        "Loop": ((max(2, given),), made + 1),
        "Scan": ((given, given - 1), made),
    }[node.op_type]
    for name, attribute in node.attributes.items():
        if attribute.type != ir.AttributeType.GRAPH or attribute.is_ref():
            continue
        if len(attribute.value.inputs) not in inputs:
            yield f"has a {name} of {len(attribute.value.inputs)} inputs, not {inputs[0]}"
        if len(attribute.value.outputs) != outputs:
            yield f"has a {name} of {len(attribute.value.outputs)} outputs, not {outputs}"


OWN: dict[str, tuple[Callable[[Held], Iterator[str]], ...]] = {
    **dict.fromkeys(BROADCASTING - {"PRelu"}, (_broadcast_problems,)),
    **dict.fromkeys(WINDOWS, (_window_problems,)),
    **dict.fromkeys(GATES, (_recurrent_problems,)),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), (_block_problems,)),
    **dict.fromkeys(("GatherND", "ScatterND"), (_gather_problems,)),
    **dict.fromkeys(("If", "Loop", "Scan"), (_body_problems,)),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), (_scale_problems,)),
    "BatchNormalization": (_norm_problems,),
    "GroupNormalization": (_group_norm_problems,),
    "Pad": (_pad_problems,),
    "Range": (_range_problems,),
    "Resize": (_resize_problems,),
    "Slice": (_slice_problems,),
    "Split": (_split_problems,),
    "Tile": (_tile_problems,),
    "TopK": (_top_problems,),
    "Transpose": (_transpose_problems,),
    "Unsqueeze": (_unsqueeze_problems,),
}
"""What is asked of one operator beside the tables."""


def _known(length: Any) -> bool:
    return isinstance(length, int)


@functools.cache
def _patterns(op: str) -> tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...]:
    """The dimensions that SHAPES writes of each operand: the first, whether more follow, the last."""
    parsed = []
    for text in filter(None, SHAPES.get(op, "").split(" | ")):
        letters = text.split()
        free = next((mark for mark in ("*", "...") if mark in letters), "")
        at = letters.index(free) if free else len(letters)
        parsed.append((tuple(letters[:at]), free, tuple(letters[at + 1 :])))
    return tuple(parsed)


@functools.cache
def _described(schema: onnx.defs.OpSchema) -> Described:
    return Described(
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
        tuple(p.name if p.option == Kind.Single else "" for p in schema.inputs),
        {name: str(a.type).rpartition(".")[2] for name, a in schema.attributes.items()},
        frozenset(name for name, a in schema.attributes.items() if a.required),
    )
