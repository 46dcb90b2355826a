"""The first place where two models of any formats part, and how the error grows behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.comparison import Verification, compare
from bridge.errors import InvalidInput
from bridge.formats import Format
from bridge.inputs.lengths import Lengths
from bridge.inputs.values import Ranges
from bridge.load import Reader, reader
from bridge.noise import HALVES, has_halves, is_quantized
from bridge.output import require_free
from bridge.runtime import Outputs, open_session
from bridge.trials import Sampling, Trial
from bridge.verify import Judge, compared
from bridge.workbench.bisect_fit import Fit, Fitted, fit_of
from bridge.workbench.bisect_match import similarity
from bridge.workbench.bisect_result import Bisection, Growth
from bridge.workbench.bisect_runtime import RuntimeSearch
from bridge.workbench.bisect_search import LARGEST_HALF, Parting, Search, Tolerance
from bridge.workbench.bisect_values import stepwise
from bridge.workbench.bisect_write import write_part

__all__ = ["Bisection", "Growth", "bisect"]

SINGLE, HALF = Tolerance(), Tolerance(3e-2, 1e-2, halves=True)
BOTH_QUANTIZED, QUANTIZED = Tolerance(5e-2, 2e-2), Tolerance(0.3, math.inf)
COARSE = 0.5
"""The cosine from which a quantized value is a coarse one, and below which it is another."""
CONTENT = ("differs", "NaN or infinity elsewhere", "strings differ", "is no sequence of the same length")


def bisect(
    reference: Any,
    candidate: Any,
    inputs: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    *,
    seed: int = 0,
    dims: dict[str, int] | None = None,
    ranges: Ranges | None = None,
    write: str | Path | None = None,
    reference_source: str | None = None,
    candidate_source: str | None = None,
    reference_options: dict[str, Any] | None = None,
    candidate_options: dict[str, Any] | None = None,
) -> Bisection:
    """Find the first operator at which two models (hub models, or anything `load` reads) part, on `inputs` or
    on random ones of two seeds.

    Values of the two correspond where their numbers do, whatever they are called and however either model
    spells its operators. An operator is told from rounding that adds up by feeding it with the reference's
    own values. Branches and loops are followed as they run. Inputs and outputs of other names are matched by
    their shapes. `write` names a new folder for the smallest part that fails, with its inputs and what is
    expected of it. All else is as `verify` has it.

    Raises InvalidInput where the models have no inputs or no outputs in common, DestinationExists, and what
    `verify` raises.
    """
    if write is not None:
        require_free(Path(write), overwrite=False)
    first = _model_or_reader(reference, reference_source, reference_options)
    second = _model_or_reader(candidate, candidate_source, candidate_options)
    given = [inputs] if isinstance(inputs, dict) else inputs or ()
    sampling = Sampling((seed, seed + 1), dims or {}, ranges or {}, given, runtime="reference")
    judge = Judge(first)
    other = second if isinstance(second, ir.Model) else second.read()
    fit = fit_of(judge.model, other)
    asked = judge.trials(Lengths(judge.model, sampling.dims), sampling)
    session = Fitted(open_session(second), fit, asked[0].expected)
    verification = replace(compared(judge, session, asked, sampling), graph=judge.graph)
    if fit.outputs.keys().isdisjoint(asked[0].expected):
        raise InvalidInput(
            f"The two models have no common outputs: {', '.join(asked[0].expected)} and "
            f"{', '.join(v.name or '' for v in other.graph.outputs)}.",
            "Is each the model that was meant?",
        )
    if verification.ok and not has_halves(other):
        return Bisection(verification, "same")
    search = _search(judge.model, other, fit, _failing(session, asked))
    kind, partings = _judged(search, verification)
    if kind == "runtime" and (unread := [v for v in search.outputs if v not in search.first]):
        return Bisection(verification, "text", named([n for v in unread if (n := v.producer()) is not None]))
    if kind == "runtime":
        formats = [r.format if isinstance(r, Reader) and r.is_file else None for r in (first, second)]
        return _of_runtime(search, judge, session, formats, verification)
    if not partings and search.lost:
        return _of_lost(search.lost[0], verification)
    if not partings:
        return Bisection(verification, kind)
    found = _told(search, verification, kind, partings)
    fmt = second.format if isinstance(second, Reader) else None
    return found if write is None else write_part(Path(write), found, search, partings[0], fmt)


def _model_or_reader(model: Any, source: str | None, options: dict[str, Any] | None) -> ir.Model | Reader:
    return model if isinstance(model, ir.Model) else reader(model, source, options)


def _failing(session: Fitted, asked: list[Trial]) -> list[Trial]:
    """The trials whose answers differ, as far as one does so by itself."""
    return [t for t in asked if not compare(t.expected, session.run(t.inputs)).ok] or asked


def _search(reference: ir.Model, candidate: ir.Model, fit: Fit, asked: list[Trial]) -> Search:
    inputs = [t.inputs for t in asked]
    if any(hub.subgraphs(node) for model in (reference, candidate) for node in model.graph):
        inputs = inputs[:1]
        reference = stepwise(reference, inputs[0])
        candidate = stepwise(candidate, fit.given(inputs[0]))
    second = {v.name: v for v in candidate.graph.outputs}
    outputs = {
        v: second[fit.outputs[v.name or ""]]
        for v in reference.graph.outputs
        if fit.outputs.get(v.name or "") in second
    }
    tolerance = _tolerance(reference, candidate)
    return Search(reference, candidate, inputs, fit, outputs, tolerance)


def _tolerance(reference: ir.Model, candidate: ir.Model) -> Tolerance:
    if is_quantized(candidate):
        return BOTH_QUANTIZED if is_quantized(reference) else QUANTIZED
    return HALF if any(map(_is_half, (reference, candidate))) else SINGLE


def _is_half(model: ir.Model) -> bool:
    return has_halves(model) or any(tensor.dtype in HALVES for tensor in hub.weights(model))


def _judged(search: Search, verification: Verification) -> tuple[str, list[Parting]]:
    """The kind of difference, and the places it is at."""
    search.begin()
    if (overflow := search.overflow()) is not None:
        return "operator", [overflow]
    if verification.ok:
        return "same", []
    partings = search.partings()
    if search.tolerance is QUANTIZED and all(_similar(search, p) > COARSE for p in partings):
        return "quantization", [_worst(search, partings)]
    if partings or search.lost:
        return "operator", partings
    if not _agree(search):
        return "rounding", [_worst(search, [])]
    if all(row.ok or row.problem not in CONTENT for row in verification.outputs):
        return "interface", []
    return "runtime", []


def _of_lost(value: ir.Value, verification: Verification) -> Bisection:
    """The operator of a value that the candidate has nothing of the size of."""
    node = value.producer()
    operators = named([node]) if node is not None else ()
    note = "The candidate has nothing of its size in its place."
    return Bisection(verification, "operator", operators, value=value.name or "", error=math.inf, note=note)


def _told(search: Search, verification: Verification, kind: str, partings: list[Parting]) -> Bisection:
    first, *others = partings
    return Bisection(
        verification,
        kind,
        named(first.first),
        named(first.second),
        first.pair.first.name or "",
        first.pair.second.name or "",
        first.pair.error,
        _note(search, first),
        tuple(named(parting.first)[0] for parting in others if parting.first),
        _growth(search),
    )


def _of_runtime(
    search: Search,
    judge: Judge,
    session: Fitted,
    formats: Sequence[Format | None],
    verification: Verification,
) -> Bisection:
    """The side that runs otherwise than it is read, and where."""
    sides = (
        ("candidate", session.session, search.candidate, search.free, search.fit.given(search.inputs[0])),
        ("reference", judge.session, search.reference, search.first, search.inputs[0]),
    )
    for fmt, (side, own, model, values, inputs) in zip(reversed(formats), sides, strict=True):
        answer = own.run(inputs)
        ends = [
            v
            for v in model.graph.outputs
            if v in values and not compare(Outputs({v.name or "": values[v][0]}, ""), answer).outputs[0].ok
        ]
        if not ends:
            continue
        runtime = RuntimeSearch(model, values, inputs, fmt)
        nodes = runtime.parting(own, ends)
        where = f"{own.engine} answers otherwise than the {side} is read"
        note = where if nodes else f"{where}, though not what bridge writes of what it reads"
        value = (nodes[-1].outputs[0].name or "") if nodes else ""
        count = runtime.conversions
        return Bisection(verification, "runtime", named(nodes), value=value, note=note, conversions=count)
    return Bisection(verification, "runtime", note="neither answers otherwise by itself")


def named(nodes: Sequence[ir.Node]) -> tuple[str, ...]:
    """Operators by what they are in their source, each once."""
    return tuple(dict.fromkeys(facts.STEP.get(node) or str(hub.origin(node)) for node in nodes))


def _similar(search: Search, parting: Parting) -> float:
    pair = parting.pair
    return similarity(pair.view.of(search.first[pair.first]), search.forced[pair.second])


def _worst(search: Search, partings: list[Parting]) -> Parting:
    """The pair that adds most to the error."""
    each = [*search.pairs.values(), *(parting.pair for parting in partings)]
    worst = max(each, key=lambda pair: pair.error)
    return next((p for p in partings if p.pair is worst), None) or search.parting(worst)


def _note(search: Search, parting: Parting) -> str:
    """Words for what is not finite, and for what overflows."""
    second = np.concatenate([a.ravel() for a in search.forced[parting.pair.second]])
    count = int((~np.isfinite(second)).sum()) if second.dtype.kind == "f" else 0
    if not count:
        return ""
    told = f"{count} of its {second.size} elements are not finite."
    over = [node for node in parting.first if search.tolerance.halves and search.overflows(node)]
    if not over:
        return told
    largest = max(float(np.abs(a).max(initial=0)) for v in over[0].outputs for a in search.first.get(v, ()))
    return f"{told} {named(over[:1])[0]} gives {largest:.4g}, more than float16 holds ({LARGEST_HALF:.0f})."


def _growth(search: Search) -> tuple[Growth, ...]:
    rows = []
    for first, pair in search.pairs.items():
        producer = first.producer()
        operator = named([producer])[0] if producer is not None else ""
        free = pair.measured(search.first, search.free).error
        rows.append(Growth(first.name or "", operator, pair.second.name or "", free, pair.error))
    return tuple(rows)


def _agree(search: Search) -> bool:
    """True where the outputs of the two agree as hub models."""
    pairs = [(a, b) for a, b in search.outputs.items() if a in search.first and b in search.free]
    return all(
        compare(
            Outputs({a.name or "": x}, ""),
            Outputs({a.name or "": y.astype(x.dtype).reshape(x.shape) if x.size == y.size else y}, ""),
        ).ok
        for a, b in pairs
        for x, y in zip(search.first[a], search.free[b], strict=True)
    )
