"""Import: TorchScript → hub, by the interpreter and the rules of import_ops."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import BridgeError, InvalidOption, UnsupportedModel
from bridge.formats import Importer, Option
from bridge.report import Blocker
from bridge_torchscript import state
from bridge_torchscript.control import Reader
from bridge_torchscript.dtypes import SCALAR_TYPES, STAND_IN
from bridge_torchscript.exported import read_file, read_program
from bridge_torchscript.import_ops import ops
from bridge_torchscript.import_ops.common import require_torch
from bridge_torchscript.input_specs import SYNTAX, InputSpec, parse_specs, split_specs
from bridge_torchscript.interface import leaves, type_of
from bridge_torchscript.interpreter import Raised, nodes_in, output_name
from bridge_torchscript.live import capture
from bridge_torchscript.live_session import torch_session
from bridge_torchscript.outputs import Result, add_outputs, open_containers
from bridge_torchscript.program import open_program
from bridge_torchscript.rules import Refused, has_rule
from bridge_torchscript.safe_open import inspect_archive, is_program, open_archive, open_script
from bridge_torchscript.script.code import Foreign
from bridge_torchscript.values import Builder, Items, Object, Sequence, Sym, Unsupported, Var


def load(src: Any, inputs: Any = None, method: str = "forward") -> ir.Model:
    """Read a TorchScript archive, an exported program or a live module into a hub model.

    `inputs` describes the arguments that the archive does not: dtypes, ranks and known dimensions. State that
    a call leaves behind becomes inputs of its name and outputs called `NAME.next`. Raises UnsupportedModel
    with every operator that has no rule, or none for this use; InvalidOption for an input without
    description.
    """
    specs = parse_specs(inputs)
    if not isinstance(src, (str, Path)):
        return _live_model(src, specs, method)
    path = Path(src)
    if not is_program(path):
        model = _archive_model(path, specs, method)
    elif method != "forward":
        raise InvalidOption("An exported program has no method but forward.")
    else:
        model = read_file(path, specs)
    facts.FORMAT.set(model, "torchscript")
    facts.SHA256.set(model, digest(path))
    return model


def _live_model(src: Any, specs: dict[str, InputSpec], method: str) -> ir.Model:
    """Hub model of an object in memory."""
    import torch

    title = "the program"
    if isinstance(src, torch.nn.Module) and not isinstance(src, torch.jit.ScriptModule):
        title, src = type(src).__name__, capture(src, specs)
    if isinstance(src, torch.export.ExportedProgram):
        return read_program(src, specs, title)
    return _method_model(
        src._c if isinstance(src, torch.jit.ScriptModule) else src, {}, str(src), specs, method
    )


def _archive_model(path: Path, specs: dict[str, InputSpec], method: str) -> ir.Model:
    """Hub model of an archive, read by torch where its code holds what torch alone reads."""
    inspect_archive(path)
    try:
        module = open_script(path)
        return _method_model(module, module.interface, str(path), specs, method)
    except Foreign as foreign:
        require_torch(f"{path} holds {foreign}, which torch alone reads")
    return read_by_torch(path, specs, method)


def read_by_torch(path: Path, specs: dict[str, InputSpec], method: str) -> ir.Model:
    """Hub model of an archive or exported program that torch loads."""
    if is_program(path):
        return read_program(open_program(path), specs, str(path))
    module, interface = open_archive(path)
    return _method_model(module._c, interface, str(path), specs, method)


def _method_model(
    native: Any, interface: dict[str, Any], title: str, specs: dict[str, InputSpec], method: str
) -> ir.Model:
    if not native._has_method(method):
        methods = ", ".join(native._method_names()) or "none"
        raise InvalidOption(f"The module has no method {method!r}.", f"Its methods: {methods}.")
    model = MethodImport(native, method, specs, interface if method == "forward" else {}, title).model()
    facts.FORMAT.set(model, "torchscript")
    return model


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class MethodImport:
    """Import of one method of one module."""

    def __init__(
        self, native: Any, method: str, specs: dict[str, InputSpec], interface: dict[str, Any], title: str
    ) -> None:
        self.native, self.specs, self.interface = native, specs, interface
        self.title = title if len(title) < 200 else "the module"
        self.function = native._get_method(method)
        self.block = self.function.inlined_graph
        self.arguments = self.function.schema.arguments[1:]

    def model(self) -> ir.Model:
        """Read the method until its state is known.

        The first reading finds the state that a call changes. The second starts from static values that a
        call leaves: state that makes no difference is dropped. The last reads with the rest as inputs.
        """
        graph, reader = self._read(lambda op: {})
        state_attributes = state.changed_attributes(reader)
        static_values = state.static_attributes(reader.op, reader)
        if set(static_values) & set(state_attributes):
            second, _ = self._read(partial(state.static_attributes, reader=reader))
            if state.computed(second) == state.computed(graph):
                state_attributes = {
                    path: before for path, before in state_attributes.items() if path not in static_values
                }
        if state_attributes:
            graph, reader = self._read(
                lambda op: {
                    path: state.state_input(op, self.title, path, v, self.specs.get(path))
                    for path, v in state_attributes.items()
                }
            )
            state.add_state_outputs(self.title, reader, state_attributes, graph)
        model = ir.Model(graph, ir_version=hub.IR_VERSION)
        hub.note(model, list(dict.fromkeys(reader.notes)))
        model.metadata_props.update({str(k): str(v) for k, v in self.interface.get("metadata", {}).items()})
        return model

    def _blockers(self, reader: Reader) -> Iterator[Blocker]:
        """Blocker for every operator without a rule, except in branches known to be unreachable."""

        def may_run(node: Any, index: int) -> bool:
            decided = self._static_condition(reader, node.inputsAt(0)) if node.kind() == "prim::If" else None
            return decided is None or decided == (index == 0)

        for node in nodes_in(self.block, may_run):
            operator = node.kind()
            known = has_rule(operator) or (operator.startswith("aten::") and not operator.endswith("_"))
            if known or (
                operator.startswith("prim::") and hasattr(Reader, f"_{operator.partition('::')[2]}")
            ):
                continue
            yield Blocker(operator, output_name(node), "", "is not supported")

    def _static_condition(self, reader: Reader, condition: Any) -> bool | None:
        """Static value of a condition that was executed, or is an attribute (`training`) or its negation.

        None otherwise.
        """
        value = reader.env.get(condition.debugName())
        node, path = condition.node(), []
        if node.kind() == "aten::__not__":
            inner = self._static_condition(reader, node.inputsAt(0))
            return None if inner is None else not inner
        while value is None and node.kind() == "prim::GetAttr":
            path.append(node.s("name"))
            node = node.inputsAt(0).node()
        if path and node.kind() == "prim::Param" and _has(self.native, ".".join(reversed(path))):
            value = _native(self.native, ".".join(reversed(path)))
        return value if isinstance(value, bool) else None

    def _unsupported(self, blockers: list[Blocker]) -> UnsupportedModel:
        count = len(blockers)
        return UnsupportedModel(
            f"{count} operator{'s' * (count > 1)} of {self.title} cannot be read:",
            blockers,
            "Add a rule: plugins/README.md#one-operator",
        )

    def _read(self, changed: Callable[[Builder], dict[str, Any]]) -> tuple[ir.Graph, Reader]:
        """Graph of the method and its reader. `changed(op)` returns attributes that replace stored ones."""
        graph = ir.Graph(
            [], [], nodes=[], name=self.interface.get("name") or "model", opset_imports={"": hub.HUB_OPSET}
        )
        reader = Reader(graph)
        op = reader.op
        reader.state = changed(op)
        parameters = list(self.block.inputs())
        reader.env[parameters[0].debugName()] = Object(self.native)
        for value, argument in zip(parameters[1:], self._arguments(reader), strict=True):
            reader.env[value.debugName()] = argument
        state_inputs = [v.value for v in reader.state.values() if isinstance(v, (Var, Sym))]
        graph.inputs.extend(v for v in state_inputs if v is not None)
        try:
            results = reader.block(op, self.block)
        except Refused as refused:
            others = [b for b in self._blockers(reader) if b.op != refused.blocker.op]
            raise self._unsupported([refused.blocker, *others]) from refused
        except Raised as raised:
            raise UnsupportedModel(f"{self.title} raises for inputs as described: {raised}", []) from raised
        try:
            result = results[0] if len(results) == 1 else tuple(results)
            add_outputs(graph, op, self.title, self._results(result))
        except Unsupported as error:
            raise UnsupportedModel(f"{self.title} {error}.", []) from error
        return graph, reader

    def _arguments(self, reader: Reader) -> Iterator[Any]:
        declared = {v["name"]: v for v in self.interface.get("inputs", [])}
        order = list(declared)
        missing, arguments = [], []
        for index, argument in enumerate(self.arguments):
            name = order[index] if index < len(order) and len(order) == len(self.arguments) else argument.name
            try:
                arguments.append(self._argument(reader, name, argument, declared.get(name)))
            except KeyError as error:
                missing.append(str(error.args[0]))
        names = {*order, *(a.name for a in self.arguments)}
        unknown = [n for n in self.specs if n.split(".")[0] not in names and not _has(self.native, n)]
        if unknown:
            known_inputs = ", ".join(a.name for a in self.arguments) or "none"
            raise InvalidOption(
                f"The method has no input {', '.join(unknown)}.", f"Its inputs: {known_inputs}."
            )
        if missing:
            raise InvalidOption(
                f"{self.title} does not say what {', '.join(missing)} is.", f"Describe it with {SYNTAX}."
            )
        return iter(arguments)

    def _argument(self, reader: Reader, name: str, argument: Any, declared: Any) -> Any:
        """Value of one argument. Raises KeyError with the name of an input without description."""
        type_name = str(argument.type)
        nested = {k.partition(".")[2]: g for k, g in self.specs.items() if k.startswith(f"{name}.")}
        if name in self.specs:
            return self._leaf(reader.op, name, self.specs[name], type_name)
        if nested:
            return self._container(reader.op, name, nested, type_name)
        if declared is not None and type_of(declared.get("type", "")) is not None:
            dims = declared.get("shape")
            spec = InputSpec(type_of(declared["type"]), None if dims is None else tuple(dims))
            return self._leaf(reader.op, name, spec, type_name)
        if argument.has_default_value():
            return reader.literal(argument.default_value)
        if type_name.startswith("Optional"):
            return None
        if type_name in SCALAR_TYPES:
            return self._leaf(
                reader.op, name, InputSpec(ir.TensorType(SCALAR_TYPES[type_name]), ()), type_name
            )
        if "str" in re.findall(r"\w+", type_name):
            raise UnsupportedModel(
                f"{self.title} takes text ({name}: {type_name}), which the hub computes nothing with.", []
            )
        raise KeyError(name)

    def _leaf(self, op: Builder, name: str, spec: InputSpec, type_name: str) -> Any:
        if spec.fixed is not None:
            return spec.fixed
        value = spec.value(name)
        op.graph.inputs.append(value)
        if isinstance(spec.type, ir.SequenceType):
            return Sequence(value)
        if isinstance(spec.type, ir.OptionalType):
            raise UnsupportedModel(
                f"{self.title} takes an optional {name}, which is there or not only at run time.",
                [],
                f"Describe what it is each time: inputs=['{name}:DTYPE[DIMENSIONS]'].",
            )
        if value.dtype in STAND_IN:
            return Var(op, op.Cast(value, to=int(STAND_IN[value.dtype])))
        return Sym(value) if type_name in SCALAR_TYPES and not spec.dims else Var(op, value)

    def _container(self, op: Builder, name: str, specs: dict[str, InputSpec], type_name: str) -> Any:
        elements = {}
        for key in dict.fromkeys(k.partition(".")[0] for k in specs):
            nested = {k.partition(".")[2]: g for k, g in specs.items() if k.startswith(f"{key}.")}
            path = f"{name}.{key}"
            inside = _element_kind(type_name, key)
            elements[key] = (
                self._container(op, path, nested, inside)
                if nested
                else self._leaf(op, path, specs[key], inside)
            )
        if type_name.startswith(("Dict", "Optional[Dict")):
            return elements
        if set(elements) != {str(i) for i in range(len(elements))}:
            if type_name.startswith("__torch__"):
                result = Object(type_name=type_name)
                result.attributes = elements
                return result
            raise InvalidOption(f"The parts of {name} are {', '.join(elements)}.", "Number them from 0.")
        items = [elements[str(i)] for i in range(len(elements))]
        return tuple(items) if type_name.startswith(("Tuple", "Optional[Tuple")) else Items(op, items)

    def _results(self, result: Any) -> Iterator[Result]:
        """Name, value and declared type and dimensions of every output: as kept in archives of bridge, else
        flattened."""
        declared = self.interface.get("outputs", [])
        elements = result if len(declared) > 1 else (result,)
        if declared and isinstance(elements, tuple) and len(elements) == len(declared):
            for facts, part in zip(declared, elements, strict=True):
                yield facts["name"], part, type_of(facts.get("type", "")), facts.get("shape")
            return
        for name, leaf in leaves(open_containers(result), (list, tuple, dict)):
            yield name, leaf, None, None


def _element_kind(type_name: str, key: str) -> str:
    inner = type_name.partition("[")[2].removesuffix("]")
    if type_name.startswith("Tuple") and key.isdigit() and "[" not in inner:
        types = [p.strip() for p in inner.split(",")]
        return types[int(key)] if int(key) < len(types) else "Tensor"
    return inner if type_name.startswith("List") else "Tensor"


def _has(native: Any, path: str) -> bool:
    try:
        _native(native, path)
    except (RuntimeError, AttributeError):
        return False
    return True


def _native(native: Any, path: str) -> Any:
    for step in path.split("."):
        native = native.getattr(step)
    return native


importer = Importer(
    load=load,
    table=ops,
    live=torch_session,
    options=(
        Option("inputs", f"what the inputs are, where the file does not say: {SYNTAX}", None, split_specs),
        Option("method", "the method to read, where another than forward is meant", "forward"),
    ),
)

__all__ = ["BridgeError", "importer"]
