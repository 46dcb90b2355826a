"""What a Core ML model says of its inputs and outputs: shapes with their ranges, images, metadata."""

from __future__ import annotations

import json
from typing import Any

import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge_coreml.reader import KINDS, File

COLOURS = {10: "GRAYSCALE", 20: "RGB", 30: "BGR", 40: "GRAYSCALE_FLOAT16"}


def described(file: File, function: str = "") -> dict[str, Any]:
    """Feature descriptions of inputs, outputs and states by name: of the function, else of the model."""
    description: Any = file.message.description
    for each in description.functions:
        if each.name == function:
            description = each
    return {f.name: f for f in (*description.input, *description.output, *description.state)}


def input_value(file: File, given: Any, features: dict[str, Any]) -> ir.Value:
    """The hub input of a MIL input; dimensions that vary are called `<input>_<axis>`."""
    kind = given.type
    if kind.WhichOneof("type") == "stateType":
        kind = kind.stateType.wrappedType
    if kind.WhichOneof("type") != "tensorType" or kind.tensorType.dataType not in KINDS:
        raise UnreadableFile(f"{file.path}: the input {given.name} is no tensor.")
    dims: list[Any] = [
        d.constant.size if d.WhichOneof("dimension") == "constant" else f"{given.name}_{i}"
        for i, d in enumerate(kind.tensorType.dimensions)
    ]
    dtype = KINDS[kind.tensorType.dataType][2]
    return ir.Value(name=given.name, type=ir.TensorType(dtype), shape=ir.Shape(dims))


def metadata(file: File, features: dict[str, Any]) -> dict[str, str]:
    """Author, licence and the like; ranges of dimensions that vary; what images are."""
    found = {}
    held = file.message.description.metadata
    for name in ("shortDescription", "versionString", "author", "license"):
        if getattr(held, name):
            found[f"coreml.{name}"] = getattr(held, name)
    found.update(held.userDefined)
    for name, feature in features.items():
        if feature.shortDescription:
            found[f"coreml.description.{name}"] = feature.shortDescription
        kind = feature.type.WhichOneof("Type")
        if kind == "multiArrayType":
            found.update(_ranges(name, feature.type.multiArrayType))
        elif kind == "imageType":
            image = feature.type.imageType
            colour = COLOURS.get(image.colorSpace, str(image.colorSpace))
            found[f"coreml.image.{name}"] = f"{colour} {image.width}x{image.height}"
    return found


def _ranges(name: str, array: Any) -> dict[str, str]:
    which = array.WhichOneof("ShapeFlexibility")
    if which == "enumeratedShapes":
        shapes = [list(s.shape) for s in array.enumeratedShapes.shapes]
        return {f"coreml.shapes.{name}": json.dumps(shapes)}
    if which != "shapeRange":
        return {}
    return {
        f"coreml.range.{name}_{axis}": f"{r.lowerBound}..{r.upperBound if r.upperBound > 0 else ''}"
        for axis, r in enumerate(array.shapeRange.sizeRanges)
        if r.lowerBound != r.upperBound
    }
