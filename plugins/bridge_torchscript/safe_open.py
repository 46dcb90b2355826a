"""Opening of untrusted archives: checked before torch reads them, and never unpickled by Python."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.errors import UnreadableFile, UnsupportedModel, first_line
from bridge_torchscript.interface import INTERFACE
from bridge_torchscript.records import require_records
from bridge_torchscript.script.module import ScriptModule
from bridge_torchscript.script.schema import Schema, overloads, parse_schema

COMPRESSION_ALLOWANCE = 64 * 2**20
TORCHVISION = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width,"
    " int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width)"
    " -> (Tensor, Tensor)",
    "ps_roi_align": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
    " SymInt pooled_width, int sampling_ratio) -> (Tensor, Tensor)",
    "ps_roi_pool": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
    " SymInt pooled_width) -> (Tensor, Tensor)",
    "deform_conv2d": "(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h,"
    " SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups,"
    " SymInt offset_groups, bool use_mask) -> Tensor",
    "box_iou_rotated": "(Tensor boxes1, Tensor boxes2) -> Tensor",
}
TORCHAO = {
    "quantize_affine": "(Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point,"
    " ScalarType output_dtype, Scalar? quant_min=None, Scalar? quant_max=None) -> Tensor",
    "dequantize_affine": "(Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point,"
    " ScalarType input_dtype, Scalar? quant_min=None, Scalar? quant_max=None, ScalarType output_dtype=6)"
    " -> Tensor",
    "choose_qparams_affine": "(Tensor? input, str mapping_type, SymInt[] block_size, ScalarType target_dtype,"
    " Scalar? quant_min=None, Scalar? quant_max=None, float? eps=None, ScalarType? scale_dtype=None,"
    " ScalarType? zero_point_dtype=None, bool keepdim=False) -> (Tensor, Tensor)",
}
LIBRARIES = {"torchvision": TORCHVISION, "torchao": TORCHAO}
# What a library declares is gone with the object
_LIBRARIES_CACHE: list[Any] = []
_DECLARING = threading.Lock()
FILE_ACCESS = re.compile(rb"\b(?:torch|ops\.aten)\.(save|from_file|_load_for_lite|load)\(")


def open_archive(path: Path) -> Any:
    """Loaded module, and the interface that archives of bridge keep.

    Raises UnsupportedModel for pickles, which only the program that wrote them should open; UnreadableFile
    for any other file that is no valid TorchScript archive.
    """
    import torch

    inspect_archive(path)
    declare_operators(path)
    extra = {INTERFACE: ""}
    try:
        module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    except (RuntimeError, ValueError, AttributeError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path} is not a valid TorchScript archive: {first_line(error)}") from error
    try:
        interface = json.loads(extra[INTERFACE]) if extra[INTERFACE] else {}
    except ValueError:
        interface = {}
    return module, interface if isinstance(interface, dict) else {}


def open_script(path: Path) -> ScriptModule:
    """Module of an archive, read without torch.

    Raises UnreadableFile, and Foreign for what torch alone reads. Operators of torchvision and torchao are
    known by their schemas.
    """
    return ScriptModule(path, operators)


def operators(name: str) -> Sequence[Schema]:
    """Schemas of an operator's overloads."""
    space, _, short = name.partition("::")
    text = LIBRARIES.get(space, {}).get(short)
    return overloads(name) if text is None else (parse_schema(name + text),)


def inspect_archive(path: Path) -> None:
    """Raise unless the file is a TorchScript zip whose members stay inside it and are no larger than it."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        if start[:2] == b"\x80\x02" or start[:1] == b"\x80":
            raise _pickle_refusal(path)
        if start != b"PK\x03\x04":
            raise UnreadableFile(f"{path} is not a TorchScript archive.", "Was it saved with torch.jit.save?")
        with zipfile.ZipFile(path) as archive:
            _check_torchscript(path, archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UnreadableFile(f"{path} is not a readable archive: {error}", "Is the file complete?") from error


def declare_operators(path: Path) -> None:
    """Declare the operators of torchvision and torchao that a file calls: by these themselves, or by their
    schemas if they do not load.
    """
    with zipfile.ZipFile(path) as archive:
        code = b"".join(archive.read(n) for n in archive.namelist() if n.endswith((".py", "model.json")))
    for library, schemas in LIBRARIES.items():
        called = [n for n in schemas if re.search(rf"ops\.{library}\.{n}\b".encode(), code)]
        _declare(library, {name: schemas[name] for name in called})


def _declare(library: str, schemas: dict[str, str]) -> None:
    import torch

    if all(hasattr(getattr(torch.ops, library), name) for name in schemas):
        return
    with contextlib.suppress(Exception):
        importlib.import_module(library)
    with _DECLARING:
        for name, schema in schemas.items():
            if not hasattr(getattr(torch.ops, library), name):
                fragment = torch.library.Library(library, "FRAGMENT")
                fragment.define(name + schema)
                _LIBRARIES_CACHE.append(fragment)


def is_program(path: Path) -> bool:
    """True if a zip holds an exported program."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return any(n.startswith("models/") and n.endswith(".json") for n in inside)


def check_members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Members of a zip. Raises UnreadableFile unless they stay inside it and are no larger than it."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    for name in names:
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or ":" in name.split("/")[0]:
            raise UnreadableFile(f"{path} has a member {name!r} that leads out of the archive.")
    if len(set(names)) != len(names):
        raise UnreadableFile(f"{path} has two members of one name.")
    if sum(info.file_size for info in infos) > path.stat().st_size + COMPRESSION_ALLOWANCE:
        raise UnreadableFile(f"{path} claims to hold more than its own size.")
    return infos


def _check_torchscript(path: Path, archive: zipfile.ZipFile) -> None:
    infos = check_members(path, archive)
    names = [info.filename for info in infos]
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" not in inside or not any(n.startswith("code/") for n in inside):
        raise _pickle_refusal(path)
    for info in infos:
        if info.filename.endswith(".py") and FILE_ACCESS.search(archive.read(info)):
            raise UnreadableFile(f"{path} has code that reads or writes files ({info.filename}).")
    require_records(path, archive)


def _pickle_refusal(path: Path) -> UnsupportedModel:
    return UnsupportedModel(
        f"{path} holds pickled Python objects, not TorchScript; bridge runs no code from files.",
        [],
        "In the program that made it, save the model with torch.jit.save(torch.jit.script(model), …), or hand"
        " the live model to bridge.convert.",
    )
