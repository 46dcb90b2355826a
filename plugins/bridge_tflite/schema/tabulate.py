"""Writes the table of TFLite's schema of the LiteRT installed: python -m bridge_tflite.schema.tabulate

It asks the functions that LiteRT generated from the schema what they would build.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import re
from typing import Any

from bridge_tflite.schema import PATH


class Asked:
    """A builder that only keeps what it is asked for last."""

    said: tuple[Any, ...]

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: setattr(self, "said", (name, *arguments))


def _asked(function: Any, *arguments: Any) -> tuple[Any, ...]:
    builder = Asked()
    function(builder, *arguments)
    return builder.said


def tabulate() -> None:
    from ai_edge_litert import schema_py_generated as generated

    names = sorted(n.removesuffix("Start") for n in vars(generated) if n.endswith("Start"))
    enums = {n: _numbers(c) for n, c in vars(generated).items() if inspect.isclass(c) and _numbers(c)}
    lines = [f'"made of": "ai-edge-litert {importlib.metadata.version("ai-edge-litert")}"']
    lines += [f'"enum {n}": {json.dumps(enums[n])}' for n in sorted(enums)]
    lines += [f'"table {n}": {json.dumps(_fields(generated, n))}' for n in names]
    PATH.write_text("{" + ",\n".join(lines) + "}\n")


def _numbers(kind: type) -> dict[str, int]:
    return {k: v for k, v in vars(kind).items() if isinstance(v, int) and not k.startswith("_")}


def _fields(generated: Any, table: str) -> list[Any]:
    """Number of slots; then name, slot, kind and default of each field."""
    declared = inspect.getsource(getattr(generated, f"{table}T").__init__)
    _, count = _asked(getattr(generated, f"{table}Start"))
    fields = []
    for name, said in re.findall(r"self\.(\w+) = \1  # type: (.*)", declared):
        stem = name[0].upper() + name[1:]
        asked, slot, _, default = _asked(getattr(generated, f"{table}Add{stem}"), 1)
        kind = asked.removeprefix("Prepend").removesuffix("Slot").lower()
        if kind == "uoffsettrelative":
            kind, default = _offset_kind(generated, table, stem, said), None
        fields.append([name, slot, kind, default])
    return [count, *fields]


def _offset_kind(generated: Any, table: str, stem: str, said: str) -> str:
    """`string`, the name of a table or union, or `[…]` of what a vector holds."""
    if said.startswith("Union"):
        unpacked = inspect.getsource(getattr(generated, f"{table}T")._UnPack)
        (union,) = re.findall(rf"self\.{stem[0].lower()}{stem[1:]} = (\w+)Creator\(", unpacked)
        return f"union {union}"
    inner = re.sub(r"Optional\[|List\[|[\]' ]", "", said)
    if "List[" not in said:
        return "string" if inner == "str" else inner.removesuffix("T")
    if inner in ("int", "float", "bool"):
        getter = inspect.getsource(getattr(getattr(generated, table), f"{stem}AsNumpy"))
        (inner,) = re.findall(r"number_types\.(\w+)Flags, o\)", getter)
        return f"[{inner.lower()}]"
    return f"[{'string' if inner == 'str' else inner.removesuffix('T')}]"


if __name__ == "__main__":
    tabulate()
