"""PyTorch modules in memory, run by torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir

from bridge.errors import ExecutionFailed
from bridge.ports import port_of
from bridge.session import Outputs, Session
from bridge_torchscript.input_specs import parse_specs
from bridge_torchscript.interface import leaves
from bridge_torchscript.program import call
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
            with torch.no_grad(), _kept(self._module):
                results = self._called(arguments)
                arrays = [to_numpy(v, t) for v, t in zip(results, self._types, strict=True)]
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ExecutionFailed(f"torch: {str(error).strip()}") from error
        return Outputs(dict(zip([p.name for p in self.outputs], arrays, strict=True)), self.engine)

    def _called(self, arguments: dict[str, Any]) -> list[Any]:
        import torch

        if isinstance(self._module, torch.export.ExportedProgram):
            return list(call(self._module, arguments).values())
        result = self._module(**arguments)
        return [value for _, value in leaves(result, (list, tuple)) if value is not None]


@contextmanager
def _kept(module: Any) -> Iterator[None]:
    """Buffers of a module as they were."""
    buffers = dict(module.named_buffers()) if hasattr(module, "eval") else {}
    before = {name: buffer.clone() for name, buffer in buffers.items()}
    try:
        yield
    finally:
        for name, buffer in buffers.items():
            buffer.copy_(before[name])


def torch_session(src: Any, model: ir.Model, inputs: Any = None, method: str = "forward") -> Session | None:
    """A session of a module or exported program; None for a script module, and where the hub model has
    inputs that are no arguments."""
    import torch

    if method != "forward" or isinstance(src, torch.jit.ScriptModule):
        return None
    names = [v.name or "" for v in model.graph.inputs]
    if isinstance(src, torch.export.ExportedProgram):
        known = list(src.graph_signature.user_inputs)
        return ModuleSession(src, model, {}) if sorted(known) == sorted(names) else None
    if not isinstance(src, torch.nn.Module):
        return None
    fixed = {name: spec.fixed for name, spec in parse_specs(inputs).items() if spec.fixed is not None}
    return ModuleSession(src, model, fixed) if not any("." in name for name in names) else None
