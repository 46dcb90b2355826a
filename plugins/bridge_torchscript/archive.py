"""TorchScript archives, written record by record: source text and the bytes of the weights.

The layout is that of torch.jit.save, archive version 10; under an older version some operators have another
meaning. `code/` holds classes and functions in the TorchScript language, `data.pkl` the module objects,
`data/N` the bytes of each storage.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import BridgeError
from bridge_torchscript.dtypes import CODES, STAND_IN, storage_dtype

ROOT = "Model"
EMPTY = b"\x80\x02)."
VERSION = 10


@dataclass
class Weight:
    """Parameter (learned) or buffer of a module."""

    tensor: ir.TensorProtocol
    parameter: bool


@dataclass
class Module:
    """Module of the archive: its class, its weights and submodules by name, and the source of its methods."""

    cls: str = ROOT
    weights: dict[str, Weight] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    methods: str = ""

    def walk(self) -> Iterator[Module]:
        yield self
        for inner in self.modules.values():
            yield from inner.walk()

    def source(self) -> str:
        """Source of the class in the TorchScript language."""
        names = {True: [n for n, w in self.weights.items() if w.parameter]}
        names[False] = [n for n in self.weights if n not in names[True]]
        rows = [f"class {self.cls}(Module):"]
        for title, members in (("__parameters__", names[True]), ("__buffers__", names[False])):
            listed = "".join(f'"{name}", ' for name in members)
            rows.append(f"  {title} = [{listed}]")
        types = {**dict.fromkeys(self.weights, "Tensor"), "training": "bool"}
        types |= {n: f"__torch__.{m.cls}" for n, m in self.modules.items()}
        for name, type_name in types.items():
            rows.append(
                f"  {name} : {type_name}"
                if name.isidentifier()
                else f'  __annotations__["{name}"] = {type_name}'
            )
        return "\n".join(rows) + "\n" + self.methods


def write(path: Path, root: Module, library: str, extra: dict[str, bytes]) -> None:
    """Write the archive, after torch has compiled its code.

    Raises BridgeError in torch's words if it does not compile.
    """
    import torch

    trial = io.BytesIO()
    _write_records(torch._C.PyTorchFileWriter(trial), root, library, {}, weights=False)
    trial.seek(0)
    try:
        torch.jit.load(trial)
    except RuntimeError as error:
        raise BridgeError(
            f"The TorchScript written for this model does not compile:\n{error}",
            "Please report it, with the model.",
        ) from error
    with open(path, "wb") as file:
        _write_records(torch._C.PyTorchFileWriter(file), root, library, extra, weights=True)


def resave(path: Path, extra: dict[str, str], optimize: bool) -> None:
    """Save the archive again by torch itself: with mobile bytecode for `.ptl`, frozen and fused if
    `optimize`.
    """
    import torch

    module = torch.jit.load(str(path)).eval()
    if optimize:
        module = torch.jit.freeze(module)
        torch.jit.run_frozen_optimizations(module)
    if path.suffix.lower() == ".ptl":
        module._save_for_lite_interpreter(str(path), _extra_files=extra)
    else:
        torch.jit.save(module, str(path), _extra_files=extra)


def _write_records(archive: Any, root: Module, library: str, extra: dict[str, bytes], weights: bool) -> None:
    """Write every record. An archive that is left open ends the process once its file is closed."""
    try:
        code = "\n".join(module.source() for module in reversed(list(root.walk())))
        pickle = Pickle(weights)
        texts = {"data.pkl": b"\x80\x02" + pickle.module(root) + b".", "constants.pkl": EMPTY}
        texts["code/__torch__.py"] = replace_dtypes(code).encode()
        if library:
            texts["code/__torch__/lib.py"] = replace_dtypes(library).encode()
        for name, data in {**texts, **{f"extra/{n}": d for n, d in extra.items()}}.items():
            archive.write_record(name, data, len(data))
        for index, tensor in enumerate(pickle.storages if weights else []):
            array = np.ascontiguousarray(storage_array(tensor)).reshape(-1).view(np.uint8)
            archive.write_record(f"data/{index}", _storage(array), array.size)
        archive.set_min_version(VERSION)
    finally:
        archive.write_end_of_file()


def _storage(array: np.ndarray) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        return torch.frombuffer(array, dtype=torch.uint8).untyped_storage() if array.size else b""


def storage_array(tensor: ir.TensorProtocol) -> np.ndarray:
    """Elements in the dtype of their storage."""
    array = tensor.numpy()
    return array.astype(STAND_IN[tensor.dtype].numpy()) if tensor.dtype in STAND_IN else array


def replace_dtypes(code: str) -> str:
    """Replace names of dtypes by their numbers: the archive's language has no names for them."""
    return re.sub(r"\btorch\.(\w+)\b", lambda m: str(CODES.get(m[1], m[0])), code)


class Pickle:
    """Pickle writer for module objects. Tensors refer to `storages` by position."""

    def __init__(self, weights: bool) -> None:
        self.weights = weights
        self.storages: list[ir.TensorProtocol] = []

    def module(self, module: Module) -> bytes:
        items = {name: self._tensor(w.tensor) for name, w in module.weights.items()}
        items["training"] = b"\x89"
        items |= {name: self.module(m) for name, m in module.modules.items()}
        state = b"".join(_text(name) + value for name, value in items.items())
        return _global("__torch__", module.cls) + b")\x81}(" + state + b"ub"

    def _tensor(self, tensor: ir.TensorProtocol) -> bytes:
        shape = [d for d in tensor.shape if isinstance(d, int)] if self.weights else [0]
        strides = [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]
        count = int(np.prod(shape, dtype=np.int64))
        storage_class = _global("torch", storage_dtype(tensor.dtype).storage)
        key = str(len(self.storages))
        self.storages.append(tensor)
        storage = b"(" + _text("storage") + storage_class + _text(key) + _text("cpu") + _int(count) + b"tQ"
        hooks = _global("collections", "OrderedDict") + b")R"
        fields = storage + _int(0) + _ints(shape) + _ints(strides) + b"\x89" + hooks
        return _global("torch._utils", "_rebuild_tensor_v2") + b"(" + fields + b"tR"


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def _int(number: int) -> bytes:
    return b"\x8a\x08" + number.to_bytes(8, "little", signed=True)


def _ints(numbers: list[int]) -> bytes:
    return b"(" + b"".join(_int(n) for n in numbers) + b"t"


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()
