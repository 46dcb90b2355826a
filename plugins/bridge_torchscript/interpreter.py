"""Interpreter of TorchScript graphs: static values are computed, operators on others become hub nodes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const, held
from bridge.passes.fold import RANDOM, evaluate
from bridge_torchscript.decompose import decompose
from bridge_torchscript.destinations import (
    fill_destinations,
    split_destinations,
    takes_destinations,
    without_destinations,
)
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.import_ops import ops
from bridge_torchscript.import_ops.common import cast, lengths_vector, parameters_of, tensor
from bridge_torchscript.import_ops.quantize import (
    propagated_quantization,
    requantize,
    scalar_type_of,
    stored_quantized,
)
from bridge_torchscript.import_ops.scalar import MAKES_LISTS, PYTHON
from bridge_torchscript.import_ops.signal_fft import by_component, components, is_complex, paired
from bridge_torchscript.import_ops.tensor import INPLACE, VIEWS, MayCopy, size_list
from bridge_torchscript.rules import refusing
from bridge_torchscript.script.schema import Schema, parse_schema
from bridge_torchscript.script.stored import StoredTensor, stored
from bridge_torchscript.slots import is_object, stored_attribute
from bridge_torchscript.values import Builder, Complex, Items, Memory, Object, Sequence, Sym, Unsupported, Var

MAX_STEPS = 512
FOLD_LIMIT = 16
IGNORED = frozenset(
    [
        "generator",
        "layout",
        "device",
        "pin_memory",
        "memory_format",
        "non_blocking",
        "copy",
        "benchmark",
        "deterministic",
        "cudnn_enabled",
        "cudnn_enable",
        "allow_tf32",
        "unused",
        "names",
    ]
)
PASSES_LISTS = frozenset(
    [
        "prim::If",
        "prim::Loop",
        "prim::ListConstruct",
        "prim::TupleConstruct",
        "prim::DictConstruct",
        "prim::SetAttr",
        "prim::unchecked_cast",
        "aten::append",
        "aten::__is__",
        "aten::__isnot__",
    ]
)
IN_PLACE_RESHAPES = frozenset(
    f"aten::{n}_" for n in ("squeeze", "swapaxes", "swapdims", "t", "transpose", "unsqueeze")
)
RENAMED = {"self": "x", "input": "x", "A": "x", "from": "low", "to": "high"}


class Interpreter:
    """State of one reading: root graph, memory of writes, attributes, and the value of every name.

    `state` are attributes whose values differ from the stored ones, `higher_order` reads operators that take
    graphs, by name.
    """

    higher_order: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    def __init__(self, graph: ir.Graph) -> None:
        self.graph, self.memory = graph, Memory()
        self.op = Builder(graph, self.memory)
        self.reads: set[str] = set()
        self.owners: dict[str, tuple[Object, str]] = {}
        self.env: dict[str, Any] = {}
        self.weights: dict[Hashable, Var] = {}
        self.state: dict[str, Any] = {}
        self.stored: dict[str, Any] = {}
        self.touched: dict[str, Any] = {}
        self.notes: list[str] = []

    def dimension(self, length: Any) -> int | str | None:
        """A length that torch recorded; None if it is known only at run time."""
        return length if isinstance(length, int) else None

    def block(self, op: Builder, block: Any) -> list[Any]:
        """Execute every node; return the values of the block's outputs."""
        for node in block.nodes():
            self.node(op, node)
        return [self.env[o.debugName()] for o in block.outputs()]

    def node(self, op: Builder, node: Any) -> None:
        """Execute one node."""
        operator = node.kind()
        inputs = [self.env[i.debugName()] for i in node.inputs()]
        if operator not in PASSES_LISTS:
            inputs = [current_value(op, v) for v in inputs]
        op.begin(node.kind(), output_name(node))
        with refusing(operator, location(node)):
            space, _, name = operator.partition("::")
            method = getattr(self, f"_{name}", None) if space == "prim" else None
            if method:
                results = method(op, node, *inputs)
            elif operator == "aten::Bool" and is_mask_hint(node):
                results = False
            else:
                results = self.call(op, operator, parsed_schema(node), inputs)
        outputs = list(node.outputs())
        values = results if len(outputs) > 1 else [results] * len(outputs)
        for output, value in zip(outputs, values, strict=True):
            self.env[output.debugName()] = value

    def call(self, op: Builder, operator: str, schema: Any, inputs: list[Any]) -> Any:
        """Result of an operator of that parsed schema, if it has one: by Python for Python values, else by
        its rule.
        """
        if takes_destinations(schema):
            names, values, destinations = split_destinations(operator, schema, inputs)
            functional = without_destinations(operator, schema)
            return fill_destinations(op, self.named(op, operator, names, values, functional), destinations)
        names = (
            [f"_{i}" for i in range(len(inputs))] if schema is None else [a.name for a in schema.arguments]
        )
        return self.named(op, operator, names, inputs, str(schema))

    def named(self, op: Builder, operator: str, names: list[str], inputs: list[Any], schema: str) -> Any:
        """Result of an operator of that schema, from its arguments by name."""
        requested, operator = operator, self.base_operator(operator)
        writes = operator in INPLACE or (operator.endswith("_") and not operator.endswith("__"))
        if operator in PYTHON or operator in ops or writes:
            result = self.operator(op, operator, names, inputs)
            return result if operator == requested else copy_views(op, result)
        return wrap(op, decompose(self, op, operator, schema, inputs))

    def base_operator(self, operator: str) -> str:
        """Operator without `_copy`, which copies what that operator views."""
        base = operator.removesuffix("_copy")
        return base if operator not in ops and (base in ops or base in PYTHON) else operator

    def operator(self, op: Builder, operator: str, names: list[str], inputs: list[Any]) -> Any:
        """Result of an operator that has a rule, from its arguments by name."""
        if operator in PYTHON:
            result = PYTHON[operator](op, *inputs)
            if result is not NotImplemented:
                return Items(op, result) if operator in MAKES_LISTS and type(result) is list else result
        if operator in INPLACE or (
            operator.endswith("_") and not operator.endswith("__") and operator not in ops
        ):
            return self._write_in_place(op, operator, names, inputs)
        return self.apply(op, operator, names, inputs)

    def apply(self, op: Builder, operator: str, names: list[str], inputs: list[Any]) -> Any:
        """Result of the rule of an operator, with views and quantization."""
        arguments: dict[str, Any] = {}
        for name, value in zip(names, inputs, strict=True):
            parameter = RENAMED.get(name, name)
            arguments[name if parameter in arguments else parameter] = handler_value(op, value)
        rule = self.rule(operator, arguments)
        if any(map(is_complex, arguments.values())) and by_component(operator, rule.handler):
            taken = select_arguments(rule.handler, arguments)
            return wrap(op, paired(op, *(rule.apply(op, **components(op, taken, i)) for i in (0, 1))))
        values = rule.apply(op, **select_arguments(rule.handler, arguments))
        values = fold_small(op, values, arguments)
        quantization = propagated_quantization(op, operator, inputs)
        base = inputs[0] if inputs else None
        if operator in VIEWS and isinstance(base, Var) and isinstance(values, (ir.Value, list, tuple)):
            result = self._make_view(op, base, rule.handler, arguments, values, VIEWS.get(operator))
        else:
            result = wrap(op, values)
        return result if quantization is None else requantize(op, result, quantization)

    def rule(self, operator: str, arguments: dict[str, Any]) -> Any:
        reason = ops.refusal(operator, arguments)
        if reason is not None:
            raise Unsupported(reason)
        return ops.find(operator, arguments)

    def _make_view(
        self, op: Builder, base: Var, handler: Any, arguments: dict[str, Any], results: Any, inverse: Any
    ) -> Any:
        handler_arguments = select_arguments(handler, arguments)
        first = next(iter(handler_arguments))
        doubtful = False
        if isinstance(inverse, MayCopy):
            shares, inverse = inverse.shares(base, results, arguments), inverse.inverse
            if shares is False:
                return wrap(op, results)
            doubtful = shares is None

        def view_of(index: int | None) -> Var:
            def forward(op: Any, value: ir.Value) -> ir.Value:
                again = handler(op, **{**handler_arguments, first: value})
                return again if index is None else again[index]

            def backward(op: Any, value: ir.Value, new: ir.Value) -> ir.Value:
                extra = {k: v for k, v in handler_arguments.items() if k != first}
                return (
                    inverse(op, value, new, **extra)
                    if index is None
                    else inverse(op, value, new, index, **extra)
                )

            value = results if index is None else results[index]
            return Var(op, value, base, forward, backward if inverse else None, doubtful=doubtful)

        return view_of(None) if isinstance(results, ir.Value) else [view_of(i) for i in range(len(results))]

    def _write_in_place(self, op: Builder, operator: str, names: list[str], inputs: list[Any]) -> Any:
        """Apply an in-place operator: the result is written back in the tensor's dtype and shape."""
        target = inputs[0]
        if not isinstance(target, Var):
            raise Unsupported("writes to what is no tensor")
        if operator in IN_PLACE_RESHAPES:
            target.become_view(
                lambda old: self.apply(op, operator.removesuffix("_"), names, [old, *inputs[1:]])
            )
            return target
        before = target.read(op)
        result = self.apply(op, INPLACE.get(operator, operator.removesuffix("_")), names, inputs)
        assert before.dtype is not None
        value = cast(op, result.read(op), before.dtype)
        if value.shape != before.shape or value.shape is None:
            value = op.Expand(value, lengths_vector(op, size_list(op, before)))
        target.write(op, value)
        target.quantization = result.quantization
        return target

    # prim:: operators

    def _Constant(self, op: Builder, node: Any) -> Any:
        output = node.output()
        if not node.hasAttribute("value"):
            return None
        attribute_kind = node.kindOf("value")
        if attribute_kind == "t":
            return self.weight(node.t("value"), f"constant_{output.debugName()}")
        if attribute_kind in ("s", "i", "f"):
            value = getattr(node, attribute_kind)("value")
            return bool(value) if str(output.type()) == "bool" else value
        constant = output.toIValue()
        return self.as_reader_value(constant)

    def as_reader_value(self, value: Any) -> Any:
        """Reader's value of a Python value that may hold tensors."""
        tensor = stored(value)
        if tensor is not None:
            return self.weight(tensor, "constant")
        if isinstance(value, (list, tuple)):
            return (
                type(value)(self.as_reader_value(v) for v in value)
                if type(value) in (list, tuple)
                else tuple(self.as_reader_value(v) for v in value)
            )
        if isinstance(value, dict):
            return {k: self.as_reader_value(v) for k, v in value.items()}
        return str(value) if type(value).__name__ == "device" else value

    def weight(self, value: Any, name: str) -> Any:
        """Stored tensor as an initializer of the root graph, pairs if complex. The memory is shared."""
        tensor = stored(value)
        assert tensor is not None
        if tensor.array.dtype.kind == "c":
            return Complex(self.weight(tensor.pairs(), name).value)
        key = tensor.memory
        if key not in self.weights and tensor.quantizer is not None:
            self.weights[key] = stored_quantized(Builder(self.graph, self.memory), tensor)
        if key not in self.weights:
            self.weights[key] = Var(self.op, initializer(self.graph, tensor, name), label=name)
        return self.weights[key]

    def _GetAttr(self, op: Builder, node: Any, owner: Any) -> Any:
        return self.attribute(owner, node.s("name"), node.output().type())

    def attribute(self, owner: Object, name: str, declared_type: Any) -> Any:
        """Attribute of the declared type: as stored, or as set since."""
        path = f"{owner.path}.{name}" if owner.path else name
        if path not in self.touched:
            self.reads.add(path)
        if name in owner.attributes:
            return owner.attributes[name]
        if owner.native is None:
            raise Unsupported(f"reads the attribute {name}, which is not set")
        self.owners[path] = (owner, name)
        if path in self.state:
            value = self.state[path]
        else:
            self.stored[path] = stored_attribute(owner.native, name, declared_type)
            value = self._stored_value(self.stored[path], path)
        owner.attributes[name] = value
        return value

    def _stored_value(self, native: Any, path: str) -> Any:
        """Reader's value of a stored attribute."""
        tensor = stored(native)
        if tensor is not None:
            value = self.weight(tensor, path)
            if isinstance(value, Var):
                value.label = path
            return value
        if is_object(native):
            return Object(native if hasattr(native, "getattr") else None, path, str(type(native)))
        return self.as_reader_value(native)

    def owner(self, path: str) -> tuple[Object, str]:
        """Object that holds an attribute, and the attribute's name."""
        return self.touched.get(path) or self.owners[path]

    def literal(self, value: Any) -> Any:
        """Reader's value of a default."""
        return Items(self.op, value) if isinstance(value, list) else value

    def _SetAttr(self, op: Builder, node: Any, owner: Object, value: Any) -> None:
        name = node.s("name")
        if owner.native is not None:
            self.touched[f"{owner.path}.{name}" if owner.path else name] = (owner, name)
        self.set_attribute(owner, name, value, node.inputsAt(1).type())

    def set_attribute(self, owner: Object, name: str, value: Any, declared_type: Any = None) -> None:
        """Set an attribute. Inside a branch its value before is recorded, so that branches can be merged."""
        changes = self.memory.innermost
        if changes is not None and (owner, name) not in changes.attributes:
            unread = owner.native is not None and name not in owner.attributes
            before = self.attribute(owner, name, declared_type) if unread else owner.attributes.get(name)
            changes.attributes[owner, name] = before
        owner.attributes[name] = value

    def _CreateObject(self, op: Builder, node: Any) -> Object:
        return Object(type_name=str(node.output().type()))

    def _ListConstruct(self, op: Builder, node: Any, *items: Any) -> list[Any]:
        return Items(op, items)

    def _TupleConstruct(self, op: Builder, node: Any, *items: Any) -> tuple[Any, ...]:
        return tuple(items)

    def _DictConstruct(self, op: Builder, node: Any, *items: Any) -> dict[Any, Any]:
        return dict(zip(items[::2], items[1::2], strict=True))

    def _TupleUnpack(self, op: Builder, node: Any, items: Any) -> Any:
        return items[0] if len(items) == 1 else items

    def _ListUnpack(self, op: Builder, node: Any, items: Any) -> Any:
        count = len(list(node.outputs()))
        if isinstance(items, Sequence):
            elements = [items.at(op, op.const(np.array(i, np.int64))) for i in range(count)]
        else:
            elements = items
        return elements[0] if count == 1 else elements

    def _TupleIndex(self, op: Builder, node: Any, items: Any, index: int) -> Any:
        return items[index]

    def _TupleSlice(self, op: Builder, node: Any, items: Any) -> Any:
        return items[node.i("beg") : node.i("end")]

    def _NumToTensor(self, op: Builder, node: Any, x: Any) -> Any:
        return Var(op, tensor(op, x))

    def _unchecked_cast(self, op: Builder, node: Any, x: Any) -> Any:
        return x

    def _Uninitialized(self, op: Builder, node: Any) -> Any:
        return None

    def _data(self, op: Builder, node: Any, x: Any) -> Any:
        return x

    def _device(self, op: Builder, node: Any, x: Any) -> Any:
        return "cpu"

    def _layout(self, op: Builder, node: Any, x: Any) -> Any:
        return 0

    def _is_cuda(self, op: Builder, node: Any, x: Any) -> Any:
        return False

    def _requires_grad(self, op: Builder, node: Any, x: Any) -> Any:
        return False

    def _dtype(self, op: Builder, node: Any, x: Any) -> Any:
        if isinstance(x, Var) and x.quantization is not None:
            return scalar_type_of(x.quantization)
        return TORCH_DTYPES[handler_value(op, x).dtype].code

    def _isinstance(self, op: Builder, node: Any, x: Any) -> Any:
        types = [str(t) for t in (node.tys("types") if node.hasAttribute("types") else [])]
        names = {Var: "Tensor", str: "str", int: "int", float: "float", bool: "bool", type(None): "NoneType"}
        name = names.get(type(x))
        if name is None:
            raise Unsupported("asks for the type of what is no plain value")
        return name in types

    def _RaiseException(self, op: Builder, node: Any, *inputs: Any) -> Any:
        raise Raised(str(inputs[0]) if inputs else "an exception")

    def _Print(self, op: Builder, node: Any, *inputs: Any) -> Any:
        return None


class Raised(Exception):
    """Error: the model itself raises here."""


def is_mask_hint(node: Any) -> bool:
    """True if torch's Transformer asks here whether a mask is causal.

    The answer only selects a kernel; the mask is applied anyway.
    """
    text = node.sourceRange()
    return 'torch/nn/modules/transformer.py"' in text and "causal_comparison" in text


def output_name(node: Any) -> str:
    """Name of a node's first output; empty without any."""
    outputs = list(node.outputs())
    return outputs[0].debugName() if outputs else ""


def location(node: Any) -> str:
    """Name of a node's first output in TorchScript's notation, `%x`; empty without any."""
    outputs = list(node.outputs())
    return f"%{outputs[0].debugName()}" if outputs else ""


def parsed_schema(node: Any) -> Schema | None:
    """The operator's schema; None if it has none."""
    text = node.schema()
    return None if text == "(no schema)" else parse_schema(text)


def handler_value(op: Builder, value: Any) -> Any:
    """Value for handlers: hub values in place of tensors, also in lists."""
    if isinstance(value, Var):
        return value.read(op)
    value = current_value(op, value)
    if isinstance(value, list):
        return [handler_value(op, v) for v in value]
    return tuple(handler_value(op, v) for v in value) if isinstance(value, tuple) else value


def copy_views(op: Builder, value: Any) -> Any:
    """Views as tensors with memory of their own."""
    if isinstance(value, list):
        return Items(op, (copy_views(op, v) for v in value))
    return Var(op, value.read(op), quantization=value.quantization) if isinstance(value, Var) else value


def current_value(op: Builder, value: Any) -> Any:
    """Current sequence of a list of run-time length; other values unchanged."""
    if isinstance(value, Items) and value.sequence is not None:
        return Sequence(value.sequence.read(op), value.shape)
    return value


def wrap(op: Builder, value: Any) -> Any:
    """Reader's value of a handler's result."""
    if isinstance(value, ir.Value):
        return Sequence(value) if isinstance(value.type, ir.SequenceType) else Var(op, value)
    if isinstance(value, list):
        return Items(op, (wrap(op, v) for v in value))
    return tuple(wrap(op, v) for v in value) if isinstance(value, tuple) else value


def fold_small(op: Builder, result: Any, arguments: dict[str, Any]) -> Any:
    """Constant of a small result computed from constants alone, as traced code computes sizes."""
    tensors = [v for v in arguments.values() if isinstance(v, ir.Value)]
    if not isinstance(result, ir.Value) or not tensors or held(result) is not None or result.dtype is None:
        return result
    arrays = [const(v) for v in tensors]
    shape = hub.shape_of(result)
    if (
        any(a is None or a.size > FOLD_LIMIT for a in arrays)
        or shape is None
        or int(np.prod(shape)) > FOLD_LIMIT
    ):
        return result
    array = constant_value(result)
    return result if array is None else op.const(array)


def constant_value(value: ir.Value) -> Any:
    """Array computed by a chain of nodes over constants; None if the chain starts elsewhere."""
    array = const(value)
    node = value.producer()
    if array is not None or node is None or node.op_type in RANDOM or node.domain or len(node.outputs) > 1:
        return array
    inputs = [None if v is None else constant_value(v) for v in node.inputs]
    if not inputs or any(a is None for a, v in zip(inputs, node.inputs, strict=True) if v is not None):
        return None
    copy = ir.Node(
        "",
        node.op_type,
        [None if a is None else hub.Builder(ir.Graph([], [], nodes=[])).const(a) for a in inputs],
        list(node.attributes.values()),
    )
    results = evaluate(copy)
    if results is None or value.dtype is None:
        return None
    return np.asarray(results[0]).astype(value.dtype.numpy())


def select_arguments(handler: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments that a handler takes. Raises Unsupported for another argument that is set and matters."""
    parameters = parameters_of(handler)
    for name, value in arguments.items():
        if name not in parameters and name not in IGNORED and value not in (None, False, []):
            raise Unsupported(f"is read without {name}={value!r}"[:160])
    return {n: v for n, v in arguments.items() if n in parameters}


def initializer(graph: ir.Graph, tensor: StoredTensor, name: str) -> ir.Value:
    """Initializer that shares the memory of a stored tensor."""
    data = ir.Tensor(np.asarray(tensor.array, order="C"))
    value = ir.Value(
        name=name if name not in graph.initializers else hub.fresh_name(graph, name),
        shape=ir.Shape(data.shape),
        type=ir.TensorType(data.dtype),
        const_value=data,
    )
    graph.register_initializer(value)
    return value


def nodes_in(block: Any, may_run: Callable[[Any, int], bool] = lambda node, index: True) -> Iterator[Any]:
    """All nodes of a block and of the nested blocks that may run."""
    for node in block.nodes():
        yield node
        for index, inner in enumerate(node.blocks()):
            if may_run(node, index):
                yield from nodes_in(inner, may_run)


def condition_value(op: Builder, condition: Any) -> bool | ir.Value:
    """Python bool of a static condition; a hub scalar otherwise."""
    if isinstance(condition, Sym):
        array = const(condition.value)
        return bool(array) if array is not None else condition.value
    return bool(condition)
