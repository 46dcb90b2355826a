"""PyTorch modules in memory, run by torch."""

from __future__ import annotations

import inspect
from typing import Any

import onnx_ir as ir

from bridge.errors import ExecutionFailed
from bridge.ports import port_of
from bridge.session import Outputs, Session
from bridge_torchscript.input_specs import parse_specs
from bridge_torchscript.interface import leaves
from bridge_torchscript.program import arguments_of, buffers_set, call
from bridge_torchscript.runtime import to_numpy, to_torch


class ModuleSession(Session):
    """A module called by the names of its inputs, its buffers put back afterwards; outputs are called as in
    the hub model read from it."""

    def __init__(self, module: Any, read: ir.Model, fixed: dict[str, Any]) -> None:
        import torch

        self._module, self._fixed = module, fixed
        self.engine = f"torch {torch.__version__}"
        self._types = [value.type for value in read.graph.outputs]
        self.inputs = tuple(map(port_of, read.graph.inputs))
        self.outputs = tuple(map(port_of, read.graph.outputs))

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Outputs by name. Raises ExecutionFailed in torch's words."""
        import torch

        arguments = self._fixed | {name: to_torch(array) for name, array in inputs.items()}
        try:
            with torch.no_grad():
                results = self._called(arguments)
                arrays = [to_numpy(v, t) for v, t in zip(results, self._types, strict=True)]
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ExecutionFailed(f"torch: {str(error).strip()}") from error
        return Outputs(dict(zip([p.name for p in self.outputs], arrays, strict=True)), self.engine)

    def _called(self, arguments: dict[str, Any]) -> list[Any]:
        import torch

        if isinstance(self._module, torch.export.ExportedProgram):
            return list(call(self._module, arguments).values())
        state = {n: v for n, v in arguments.items() if n in _state_names(self._module)}
        with buffers_set(self._module, state) as buffers:
            result = self._module(**{n: v for n, v in arguments.items() if n not in state})
            results = [value for _, value in leaves(result, (list, tuple)) if value is not None]
            return [*results, *(buffers[name].clone() for name in state)]


def _state_names(module: Any) -> set[str]:
    """Names of the buffers of a module that are no arguments."""
    return {name for name, _ in module.named_buffers()} - set(inspect.signature(module.forward).parameters)


def torch_session(src: Any, model: ir.Model, inputs: Any = None, method: str = "forward") -> Session | None:
    """A session of a module or exported program; None for a script module, and where the hub model has
    inputs that are no arguments and no buffers."""
    import torch

    if method != "forward" or isinstance(src, torch.jit.ScriptModule):
        return None
    names = {v.name or "" for v in model.graph.inputs}
    if isinstance(src, torch.export.ExportedProgram):
        arguments = set(arguments_of(src))
        known = arguments | set(src.graph_signature.buffers)
        return ModuleSession(src, model, {}) if arguments <= names <= known else None
    if not isinstance(src, torch.nn.Module):
        return None
    fixed = {name: spec.fixed for name, spec in parse_specs(inputs).items() if spec.fixed is not None}
    containers = {name for name in names if "." in name} - _state_names(src)
    return None if containers else ModuleSession(src, model, fixed)
