"""Results of quantization: the model, and how accurate it is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import onnx_ir as ir

from bridge.page.content import Bars, Content, Table, bytes_told, drawn, section
from bridge.page.fragments import Shown
from bridge.page.graph import graph_of
from bridge.quantize.accuracy import Accuracy

__all__ = ["Quantization"]

SHOWN = 8


@dataclass(frozen=True)
class Quantization(Shown):
    """A quantized hub model: `outputs` say what each output keeps of the float model's on the samples held
    back, `layers` the same of the values within, `written` of the outputs of a file made of it, in its own
    runtime; all are empty without data. `returned` are the layers that `auto` returned to float, `sizes` the
    bytes of the weights before and after, `samples` how many there were, `random` ones or real."""

    model: ir.Model
    scheme: str
    outputs: tuple[Accuracy, ...] = ()
    layers: tuple[Accuracy, ...] = ()
    written: tuple[Accuracy, ...] = ()
    returned: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (0, 0)
    samples: int = 0
    random: bool = False
    notes: tuple[str, ...] = ()

    @property
    def sqnr(self) -> float | None:
        """The least ratio of signal to noise of an output in dB, where it was measured."""
        return min((o.sqnr for o in self.written or self.outputs), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; no number is infinite."""
        return {
            "scheme": self.scheme,
            "samples": self.samples,
            "random": self.random,
            "sizes": list(self.sizes),
            "returned": list(self.returned),
            "notes": list(self.notes),
        } | {
            part: [_finite(asdict(a)) for a in getattr(self, part)]
            for part in ("outputs", "layers", "written")
        }

    def content(self) -> Content:
        """Bytes before and after, accuracy of outputs and of the values within; the graph coloured by what
        quantization changed, as a part of each value."""
        before, after = self.sizes
        measured = {a.name: a.sqnr for a in (*self.layers, *self.outputs) if not math.isnan(a.sqnr)}
        errors = {name: 10 ** (-sqnr / 20) for name, sqnr in measured.items()}
        kinds = {"output": self.outputs, "written": self.written, "layer": self.layers}
        rows = tuple(_row(kind, a) for kind, accuracies in kinds.items() for a in accuracies)
        head = ("", "name", "SQNR", "cosine", "max error", "agreement")
        told = bytes_told(before), bytes_told(after)
        held = f"{'Random samples' if self.random else 'Samples held back'} of {self.samples}"
        return Content(
            f"Quantization, {self.scheme}",
            f"Weights {told[0]} → {told[1]}{'' if self.sqnr is None else f', {self.sqnr:.1f} dB kept'}.",
            True,
            section(
                f"Quantization: {self.scheme}",
                *self.notes,
                Bars((("weights before", before, told[0]), ("weights after", after, told[1]))),
                held if rows else "",
                Table(head, rows, frozenset(range(2, 6))),
                f"Returned to float: {', '.join(self.returned)}" if self.returned else "",
            ),
            drawn("quantized", graph_of(self.model), errors=errors, measure="noise, part of the value"),
        )

    def __str__(self) -> str:
        before, after = self.sizes
        lines = [f"{self.scheme}: weights {bytes_told(before)} → {bytes_told(after)}"]
        lines += [f"  note: {note}" for note in self.notes]
        if self.outputs:
            held = "random" if self.random else "held back"
            lines.append(f"  accuracy on samples {held}: SQNR, cosine, max error, agreement of the top class")
            lines += _measured_rows("output", self.outputs)
        lines += _measured_rows("written", self.written)
        if self.returned:
            shown = ", ".join(self.returned[:SHOWN])
            more = f" and {len(self.returned) - SHOWN} more" if len(self.returned) > SHOWN else ""
            lines.append(f"  returned to float, most harmful first: {shown}{more}")
        noisy = sorted((a for a in self.layers if math.isfinite(a.sqnr)), key=lambda a: a.sqnr)[:SHOWN]
        return "\n".join([*lines, *_measured_rows("layer", noisy)])


def _measured_rows(kind: str, rows: Any) -> list[str]:
    width = max((len(a.name) for a in rows), default=0)
    return [f"    {kind} {a.name:<{width}}  {a}" for a in rows]


def _row(kind: str, a: Accuracy) -> tuple[str, ...]:
    agreed = "" if a.agreement is None else f"{a.agreement:.1%}"
    return kind, a.name, f"{a.sqnr:.2f} dB", f"{a.cosine:.6f}", f"{a.max_error:.2e}", agreed


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
