"""coremltools, imported without the frameworks it would look for.

Where torch and TensorFlow are installed, `import coremltools` imports them: seconds and hundreds of megabytes
that writing an ML Program has no use for. They are hidden while it is imported, unless the process has them
already. What it warns of (versions it was not tested with, parts that only a Mac has, integers it narrows) is
nothing a user of bridge could act on, who reads bridge's own report: of its log the errors are left.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

FRAMEWORKS = (
    "torch",
    "tensorflow",
    "keras",
    "sklearn",
    "xgboost",
    "lightgbm",
    "executorch",
    "libsvm",
    "torchvision",
    "scipy",
    "transformers",
)


class HiddenModules(importlib.abc.MetaPathFinder):
    """Import finder that reports the named modules as not installed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextmanager
def frameworks_hidden() -> Iterator[None]:
    finder = HiddenModules(tuple(name for name in FRAMEWORKS if name not in sys.modules))
    sys.meta_path.insert(0, finder)
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        logger.setLevel(level)


@functools.cache
def coremltools() -> ModuleType:
    """The coremltools package. Raises ModuleNotFoundError where it is not installed."""
    if "coremltools" in sys.modules:
        return sys.modules["coremltools"]
    with frameworks_hidden():
        module = importlib.import_module("coremltools")
        importlib.import_module("coremltools.converters.mil.backend.mil.load")
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    return module
