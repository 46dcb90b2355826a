"""Output that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.errors import BridgeError, DestinationExists, WriteFailed


@contextmanager
def atomic(path: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside `path` to write a file or folder to; moved into place on success.

    Files that a writer puts next to its main file (external data, weights) move along. Raises
    DestinationExists where one of them stands there already and `overwrite` is not given, WriteFailed for any
    operating-system error, leaving nothing behind.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            written = sorted(Path(folder).iterdir(), key=lambda p: p.name == path.name)
            for item in written:
                _free(path.parent / item.name, overwrite)
                _sync(item)
            for item in written:
                _move(item, path.parent / item.name, overwrite)
    except OSError as error:
        raise WriteFailed(
            f"{path} could not be written: {error.strerror or error}.", "Nothing was left behind."
        ) from error


def require_free(path: Path, overwrite: bool) -> None:
    """Raise DestinationExists where `path` exists and `overwrite` is not given, BridgeError where its folder
    does not exist."""
    _free(path, overwrite)
    if not path.parent.is_dir():
        raise BridgeError(
            f"The folder {path.parent} does not exist.", "Create it first, or name another destination."
        )


def _free(place: Path, overwrite: bool) -> None:
    """Raise DestinationExists for a place that is taken and not to be overwritten."""
    if place.exists() and not overwrite:
        raise DestinationExists(
            f"{place} exists already.", "Pass overwrite=True (--overwrite) to replace it."
        )


def _sync(item: Path) -> None:
    for file in [item] if item.is_file() else [f for f in item.rglob("*") if f.is_file()]:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def _move(item: Path, place: Path, overwrite: bool) -> None:
    if overwrite and place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    os.replace(item, place)
