"""Runtime: TorchScript archives in torch.jit, exported programs in torch; without it, files are read back."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import BridgeError, ExecutionFailed, InvalidInput, InvalidOption
from bridge.formats import Runtime
from bridge.load import load
from bridge.ports import Port
from bridge.runtime import HubSession, Outputs, Session
from bridge.session import RE_READ
from bridge.stored import restored
from bridge_torchscript.dtypes import STAND_IN, TORCH_DTYPES, storage_dtype
from bridge_torchscript.input_specs import parse_specs
from bridge_torchscript.interface import leaves, type_of
from bridge_torchscript.program import arguments_of, call, open_program
from bridge_torchscript.safe_open import is_program, open_archive
from bridge_torchscript.snapshot import ModuleState


class TorchJitSession(Session):
    """Session of one method of an archive; `inputs` and `method` as in the importer's options.

    Names are those kept in archives of bridge, else the arguments of `forward` (`NAME.KEY` inside containers)
    and `output`, `output_1`, … for results. Raises ExecutionFailed in torch's words, InvalidOption for a
    method that the module lacks.
    """

    def __init__(self, path: Path, inputs: Any = None, method: str = "forward") -> None:
        import torch

        self.path, self.method, self.engine = path, method, f"torch.jit {torch.__version__}"
        self.fixed = {n: g.fixed for n, g in parse_specs(inputs).items() if g.fixed is not None}
        self.module, interface = self._open()
        if not self.module._c._has_method(method):
            raise InvalidOption(f"The module has no method {method!r}.")
        self.state = ModuleState(self.module, method)
        self.interface = interface if method == "forward" else {}
        self.names = [v["name"] for v in self.interface.get("inputs", [])] or _arguments(self.module, method)
        self.inputs = tuple(Port(name) for name in self.names)
        self.outputs = tuple(Port(v["name"]) for v in self.interface.get("outputs", []))
        self._used = False

    def _open(self) -> tuple[Any, dict[str, Any]]:
        try:
            module, interface = open_archive(self.path)
            return module.eval(), interface
        except BridgeError:
            raise
        except Exception as error:
            raise ExecutionFailed(f"torch.jit: {str(error).strip()}") from error

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Run on arrays, lists of arrays and None by name.

        A name that is no argument sets the attribute of that name before the call; its value after the call
        is output `NAME.next`. Raises InvalidInput for unknown names, ExecutionFailed in torch's words.
        """
        import torch

        if self._used:
            # What a call leaves behind in the module would be there at the next
            self.module, _ = self._open()
            self.state = ModuleState(self.module, self.method)
            self._used = False
        names, arguments = self.names, self.fixed | inputs
        state = [
            n for n in arguments if n.split(".")[0] not in names and _attribute(self.module, n) is not None
        ]
        missing = [
            n for n in names if n not in arguments and not any(i.startswith(f"{n}.") for i in arguments)
        ]
        extra = [n for n in arguments if n not in names and n.split(".")[0] not in names and n not in state]
        if extra or (missing and self.interface):
            raise InvalidInput(f"The file's inputs are {', '.join(names)}, not {', '.join(arguments)}.")
        try:
            # Optimized execution would compute otherwise from the second run on, by what it saw at the first
            with torch.no_grad(), torch.jit.optimized_execution(False):
                for name in state:
                    _set_attribute(self.module, name, to_torch(arguments[name]))
                call = getattr(self.module, self.method)
                result = call(*call_arguments(self.module, names, arguments, self.method))
        except RuntimeError as error:
            self._used = True
            raise ExecutionFailed(f"torch.jit: {str(error).strip()}") from error
        self._used = self.state.changed() or self.state.shares(result)
        values = restored(_named_outputs(result, self.interface), self.interface.get("metadata", {}))
        values |= {f"{n}.next": to_numpy(_attribute(self.module, n), None) for n in state if n in inputs}
        return Outputs(values, self.engine)


class ProgramSession(Session):
    """Session of an exported program."""

    def __init__(self, path: Path) -> None:
        import torch

        self.program, self.engine = open_program(path), f"torch {torch.__version__}"
        self.inputs = tuple(Port(name) for name in arguments_of(self.program))
        self.state = {*self.program.graph_signature.buffers}

    def run(self, inputs: dict[str, Any]) -> Outputs:
        import torch

        names = [port.name for port in self.inputs]
        if not set(names) <= set(inputs) <= {*names, *self.state}:
            raise InvalidInput(f"The file's inputs are {', '.join(names)}, not {', '.join(inputs)}.")
        try:
            with torch.no_grad():
                results = call(self.program, {n: to_torch(v) for n, v in inputs.items()})
        except (RuntimeError, AssertionError) as error:
            raise ExecutionFailed(f"torch.export: {str(error).strip()}") from error
        return Outputs({n: to_numpy(v, None) for n, v in results.items()}, self.engine)


def open_session(path: Path, inputs: Any = None, method: str = "forward") -> Session:
    """Session of an archive or of an exported program; without torch, of the hub model it is read as."""
    if importlib.util.find_spec("torch") is None:
        options = {"inputs": inputs} if inputs is not None else {}
        return HubSession(load(path, source="torchscript", method=method, **options), RE_READ)
    return ProgramSession(path) if is_program(path) else TorchJitSession(path, inputs, method)


runtime = Runtime(open_session, ("inputs", "method"))


def _named_outputs(result: Any, interface: dict[str, Any]) -> dict[str, Any]:
    if "outputs" not in interface:
        return {n: to_numpy(v, None) for n, v in leaves(result, (list, tuple)) if v is not None}
    results = result if len(interface["outputs"]) > 1 else (result,)
    return {
        v["name"]: to_numpy(r, type_of(v["type"])) for v, r in zip(interface["outputs"], results, strict=True)
    }


def call_arguments(module: Any, names: list[str], inputs: dict[str, Any], method: str) -> list[Any]:
    """Arguments in order; missing arguments at the end have their defaults."""
    schema = module._c._get_method(method).schema.arguments[1:]
    arguments = []
    for name, argument in zip(names, schema, strict=True):
        type_name = str(argument.type)
        inner = {k.partition(".")[2]: to_torch(v) for k, v in inputs.items() if k.startswith(f"{name}.")}
        if name in inputs:
            value = to_torch(inputs[name])
            arguments.append(value.item() if type_name in ("int", "float", "bool") else value)
        elif inner:
            elements = [inner[str(i)] for i in range(len(inner))] if "0" in inner else inner
            arguments.append(tuple(elements) if type_name.startswith("Tuple") else elements)
        else:
            arguments.append(argument.default_value if argument.has_default_value() else None)
    return arguments


def _attribute(module: Any, path: str) -> Any:
    for step in path.split("."):
        module = getattr(module, step, None)
    return module


def _set_attribute(module: Any, path: str, value: Any) -> None:
    *steps, last = path.split(".")
    for step in steps:
        module = getattr(module, step)
    before = getattr(module, last)
    if hasattr(before, "copy_") and before.shape == value.shape:
        before.copy_(value)
    else:
        setattr(module, last, value.item() if isinstance(before, (bool, int, float)) else value)


def _arguments(module: Any, method: str) -> list[str]:
    return [a.name for a in module._c._get_method(method).schema.arguments][1:]


def to_torch(value: Any) -> Any:
    """Tensor of an array, in its storage dtype; lists and None by element."""
    import torch

    if value is None or isinstance(value, (list, tuple)):
        return value if value is None else [to_torch(v) for v in value]
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        raise InvalidInput("TorchScript has no tensors of strings.")
    dtype = ir.DataType.from_numpy(array.dtype)
    array = np.array(array.astype(STAND_IN[dtype].numpy()) if dtype in STAND_IN else array, order="C")
    if array.dtype.kind in "biufc" and array.dtype.isbuiltin == 1:
        return torch.from_numpy(array)
    raw = torch.from_numpy(array.reshape(-1).view(np.uint8))
    return raw.view(getattr(torch, storage_dtype(dtype).name)).reshape(array.shape)


def to_numpy(value: Any, declared_type: Any) -> Any:
    """Array of a tensor, in the dtype of `declared_type` or its own."""
    import torch

    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        inner = (
            declared_type.elem_type if isinstance(declared_type, (ir.SequenceType, ir.OptionalType)) else None
        )
        inner = (
            inner.elem_type
            if isinstance(declared_type, ir.OptionalType) and isinstance(inner, ir.SequenceType)
            else inner
        )
        return [to_numpy(v, inner) for v in value]
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    value = value.resolve_conj()
    dtype = next(d for d, h in TORCH_DTYPES.items() if getattr(torch, h.name) == value.dtype)
    value = value.detach().contiguous()
    if dtype.numpy().isbuiltin == 1:
        array = value.numpy()
    else:
        array = value.reshape(-1).view(torch.uint8).numpy().view(dtype.numpy()).reshape(tuple(value.shape))
    declared = getattr(declared_type, "dtype", None)
    return array.astype(declared.numpy()) if declared in STAND_IN else array
