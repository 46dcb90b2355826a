"""Feature descriptions of a Core ML model: shapes with their ranges, images, metadata."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import facts
from bridge.errors import UnreadableFile
from bridge_coreml.reader import MIL_DTYPES, File

# FeatureTypes.proto ArrayDataType
DTYPES = {
    0: ir.DataType.FLOAT,
    65552: ir.DataType.FLOAT16,
    65568: ir.DataType.FLOAT,
    65600: ir.DataType.DOUBLE,
    131104: ir.DataType.INT32,
    131080: ir.DataType.INT8,
}
SCALAR_DTYPES = {
    "doubleType": ir.DataType.DOUBLE,
    "int64Type": ir.DataType.INT64,
    "stringType": ir.DataType.STRING,
}
COLOURS = {10: "GRAYSCALE", 20: "RGB", 30: "BGR", 40: "GRAYSCALE_FLOAT16"}


def by_name(file: File, function: str = "") -> dict[str, Any]:
    """Feature descriptions of inputs, outputs and states by name: of the function, else of the model."""
    description: Any = file.message.description
    for function_description in description.functions:
        if function_description.name == function:
            description = function_description
    return {f.name: f for f in (*description.input, *description.output, *description.state)}


def input_value(file: File, feature: Any) -> ir.Value:
    """Hub value of a MIL input; dynamic dimensions are named `<input>_<axis>`."""
    value_type = feature.type
    if value_type.WhichOneof("type") == "stateType":
        value_type = value_type.stateType.wrappedType
    if value_type.WhichOneof("type") != "tensorType" or value_type.tensorType.dataType not in MIL_DTYPES:
        raise UnreadableFile(f"{file.path}: the input {feature.name} is no tensor.")
    dims: list[Any] = [
        d.constant.size if d.WhichOneof("dimension") == "constant" else f"{feature.name}_{i}"
        for i, d in enumerate(value_type.tensorType.dimensions)
    ]
    dtype = MIL_DTYPES[value_type.tensorType.dataType][2]
    return ir.Value(name=feature.name, type=ir.TensorType(dtype), shape=ir.Shape(dims))


def array_input(file: File, feature: Any, keys: int | None = None) -> ir.Value:
    """Hub value of a feature: numbers and texts are [1], images [1, channels, height, width], dictionaries
    [keys]."""
    feature_type = feature.type.WhichOneof("Type")
    if feature_type in SCALAR_DTYPES:
        return tensor_value(feature.name, SCALAR_DTYPES[feature_type], [1])
    if feature_type == "imageType":
        image = feature.type.imageType
        return tensor_value(feature.name, ir.DataType.FLOAT, [1, channels_of(image), *image_sizes(feature)])
    if feature_type == "dictionaryType" and keys is not None:
        return tensor_value(feature.name, ir.DataType.FLOAT, [keys])
    if feature_type != "multiArrayType":
        raise UnreadableFile(
            f"{file.path}: the input {feature.name} is of a type that is not read ({feature_type})."
        )
    array = feature.type.multiArrayType
    return tensor_value(
        feature.name, DTYPES.get(array.dataType, ir.DataType.FLOAT), array_dims(feature.name, array)
    )


def channels_of(image: Any) -> int:
    return 1 if image.colorSpace in (10, 40) else 3


def image_sizes(feature: Any) -> list[Any]:
    """Height and width, or names of those that vary."""
    image = feature.type.imageType
    names = [f"{feature.name}_height", f"{feature.name}_width"]
    bounds = image_bounds(image)
    return [low if low == high else name for name, (low, high) in zip(names, bounds, strict=True)]


def image_bounds(image: Any) -> list[tuple[int, int]]:
    """The least and the greatest height, and those of the width; -1 for no upper bound."""
    flexibility = image.WhichOneof("SizeFlexibility")
    if flexibility == "imageSizeRange":
        ranges = (image.imageSizeRange.heightRange, image.imageSizeRange.widthRange)
        return [(r.lowerBound, r.upperBound) for r in ranges]
    sizes = image.enumeratedSizes.sizes if flexibility == "enumeratedSizes" else [image]
    return [(min(s), max(s)) for s in ([v.height for v in sizes], [v.width for v in sizes])]


def image_facts(name: str, feature: Any) -> dict[str, str]:
    """The colour of an image, and the sizes it may have."""
    image = feature.type.imageType
    colour = COLOURS.get(image.colorSpace, str(image.colorSpace))
    properties = {facts.COREML_IMAGE.of(name).key: f"{colour} {image.width}x{image.height}"}
    if image.WhichOneof("SizeFlexibility") == "enumeratedSizes":
        shapes = [[1, channels_of(image), v.height, v.width] for v in image.enumeratedSizes.sizes]
        return properties | {facts.COREML_SHAPES.of(name).key: facts.COREML_SHAPES.encode(shapes)}
    for dim, (low, high) in zip(image_sizes(feature), image_bounds(image), strict=True):
        if isinstance(dim, str):
            properties[facts.COREML_RANGE.of(dim).key] = f"{low}..{high if high > 0 else ''}"
    return properties


def tensor_value(name: str, dtype: ir.DataType, dims: list[Any]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))


def array_dims(name: str, array: Any) -> list[Any]:
    dims: list[Any] = list(array.shape)
    flexibility = array.WhichOneof("ShapeFlexibility")
    if flexibility == "shapeRange" and array.shapeRange.sizeRanges:
        return [
            r.lowerBound if r.lowerBound == r.upperBound else f"{name}_{i}"
            for i, r in enumerate(array.shapeRange.sizeRanges)
        ]
    if flexibility == "enumeratedShapes" and array.enumeratedShapes.shapes:
        shapes = [list(s.shape) for s in array.enumeratedShapes.shapes]
        return [d if all(s[i] == d for s in shapes) else f"{name}_{i}" for i, d in enumerate(shapes[0])]
    return dims


def metadata(file: File, features: dict[str, Any]) -> dict[str, str]:
    """Metadata properties: author, license and the like, ranges of dynamic dimensions, colors of images."""
    properties = {}
    model_metadata = file.message.description.metadata
    for name in ("shortDescription", "versionString", "author", "license"):
        if getattr(model_metadata, name):
            properties[facts.COREML.of(name).key] = getattr(model_metadata, name)
    properties.update(model_metadata.userDefined)
    for name, feature in features.items():
        if feature.shortDescription:
            properties[facts.COREML_DESCRIPTION.of(name).key] = feature.shortDescription
        feature_type = feature.type.WhichOneof("Type")
        if feature_type == "multiArrayType":
            properties.update(shape_facts(name, feature.type.multiArrayType))
        elif feature_type == "imageType":
            properties.update(image_facts(name, feature))
    return properties


def shape_facts(name: str, array: Any) -> dict[str, str]:
    flexibility = array.WhichOneof("ShapeFlexibility")
    if flexibility == "enumeratedShapes":
        shapes = [list(s.shape) for s in array.enumeratedShapes.shapes]
        return {facts.COREML_SHAPES.of(name).key: facts.COREML_SHAPES.encode(shapes)}
    if flexibility != "shapeRange":
        return {}
    return {
        facts.COREML_RANGE.of(
            f"{name}_{axis}"
        ).key: f"{r.lowerBound}..{r.upperBound if r.upperBound > 0 else ''}"
        for axis, r in enumerate(array.shapeRange.sizeRanges)
        if r.lowerBound != r.upperBound
    }
