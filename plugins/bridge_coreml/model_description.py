"""What a program's file promises of its inputs and outputs beyond names and dtypes: flexible shapes, images,
class labels."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.errors import InvalidOption
from bridge.facts import COREML_CLASSES, COREML_RANGE, COREML_SHAPES
from bridge_coreml.options import COLOURS, Picture
from bridge_coreml.source_interface import Port

LABEL = "classLabel"


def check_names(model: ir.Model, options: dict[str, Any]) -> None:
    """Raise InvalidOption where an option names an input or a dimension the model does not have."""
    inputs = {v.name for v in model.graph.inputs}
    dims = {str(d.value) for v in model.graph.inputs for d in v.shape or () if not isinstance(d, int)}
    for option, known, what in (
        ("image_inputs", inputs, "inputs"),
        ("shapes", inputs, "inputs"),
        ("ranges", dims, "dimensions that vary"),
    ):
        for name in options[option]:
            if name not in known:
                listed = ", ".join(sorted(map(str, known))) or "none"
                raise InvalidOption(
                    f"{option} names {name!r}, which the model does not have.", f"Its {what}: {listed}."
                )


def write_shape(array: Any, port: Port, model: ir.Model, options: dict[str, Any]) -> None:
    """The default shape, and what else it may be: shapes one by one; or ranges, those of the option, else of
    the source, else from 1 to the upper bound."""
    dims = port.dims or (1,)
    listed = options["shapes"].get(port.name) or _remembered(model, port.name)
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
    asked: dict[str, tuple[int, int]] = options["ranges"]
    bounds: list[tuple[int, int]] = []
    for dim in dims:
        if isinstance(dim, int):
            bounds.append((dim, dim))
            continue
        lowest, _, highest = (COREML_RANGE.of(str(dim)).get(model) or "").partition("..")
        own = (
            int(lowest) if lowest.isdigit() else 1,
            int(highest) if highest.isdigit() else options["upper_bound"],
        )
        bounds.append(asked.get(str(dim), own))
    array.shape.extend(low for low, _ in bounds)
    if any(low != high for low, high in bounds):
        for low, high in bounds:
            array.shapeRange.sizeRanges.add(lowerBound=low, upperBound=high)


def _remembered(model: ir.Model, name: str) -> list[list[int]]:
    listed = COREML_SHAPES.of(name).get(model)
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


def classes(model: ir.Model, asked: list[Any]) -> list[Any]:
    """Labels of the only output, one of floats for each: the option's, else those of the source; none without
    them.

    Raises InvalidOption for labels that are asked for and do not fit.
    """
    outputs = model.graph.outputs
    labels: Any = asked
    if not labels:
        labels = COREML_CLASSES.get(model) or []
    kinds = {type(c) for c in labels} if isinstance(labels, list) else set()
    dims = list(outputs[0].shape) if len(outputs) == 1 and outputs[0].shape is not None else []
    sized = dims in ([len(labels)], [1, len(labels)]) if labels else False
    if sized and kinds in ({str}, {int}) and outputs[0].dtype == ir.DataType.FLOAT:
        return list(labels)
    if asked:
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
