"""Inputs that the source can take, and what it answers: at two settings of the lengths that vary."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput
from bridge.inputs.lengths import Lengths, Setting
from bridge.inputs.values import Ranges, inputs_at
from bridge.session import Outputs

__all__ = ["Sampling"]

LOGGER = logging.getLogger("bridge")
SEEDS = 2
TRIES = 40
SECONDS = 120.0
ENOUGH = 16
"""Runs that a search for answers with elements in them may take after the first that ran."""


@dataclass(frozen=True)
class Sampling:
    """Questions of a verification: inputs with these seeds, lengths by dimension and ranges of values by
    input; or `data`, the user's own inputs, several of them one by one.

    `runtime` is "reference" where onnx.reference may judge a file that ONNX Runtime refuses.
    """

    seeds: Sequence[int] = tuple(range(SEEDS))
    dims: dict[str, int] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    data: Sequence[dict[str, Any]] = ()
    runtime: str = ""


@dataclass(frozen=True)
class Trial:
    """Inputs, the lengths and the seed they have, and what the source answers."""

    inputs: dict[str, Any]
    expected: Outputs
    setting: Setting = field(default_factory=dict)
    seed: int | None = None

    @property
    def told(self) -> int:
        """The number of outputs that have a finite element."""
        return sum(map(_says, self.expected.values()))


def _says(value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, (list, tuple)):
        return any(map(_says, value))
    array = np.asarray(value)
    return array.size > 0 and (array.dtype.kind not in "fc" or bool(np.isfinite(array).any()))


def trials(
    run: Callable[[dict[str, Any]], Outputs],
    lengths: Lengths,
    sampling: Sampling,
    drawn: Callable[[dict[str, Any]], dict[str, Any]] = lambda inputs: inputs,
) -> list[Trial]:
    """Answers of the source at two settings of its lengths, or at the only one, with a seed each; `drawn`
    has the last word on random inputs.

    The source's own runtime judges the settings: the first two it runs with an element in every output are
    taken, else those with the most. Raises ExecutionFailed, naming what failed and the way out, when it
    runs none.
    """
    if sampling.data:
        return [Trial(inputs, run(inputs)) for inputs in sampling.data]
    seeds, ranges = sampling.seeds, sampling.ranges
    best: list[Trial] = []
    refused: list[tuple[Setting, Exception]] = []
    started, ran = time.monotonic(), 0
    for number, pair in enumerate(lengths.pairs()):
        if number and (time.monotonic() - started > SECONDS or number >= TRIES or (best and ran >= ENOUGH)):
            break
        found: list[Trial] = []
        settings = pair if len(pair) > 1 else pair * len(seeds)
        for turn, setting in enumerate(settings):
            seed = seeds[turn % len(seeds)]
            LOGGER.debug("verify: the source on inputs %d of %d", turn + 1, len(settings))
            inputs = drawn(inputs_at(lengths, setting, seed, ranges))
            try:
                found.append(Trial(inputs, run(inputs), setting, seed))
            except (ExecutionFailed, InvalidInput) as error:
                refused.append((setting, error))
                break
        ran += len(found)
        if len(found) == len(best) == 1 and found[0].setting != best[0].setting:
            found = [*best, *found]
        best = max(
            best,
            found,
            key=lambda t: (min((r.told for r in t), default=-1), len({str(r.setting) for r in t})),
        )
        if found and len(found) == len(settings) and all(r.told == len(r.expected) for r in found):
            break
    if not best:
        raise _nothing_ran(lengths, refused)
    return best


def _nothing_ran(lengths: Lengths, refused: list[tuple[Setting, Exception]]) -> ExecutionFailed:
    tried = [shown(setting) for setting, _ in refused if setting]
    first = str(refused[0][1]).strip() if refused else "its equations have no solution"
    names = [f"{name}=…" for name in lengths.dims if name not in lengths.fixed]
    if not names:
        return ExecutionFailed(
            f"The source does not run on random inputs. {first}",
            "Say what its inputs may be with --range NAME=LOW..HIGH, or give your own with --inputs.",
        )
    return ExecutionFailed(
        f"No lengths were found that the source runs at; tried {'; '.join(tried[:6])}"
        f"{f' and {len(tried) - 6} more' if tried[6:] else ''}. The first failed so: {first}",
        f"Give lengths that go together: {' '.join(f'--dims {n}' for n in names)}, "
        "ranges of values with --range NAME=LOW..HIGH, or your own data with --inputs.",
    )


def shown(setting: Setting) -> str:
    return ", ".join(f"{name}={length}" for name, length in setting.items())
