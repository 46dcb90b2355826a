"""Models for the tests: from ONNX text, from nodes, from a builder; written as a format, run, compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

import bridge
from bridge import hub
from bridge.inputs import random_inputs
from bridge.passes.decompose import Decompose
from bridge.runtime import Outputs
from bridge.verify import compare

SUFFIXES = {
    "coreml": ".mlpackage",
    "onnx": ".onnx",
    "pmml": ".pmml",
    "savedmodel": "",
    "tflite": ".tflite",
    "torchscript": ".pt",
}
Spec = onnx.TypeProto | tuple[Any, Sequence[int | str] | None]
"""The type of a value: a TypeProto, or a dtype (of numpy, or a number of onnx.TensorProto) and a shape, None
where it is unknown."""


def model_from_text(
    graph: str, opset: int = 21, ml: int | None = None, **constants: np.ndarray
) -> onnx.ModelProto:
    """The model of a graph in ONNX text, "(float[N] x) => (float[N] y) { y = Relu (x) }", with or without its
    name.

    `ml` is the version of ai.onnx.ml, `constants` are initializers by name.
    """
    imports = f'"" : {opset}' + (f', "ai.onnx.ml" : {ml}' if ml else "")
    name = "g " if graph.lstrip().startswith("(") else ""
    proto = onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{imports}]> {name}{graph}")
    proto.graph.initializer.extend(numpy_helper.from_array(array, n) for n, array in constants.items())
    return proto


def hub_from_text(graph: str, opset: int = 21, ml: int | None = None, **constants: np.ndarray) -> ir.Model:
    """The hub model of a graph in ONNX text, as `model_from_text` reads it."""
    return bridge.load(model_from_text(graph, opset, ml, **constants))


def model_of_nodes(
    nodes: onnx.NodeProto | Sequence[onnx.NodeProto],
    inputs: Mapping[str, Spec],
    outputs: Mapping[str, Spec | None],
    constants: Mapping[str, np.ndarray] | None = None,
    opsets: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """The model of these nodes, at opset 21 and ai.onnx.ml 3 unless `opsets` say otherwise, by domain."""
    graph = helper.make_graph(
        [nodes] if isinstance(nodes, onnx.NodeProto) else list(nodes),
        "g",
        [_described(name, spec) for name, spec in inputs.items()],
        [_described(name, spec) for name, spec in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    versions = {"": 21, "ai.onnx.ml": 3} if opsets is None else opsets
    imports = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def _described(name: str, spec: Spec | None) -> onnx.ValueInfoProto:
    if spec is None:
        return helper.make_empty_tensor_value_info(name)
    if isinstance(spec, onnx.TypeProto):
        return helper.make_value_info(name, spec)
    dtype, shape = spec
    return helper.make_tensor_value_info(name, dtype if isinstance(dtype, int) else _element(dtype), shape)


def _element(dtype: Any) -> int:
    kind = np.dtype(dtype)
    return onnx.TensorProto.STRING if kind.kind in "OU" else helper.np_dtype_to_tensor_dtype(kind)


def spec_of(array: np.ndarray, *names: str) -> Spec:
    """The type of an array; its first dimensions are called by `names`."""
    return array.dtype, [*names, *array.shape[len(names) :]]


def hub_from_builder(build: Callable[..., Any], inputs: Mapping[str, Spec]) -> ir.Model:
    """The hub model of what `build(op, *inputs)` returns: one value, `y`, or several, `y0`, `y1`, …"""
    graph = ir.Graph([], [], nodes=[], name="g", opset_imports={"": hub.HUB_OPSET})
    for name, spec in inputs.items():
        described = _described(name, spec)
        value = ir.serde.deserialize_value_info_proto(described, None)
        graph.inputs.append(value)
    op = hub.Builder(graph)
    results = build(op, *graph.inputs)
    several = isinstance(results, (tuple, list))
    for index, result in enumerate(results if several else [results]):
        output = op.Identity(result) if result.is_graph_input() else result
        output.name = f"y{index}" if several else "y"
        graph.outputs.append(output)
    return ir.Model(graph, ir_version=hub.IR_VERSION)


def save_as(format: str, source: Any, folder: Path, **options: Any) -> Path:
    """`folder`/model.*, in the format of this name: of the text of a graph, a hub model, or what
    `bridge.convert` reads."""
    if isinstance(source, str):
        source = model_from_text(source)
    write = bridge.save if isinstance(source, ir.Model) else bridge.convert
    return write(source, folder / f"model{SUFFIXES[format]}", to=format, overwrite=True, **options).path


def run_in(format: str, source: Any, inputs: dict[str, Any], folder: Path, **options: Any) -> Outputs:
    """Outputs of the file that `save_as` writes, in the runtime of its format."""
    return bridge.run(save_as(format, source, folder, **options), inputs, source=format)


def operators(model: ir.Model) -> list[str]:
    """Names of the operators of a hub model, those of subgraphs among them, in order."""
    return [node.op_type for node in hub.all_nodes(model)]


def is_tensor_operator(node: ir.Node) -> bool:
    """An operator of ONNX's own domain: none of ai.onnx.ml, none of a vendor's."""
    return node.domain == ""


def without(*names: str) -> Decompose:
    """The pass that decomposes these operators and no others."""
    return Decompose(lambda node: node.op_type not in names)


def assert_unchanged(
    model: ir.Model,
    *steps: Callable[[ir.Model], Any],
    inputs: dict[str, Any] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """`steps` leave a valid hub model that computes what it did, of `inputs` or of random ones."""
    feed = random_inputs(model) if inputs is None else inputs
    expected = bridge.run(model, feed)
    for step in steps:
        step(model)
    hub.verify(model)
    result = compare(expected, bridge.run(model, feed), rtol, atol)
    assert result.ok, str(result)
