"""Description of a program's inputs and outputs beyond names and dtypes: flexible shapes, images, class
labels."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.errors import InvalidOption
from bridge.facts import COREML_CLASSES, COREML_RANGE, COREML_SHAPES
from bridge.formats import Face
from bridge_coreml.options import COLOURS, Picture
from bridge_coreml.source_interface import Port
from bridge_coreml.source_interface import port as port_of

LABEL = "classLabel"


def check_names(model: ir.Model, options: dict[str, Any]) -> None:
    """Raise InvalidOption where an option names an input or a dimension the model does not have."""
    inputs = {v.name for v in model.graph.inputs}
    dims = {str(d.value) for v in model.graph.inputs for d in v.shape or () if not isinstance(d, int)}
    for option, names_in_model, plural in (
        ("image_inputs", inputs, "inputs"),
        ("shapes", inputs, "inputs"),
        ("ranges", dims, "dimensions that vary"),
    ):
        for name in options[option]:
            if name not in names_in_model:
                names = ", ".join(sorted(map(str, names_in_model))) or "none"
                raise InvalidOption(
                    f"{option} names {name!r}, which the model does not have.", f"Its {plural}: {names}."
                )


def write_shape(array: Any, port: Port, model: ir.Model, options: dict[str, Any]) -> None:
    """Write the default shape and its flexibility: enumerated shapes; or ranges from the option, else from
    the source, else 1 to `upper_bound`."""
    shapes, bounds = flexibility(port, model, options)
    if shapes:
        for shape in shapes:
            array.enumeratedShapes.shapes.add(shape=shape)
        array.shape.extend(shapes[0])
        return
    array.shape.extend(lower for lower, _ in bounds)
    if any(lower != upper for lower, upper in bounds):
        for lower, upper in bounds:
            array.shapeRange.sizeRanges.add(lowerBound=lower, upperBound=upper)


def flexibility(
    port: Port, model: ir.Model, options: dict[str, Any]
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """The only shapes of an input, none where it has none of its own; the lowest and highest length of each
    dimension. Raises InvalidOption for shapes it cannot have."""
    dims = port.dims or (1,)
    shapes = options["shapes"].get(port.name) or source_shapes(model, port.name)
    if shapes and not all(isinstance(d, int) for d in dims):
        for shape in shapes:
            if len(shape) != len(dims) or any(
                isinstance(d, int) and d != n for d, n in zip(dims, shape, strict=True)
            ):
                raise InvalidOption(
                    f"shapes gives {port.name} the shape {'x'.join(map(str, shape))}, which it cannot have.",
                    f"Its dimensions: {', '.join(map(str, dims))}.",
                )
        return shapes, []
    return [], [(d, d) if isinstance(d, int) else bounds_of(str(d), model, options) for d in dims]


def bounds_of(dim: str, model: ir.Model, options: dict[str, Any]) -> tuple[int, int]:
    """The lowest and highest length of a symbolic dimension."""
    lowest, _, highest = (COREML_RANGE.of(dim).get(model) or "").partition("..")
    default = (
        int(lowest) if lowest.isdigit() else 1,
        int(highest) if highest.isdigit() else options["upper_bound"],
    )
    ranges: dict[str, tuple[int, int]] = options["ranges"]
    return ranges.get(dim, default)


def face(model: ir.Model, options: dict[str, Any]) -> Face:
    """Images, and the lengths and shapes that flexible inputs have."""
    ports = [port_of(value.name or "", value) for value in model.graph.inputs]
    dims = {str(d) for p in ports for d in p.dims or () if not isinstance(d, int)}
    shapes = {p.name: found for p in ports if (found := flexibility(p, model, options)[0])}
    return Face(
        {name: picture.values for name, picture in options["image_inputs"].items()},
        {dim: bounds_of(dim, model, options) for dim in dims},
        shapes,
    )


def source_shapes(model: ir.Model, name: str) -> list[list[int]]:
    shapes = COREML_SHAPES.of(name).get(model)
    return shapes if isinstance(shapes, list) and all(isinstance(shape, list) for shape in shapes) else []


def write_image(
    image: Any, port: Port, picture: Picture, file_dtype: str, model: ir.Model, options: dict[str, Any]
) -> None:
    """Write an image type, of flexible sizes where those vary, in place of a float array
    [1, channels, height, width]."""
    color_space, channels = COLOURS[picture.colour]
    dims = port.dims or ()
    if file_dtype != "fp32" or len(dims) != 4 or dims[:2] != (1, channels):
        raise InvalidOption(
            f"The input {port.name} is no {picture.colour} image.",
            f"It must be float32 [1, {channels}, height, width].",
        )
    image.colorSpace = color_space
    shapes, bounds = flexibility(port, model, options)
    image.height, image.width = shapes[0][2:] if shapes else (lower for lower, _ in bounds[2:])
    for shape in shapes:
        image.enumeratedSizes.sizes.add(height=shape[2], width=shape[3])
    if any(lower != upper for lower, upper in bounds):
        for range_, (lower, upper) in zip(
            (image.imageSizeRange.heightRange, image.imageSizeRange.widthRange), bounds[2:], strict=True
        ):
            range_.lowerBound, range_.upperBound = lower, upper


def classes(model: ir.Model, requested: list[Any]) -> list[Any]:
    """Class labels of the only output, [classes] or [1, classes] of float32: those of the option, else of the
    source; empty if there are none.

    Raises InvalidOption for labels that are asked for and do not fit.
    """
    outputs = model.graph.outputs
    labels: Any = requested
    if not labels:
        labels = COREML_CLASSES.get(model) or []
    label_types = {type(c) for c in labels} if isinstance(labels, list) else set()
    dims = list(outputs[0].shape) if len(outputs) == 1 and outputs[0].shape is not None else []
    has_class_dims = dims in ([len(labels)], [1, len(labels)]) if labels else False
    if has_class_dims and label_types in ({str}, {int}) and outputs[0].dtype == ir.DataType.FLOAT:
        return list(labels)
    if requested:
        raise InvalidOption(
            f"class_labels has {len(labels)} labels, but the model has no single float32 output of as many.",
            "It must be [classes] or [1, classes].",
        )
    return []


def write_classes(description: Any, label: str, scores: str, labels: list[Any]) -> None:
    """Describe the outputs of a classifier: the label, and the probabilities by label."""
    label_type = "string" if isinstance(labels[0], str) else "int64"
    getattr(description.output.add(name=label).type, f"{label_type}Type").SetInParent()
    dictionary = description.output.add(name=scores).type.dictionaryType
    getattr(dictionary, f"{label_type}KeyType").SetInParent()
    description.predictedFeatureName, description.predictedProbabilitiesName = label, scores
