"""Live PyTorch modules as exported programs, by torch.export."""

from __future__ import annotations

import itertools
import re
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


def export_module(module: Any, specs: dict[str, InputSpec]) -> Any:
    """torch.export.ExportedProgram of an nn.Module in evaluation, its named dimensions symbolic.

    The lengths it is exported at are found by running the module. Raises InvalidOption for inputs without
    specification, UnsupportedModel in torch's words.
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
            examples = _examples(module, specs)
            dynamic = torch.export.Dim.DYNAMIC
            dims = {
                name: {i: dynamic for i, d in enumerate(spec.dims or ()) if isinstance(d, str)} or None
                for name, spec in specs.items()
            }
            return torch.export.export(module, (), examples, dynamic_shapes=dims, strict=False)
    except UnsupportedModel:
        raise
    except Exception as error:
        raise UnsupportedModel(
            f"torch cannot export this {type(module).__name__}: {torch_words(error)}",
            [],
            "A scripted or traced module (torch.jit.script, torch.jit.trace) is read without torch.export.",
        ) from error
    finally:
        module.train(training)


def torch_words(error: Exception) -> str:
    """What torch says, whole, without colours and what it advises on its own functions."""
    return ADVICE.sub("", ESCAPES.sub("", str(error))).strip() or type(error).__name__


def _examples(module: Any, specs: dict[str, InputSpec]) -> dict[str, Any]:
    """Arguments that the module runs with."""
    names = list(dict.fromkeys(d for s in specs.values() for d in s.dims or () if isinstance(d, str)))
    first: Exception | None = None
    for lengths in _settings(names):
        examples = {name: _example(spec, lengths) for name, spec in specs.items()}
        try:
            module(**examples)
        except Exception as error:
            first = first or error
            continue
        return {name: _example(spec, lengths) for name, spec in specs.items()}
    tried = ", ".join(f"{n}={length}" for n, length in next(_settings(names)).items())
    raise UnsupportedModel(
        f"{type(module).__name__} runs at none of the lengths tried (first {tried or 'as given'}): "
        f"{torch_words(first) if first else ''}",
        [],
        "Give lengths that go together as numbers.",
    ) from first


def _settings(names: list[str]) -> Iterator[dict[str, int]]:
    """Lengths to try: all different, one the sum of two others, all alike, multiples of units."""
    distinct = {name: FIRST_LENGTH + i for i, name in enumerate(names)}
    yield distinct
    for whole in reversed(names):
        for one, two in itertools.combinations([n for n in names if n != whole], 2):
            yield distinct | {whole: distinct[one] + distinct[two]}
    if len(names) > 1:
        yield dict.fromkeys(names, FIRST_LENGTH)
    for unit in UNITS if names else ():
        yield {name: unit * (i + 2) for i, name in enumerate(names)}
        yield dict.fromkeys(names, unit * 2)


def _example(spec: InputSpec, lengths: dict[str, int]) -> Any:
    import torch

    if spec.fixed is not None:
        return spec.fixed
    dtype = getattr(torch, TORCH_DTYPES[spec.type.dtype].name)  # type: ignore[union-attr]
    return torch.ones(
        [d if isinstance(d, int) else lengths.get(str(d), FIRST_LENGTH) for d in spec.dims or ()], dtype=dtype
    )
