"""A folder of transformers, run by torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from bridge.errors import ExecutionFailed
from bridge.formats import Runtime
from bridge.session import Outputs, Session
from bridge_transformers.model import opened


class FolderSession(Session):
    """The model of a folder, or a part of it."""

    def __init__(self, path: Path, task: str | None = None, part: str | None = None) -> None:
        self._called = opened(path, task, part)
        self.engine = f"transformers {transformers.__version__}, torch {torch.__version__}"

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Outputs by name. Raises ExecutionFailed in torch's words."""
        given = {name.replace(".", "_"): torch.from_numpy(array) for name, array in inputs.items()}
        try:
            with torch.no_grad():
                found = self._called.module(**given)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ExecutionFailed(f"torch: {str(error).strip()}") from error
        names = map(self._called.public_name, found)
        return Outputs(dict(zip(names, (each.numpy() for each in found.values()), strict=True)), self.engine)


runtime = Runtime(open=FolderSession, options=("task", "part"))
