"""OpenVINO IR: an .xml with its .bin beside it. The declaration; it imports no framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge import hookimpl
from bridge.formats import Format, Part


def detect(src: Any) -> bool:
    """An XML file whose root element is net."""
    if not isinstance(src, (str, Path)) or not Path(src).is_file():
        return False
    with open(src, "rb") as file:
        head = file.read(1024).decode("utf-8", "ignore").lstrip()
    return head.startswith("<") and "<net " in head


OPENVINO = Format(
    name="openvino",
    title="OpenVINO IR",
    suffixes=(".xml",),
    importer="bridge_openvino.importer:importer",
    exporter="bridge_openvino.exporter:exporter",
    runtime=Part("bridge_openvino.runtime:runtime", ("openvino",)),
    versions="IR 10 and 11 read, IR 11 written",
    extra="run",
    packages=("openvino",),
    detect=detect,
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [OPENVINO]
