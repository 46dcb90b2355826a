"""Import: torch.export programs → hub, by the rules of import_ops.

The one way for exported programs, in memory and in files, and for live modules, which are exported first:
torch's own translation to ONNX takes longer, hides wholly masked rows of attention, and knows no quantized
programs. Operators without a rule are replaced by torch's decompositions, where these are made of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import InvalidOption, UnsupportedModel
from bridge.report import Blocker
from bridge_torchscript import state
from bridge_torchscript.control import Reader
from bridge_torchscript.decompose import all_decompositions
from bridge_torchscript.dtypes import SCALAR_TYPES
from bridge_torchscript.higher_order import HIGHER_ORDER
from bridge_torchscript.import_ops.common import require_torch
from bridge_torchscript.input_specs import InputSpec
from bridge_torchscript.interface import leaves
from bridge_torchscript.interpreter import Raised
from bridge_torchscript.outputs import add_outputs
from bridge_torchscript.program import open_program
from bridge_torchscript.program_file import read_archive
from bridge_torchscript.recorded import Example, Program, lacking, read_graph
from bridge_torchscript.rules import Refused
from bridge_torchscript.script.schema import spelled_out
from bridge_torchscript.symbols import Symbols
from bridge_torchscript.traced import recorded_program
from bridge_torchscript.tracer_lock import TRACER, quiet
from bridge_torchscript.values import Builder, Object, Sym, Unsupported, Var


def read_program(program: Any, specs: dict[str, InputSpec], title: str) -> ir.Model:
    """Hub model of a torch.export.ExportedProgram. `specs` name its symbolic dimensions.

    Buffers that a call changes become inputs of their names and outputs called `NAME.next`. Raises
    UnsupportedModel with every operator that has no rule, or none for this use.
    """
    return _model(_spelled_out(program, title), specs, title)


def read_file(path: Path, specs: dict[str, InputSpec]) -> ir.Model:
    """Hub model of an exported program in a file, as `read_program`. torch is asked for where it spells an
    operator out; raises MissingDependency without it."""
    program = read_archive(path)
    unknown = lacking(program.graph, HIGHER_ORDER)
    if not unknown:
        return _model(program, specs, str(path))
    hopeless = {name: where for name, where in unknown.items() if "::" in name and name not in spelled_out()}
    if hopeless:
        raise _unsupported(hopeless, str(path))
    require_torch(f"{path} calls {', '.join(unknown)}, which torch alone spells out")
    return read_program(open_program(path), specs, str(path))


def _model(program: Program, specs: dict[str, InputSpec], title: str) -> ir.Model:
    symbols = Symbols(program, specs)
    model = ProgramImport(program, symbols, specs, title).model()
    hub.note(model, symbols.notes)
    for name, low, high in symbols.ranges():
        facts.COREML_RANGE.of(name).set(model, f"{low}..{'' if high is None else high}")
    facts.FORMAT.set(model, "torch")
    facts.VERSION.set(model, program.version)
    return model


def _spelled_out(program: Any, title: str) -> Program:
    """The program, its operators without a rule decomposed by torch into others.

    Raises UnsupportedModel with those that remain.
    """
    recorded = recorded_program(program)
    unknown = lacking(recorded.graph, HIGHER_ORDER)
    if not unknown:
        return recorded
    try:
        with TRACER, quiet():
            recorded = recorded_program(program.run_decompositions(all_decompositions()))
    except Exception as error:
        raise _unsupported(unknown, title) from error
    unknown = lacking(recorded.graph, HIGHER_ORDER)
    if unknown:
        raise _unsupported(unknown, title)
    return recorded


def _unsupported(unknown: dict[str, str], title: str) -> UnsupportedModel:
    return _refusal(title, [Blocker(op, name, "", "is not supported") for op, name in unknown.items()])


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

    def __init__(self, program: Program, symbols: Symbols, specs: dict[str, InputSpec], title: str) -> None:
        self.program, self.symbols, self.specs, self.title = program, symbols, specs, title

    def model(self) -> ir.Model:
        """Read the program; if a call changes buffers, once more with these as inputs."""
        graph, reader = self._read({})
        stored = self.program.stored
        changed = {v.label for v in reader.memory.written} & set(stored)
        if changed:
            buffers = {path: stored[path] for path in sorted(changed)}
            graph, reader = self._read(buffers)
            state.add_state_outputs(self.title, reader, buffers, graph)
        model = ir.Model(graph, ir_version=hub.IR_VERSION)
        hub.note(model, list(dict.fromkeys(reader.notes)))
        return model

    def _read(self, changed: dict[str, Any]) -> tuple[ir.Graph, ProgramReader]:
        graph = ir.Graph([], [], nodes=[], name="model", opset_imports={"": hub.HUB_OPSET})
        reader = ProgramReader(graph, self.symbols)
        op = reader.op
        for path, tensor in changed.items():
            reader.state[path] = state.state_input(op, self.title, path, tensor, self.specs.get(path))
            reader.owners[path] = (Object(), path)
        inputs = list(self._inputs(reader))
        graph.inputs.extend(v.value for v in reader.state.values())
        try:
            results = read_graph(reader, op, self.program.graph, inputs)
            add_outputs(graph, op, self.title, self._results(op, inputs, results))
        except Refused as refused:
            raise _refusal(self.title, [refused.blocker]) from refused
        except Raised as raised:
            raise UnsupportedModel(f"{self.title} raises for inputs as described: {raised}", []) from raised
        except Unsupported as error:
            raise UnsupportedModel(f"{self.title} {error}.", []) from error
        return graph, reader

    def _inputs(self, reader: ProgramReader) -> Iterator[Any]:
        """Values of the graph's inputs: weights, constants, and the arguments, which are the hub's."""
        for (name, example), role in zip(self.program.graph.inputs.items(), self.program.inputs, strict=True):
            if role.kind in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR"):
                tensor = self.program.stored[role.target]
                yield reader.state.get(role.target) or reader.weight(tensor, role.target)
            elif role.kind != "USER_INPUT":
                raise UnsupportedModel(f"{self.title} holds {role.target or name}, which is no tensor.", [])
            elif role.argument == "constant":
                yield role.value
            elif role.argument == "tensor":
                yield Var(reader.op, self._tensor_input(reader, name, example))
            else:
                value = InputSpec(ir.TensorType(SCALAR_TYPES[role.argument]), ()).value(name)
                reader.graph.inputs.append(value)
                yield Sym(value)

    def _tensor_input(self, reader: ProgramReader, name: str, example: Example) -> ir.Value:
        if example.is_complex:
            raise InvalidOption(
                f"The input {name} is complex, which no input can be.",
                "Hand over pairs of floats, and join them in the model by torch.view_as_complex.",
            )
        if example.dtype is None:
            raise UnsupportedModel(f"{self.title} takes {name}, of a dtype the hub has not.", [])
        dims = tuple(self.symbols.dimension(d) for d in example.shape)
        value = InputSpec(ir.TensorType(example.dtype), dims).value(name)
        reader.graph.inputs.append(value)
        return value

    def _results(self, op: Builder, inputs: list[Any], results: Any) -> Iterator[Any]:
        """Results by name; values that the graph returns for a buffer or an argument are written to it."""
        targets = {role.target: v for role, v in zip(self.program.inputs, inputs, strict=True)}
        returned = []
        for role, value in zip(self.program.outputs, results, strict=True):
            if role.kind == "USER_OUTPUT":
                returned.append(value)
            elif role.kind in ("BUFFER_MUTATION", "PARAMETER_MUTATION"):
                targets[role.target].write(op, value.read(op))
        made = self.program.arranged(returned)
        return ((name, leaf, None, None) for name, leaf in leaves(made, (list, tuple)))
