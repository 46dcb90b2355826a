"""Run a TorchScript archive in torch.jit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.runtime import Outputs
from bridge_torchscript.dtypes import HELD, STAND_IN, held
from bridge_torchscript.interface import INTERFACE, type_of


def run(path: Path, inputs: dict[str, Any]) -> Outputs:
    """Outputs by name for arrays (lists of arrays, None) by name.

    Names are those an archive of ours keeps, else the arguments of `forward`, and `output`, `output_1`, … for results.
    Raises InvalidInput for names the module does not have, ExecutionFailed in torch's words.
    """
    import torch

    extra = {INTERFACE: ""}
    try:
        module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    except Exception as error:
        raise ExecutionFailed(f"torch.jit: {str(error).strip()}") from error
    kept = json.loads(extra[INTERFACE]) if extra[INTERFACE] else {}
    names = [v["name"] for v in kept.get("inputs", [])] or _arguments(module)
    if set(names) != set(inputs):
        raise InvalidInput(f"The file's inputs are {', '.join(names)}, not {', '.join(inputs)}.")
    try:
        with torch.no_grad():
            result = module.eval()(*(to_torch(inputs[name]) for name in names))
    except RuntimeError as error:
        raise ExecutionFailed(f"torch.jit: {str(error).strip()}") from error
    if "outputs" not in kept:
        return Outputs(_flat(result), f"torch.jit {torch.__version__}")
    results = result if len(kept["outputs"]) > 1 else (result,)
    values = {
        v["name"]: to_numpy(r, type_of(v["type"])) for v, r in zip(kept["outputs"], results, strict=True)
    }
    return Outputs(values, f"torch.jit {torch.__version__}")


def _arguments(module: Any) -> list[str]:
    return [a.name for a in module.forward.schema.arguments][1:]


def _flat(result: Any) -> dict[str, Any]:
    if isinstance(result, dict):
        return {str(k): to_numpy(v, None) for k, v in result.items()}
    results = result if isinstance(result, tuple) else (result,)
    return {f"output_{i}" if i else "output": to_numpy(v, None) for i, v in enumerate(results)}


def to_torch(value: Any) -> Any:
    """An array as a tensor of the dtype it is held in; lists and None as they are."""
    import torch

    if value is None or isinstance(value, (list, tuple)):
        return value if value is None else [to_torch(v) for v in value]
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        raise InvalidInput("TorchScript has no tensors of strings.")
    kind = ir.DataType.from_numpy(array.dtype)
    array = np.array(array.astype(STAND_IN[kind].numpy()) if kind in STAND_IN else array, order="C")
    if array.dtype.kind in "biufc" and array.dtype.isbuiltin == 1:
        return torch.from_numpy(array)
    raw = torch.from_numpy(array.reshape(-1).view(np.uint8))
    return raw.view(getattr(torch, held(kind).name)).reshape(array.shape)


def to_numpy(value: Any, kind: Any) -> Any:
    """A tensor as an array of the dtype the interface says, or else its own."""
    import torch

    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        inner = kind.elem_type if isinstance(kind, (ir.SequenceType, ir.OptionalType)) else None
        inner = (
            inner.elem_type
            if isinstance(kind, ir.OptionalType) and isinstance(inner, ir.SequenceType)
            else inner
        )
        return [to_numpy(v, inner) for v in value]
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    wanted = next(d for d, h in HELD.items() if getattr(torch, h.name) == value.dtype)
    flat = value.detach().contiguous().reshape(-1)
    array = flat.view(torch.uint8).numpy().view(wanted.numpy()).reshape(tuple(value.shape))
    declared = getattr(kind, "dtype", None)
    return array.astype(declared.numpy()) if declared in STAND_IN else array
