"""What a program's file promises of its inputs and outputs beyond names and dtypes: flexible shapes, images, class labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import InvalidOption
from bridge_coreml.interface import Port

UPPER = 2048
COLOURS = {"GRAYSCALE": (10, 1), "RGB": (20, 3), "BGR": (30, 3)}
LABEL = "classLabel"


@dataclass(frozen=True)
class Picture:
    """An input that takes an image: pixels from 0 to 255 are multiplied by `scale`, then `bias` is added per channel."""

    colour: str
    scale: float = 1.0
    bias: tuple[float, ...] = ()

    @property
    def channels(self) -> int:
        return COLOURS[self.colour][1]

    def read(self, mil: Any, pixels: Any) -> Any:
        """What the model reads of the pixels."""
        if self.scale != 1:
            pixels = mil.mul(x=pixels, y=np.float32(self.scale))
        if any(self.bias):
            pixels = mil.add(x=pixels, y=np.array(self.bias, np.float32).reshape(1, -1, 1, 1))
        return pixels


def pictures(text: str) -> dict[str, Picture]:
    """`x:RGB:0.0039:-0.5/-0.5/-0.5,y:GRAYSCALE` by input. Raises InvalidOption for what is not of this form."""
    found = {}
    for part in _parts(text):
        name, colour, *numbers = _fields(part)
        try:
            scale = float(numbers[0]) if numbers else 1.0
            bias = tuple(float(b) for b in numbers[1].split("/")) if len(numbers) > 1 else ()
            known = colour in COLOURS and bool(name) and len(numbers) < 3
            known = known and len(bias) in (0, 1, COLOURS[colour][1])
        except ValueError:
            known = False
        if not known:
            raise InvalidOption(
                f"image_inputs={part!r} is not NAME:COLOUR, NAME:COLOUR:SCALE or NAME:COLOUR:SCALE:BIAS/BIAS/BIAS.",
                f"Colours: {', '.join(COLOURS)}.",
            )
        found[name] = Picture(colour, scale, bias)
    return found


def _parts(text: str) -> list[str]:
    return [p.strip() for p in text.split(",") if p.strip()]


def _fields(part: str) -> list[str]:
    """Name and the rest; a name may hold colons where a colour follows it."""
    words = part.split(":")
    at = next((i for i, w in enumerate(words) if i and w in COLOURS), min(1, len(words) - 1))
    return [":".join(words[:at]), *words[at:]] if at else ["", *words]


def ranges(text: str) -> dict[str, tuple[int, int]]:
    """`N:1..64,H:32..512` by symbolic dimension. Raises InvalidOption for what is not of this form."""
    found = {}
    for part in _parts(text):
        name, _, bounds = part.rpartition(":")
        low, dots, high = bounds.partition("..")
        if not (name and dots and low.isdigit() and high.isdigit() and 0 < int(low) <= int(high)):
            raise InvalidOption(
                f"ranges={part!r} is not DIMENSION:LOWEST..HIGHEST.", "Such as: ranges=N:1..64"
            )
        found[name] = (int(low), int(high))
    return found


def shapes(text: str) -> dict[str, list[list[int]]]:
    """`x:1x3x224x224|1x3x256x256` by input. Raises InvalidOption for what is not of this form."""
    found = {}
    for part in _parts(text):
        name, _, listed = part.rpartition(":")
        sizes = [one.split("x") for one in listed.split("|")]
        if not name or not all(d.isdigit() and int(d) > 0 for one in sizes for d in one):
            raise InvalidOption(
                f"shapes={part!r} is not INPUT:SHAPE|SHAPE.", "Such as: shapes=x:1x3x224x224|1x3x256x256"
            )
        found[name] = [[int(d) for d in one] for one in sizes]
    return found


def check_names(model: ir.Model, options: dict[str, Any]) -> None:
    """Raise InvalidOption where an option names an input or a dimension the model does not have."""
    inputs = {v.name for v in model.graph.inputs}
    dims = {str(d.value) for v in model.graph.inputs for d in v.shape or () if not isinstance(d, int)}
    for option, parsed, known, what in (
        ("image_inputs", pictures, inputs, "inputs"),
        ("shapes", shapes, inputs, "inputs"),
        ("ranges", ranges, dims, "dimensions that vary"),
    ):
        for name in parsed(options[option]):
            if name not in known:
                listed = ", ".join(sorted(map(str, known))) or "none"
                raise InvalidOption(
                    f"{option} names {name!r}, which the model does not have.", f"Its {what}: {listed}."
                )


def write_shape(array: Any, port: Port, model: ir.Model, options: dict[str, Any]) -> None:
    """The default shape, and what else it may be: shapes one by one; or ranges, those of the option, else of the source, else
    from 1 to the upper bound."""
    dims = port.dims or (1,)
    listed = shapes(options["shapes"]).get(port.name) or _remembered(model, port.name)
    if listed and not all(isinstance(d, int) for d in dims):
        for one in listed:
            if len(one) != len(dims) or any(
                isinstance(d, int) and d != n for d, n in zip(dims, one, strict=True)
            ):
                raise InvalidOption(
                    f"shapes gives {port.name} the shape {'x'.join(map(str, one))}, which it cannot have.",
                    f"Its dimensions: {', '.join(map(str, dims))}.",
                )
            array.enumeratedShapes.shapes.add(shape=one)
        array.shape.extend(listed[0])
        return
    asked, bounds = ranges(options["ranges"]), []
    for dim in dims:
        if isinstance(dim, int):
            bounds.append((dim, dim))
            continue
        low, _, high = model.metadata_props.get(f"coreml.range.{dim}", "").partition("..")
        own = (int(low) if low.isdigit() else 1, int(high) if high.isdigit() else options["upper_bound"])
        bounds.append(asked.get(str(dim), own))
    array.shape.extend(low for low, _ in bounds)
    if any(low != high for low, high in bounds):
        for low, high in bounds:
            array.shapeRange.sizeRanges.add(lowerBound=low, upperBound=high)


def _remembered(model: ir.Model, name: str) -> list[list[int]]:
    try:
        listed = json.loads(model.metadata_props.get(f"coreml.shapes.{name}", "[]"))
    except ValueError:
        return []
    return listed if isinstance(listed, list) and all(isinstance(one, list) for one in listed) else []


def write_image(image: Any, port: Port, picture: Picture, held: str) -> None:
    """An image in place of an array [1, channels, height, width] of floats."""
    number, channels = COLOURS[picture.colour]
    dims = port.dims or ()
    fixed = all(isinstance(d, int) for d in dims)
    if held != "fp32" or len(dims) != 4 or dims[:2] != (1, channels) or not fixed:
        raise InvalidOption(
            f"The input {port.name} is no {picture.colour} image.",
            f"It must be float32 [1, {channels}, height, width].",
        )
    image.height, image.width, image.colorSpace = dims[2], dims[3], number


def classes(model: ir.Model, text: str) -> list[Any]:
    """Labels of the only output, one of floats for each: the option's, else those of the source; none without them.

    Raises InvalidOption for labels that are asked for and do not fit.
    """
    outputs = model.graph.outputs
    labels: Any = _parts(text)
    if not labels:
        try:
            labels = json.loads(model.metadata_props.get("coreml.classes", "[]"))
        except ValueError:
            labels = []
    kinds = {type(c) for c in labels} if isinstance(labels, list) else set()
    dims = list(outputs[0].shape) if len(outputs) == 1 and outputs[0].shape is not None else []
    sized = dims in ([len(labels)], [1, len(labels)]) if labels else False
    if sized and kinds in ({str}, {int}) and outputs[0].dtype == ir.DataType.FLOAT:
        return list(labels)
    if text:
        raise InvalidOption(
            f"class_labels has {len(labels)} labels, but the model has no single float32 output of as many.",
            "It must be [classes] or [1, classes].",
        )
    return []


def write_classes(description: Any, label: str, scores: str, labels: list[Any]) -> None:
    """A classifier's outputs: the label, and the probabilities by label."""
    kind = "string" if isinstance(labels[0], str) else "int64"
    getattr(description.output.add(name=label).type, f"{kind}Type").SetInParent()
    dictionary = description.output.add(name=scores).type.dictionaryType
    getattr(dictionary, f"{kind}KeyType").SetInParent()
    description.predictedFeatureName, description.predictedProbabilitiesName = label, scores
