"""Convert machine-learning models between formats through one hub, and check the numbers."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bridge.deferred import DeferringFinder

if TYPE_CHECKING:
    from bridge.convert import Conversion, check, convert, save
    from bridge.edits import edit
    from bridge.errors import BridgeError
    from bridge.hookspecs import hookimpl
    from bridge.load import load
    from bridge.package.core import Package, package
    from bridge.plugins import formats
    from bridge.quantize.core import quantize
    from bridge.quantize.result import Quantization
    from bridge.runtime import run
    from bridge.summary import Summary, inspect
    from bridge.verify import Verification, verify
    from bridge.workbench.bench import Benchmark, bench
    from bridge.workbench.bisect import bisect
    from bridge.workbench.bisect_result import Bisection
    from bridge.workbench.diff import Difference, diff
    from bridge.workbench.extract import extract
    from bridge.workbench.optimize import Optimization, optimize

__version__ = "0.1.0"

__all__ = [
    "Benchmark",
    "Bisection",
    "BridgeError",
    "Conversion",
    "Difference",
    "Optimization",
    "Package",
    "Quantization",
    "Summary",
    "Verification",
    "bench",
    "bisect",
    "check",
    "convert",
    "diff",
    "edit",
    "extract",
    "formats",
    "hookimpl",
    "inspect",
    "load",
    "optimize",
    "package",
    "quantize",
    "run",
    "save",
    "verify",
]

_HOMES = {
    "Benchmark": "workbench.bench",
    "Bisection": "workbench.bisect_result",
    "BridgeError": "errors",
    "Conversion": "convert",
    "Difference": "workbench.diff",
    "Optimization": "workbench.optimize",
    "Package": "package.core",
    "Quantization": "quantize.result",
    "Summary": "summary",
    "Verification": "verify",
    "bench": "workbench.bench",
    "bisect": "workbench.bisect",
    "check": "convert",
    "convert": "convert",
    "diff": "workbench.diff",
    "edit": "edits",
    "extract": "workbench.extract",
    "formats": "plugins",
    "hookimpl": "hookspecs",
    "inspect": "summary",
    "load": "load",
    "optimize": "workbench.optimize",
    "package": "package.core",
    "quantize": "quantize.core",
    "run": "runtime",
    "save": "convert",
    "verify": "verify",
}


class _Face(ModuleType):
    """Keeps a submodule from taking the place of the public function it is named after."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
sys.meta_path.insert(0, DeferringFinder())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bridge' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bridge.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
