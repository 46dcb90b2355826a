"""A compressed file, or an archive that holds one model, unpacked within bounds."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from bridge.detect import is_model
from bridge.errors import TooLarge, UnreadableFile
from bridge.limits import MEMORY, memory, shown

__all__ = ["copy", "is_packed", "own_folder", "unpacked"]

BLOCK = 2**20
MEMBERS = 100_000
"""The most files of an archive."""
COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""What opens files that begin with these bytes."""
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError),
    *(RuntimeError, NotImplementedError),
)

Member = tuple[str, int, Callable[[], IO[bytes]]]
"""Name, declared size and content of a file of an archive."""


def own_folder() -> Path:
    """A new empty folder that goes when the process ends."""
    return Path(tempfile.mkdtemp(dir=_folder().name))


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="bridge-", ignore_cleanup_errors=True)


def copy(content: IO[bytes], file: IO[bytes], left: list[int], what: str) -> None:
    """Copy a stream, taking its size from the bytes that are `left`. Raises TooLarge beyond them."""
    while block := content.read(BLOCK):
        left[0] -= len(block)
        if left[0] < 0:
            raise TooLarge(
                f"{what} holds more than the {shown(memory())} that are allowed.",
                f"Allow more with the environment variable {MEMORY}.",
            )
        file.write(block)


def is_packed(path: Path) -> bool:
    """True for a compressed file, a zip or a tar."""
    return _opener(path) is not None


def unpacked(path: Path) -> Path:
    """The model of an archive, or the file a compressed one holds. Raises UnreadableFile for what is damaged,
    leads out of its folder, or holds no model or several; TooLarge beyond what is allowed."""
    stat = path.stat()
    return _unpacked(path.resolve(), stat.st_size, stat.st_mtime_ns)


@functools.cache
def _unpacked(path: Path, size: int, changed: int) -> Path:
    opener, place = _opener(path), own_folder() / (path.name.removesuffix(path.suffix) or "model")
    assert opener is not None
    try:
        if opener is zipfile.ZipFile:
            with zipfile.ZipFile(path) as archive:
                return _model(_extracted(path, _of_zip(archive), place), path)
        if opener is tarfile.open or _holds_tar(path, opener):
            place = place.with_name(place.name.removesuffix(".tar"))
            with tarfile.open(path) as tar:
                return _model(_extracted(path, _of_tar(tar), place), path)
        with opener(path) as content, place.open("wb") as file:
            copy(content, file, [memory()], str(path))
        return place
    except DAMAGED as error:
        raise UnreadableFile(
            f"{path} cannot be unpacked: {error}.", "Is the file complete, and without a password?"
        ) from error


def _opener(path: Path) -> Callable[..., Any] | None:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return zipfile.ZipFile
    if _is_tar(head):
        return tarfile.open
    return next((opener for magic, opener in COMPRESSED.items() if head.startswith(magic)), None)


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _holds_tar(path: Path, opener: Callable[..., Any]) -> bool:
    with opener(path) as content:
        return _is_tar(content.read(512))


def _of_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        if info.header_offset < 0:
            raise zipfile.BadZipFile(f"{info.filename!r} begins before the archive")
        if not info.is_dir():
            yield info.filename, info.file_size, functools.partial(archive.open, info)


def _of_tar(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        if info.isfile():
            yield info.name, info.size, cast(Any, functools.partial(archive.extractfile, info))
        elif not info.isdir():
            raise UnreadableFile(f"The archive holds {info.name!r}, which is a link or a device.")


def _extracted(path: Path, members: Iterator[Member], folder: Path) -> Path:
    """The files of an archive in `folder`."""
    left = [memory()]
    folder.mkdir()
    for number, (name, size, content) in enumerate(members):
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or {"..", "\\", "\0"} & {*parts, *name}:
            raise UnreadableFile(f"{path} holds {name!r}, which leads out of its folder.")
        if number >= MEMBERS or size > left[0]:
            raise TooLarge(f"{path} holds more than the {shown(memory())} and {MEMBERS:,} files allowed.")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with content() as packed, target.open("xb") as file:
            copy(packed, file, left, str(path))
    return folder


def _model(folder: Path, archive: Path) -> Path:
    """The one model of what was unpacked: the folder, or what alone lies in it, at any depth."""
    place = folder
    while not is_model(place):
        inner = [p for p in sorted(place.iterdir()) if p.name[0] not in "._"] if place.is_dir() else []
        models = inner if len(inner) == 1 else [p for p in inner if is_model(p)]
        if len(models) != 1:
            names = ", ".join(p.relative_to(folder).as_posix() for p in models[:5])
            raise UnreadableFile(
                f"{archive} holds several models: {names}." if models else f"{archive} holds no model.",
                "Unpack it, and name the model in it.",
            )
        (place,) = models
    return place
