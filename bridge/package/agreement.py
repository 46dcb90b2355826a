"""Samples held against what a packed model answers."""

from __future__ import annotations

from typing import Any

from bridge.comparison import compare
from bridge.package.kinds import Arrays, Build
from bridge.session import Outputs

__all__ = ["require_agreement"]


def require_agreement(build: Build, run: Any) -> None:
    """Raise VerificationFailed where `run`, of inputs by name, answers a sample otherwise than the source."""
    for sample in build.samples:
        found: Arrays = run(dict(sample.inputs))
        expected = Outputs(dict(sample.expected), "the source")
        compare(expected, Outputs(dict(found), "the package")).require(build.folder)
