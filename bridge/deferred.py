"""Symbolic algebra, imported when it is asked for.

onnx-ir imports sympy for arithmetic with symbolic lengths: 470 modules and half a second, which most
conversions have no use for. Where bridge is the first to import onnx-ir, what that binds is a module that
imports itself when an attribute is asked of it. Everybody else who imports sympy gets sympy.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["DeferringFinder"]

PACKAGE = "onnx_ir"
MODULES = ("sympy", "onnx_ir._symbolic_shapes")


class Deferred(ModuleType):
    """A module that is imported when an attribute is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class DeferringFinder:
    """Import finder that has onnx-ir, once, bind deferred modules."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            setattr(spec.loader, "exec_module", _deferring(spec.loader.exec_module))  # noqa: B010
        return spec


def _deferring(execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    """`execute`, with deferred modules in the place of those not yet imported."""

    def exec_module(module: ModuleType) -> None:
        deferred = {name: Deferred(name) for name in MODULES if name not in sys.modules}
        sys.modules.update(deferred)
        try:
            execute(module)
        finally:
            for name, placeholder in deferred.items():
                if sys.modules.get(name) is placeholder:
                    del sys.modules[name]

    return exec_module
