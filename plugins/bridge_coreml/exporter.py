"""Hub → ML Program, driven by export_ops over MIL's own builder, which checks every operator and infers every
type."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidOption, TooLarge
from bridge.facts import COMPUTE_UNITS
from bridge.formats import Exporter
from bridge.ops import Need
from bridge.report import Report
from bridge_coreml import blobs, model_description, package, source_interface
from bridge_coreml.builder import Mil
from bridge_coreml.coremltools_import import coremltools
from bridge_coreml.export_ops import ops
from bridge_coreml.export_ops.common import HELD, NARROWED, ints
from bridge_coreml.legalize import newer_targets, passes
from bridge_coreml.options import PROGRAM, SPECIFICATION, kept_float32, version
from bridge_coreml.pipeline import exporter as pipeline
from bridge_coreml.schemes import schemes

ARRAY_DATA_TYPES = {"fp32": 65568, "fp16": 65552, "int32": 131104}
LONGEST = 2**31
BLOB_WRITER = "[MIL FileWriter]"
DTYPE_NAMES = {"fp32": "float", "fp16": "float16", "int32": "int32", "bool": "int32"}


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a legal hub model as an .mlpackage: one function `main`, weights beside it.

    Raises InvalidOption for a destination that is no package, UnsupportedModel for what coremltools refuses,
    TooLarge for a length that coremltools does not count, OSError where the weights cannot be written.
    """
    if path.name.lower().endswith(".mlmodel"):
        raise InvalidOption(
            "An ML Program is a folder, which a file .mlmodel cannot be.", "Name the destination .mlpackage."
        )
    model_description.check_names(model, options)
    _require_lengths(model)
    coremltools()
    from coremltools.converters.mil.mil import Builder, Program

    Builder.name_count.clear()
    target = version(options)
    program = Program()
    mil = Mil(ops, target, model)
    function, inputs, outputs = _function(mil, model, options)
    program.add_function("main", function)
    weights = path / package.WEIGHTS
    weights.mkdir(parents=True)
    try:
        exported = blobs.export(program, weights, SPECIFICATION[target], mil.tensors)
    except RuntimeError as error:
        if BLOB_WRITER not in str(error):
            raise
        raise OSError("the weights could not be written; the disk may be full") from error
    message = _message(model, exported, inputs, outputs, mil, options)
    package.finish(path, message.SerializeToString(deterministic=True))
    report.notes.extend([*dtype_notes(model), *newer_targets.notes(model)])
    report.notes.extend(
        f"input {name}: {picture.colour} pixels from 0 to 255, times {picture.scale:g}, "
        f"plus {list(picture.bias) or 0}"
        for name, picture in options["image_inputs"].items()
    )


def _require_lengths(model: ir.Model) -> None:
    made = (value for node in hub.all_nodes(model) for value in node.outputs)
    for value in (*model.graph.inputs, *made):
        for length in value.shape or ():
            if isinstance(length, int) and length >= LONGEST:
                raise TooLarge(f"{value.name} has a length of {length:,}, and {LONGEST - 1:,} is the most.")


def _function(mil: Mil, model: ir.Model, options: dict[str, Any]) -> tuple[Any, list[Any], list[Any]]:
    """Build the MIL function; return it with the ports of inputs and outputs and their variables."""
    import coremltools as ct
    from coremltools.converters.mil.mil import Function

    target, pictures = version(options), options["image_inputs"]
    symbols: dict[str, Any] = {}
    inputs = []
    for value in model.graph.inputs:
        file_dtype = interface_dtype(value.dtype, target)
        placeholder = mil.builder.placeholder(shape=mil_dims(value, symbols), dtype=mil_type(file_dtype))
        inputs.append(
            (source_interface.port(mil.unique(value.name or "input"), value), placeholder, file_dtype)
        )
    with Function(
        {p.file_name: placeholder for p, placeholder, _ in inputs},
        opset_version=getattr(ct.target, f"iOS{target}"),
    ) as function:
        for (port, _, _), value in zip(inputs, model.graph.inputs, strict=True):
            variable = mil.cast_to(function.inputs[port.file_name], HELD[port.dtype])
            variable = pictures[port.name].read(mil, variable) if port.name in pictures else variable
            mil.variables[value] = (
                mil.builder.squeeze(x=variable, axes=ints([0])) if port.dims == () else variable
            )
        mil.write_all(model.graph)
        variables: list[Any] = []
        outputs = []
        for value in model.graph.outputs:
            output = mil.cast_to(value, interface_dtype(value.dtype, target))
            if not output.shape:
                output = mil.builder.expand_dims(x=output, axes=ints([0]))
            if output in variables or output.op is None or output.op.op_type == "const":
                output = mil.builder.identity(x=output)
            if output.name != value.name or output not in mil.named:
                mil.rename(output, value.name or "output")
            variables.append(output)
            outputs.append((source_interface.port(output.name, value), output))
        labels = model_description.classes(model, options["class_labels"])
        if labels:
            variables, outputs = classifier_outputs(mil, variables[0], outputs[0][0], labels)
        function.set_outputs(variables)
    mil.rename_rest(function)
    return function, inputs, outputs


def classifier_outputs(
    mil: Mil, scores: Any, port: source_interface.Port, labels: list[Any]
) -> tuple[list[Any], list[Any]]:
    """Replace the scores by the label and the probabilities by label."""
    from coremltools.converters.mil.mil import mil_list

    classes = mil_list([np.int64(v) for v in labels] if isinstance(labels[0], int) else labels)
    outputs = mil.builder.classify(probabilities=scores, classes=mil.builder.const(val=classes))
    mil.rename(outputs[0], model_description.LABEL)
    mil.rename(outputs[1], f"{model_description.LABEL}_probs")
    return list(outputs), [(dataclasses.replace(port, file_name=outputs[1].name), outputs[1])]


def interface_dtype(dtype: ir.DataType | None, target: int) -> str:
    """MIL dtype of an input or output: no booleans, and no float16 before iOS 16."""
    mil_dtype = HELD[dtype or ir.DataType.FLOAT]
    return "int32" if mil_dtype == "bool" else "fp32" if mil_dtype == "fp16" and target < 16 else mil_dtype


def mil_type(mil_dtype: str) -> Any:
    from coremltools.converters.mil.mil import types

    return getattr(types, mil_dtype)


def mil_dims(value: ir.Value, symbols: dict[str, Any]) -> list[Any]:
    from coremltools.converters.mil.mil import get_new_symbol

    dims: list[Any] = []
    for dim in value.shape or ():
        if isinstance(dim, int):
            dims.append(dim)
        else:
            name = str(dim.value)
            if name not in symbols:
                symbols[name] = get_new_symbol()
            dims.append(symbols[name])
    return dims or [1]


def _message(
    model: ir.Model,
    program: Any,
    inputs: list[Any],
    outputs: list[Any],
    mil: Mil,
    options: dict[str, Any],
) -> Any:
    from coremltools.proto import Model_pb2

    message = Model_pb2.Model(specificationVersion=SPECIFICATION[mil.version])
    pictures = options["image_inputs"]
    labels = model_description.classes(model, options["class_labels"])
    message.mlProgram.CopyFrom(program)
    for port, _, file_dtype in inputs:
        feature = message.description.input.add(name=port.file_name)
        if port.name in pictures:
            model_description.write_image(
                feature.type.imageType, port, pictures[port.name], file_dtype, model, options
            )
            continue
        array = feature.type.multiArrayType
        array.dataType = ARRAY_DATA_TYPES[file_dtype]
        model_description.write_shape(array, port, model, options)
    if labels:
        scores = outputs[0][1]
        model_description.write_classes(message.description, scores.op.outputs[0].name, scores.name, labels)
    for port, variable in [] if labels else outputs:
        feature = message.description.output.add(name=port.file_name)
        feature.type.multiArrayType.dataType = ARRAY_DATA_TYPES[mil.dtype_of(variable)]
        if all(isinstance(d, (int, np.integer)) for d in variable.shape):
            feature.type.multiArrayType.shape.extend(int(d) for d in variable.shape)
    source_interface.describe(message.description, model, [p for p, _, _ in inputs], [p for p, _ in outputs])
    if options["compute_units"] != "ALL":
        message.description.metadata.userDefined[COMPUTE_UNITS.key] = options["compute_units"]
    return message


def dtype_notes(model: ir.Model) -> list[str]:
    """Report notes on dtypes that Core ML stores or computes in another dtype."""
    notes = []
    for side, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
        for value in values:
            name = DTYPE_NAMES[HELD[value.dtype or ir.DataType.FLOAT]]
            if value.dtype is not None and name != value.dtype.name.lower():
                notes.append(
                    f"{side} {value.name}: {value.dtype.name.lower()} is held as {name}; "
                    "bridge.run gives back the dtype of the source"
                )
    narrowed = {v.dtype for node in hub.all_nodes(model) for v in node.outputs if v.dtype in NARROWED}
    notes += [
        f"{d.name.lower()} is computed as {NARROWED[d]}" for d in sorted(narrowed, key=lambda d: d.name)
    ]
    return notes


def is_holdable(value: ir.Value) -> bool:
    if not isinstance(value.type, ir.TensorType) or value.dtype not in HELD:
        return False
    return value.shape is not None and len(value.shape) <= 5 and 0 not in list(value.shape)


VALUES = Need("a tensor of numbers or booleans, not empty, of at most 5 dimensions", is_holdable)


def choose_exporter(options: dict[str, Any], path: Path | None) -> Exporter | None:
    """The exporter of classical models, if asked for or if the destination is a .mlmodel; else None."""
    named = path is not None and path.name.lower().endswith(".mlmodel")
    if options["kind"] != "classical" and not (options["kind"] == "auto" and named):
        return None
    return pipeline.exporter


exporter = Exporter(
    table=ops,
    variant=choose_exporter,
    legalize=passes,
    write=write,
    version=version,
    version_title=lambda number: f"iOS {number}",
    value_need=VALUES,
    text=False,
    tolerance=lambda options: None if kept_float32(options) is None else 1e-2,
    options=PROGRAM,
    face=model_description.face,
    schemes=schemes,
    annotate=package.annotate,
)
