"""The chain of a file: a step for each conversion that led to it, the oldest first, as JSON in its
metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge.facts import PROVENANCE, Holder

__all__ = ["Provenance", "provenance_of"]

DIGITS = 12
"""Characters of a digest that are shown."""


@dataclass(frozen=True)
class Provenance:
    """The conversions that led to a file. Each step says in plain values when it was `made`, with which
    `versions`, of which `source` (name, format, files with bytes and sha256), for which `target`, with which
    `options` and `changes`, how many `operators` crossed how, and, where they were asked for,
    `quantization` and `verification`."""

    steps: tuple[dict[str, Any], ...] = ()

    @property
    def route(self) -> str:
        """The formats in a line, behind the name of the first source."""
        if not self.steps:
            return ""
        first = self.steps[0].get("source", {})
        names = [step.get("target", {}).get("format", "?") for step in self.steps]
        return " → ".join([f"{first.get('name', '?')} ({first.get('format', '?')})", *names])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"route": self.route, "steps": list(self.steps)}

    def __str__(self) -> str:
        if not self.steps:
            return "It says nothing of where it comes from."
        return "\n".join(line for n, step in enumerate(self.steps, 1) for line in _lines(n, step))


def provenance_of(holder: Holder) -> Provenance:
    """The chain that the metadata of a hub model hold; without steps where they hold none, or another thing
    of that name."""
    steps = PROVENANCE.get(holder)
    valid = isinstance(steps, list) and all(isinstance(step, dict) for step in steps)
    return Provenance(tuple(steps if valid and steps else ()))


def _lines(number: int, step: dict[str, Any]) -> Iterator[str]:
    source, target = _part(step, "source"), _part(step, "target")
    made = f", {step['made']}" if "made" in step else ""
    yield f"{number}. {_title(source)} → {_title(target)}{made}"
    for name, file in _part(source, "files").items():
        digest = file.get("sha256", "")
        shown = f"sha256 {digest[:DIGITS]}…" if digest else "too large for a digest"
        yield f"     {name}  {file.get('bytes', 0):,} bytes  {shown}"
    for word in ("versions", "options", "changes", "operators"):
        if found := _part(step, word):
            yield f"   {word}: {', '.join(f'{k} {_short(v)}' for k, v in found.items())}"
    if quantized := _part(step, "quantization"):
        yield f"   quantized: {', '.join(f'{k} {_short(v)}' for k, v in quantized.items())}"
    yield from _verified(_part(step, "verification"))


def _verified(done: dict[str, Any]) -> Iterator[str]:
    if not done:
        yield "   not verified"
        return
    engines = done.get("engines", ["?", "?"])
    yield f"   verified: {engines[0]} against {engines[1]}: {'agrees' if done.get('ok') else 'DISAGREES'}"
    yield f"     inputs: {', '.join(f'{k} {_short(v)}' for k, v in _part(done, 'inputs').items())}"
    for name, row in _part(done, "outputs").items():
        yield f"     {name}: {', '.join(f'{k} {_short(v)}' for k, v in row.items()) or 'agrees'}"


def _part(step: dict[str, Any], name: str) -> dict[str, Any]:
    found = step.get(name)
    return found if isinstance(found, dict) else {}


def _title(side: dict[str, Any]) -> str:
    words = (side.get("name"), side.get("format"), side.get("version"))
    return " ".join(str(word) for word in words if word)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
