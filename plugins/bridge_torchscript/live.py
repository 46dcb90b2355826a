"""Live PyTorch modules as exported programs, by torch.export."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator
from typing import Any

from bridge.errors import InvalidOption, UnsupportedModel
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.input_specs import SYNTAX, InputSpec
from bridge_torchscript.tracer_lock import TRACER, quiet

FIRST_LENGTH = 4
UNITS = (8, 32, 112, 400, 16000)
"""Multiples that windows, strides and images ask for."""
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
ADVICE = re.compile(r"\n\s*\nThe error above occurred when calling torch\.export\.export\..*", re.DOTALL)


def capture(module: Any, specs: dict[str, InputSpec]) -> Any:
    """torch.export.ExportedProgram of an nn.Module in evaluation, its named dimensions symbolic.

    A trace where torch.export takes a length for a constant, as that of the steps of recurrent layers, which
    it unrolls, and the trace holds at other lengths. The lengths of the examples are found by running the
    module. Raises InvalidOption for inputs without specification, UnsupportedModel in torch's words.
    """
    import torch

    if not specs:
        raise InvalidOption(
            f"{type(module).__name__} does not say what its inputs are.", f"Describe them with {SYNTAX}."
        )
    training = module.training
    module.eval()
    try:
        with TRACER, quiet(), torch.no_grad():
            settings = _running(module, specs)
            try:
                return _exported(module, specs, next(settings))
            except Exception as error:
                traced = _traced(module, specs, settings)
                if traced is None:
                    raise _refusal(module, torch_words(error)) from error
                return traced
    finally:
        module.train(training)


def _refusal(module: Any, why: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"torch cannot export this {type(module).__name__}: {why}",
        [],
        "A scripted or traced module (torch.jit.script, torch.jit.trace) is read without torch.export.",
    )


def _exported(module: Any, specs: dict[str, InputSpec], lengths: dict[str, int]) -> Any:
    import torch

    dynamic = torch.export.Dim.DYNAMIC
    dims = {
        name: {i: dynamic for i, d in enumerate(spec.dims or ()) if isinstance(d, str)} or None
        for name, spec in specs.items()
    }
    return torch.export.export(module, (), _arguments(specs, lengths), dynamic_shapes=dims, strict=False)


def _traced(module: Any, specs: dict[str, InputSpec], settings: Iterator[dict[str, int]]) -> Any:
    """Trace of the module; None if torch warns that it may hold for the example alone, or it does."""
    import torch

    first = next(_running(module, specs))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        torch.jit.TracerWarning.ignore_lib_warnings()
        try:
            traced = torch.jit.trace(
                module, example_kwarg_inputs=_arguments(specs, first), strict=False, check_trace=False
            )
        except Exception:
            return None
    if any(issubclass(w.category, torch.jit.TracerWarning) for w in warned):
        return None
    others = list(itertools.islice((s for s in settings if s != first), 2))
    agree = [_same(module, traced, _arguments(specs, lengths, random=True)) for lengths in others]
    return traced if agree and all(agree) else None


def _same(module: Any, traced: Any, arguments: dict[str, Any]) -> bool:
    """True if a trace gives what the module does."""
    import torch

    try:
        torch.testing.assert_close(traced(**arguments), module(**arguments), equal_nan=True)
    except (AssertionError, RuntimeError, ValueError, TypeError):
        return False
    return True


def torch_words(error: Exception) -> str:
    """What torch says, whole, without colours and what it advises on its own functions."""
    return ADVICE.sub("", ESCAPES.sub("", str(error))).strip() or type(error).__name__


def _running(module: Any, specs: dict[str, InputSpec]) -> Iterator[dict[str, int]]:
    """Lengths that the module runs with. Raises UnsupportedModel if there are none."""
    names = list(dict.fromkeys(d for s in specs.values() for d in s.dims or () if isinstance(d, str)))
    first: Exception | None = None
    found = False
    for lengths in _settings(names):
        try:
            module(**_arguments(specs, lengths))
        except Exception as error:
            first = first or error
        else:
            found = True
            yield lengths
    if not found and first is not None:
        tried = ", ".join(f"{n}={length}" for n, length in next(_settings(names)).items())
        at = f" at {tried}, nor at other lengths that were tried" if tried else ""
        raise _refusal(module, f"it does not run{at}: {torch_words(first)}") from first


def _settings(names: list[str]) -> Iterator[dict[str, int]]:
    """Lengths to try: all different, one the sum of two others, all alike, multiples of units."""
    for start in (FIRST_LENGTH, FIRST_LENGTH + 3) if names else (FIRST_LENGTH,):
        distinct = {name: start + i for i, name in enumerate(names)}
        yield distinct
        for whole in reversed(names):
            for one, two in itertools.combinations([n for n in names if n != whole], 2):
                yield distinct | {whole: distinct[one] + distinct[two]}
        if len(names) > 1:
            yield dict.fromkeys(names, start)
    for unit in UNITS if names else ():
        yield {name: unit * (i + 2) for i, name in enumerate(names)}
        yield dict.fromkeys(names, unit * 2)


def _arguments(specs: dict[str, InputSpec], lengths: dict[str, int], random: bool = False) -> dict[str, Any]:
    """Ones of the lengths, or numbers between zero and one; fixed arguments as they are."""
    return {
        name: spec.fixed if spec.fixed is not None else _example(spec, lengths, random)
        for name, spec in specs.items()
    }


def _example(spec: InputSpec, lengths: dict[str, int], random: bool) -> Any:
    import torch

    dtype = getattr(torch, TORCH_DTYPES[spec.type.dtype].name)  # type: ignore[union-attr]
    shape = [d if isinstance(d, int) else lengths.get(str(d), FIRST_LENGTH) for d in spec.dims or ()]
    return (
        torch.rand(shape).to(dtype) if random and dtype.is_floating_point else torch.ones(shape, dtype=dtype)
    )
