"""Live PyTorch modules as exported programs, by torch.export."""

from __future__ import annotations

import copy
import itertools
import math
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from bridge.errors import InvalidOption, UnsupportedModel
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.input_specs import SYNTAX, InputSpec, terms
from bridge_torchscript.tracer_lock import TRACER, quiet

UNITS = {32: 2, 16000: 1, 1: 4, 224: 1, 8: 2}
"""Lengths are multiples of these, from the multiple given on: what strides divide, seconds of sound, any
number, images, patches.
"""
SMALL, BATCH = 32, 4
"""Of lengths in larger units the first is that of a batch."""
TRIES = 3
LARGEST = 2**24
"""Elements of the examples, at most."""
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
    module = _shared_copy(module).eval()
    with TRACER, quiet(), torch.no_grad():
        try:
            return _least_bound(module, specs)
        except UnsupportedModel:
            raise
        except Exception as error:
            traced = _traced(module, specs)
            if traced is None:
                raise _refusal(module, torch_words(error)) from error
            return traced


def _shared_copy(module: Any) -> Any:
    """The module with weights shared and attributes of its own, which running it may change."""
    import torch

    kept = [*module.parameters(), *(b for b in module.buffers() if isinstance(b, torch.nn.Parameter))]
    try:
        return copy.deepcopy(module, {id(p): p for p in kept})
    except Exception:
        return module


def _refusal(module: Any, why: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"torch cannot export this {type(module).__name__}: {why}",
        [],
        "A scripted or traced module (torch.jit.script, torch.jit.trace) is read without torch.export.",
    )


def _least_bound(module: Any, specs: dict[str, InputSpec]) -> Any:
    """Program exported at lengths in the midst of those it holds for: at the edge torch takes for 1, or for
    whole, what is not so at others, and binds them.
    """
    import torch

    recurrent = any(isinstance(m, torch.nn.RNNBase) for m in module.modules())
    units = sorted(UNITS) if recurrent else UNITS  # torch.export unrolls every step
    best, highest = None, -1
    for lengths in itertools.islice(_running(module, specs, units), TRIES):
        program = _exported(module, specs, lengths)
        bounds = [int(v.upper) for v in program.range_constraints.values() if v.upper.is_Integer]
        if not bounds:
            return program
        if min(bounds) > highest:
            best, highest = program, min(bounds)
    return best


def _exported(module: Any, specs: dict[str, InputSpec], lengths: dict[str, int]) -> Any:
    import torch

    dynamic = torch.export.Dim.DYNAMIC
    dims = {
        name: {i: dynamic for i, d in enumerate(_dims(name, spec)) if isinstance(d, str)} or None
        for name, spec in specs.items()
    }
    return torch.export.export(module, (), _arguments(specs, lengths), dynamic_shapes=dims, strict=False)


def _traced(module: Any, specs: dict[str, InputSpec]) -> Any:
    """Trace of the module; None if torch warns that it may hold for the example alone, or it does."""
    import torch

    first, *others = itertools.islice(_running(module, specs, sorted(UNITS)), 3)
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
    """Words of torch, whole, without colours and what it advises on its own functions."""
    return ADVICE.sub("", ESCAPES.sub("", str(error))).strip() or type(error).__name__


def _running(module: Any, specs: dict[str, InputSpec], units: Iterable[int]) -> Iterator[dict[str, int]]:
    """Lengths that the module runs with: with shapes alone, else, the smallest first, with numbers. Raises
    UnsupportedModel if there are none.
    """
    names = list(
        dict.fromkeys(
            t for n, s in specs.items() for d in _dims(n, s) if isinstance(d, str) for t in terms(d)
        )
    )
    first: Exception | None = None
    for failure, order in ((_failure_of_shapes, units), (_failure, sorted(UNITS))):
        first, found = None, False
        for lengths in _settings(names, order):
            shapes = [_shape(n, s, lengths) for n, s in specs.items()]
            if first is not None and sum(math.prod(shape) for shape in shapes) > LARGEST:
                continue
            error = failure(module, _arguments(specs, lengths))
            if error is None:
                found = True
                yield lengths
            first = first or error
        if found:
            return
    tried = ", ".join(f"{n}={length}" for n, length in next(_settings(names, sorted(UNITS))).items())
    at = f" at {tried}, nor at other lengths that were tried" if tried else ""
    raise _refusal(module, f"it does not run{at}: {torch_words(first) if first else ''}") from first


def _failure_of_shapes(module: Any, arguments: dict[str, Any]) -> Exception | None:
    """Why the module does not run with shapes alone."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        fake = {n: mode.from_tensor(v) if hasattr(v, "shape") else v for n, v in arguments.items()}
        return _failure(module, fake)


def _failure(module: Any, arguments: dict[str, Any]) -> Exception | None:
    """Why the module does not run."""
    try:
        module(**arguments)
    except Exception as error:
        return error
    return None


def _settings(names: list[str], units: Iterable[int]) -> Iterator[dict[str, int]]:
    """Lengths to try, multiples of a unit: all different, one the sum of two others, all alike."""
    for unit in units if names else (1,):
        least = UNITS[unit]
        distinct = {name: unit * (least + i) for i, name in enumerate(names)}
        if unit > SMALL and len(names) > 1:
            distinct[names[0]] = BATCH
        yield distinct
        for whole in reversed(names):
            for one, two in itertools.combinations([n for n in names if n != whole], 2):
                yield distinct | {whole: distinct[one] + distinct[two]}
        if len(names) > 1:
            yield dict.fromkeys(names, unit * least)


def _arguments(specs: dict[str, InputSpec], lengths: dict[str, int], random: bool = False) -> dict[str, Any]:
    """Ones of the lengths, or numbers between zero and one; fixed arguments as they are."""
    return {
        name: spec.fixed if spec.fixed is not None else _example(name, spec, lengths, random)
        for name, spec in specs.items()
    }


def _dims(name: str, spec: InputSpec) -> list[int | str]:
    """Dimensions of an input; those without a name have one of their own."""
    return [f"{name}.{i}" if d is None else d for i, d in enumerate(spec.dims or ())]


def _shape(name: str, spec: InputSpec, lengths: dict[str, int]) -> list[int]:
    dims = _dims(name, spec)
    return [d if isinstance(d, int) else sum(lengths[t] for t in terms(d)) for d in dims]


def _example(name: str, spec: InputSpec, lengths: dict[str, int], random: bool) -> Any:
    import torch

    dtype = getattr(torch, TORCH_DTYPES[spec.type.dtype].name)  # type: ignore[union-attr]
    shape = _shape(name, spec, lengths)
    return (
        torch.rand(shape).to(dtype) if random and dtype.is_floating_point else torch.ones(shape, dtype=dtype)
    )
