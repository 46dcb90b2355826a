"""ML Program → hub, driven by import_ops: the protobuf is walked as it is."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import InvalidOption, UnreadableFile, UnsupportedModel
from bridge.ops import Rule
from bridge.quant import is_dequantize, quant_params
from bridge.report import Blocker
from bridge_coreml import feature_descriptions, source_interface
from bridge_coreml.import_ops import ops
from bridge_coreml.import_ops.ml import classify_labels
from bridge_coreml.reader import MIL_DTYPES, File, value_array

DEPTH = 32
STATE_OUT = "_out"


def program(file: File, options: dict[str, Any]) -> ir.Model:
    """The hub model of one function. States become inputs and, under their name with `_out`, outputs."""
    name = _function_name(file, file.message, options.get("function", ""))
    graph = ir.Graph(
        [], [], nodes=[], name=name, opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    )
    function, block, scope = open_function(file, file.message, name, hub.Builder(graph), options)
    blockers = list(block_blockers(scope, block))
    if blockers:
        count = len(blockers)
        raise UnsupportedModel(
            f"{count} operator{'s' * (count > 1)} of {file.path} cannot be read:",
            blockers,
            "Add a rule: plugins/README.md#one-operator",
        )
    features = feature_descriptions.by_name(file, name)
    input_ports, output_ports = source_interface.from_text(
        file.message.description.metadata.userDefined.get(facts.INTERFACE.key, "")
    )
    for input_ in function.inputs:
        value = feature_descriptions.input_value(file, input_)
        graph_input = value
        if input_.name in input_ports:
            graph_input, value = source_interface.source_input(scope.op, value, input_ports[input_.name])
        graph.inputs.append(graph_input)
        if input_.type.WhichOneof("type") == "stateType":
            scope.states[input_.name] = value
        else:
            scope.values[input_.name] = value
    scope.run(block)
    results = []
    for output in scope.outputs(block):
        value = scope.value(output)
        if output in output_ports:
            value = source_interface.as_source_output(scope.op, value, output_ports[output])
        results.append((output_ports[output].name if output in output_ports else output, value))
    results += [
        (state + STATE_OUT, value) for state, value in scope.states.items() if not value.is_graph_input()
    ]
    add_outputs(scope.op, graph, results)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(feature_descriptions.metadata(file, features))
    if scope.classes is not None:
        facts.COREML_CLASSES.set(model, scope.classes)
    return model


def step_blockers(file: File, message: Any) -> Iterator[Blocker]:
    """Blockers of a program that is a step of a pipeline."""
    function, block, scope = open_function(
        file, message, _function_name(file, message, ""), scratch_builder(), {}
    )
    yield from block_blockers(scope, block)
    for input_ in function.inputs:
        if input_.type.WhichOneof("type") == "stateType":
            yield Blocker("mlProgram", input_.name, "", "keeps a state, which a step of a pipeline cannot")


def program_outputs(
    op: hub.Builder, file: File, message: Any, inputs: dict[str, ir.Value], options: dict[str, Any]
) -> dict[str, ir.Value]:
    """Outputs by name of a program that is a step of a pipeline, from its input values by name."""
    name = _function_name(file, message, "")
    function, block, scope = open_function(file, message, name, op, {**options, "labels": "output"})
    for input_ in function.inputs:
        if input_.name not in inputs:
            raise UnreadableFile(f"{file.path}: the input {input_.name} is missing.")
        scope.values[input_.name] = as_declared_input(
            op, inputs[input_.name], feature_descriptions.input_value(file, input_)
        )
    scope.run(block)
    return {output: scope.value(output) for output in scope.outputs(block)}


def program_labels(file: File, message: Any) -> list[Any] | None:
    """Labels of a program that classifies."""
    _, block, scope = open_function(file, message, _function_name(file, message, ""), scratch_builder(), {})
    for operation in block.operations:
        if operation.type == "const":
            scope.keep(operation)
        elif operation.type == "classify":
            return classify_labels(Node(operation, scope, scope.version)).tolist()
    return None


def scratch_builder() -> hub.Builder:
    """Builder of a graph that is thrown away, to inspect a program."""
    return hub.Builder(ir.Graph([], [], nodes=[], opset_imports={"": hub.HUB_OPSET}))


def as_declared_input(op: hub.Builder, value: ir.Value, declared: ir.Value) -> ir.Value:
    """Cast and reshape a feature of a pipeline to an input that a program declares."""
    cast = value if value.dtype == declared.dtype else op.Cast(value, to=int(declared.dtype or 0))
    dims = [d if isinstance(d, int) else None for d in declared.shape or ()]
    if value.shape is None or len(value.shape) == len(dims) or dims.count(None) > 1:
        return cast
    return op.Reshape(cast, np.array([-1 if d is None else d for d in dims], np.int64))


def open_function(
    file: File, message: Any, name: str, op: hub.Builder, options: dict[str, Any]
) -> tuple[Any, Any, Scope]:
    """A function, its block, and the scope it is built in."""
    function = message.mlProgram.functions[name]
    if function.opset not in function.block_specializations:
        raise UnreadableFile(f"{file.path}: the function {name} has no program for {function.opset}.")
    scope = Scope(file, op, _opset(file, function.opset), options)
    for input_ in function.inputs:
        scope.types[input_.name] = input_.type
    return function, function.block_specializations[function.opset], scope


def add_outputs(op: hub.Builder, graph: ir.Graph, results: list[tuple[str, ir.Value]]) -> None:
    names = {v.name for v in graph.inputs}
    for name, value in results:
        if value.is_graph_output() or value.producer() is None or value.producer() not in op.nodes:
            value = op.Identity(value)
        value.name = f"{name}_output" if name in names else name
        names.add(value.name)
        graph.outputs.append(value)


def _function_name(file: File, message: Any, requested: str) -> str:
    names = list(message.mlProgram.functions)
    default = message.description.defaultFunctionName or "main"
    name = requested or (default if default in names else names[0] if len(names) == 1 else "")
    if name not in names:
        raise InvalidOption(
            f"{file.path} has no function {name or default!r}.",
            f"It has: {', '.join(sorted(names)) or 'none'}.",
        )
    return name


def _opset(file: File, name: str) -> int:
    """The iOS version whose operators `CoreML<n>` means."""
    number = name.removeprefix("CoreML")
    if not number.isdigit() or not 3 <= int(number) <= 9:
        raise UnreadableFile(f"{file.path} uses the operators of {name}, which are not known.")
    return {9: 26}.get(int(number), int(number) + 10)


def block_blockers(scope: Scope, block: Any) -> Iterator[Blocker]:
    """Blockers, found from types and constants only."""
    for input_ in block.inputs:
        scope.types[input_.name] = input_.type
    for operation in block.operations:
        for output in operation.outputs:
            scope.types[output.name] = output.type
        if operation.type == "const":
            scope.keep(operation)
            continue
        node = Node(operation, scope, scope.version)
        reason = ops.refusal(operation.type, node, scope.version)
        if operation.type == "make_list" and node.get("dynamic_length", True):
            scope.growing.add(node.title())
        if operation.type == "custom_layer":
            reason = f"is the custom layer {node.title()}, whose code is in the app that brings it"
        if reason:
            yield Blocker(operation.type, node.title(), "", reason)
        for inner in operation.blocks:
            yield from block_blockers(scope.inner(scope.op), inner)


class Node:
    """MIL operation for handlers."""

    def __init__(self, operation: Any, scope: Scope | None, version: int) -> None:
        self.operation, self.scope, self.version = operation, scope, version
        self.op, self.outputs = operation.type, operation.outputs

    def title(self) -> str:
        return self.outputs[0].name if self.outputs else ""

    def has(self, name: str) -> bool:
        return name in self.operation.inputs and len(self.operation.inputs[name].arguments) > 0

    def bindings(self, name: str) -> list[Any]:
        return list(self.operation.inputs[name].arguments) if self.has(name) else []

    def dims(self, name: str) -> list[int | None] | None:
        """Declared dimensions of an input (of the first of a tuple); None for an unknown rank."""
        assert self.scope is not None
        bindings = self.bindings(name)
        value_type = self.scope.type_of(bindings[0]) if bindings else None
        if value_type is None or value_type.WhichOneof("type") != "tensorType" or variadic(value_type):
            return None
        return dims_of(value_type)

    def dtype_name(self, name: str) -> str:
        """MIL dtype of an input; empty when it is absent or no tensor."""
        assert self.scope is not None
        bindings = self.bindings(name)
        value_type = self.scope.type_of(bindings[0]) if bindings else None
        return (
            MIL_DTYPES[value_type.tensorType.dataType][0]
            if value_type is not None and value_type.HasField("tensorType")
            else ""
        )

    def constant(self, name: str) -> bool:
        """True if an input is absent or constant."""
        return not self.has(name) or self.array(name) is not None

    def array(self, name: str) -> Any:
        """A constant input or attribute as an array (a list of them for a tuple); None when absent or known
        at run time alone."""
        assert self.scope is not None
        if name in self.operation.attributes:
            return value_array(self.scope.file, self.operation.attributes[name])
        arrays = [self.scope.constant(b) for b in self.bindings(name)]
        if not arrays or any(b is None for b in arrays):
            return None
        return arrays[0] if len(arrays) == 1 else arrays

    def get(self, name: str, default: Any = None) -> Any:
        """Constant as a Python number, string or list; `default` if absent."""
        array = self.array(name)
        if array is None:
            return default
        if isinstance(array, list):
            return [v.tolist() if isinstance(v, np.ndarray) else v for v in array]
        return array.tolist()

    def value(self, name: str) -> ir.Value | None:
        """The hub value of an input, or None when absent."""
        values = self.values(name)
        return values[0] if values else None

    def values(self, name: str) -> list[ir.Value]:
        """The hub values of a tuple of inputs."""
        assert self.scope is not None
        return [self.scope.bound(b) for b in self.bindings(name)]

    def out_dtype(self, index: int = 0) -> ir.DataType:
        return MIL_DTYPES[self.outputs[index].type.tensorType.dataType][2]

    def out_dims(self, index: int = 0) -> list[int | None]:
        return dims_of(self.outputs[index].type)

    def branch(self, block: Any) -> ir.Graph:
        """Graph of a block without inputs, which reads outer values."""
        assert self.scope is not None
        graph = ir.Graph([], [], nodes=[], name=self.title(), opset_imports={"": hub.HUB_OPSET})
        inner = self.scope.inner(hub.Builder(graph))
        graph.outputs.extend(inner.op.Identity(v) for v in inner.block(block, []))
        return graph

    def loop(
        self, condition: Any, body: Any, inputs: list[ir.Value], keep_list_lengths: bool = False
    ) -> ir.Graph:
        """A Loop body: the block `body`, then the block `condition`, if there is one, on its results; with
        `fixed`, lists keep their lengths."""
        assert self.scope is not None
        carried = []
        for value, declared in zip(inputs, body.inputs, strict=True):
            name = hub.fresh_name(self.scope.op.graph, "carried")
            shape = carried_shape(value, declared.type, bool(self.scope.growing) and not keep_list_lengths)
            carried.append(ir.Value(name=name, type=value.type, shape=shape))
        iteration = ir.Value(
            name=hub.fresh_name(self.scope.op.graph, "count"),
            type=ir.TensorType(ir.DataType.INT64),
            shape=ir.Shape([]),
        )
        condition_in = ir.Value(
            name=hub.fresh_name(self.scope.op.graph, "go"),
            type=ir.TensorType(ir.DataType.BOOL),
            shape=ir.Shape([]),
        )
        graph = ir.Graph(
            [iteration, condition_in, *carried],
            [],
            nodes=[],
            name=self.title(),
            opset_imports={"": hub.HUB_OPSET},
        )
        inner = self.scope.inner(hub.Builder(graph))
        inner.growing = set() if keep_list_lengths else inner.growing
        results = inner.block(body, carried)
        condition_out = condition_in
        if condition is not None:
            condition_out = inner.op.Reshape(inner.block(condition, results)[0], inner.op.const([]))
        graph.outputs.extend(inner.op.Identity(v) for v in (condition_out, *results))
        return graph


class Scope:
    """Scope of one block: hub values, constants and states by name, with those of outer blocks visible."""

    def __init__(
        self, file: File, op: hub.Builder, version: int, options: dict[str, Any], outer: Scope | None = None
    ) -> None:
        self.file, self.op, self.version, self.options, self.outer = file, op, version, options, outer
        self.depth: int = outer.depth + 1 if outer is not None else 0
        if self.depth > DEPTH:
            raise UnreadableFile(f"{file.path}: blocks are nested more than {DEPTH} deep.")
        self.values: dict[str, ir.Value] = {}
        self.constants: dict[str, Any] = {}
        self.arrays: dict[str, Any] = {}
        self.types: dict[str, Any] = {}
        self.growing: set[str] = outer.growing if outer is not None else set()
        self.states: dict[str, ir.Value] = outer.states if outer is not None else {}
        self.classes: list | None = None

    def inner(self, op: hub.Builder) -> Scope:
        return Scope(self.file, op, self.version, self.options, self)

    def around(self) -> Iterable[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def keep(self, operation: Any) -> None:
        """Remember a `const` operation."""
        if "val" not in operation.attributes or not operation.outputs:
            raise UnreadableFile(f"{self.file.path} holds a constant without a value.")
        self.constants[operation.outputs[0].name] = operation.attributes["val"]

    def type_of(self, binding: Any) -> Any:
        """The ValueType of what is bound, or None when nobody declared it."""
        if binding.HasField("value"):
            return binding.value.type
        return next((s.types[binding.name] for s in self.around() if binding.name in s.types), None)

    def array(self, name: str) -> Any:
        """A constant by name, decoded once; None when it is known at run time alone."""
        for scope in self.around():
            if name in scope.arrays:
                return scope.arrays[name]
            if name in scope.constants:
                scope.arrays[name] = value_array(self.file, scope.constants[name])
                return scope.arrays[name]
            if name in scope.values:
                return dequantized_array(scope.values[name])
        return None

    def constant(self, binding: Any) -> Any:
        return (
            value_array(self.file, binding.value) if binding.HasField("value") else self.array(binding.name)
        )

    def bound(self, binding: Any) -> ir.Value:
        if binding.HasField("value"):
            return self.op.const(tensor(value_array(self.file, binding.value)))
        return self.value(binding.name)

    def value(self, name: str) -> ir.Value:
        for scope in self.around():
            if name in scope.values:
                return scope.values[name]
        array = self.array(name)
        if array is None:
            raise UnreadableFile(f"{self.file.path}: {name} is read before it is made.")
        constant = self.op.const(tensor(array))
        self.values[name] = constant
        return constant

    def outputs(self, block: Any) -> list[str]:
        """Names of what a block returns; a classifier's label and dictionary stand for their sources."""
        return [n for n in block.outputs if n in self.values or self.array(n) is not None]

    def block(self, block: Any, inputs: list[ir.Value]) -> list[ir.Value]:
        """Results of a block on `inputs`, built in place."""
        for input_, value in zip(block.inputs, inputs, strict=True):
            self.values[input_.name], self.types[input_.name] = value, input_.type
        self.run(block)
        return [self.value(name) for name in block.outputs]

    def after(self, block: Any, inputs: list[ir.Value]) -> Scope:
        """Add the inputs and constants of a block; return the scope."""
        self.values.update(zip((i.name for i in block.inputs), inputs, strict=True))
        for operation in block.operations:
            if operation.type == "const":
                self.keep(operation)
        return self

    def run(self, block: Any) -> None:
        for operation in block.operations:
            self.types.update((output.name, output.type) for output in operation.outputs)
            if operation.type == "const":
                self.keep(operation)
            else:
                self._operation(Node(operation, self, self.version))

    def _operation(self, node: Node) -> None:
        self.op.begin(node.op, node.title())
        rule = ops.find(node.op, node, self.version)
        assert rule is not None
        results = call(rule, self.op, node)
        results = results if isinstance(results, tuple) else (results,)
        for output, result in zip(node.outputs, results, strict=False):
            if result is None:
                continue
            if isinstance(result, np.ndarray):
                self.arrays[output.name] = result
                continue
            tensor_type = output.type.tensorType
            if result.type is None and tensor_type.dataType in MIL_DTYPES:
                result.type = ir.TensorType(MIL_DTYPES[tensor_type.dataType][2])
            if (
                result.shape is None
                and output.type.WhichOneof("type") == "tensorType"
                and not variadic(output.type)
            ):
                result.shape = ir.Shape(dims_of(output.type))
            self.values[output.name] = result


def dequantized_array(value: ir.Value) -> Any:
    """Array of a DequantizeLinear of constants; None for any other value."""
    node = value.producer()
    if not is_dequantize(node):
        return None
    quantized, params = hub.const(node.inputs[0]), quant_params(node)
    return None if quantized is None or params is None else params.dequantize(quantized)


def carried_shape(value: ir.Value, declared: Any, growing: bool) -> ir.Shape | None:
    """Shape of a carried value; lengths that may change from step to step are unknown."""
    if declared.WhichOneof("type") == "listType":
        dims = [None, *(value.shape or ())[1:]]
        return ir.Shape(dims) if growing and value.shape is not None else value.shape
    if declared.WhichOneof("type") != "tensorType" or variadic(declared):
        return None
    return ir.Shape(dims_of(declared))


def call(rule: Rule, op: hub.Builder, node: Node) -> Any:
    """Call a handler: its parameters after (op, node) are names of MIL inputs; `*inputs` are `x` and `y`."""
    arguments = []
    for parameter in list(inspect.signature(rule.handler).parameters.values())[2:]:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            arguments += [node.value(n) for n in ("x", "y") if node.has(n)]
        else:
            arguments.append(node.value(parameter.name))
    return rule.apply(op, node, *arguments)


def variadic(described: Any) -> bool:
    return any(d.unknown.variadic for d in described.tensorType.dimensions)


def dims_of(described: Any) -> list[int | None]:
    """Dimensions of a MIL ValueType, None for those known at run time alone."""
    dims = described.tensorType.dimensions
    return [d.constant.size if d.WhichOneof("dimension") == "constant" else None for d in dims]


def tensor(array: Any) -> Any:
    """An ir tensor that does not copy."""
    if isinstance(array, list):
        array = np.array(array)
    if array.dtype == object:
        return ir.StringTensor(np.array([s.encode() for s in array.ravel()], object).reshape(array.shape))
    return ir.tensor(array)
