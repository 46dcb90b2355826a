"""Core ML's protobuf messages, without the rest of coremltools.

`import coremltools` costs seconds where torch or TensorFlow are installed; its messages alone cost 40 ms.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

MODULE_NAME = "bridge_coreml_messages"


@functools.cache
def messages() -> ModuleType:
    """The package of generated messages. Raises ModuleNotFoundError where coremltools is not installed."""
    package = importlib.machinery.PathFinder.find_spec("coremltools")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'coremltools'", name="coremltools")
    if "coremltools.proto" in sys.modules:
        return sys.modules["coremltools.proto"]
    folder = Path(package.submodule_search_locations[0]) / "proto"
    spec = importlib.util.spec_from_file_location(
        MODULE_NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    spec.loader.exec_module(module)
    return module


def model() -> Any:
    """An empty Model message."""
    return messages().Model_pb2.Model()
