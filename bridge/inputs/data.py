"""The user's own data as inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import InvalidInput


def read_inputs(files: list[str], names: list[str]) -> dict[str, Any]:
    """Arrays from one `.npz` (keys are input names) or several `.npy` (NAME=FILE, or in input order)."""
    arrays: dict[str, Any] = {}
    for index, item in enumerate(files):
        name, _, path = item.rpartition("=")
        try:
            loaded = np.load(Path(path), allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{path} is not a readable .npy or .npz file: {error}") from error
        if isinstance(loaded, np.ndarray):
            if not name and index >= len(names):
                raise InvalidInput(f"{path} is one file too many: the model's inputs are {', '.join(names)}.")
            arrays[name or names[index]] = loaded
        else:
            arrays.update(loaded)
    return arrays
