"""TorchScript: archives, read and written without torch, which runs them, and exported programs."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl

LIVE = (("torch.nn.modules.module", "Module"), ("torch.export.exported_program", "ExportedProgram"))


def detect(src: Any) -> bool:
    """True for a zip with TorchScript code and constants or an exported program, and for a live module or
    program.
    """
    if any((c.__module__, c.__name__) in LIVE for c in type(src).__mro__):
        return True
    if not isinstance(src, (str, Path)) or not Path(src).is_file():
        return False
    with open(src, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return False
    try:
        with zipfile.ZipFile(src) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    inside = {name.partition("/")[2] for name in names}
    program = "archive_format" in inside and any(n.startswith("models/") for n in inside)
    return program or ("constants.pkl" in inside and any(n.startswith("code/") for n in inside))


TORCHSCRIPT = Format(
    name="torchscript",
    title="TorchScript",
    suffixes=(".pt", ".ptl", ".pth", ".pt2"),
    importer=Part("bridge_torchscript.importer:importer"),
    exporter=Part("bridge_torchscript.exporter:exporter"),
    runtime=Part("bridge_torchscript.runtime:runtime", ("torch",)),
    runner=Part("bridge_torchscript.speed:TorchRunner", ("torch",)),
    cases=Part("bridge_torchscript.cases:cases", ("torch",)),
    versions="archive version 10, torch 1.12 and later",
    extra="torchscript",
    packages=("torch",),
    detect=detect,
    words=("pytorch", "torch", "jit", "pt2", "libtorch"),
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [TORCHSCRIPT]
