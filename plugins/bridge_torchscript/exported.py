"""Import: torch.export programs → hub, by the rules of import_ops.

The one way for exported programs, in memory and in files, and for live modules, which are exported first:
torch's own translation to ONNX takes longer, hides wholly masked rows of attention, and knows no quantized
programs. Operators without a rule are replaced by torch's decompositions, where these are made of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import InvalidOption, UnsupportedModel
from bridge.report import Blocker
from bridge_torchscript import state
from bridge_torchscript.control import Reader
from bridge_torchscript.decompose import all_decompositions
from bridge_torchscript.dtypes import SCALAR_TYPES, TORCH_DTYPES
from bridge_torchscript.higher_order import HIGHER_ORDER
from bridge_torchscript.input_specs import InputSpec
from bridge_torchscript.interface import leaves
from bridge_torchscript.interpreter import Raised
from bridge_torchscript.outputs import add_outputs
from bridge_torchscript.recorded import lacking, read_graph
from bridge_torchscript.rules import Refused
from bridge_torchscript.symbols import Symbols
from bridge_torchscript.tracer_lock import TRACER, quiet
from bridge_torchscript.values import Builder, Object, Sym, Unsupported, Var

NUMBERS = {"SymIntArgument": "int", "SymFloatArgument": "float", "SymBoolArgument": "bool"}


def read_program(program: Any, specs: dict[str, InputSpec], title: str) -> ir.Model:
    """Hub model of a torch.export.ExportedProgram. `specs` name its symbolic dimensions.

    Buffers that a call changes become inputs of their names and outputs called `NAME.next`. Raises
    UnsupportedModel with every operator that has no rule, or none for this use.
    """
    import torch

    symbols = Symbols(program, specs)
    model = ProgramImport(_spelled_out(program, title), symbols, specs, title).model()
    hub.note(model, symbols.notes)
    for name, low, high in symbols.ranges():
        facts.COREML_RANGE.of(name).set(model, f"{low}..{'' if high is None else high}")
    facts.FORMAT.set(model, "torch")
    facts.VERSION.set(model, torch.__version__)
    return model


def _spelled_out(program: Any, title: str) -> Any:
    """The program, its operators without a rule decomposed by torch into others.

    Raises UnsupportedModel with those that remain.
    """
    if not lacking(program.graph_module):
        return program
    try:
        with TRACER, quiet():
            program = program.run_decompositions(all_decompositions())
    except Exception as error:
        raise _unsupported(program, title) from error
    if lacking(program.graph_module):
        raise _unsupported(program, title)
    return program


def _unsupported(program: Any, title: str) -> UnsupportedModel:
    blockers = [
        Blocker(op, name, "", "is not supported") for op, name in lacking(program.graph_module).items()
    ]
    return _refusal(title, blockers)


def _refusal(title: str, blockers: list[Blocker]) -> UnsupportedModel:
    count = len(blockers)
    return UnsupportedModel(
        f"{count} operator{'s' * (count > 1)} of {title} cannot be read:",
        blockers,
        "Add a rule: plugins/README.md#one-operator",
    )


class ProgramReader(Reader):
    """Reader of an exported program, whose lengths are `symbols`."""

    higher_order = HIGHER_ORDER

    def __init__(self, graph: ir.Graph, symbols: Symbols) -> None:
        super().__init__(graph)
        self.symbols = symbols

    def dimension(self, length: Any) -> int | str | None:
        return self.symbols.dimension(length)


class ProgramImport:
    """Import of one exported program."""

    def __init__(self, program: Any, symbols: Symbols, specs: dict[str, InputSpec], title: str) -> None:
        self.program, self.symbols, self.specs, self.title = program, symbols, specs, title
        self.signature = program.graph_signature

    def model(self) -> ir.Model:
        """Read the program; if a call changes buffers, once more with these as inputs."""
        graph, reader = self._read({})
        changed = {v.label for v in reader.memory.written} & set(self._stored())
        if changed:
            stored = {path: self._stored()[path] for path in sorted(changed)}
            graph, reader = self._read(stored)
            state.add_state_outputs(self.title, reader, stored, graph)
        model = ir.Model(graph, ir_version=hub.IR_VERSION)
        hub.note(model, list(dict.fromkeys(reader.notes)))
        return model

    def _stored(self) -> dict[str, Any]:
        """Parameters, buffers and constants by path."""
        return {**self.program.constants, **self.program.state_dict}

    def _read(self, changed: dict[str, Any]) -> tuple[ir.Graph, ProgramReader]:
        import torch

        graph = ir.Graph([], [], nodes=[], name="model", opset_imports={"": hub.HUB_OPSET})
        reader = ProgramReader(graph, self.symbols)
        op = reader.op
        for path, tensor in changed.items():
            reader.state[path] = state.state_input(op, self.title, path, tensor, self.specs.get(path))
            reader.owners[path] = (Object(), path)
        inputs = list(self._inputs(reader))
        graph.inputs.extend(v.value for v in reader.state.values())
        try:
            with torch.no_grad():
                results = read_graph(reader, op, self.program.graph_module, inputs)
            add_outputs(graph, op, self.title, self._results(op, inputs, results))
        except Refused as refused:
            raise _refusal(self.title, [refused.blocker]) from refused
        except Raised as raised:
            raise UnsupportedModel(f"{self.title} raises for inputs as described: {raised}", []) from raised
        except Unsupported as error:
            raise UnsupportedModel(f"{self.title} {error}.", []) from error
        return graph, reader

    def _inputs(self, reader: ProgramReader) -> Iterator[Any]:
        """Values of the graph's placeholders: weights, constants, and the arguments, which are its inputs."""
        stored = self._stored()
        placeholders = [n for n in self.program.graph.nodes if n.op == "placeholder"]
        for node, spec in zip(placeholders, self.signature.input_specs, strict=True):
            kind, argument = spec.kind.name, type(spec.arg).__name__
            if kind in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR"):
                tensor = stored[spec.target]
                yield reader.state.get(spec.target) or reader.weight(tensor, spec.target)
            elif kind != "USER_INPUT":
                raise UnsupportedModel(
                    f"{self.title} holds {spec.target or node.name}, which is no tensor.", []
                )
            elif argument == "ConstantArgument":
                yield spec.arg.value
            elif argument in NUMBERS:
                value = InputSpec(ir.TensorType(SCALAR_TYPES[NUMBERS[argument]]), ()).value(node.name)
                reader.graph.inputs.append(value)
                yield Sym(value)
            else:
                yield Var(reader.op, self._tensor_input(reader, node))

    def _tensor_input(self, reader: ProgramReader, node: Any) -> ir.Value:
        import torch

        example = node.meta["val"]
        if example.is_complex():
            raise InvalidOption(
                f"The input {node.name} is complex, which no input can be.",
                "Hand over pairs of floats, and join them in the model by torch.view_as_complex.",
            )
        dtype = next(d for d, h in TORCH_DTYPES.items() if getattr(torch, h.name) == example.dtype)
        dims = tuple(self.symbols.dimension(d) for d in example.shape)
        value = InputSpec(ir.TensorType(dtype), dims).value(node.name)
        reader.graph.inputs.append(value)
        return value

    def _results(self, op: Builder, inputs: list[Any], results: Any) -> Iterator[Any]:
        """Results by name; values that the graph returns for a buffer or an argument are written to it."""
        from torch.utils import _pytree as pytree

        targets = {s.target or s.arg.name: v for s, v in zip(self.signature.input_specs, inputs, strict=True)}
        returned = []
        for spec, value in zip(self.signature.output_specs, results, strict=True):
            if spec.kind.name == "USER_OUTPUT":
                returned.append(value)
            elif spec.kind.name in ("BUFFER_MUTATION", "PARAMETER_MUTATION"):
                targets[spec.target].write(op, value.read(op))
        made = pytree.tree_unflatten(returned, self.program.call_spec.out_spec)
        return ((name, leaf, None, None) for name, leaf in leaves(made, (list, tuple)))
