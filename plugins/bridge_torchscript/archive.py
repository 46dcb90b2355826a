"""TorchScript archives, written record by record: source text and the bytes of the weights.

The layout is that of torch.jit.save, archive version 10; under an older version some operators have another
meaning. `code/` holds classes and functions in the TorchScript language, `data.pkl` the module objects,
`data/N` the bytes of each storage.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx_ir as ir

from bridge.errors import BridgeError
from bridge.weightfile import Converted, blocks
from bridge_torchscript.dtypes import CODES, STAND_IN, storage_dtype
from bridge_torchscript.import_ops.common import require_torch

ROOT = "Model"
EMPTY = b"\x80\x02)."
VERSION = 10
ALIGNMENT = 64
LOCAL_HEADER, EXTRA_HEADER, ZIP64_EXTRA = 30, 4, 20
"""Bytes of a zip's parts before a record."""


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


def write(path: Path, root: Module, library: str, extra: dict[str, bytes]) -> bool:
    """Write the archive, after torch has compiled its code; False where torch is not installed to do so.

    Raises BridgeError in torch's words if it does not compile.
    """
    compiled = _compile(root, library)
    with open(path, "wb") as file:
        _write_records(file, root, library, extra, weights=True)
    return compiled


def _compile(root: Module, library: str) -> bool:
    """Compile the code by torch, with weights of no elements; False where torch is not installed."""
    try:
        import torch
    except ModuleNotFoundError:
        return False
    trial = io.BytesIO()
    _write_records(trial, root, library, {}, weights=False)
    trial.seek(0)
    try:
        torch.jit.load(trial)
    except RuntimeError as error:
        raise BridgeError(
            f"The TorchScript written for this model does not compile:\n{error}",
            "Please report it, with the model.",
        ) from error
    return True


def resave(path: Path, extra: dict[str, str], optimize: bool) -> None:
    """Save the archive again by torch itself: with mobile bytecode for `.ptl`, frozen and fused if
    `optimize`.
    """
    torch = require_torch("Freezing weights and mobile bytecode are made by torch")
    module = torch.jit.load(str(path)).eval()
    if optimize:
        module = torch.jit.freeze(module)
        torch.jit.run_frozen_optimizations(module)
    if path.suffix.lower() == ".ptl":
        module._save_for_lite_interpreter(str(path), _extra_files=extra)
    else:
        torch.jit.save(module, str(path), _extra_files=extra)


def _write_records(
    file: IO[bytes], root: Module, library: str, extra: dict[str, bytes], weights: bool
) -> None:
    code = "\n".join(module.source() for module in reversed(list(root.walk())))
    pickle = Pickle(weights)
    texts = {"data.pkl": b"\x80\x02" + pickle.module(root) + b".", "constants.pkl": EMPTY}
    texts["code/__torch__.py"] = replace_dtypes(code).encode()
    if library:
        texts["code/__torch__/lib.py"] = replace_dtypes(library).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in texts.items():
            _write_record(archive, name, [data], len(data))
        for index, tensor in enumerate(pickle.storages if weights else []):
            stored = storage_tensor(tensor)
            _write_record(archive, f"data/{index}", blocks(stored), stored.nbytes)
        version = f"{VERSION}\n".encode()
        _write_record(archive, "version", [version], len(version))
        _write_record(archive, "byteorder", [b"little"], len(b"little"))
        for name, data in extra.items():
            _write_record(archive, f"extra/{name}", [data], len(data))


def replace_extra(path: Path, name: str, changed: Callable[[bytes], bytes]) -> None:
    """Change a file that is kept in an archive beside the model. What lies before it stays where it is; what
    lies behind, as in archives of torch, is written again."""
    with zipfile.ZipFile(path, "a") as archive:
        records = sorted(archive.infolist(), key=lambda info: info.header_offset)
        place = next(n for n, r in enumerate(records) if r.filename.endswith(f"/extra/{name}"))
        folder = records[place].filename.removesuffix(f"extra/{name}")
        behind = [(r.filename.removeprefix(folder), archive.read(r)) for r in records[place:]]
        for record in records[place:]:
            archive.filelist.remove(record)
            del archive.NameToInfo[record.filename]
        archive.start_dir = records[place].header_offset
        assert archive.fp is not None
        archive.fp.seek(archive.start_dir)
        first, *rest = behind
        for own, content in (*rest, (first[0], changed(first[1]))):
            _write_record(archive, own, [content], len(content), folder)


def _write_record(
    archive: zipfile.ZipFile, name: str, pieces: Iterable[Any], size: int, folder: str = "archive/"
) -> None:
    """Write a record whose bytes start at a multiple of ALIGNMENT, so that weights can be mapped."""
    info = zipfile.ZipInfo(f"{folder}{name}")
    large = size > zipfile.ZIP64_LIMIT
    assert archive.fp is not None
    start = (
        archive.fp.tell() + LOCAL_HEADER + len(info.filename.encode()) + ZIP64_EXTRA * large + EXTRA_HEADER
    )
    padding = -start % ALIGNMENT
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    info.file_size = size
    with archive.open(info, "w", force_zip64=large) as record:
        for piece in pieces:
            record.write(piece)


def storage_tensor(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """A tensor in the dtype of its storage."""
    return Converted(tensor, STAND_IN[tensor.dtype]) if tensor.dtype in STAND_IN else tensor


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
