"""The place where a runtime parts from what is read of its file: by the values it shows, or by running parts
of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.comparison import compare
from bridge.convert import save
from bridge.errors import BridgeError
from bridge.formats import Format
from bridge.load import reader
from bridge.runtime import Outputs, open_session
from bridge.session import Session
from bridge.workbench.bisect_match import is_informative, pairs_of
from bridge.workbench.bisect_search import inputs_of, nodes_between
from bridge.workbench.bisect_values import Values
from bridge.workbench.extract import part_of

__all__ = ["RuntimeSearch"]

NEAR = 1e-3


class RuntimeSearch:
    """A hub model, its values on inputs, and the session of the file it was read from, which answers
    otherwise. `conversions` counts the files that were written."""

    def __init__(self, model: ir.Model, values: Values, inputs: dict[str, Any], fmt: Format | None) -> None:
        self.model, self.values, self.inputs, self.format = model, values, inputs, fmt
        self.conversions = 0

    def parting(self, session: Session, outputs: Iterable[ir.Value]) -> list[ir.Node]:
        """The operators at which the runtime parts from the hub model, on the way to these outputs, which
        differ; empty where nothing tells."""
        shown: dict[str, Any] = {}
        with suppress(BridgeError):
            shown = session.within(self.inputs)
        if shown:
            return self._by_names(shown, outputs)
        return next((found for end in outputs if (found := self._by_parts(end))), [])

    def _by_names(self, shown: dict[str, Any], outputs: Iterable[ir.Value]) -> list[ir.Node]:
        """The first operators whose values the runtime does not show, while it shows what they read."""
        arrays = {ir.Value(name=n): [a] for n, a in shown.items() if isinstance(a, np.ndarray) and a.size}
        own = {value: each[:1] for value, each in self.values.items()}
        _, good = pairs_of(own, arrays, NEAR)
        stack, seen = [*outputs], set()
        while stack:
            value = stack.pop()
            if value not in seen and value not in good:
                seen.add(value)
                stack.extend(inputs_of(value))
        suspects = [v for v in self.values if v in seen and is_informative(self.values[v])]
        return nodes_between(suspects[0], good) if suspects else []

    def _by_parts(self, end: ir.Value) -> list[ir.Node]:
        """The operator after which a part, written and run by itself, is wrong, by halving."""
        known: set[ir.Value] = set()
        if self._is_right(end, known):
            return []
        while True:
            nodes = [n for n in nodes_between(end, known) if n.outputs[0] in self.values]
            tried = [
                n.outputs[0]
                for n in nodes
                if n.outputs[0] is not end and is_informative(self.values[n.outputs[0]])
            ]
            if not tried:
                return nodes_between(end, known)
            middle = tried[len(tried) // 2]
            if self._is_right(middle, known):
                known.add(middle)
            else:
                end = middle

    def _is_right(self, value: ir.Value, known: set[ir.Value]) -> bool:
        """True where what leads to a value of known ones, written in the format, runs as the hub says; also
        where the format does not hold it alone."""
        if self.format is None:
            return True
        nodes = nodes_between(value, known)
        read = dict.fromkeys(v for node in nodes for v in inputs_of(node.outputs[0]))
        begins = [v for v in read if v.producer() not in {*nodes}]
        given = {
            v.name or "": self.values[v][0] if v in self.values else self.inputs[v.name or ""] for v in begins
        }
        self.conversions += 1
        try:
            with tempfile.TemporaryDirectory() as folder:
                suffix = self.format.suffixes[0] if self.format.suffixes else f".{self.format.name}"
                part = part_of(self.model, list(given), [value.name or ""])
                path = save(part, Path(folder) / f"part{suffix}", to=self.format.name).path
                found = open_session(reader(path, self.format.name)).run(given)
        except BridgeError:
            return True
        return compare(Outputs({value.name or "": self.values[value][0]}, ""), found).ok
