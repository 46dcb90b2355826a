"""Native cases from torch's op_db: each sample traced, with torch's results as expected outputs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from bridge.matrix import Made, NativeCase
from bridge_torchscript.interface import leaves
from bridge_torchscript.runtime import to_numpy

DRAWS = 6
UNDEFINED = (
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
)


class Untraceable(Exception):
    """Error: torch cannot trace the sample, or it holds sparse tensors."""


def cases() -> dict[str, NativeCase]:
    """First and last sample of every operator. Empty without the package `expecttest`, which op_db needs."""
    try:
        op_db = entries()
    except ModuleNotFoundError:
        return {}
    return {
        f"{entry.formatted_name}{mark}": NativeCase((entry.name,), Sampled(entry, index))
        for entry in op_db
        for mark, index in (("", 0), (" last", -1))
    }


def entries() -> list[Any]:
    """Entries of torch's op_db that take float32 on CPU. Raises ModuleNotFoundError."""
    from torch.testing._internal.common_methods_invocations import op_db

    return [e for e in op_db if torch.float32 in e.supported_dtypes("cpu")]


@dataclass(frozen=True)
class Sampled:
    """Writer of the archive of one sample of an entry."""

    entry: Any
    index: int

    def __call__(self, folder: Path) -> Made:
        return Sample(self.entry, samples(self.entry)[self.index]).write(folder)


def samples(entry: Any) -> list[Any]:
    """Seeded samples of the entry."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(entry.sample_inputs("cpu", torch.float32, requires_grad=False))


class Sample(torch.nn.Module):
    """One call of an operator; the tensors among its arguments are the inputs."""

    def __init__(self, entry: Any, sample: Any) -> None:
        super().__init__()
        self.name, self.function = entry.name, entry.op
        self.arguments, self.keywords = [sample.input, *sample.args], sample.kwargs
        self.tensors = [t for value in (*self.arguments, *self.keywords.values()) for t in _tensors(value)]

    def forward(self, *tensors: torch.Tensor) -> Any:
        queue = iter(tensors)
        return self.function(
            *[_filled(a, queue) for a in self.arguments],
            **{k: _filled(v, queue) for k, v in self.keywords.items()},
        )

    def write(self, folder: Path) -> Made:
        """Write the traced archive; return it with its inputs and torch's results. Raises Untraceable."""
        self.eval()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.manual_seed(0)
                expected = self(*self._fresh())
                random = self.name in UNDEFINED or self._random()
                traced = torch.jit.trace(self, self._fresh(), check_trace=False, strict=False)
        except Exception as error:
            raise Untraceable(str(error)) from error
        if any(not isinstance(v, torch.Tensor) for _, v in leaves(expected, (list, tuple))):
            raise Untraceable("it has results that are no tensors")
        if any(t.layout != torch.strided for t in [*self.tensors, *_tensors(expected)]):
            raise Untraceable("sparse tensors")
        path = folder / "native.pt"
        torch.jit.save(traced, path)
        names = [a.name for a in torch.jit.load(path)._c._get_method("forward").schema.arguments][1:]
        if len(names) == 1 and len(self.tensors) != 1:
            names = [f"{names[0]}.{i}" for i in range(len(self.tensors))]
        arrays = {n: to_numpy(t.clone(), None) for n, t in zip(names, self.tensors, strict=True)}
        results = [
            to_numpy(v, None) for _, v in leaves(expected, (list, tuple)) if isinstance(v, torch.Tensor)
        ]
        return Made(path, arrays, {"inputs": arrays}, results, random=random)

    def _fresh(self) -> tuple[torch.Tensor, ...]:
        return tuple(t.clone() for t in self.tensors)

    def _random(self) -> bool:
        """True if calls differ when nothing sets the seed."""
        results = []
        with mock.patch("torch.manual_seed"):
            for _ in range(DRAWS):
                torch.rand(1)
                results.append(list(_tensors(self(*self._fresh()))))
        return any(
            not torch.equal(a.nan_to_num(), b.nan_to_num())
            for later in results[1:]
            for a, b in zip(results[0], later, strict=True)
        )


def _filled(value: Any, queue: Iterator[torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return next(queue)
    if isinstance(value, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in value):
        return type(value)(_filled(v, queue) for v in value)
    return value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value.detach()
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
