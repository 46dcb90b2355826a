"""What a Core ML model says of its inputs and outputs: shapes with their ranges, images, metadata."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import facts
from bridge.errors import UnreadableFile
from bridge_coreml.reader import KINDS, File

# FeatureTypes.proto ArrayDataType
DTYPES = {
    0: ir.DataType.FLOAT,
    65552: ir.DataType.FLOAT16,
    65568: ir.DataType.FLOAT,
    65600: ir.DataType.DOUBLE,
    131104: ir.DataType.INT32,
    131080: ir.DataType.INT8,
}
SCALARS = {"doubleType": ir.DataType.DOUBLE, "int64Type": ir.DataType.INT64, "stringType": ir.DataType.STRING}
COLOURS = {10: "GRAYSCALE", 20: "RGB", 30: "BGR", 40: "GRAYSCALE_FLOAT16"}


def described(file: File, function: str = "") -> dict[str, Any]:
    """Feature descriptions of inputs, outputs and states by name: of the function, else of the model."""
    description: Any = file.message.description
    for each in description.functions:
        if each.name == function:
            description = each
    return {f.name: f for f in (*description.input, *description.output, *description.state)}


def input_value(file: File, given: Any) -> ir.Value:
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


def array_input(file: File, feature: Any, keys: int | None = None) -> ir.Value:
    """The hub input of a feature: numbers and texts are vectors of one, images [1, channels, height, width],
    dictionaries vectors with a place for each of `keys`."""
    kind = feature.type.WhichOneof("Type")
    if kind in SCALARS:
        return _typed(feature.name, SCALARS[kind], [1])
    if kind == "imageType":
        image = feature.type.imageType
        flexible = image.WhichOneof("SizeFlexibility") is not None
        sizes = (
            [f"{feature.name}_height", f"{feature.name}_width"] if flexible else [image.height, image.width]
        )
        return _typed(feature.name, ir.DataType.FLOAT, [1, 1 if image.colorSpace in (10, 40) else 3, *sizes])
    if kind == "dictionaryType" and keys is not None:
        return _typed(feature.name, ir.DataType.FLOAT, [keys])
    if kind != "multiArrayType":
        raise UnreadableFile(f"{file.path}: the input {feature.name} is of a type that is not read ({kind}).")
    array = feature.type.multiArrayType
    return _typed(feature.name, DTYPES.get(array.dataType, ir.DataType.FLOAT), _dims(feature.name, array))


def _typed(name: str, dtype: ir.DataType, dims: list[Any]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))


def _dims(name: str, array: Any) -> list[Any]:
    dims: list[Any] = list(array.shape)
    which = array.WhichOneof("ShapeFlexibility")
    if which == "shapeRange" and array.shapeRange.sizeRanges:
        return [
            r.lowerBound if r.lowerBound == r.upperBound else f"{name}_{i}"
            for i, r in enumerate(array.shapeRange.sizeRanges)
        ]
    if which == "enumeratedShapes" and array.enumeratedShapes.shapes:
        shapes = [list(s.shape) for s in array.enumeratedShapes.shapes]
        return [d if all(s[i] == d for s in shapes) else f"{name}_{i}" for i, d in enumerate(shapes[0])]
    return dims


def metadata(file: File, features: dict[str, Any]) -> dict[str, str]:
    """Author, licence and the like; ranges of dimensions that vary; what images are."""
    found = {}
    held = file.message.description.metadata
    for name in ("shortDescription", "versionString", "author", "license"):
        if getattr(held, name):
            found[facts.COREML.of(name).key] = getattr(held, name)
    found.update(held.userDefined)
    for name, feature in features.items():
        if feature.shortDescription:
            found[facts.COREML_DESCRIPTION.of(name).key] = feature.shortDescription
        kind = feature.type.WhichOneof("Type")
        if kind == "multiArrayType":
            found.update(_ranges(name, feature.type.multiArrayType))
        elif kind == "imageType":
            image = feature.type.imageType
            colour = COLOURS.get(image.colorSpace, str(image.colorSpace))
            found[facts.COREML_IMAGE.of(name).key] = f"{colour} {image.width}x{image.height}"
    return found


def _ranges(name: str, array: Any) -> dict[str, str]:
    which = array.WhichOneof("ShapeFlexibility")
    if which == "enumeratedShapes":
        shapes = [list(s.shape) for s in array.enumeratedShapes.shapes]
        return {facts.COREML_SHAPES.of(name).key: facts.COREML_SHAPES.encode(shapes)}
    if which != "shapeRange":
        return {}
    return {
        facts.COREML_RANGE.of(
            f"{name}_{axis}"
        ).key: f"{r.lowerBound}..{r.upperBound if r.upperBound > 0 else ''}"
        for axis, r in enumerate(array.shapeRange.sizeRanges)
        if r.lowerBound != r.upperBound
    }
