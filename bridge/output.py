"""Output that appears whole or not at all, and replaces nothing but what it may."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from bridge.detect import is_model
from bridge.errors import DestinationExists, WriteFailed
from bridge.formats import Format

try:
    import fcntl
except ModuleNotFoundError:  # on Windows: no temporary folder is locked, and none is swept
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "Refusal",
    "atomic",
    "make_folder",
    "require_free",
    "require_space",
    "unless_arrays",
    "unless_file",
    "unless_model",
]

MARK = ".bridge-"
PROBE = 2**20
NO_REPLACE, EXCHANGE = 1, 2  # flags of renameat2(2)
AT_FDCWD = -100
UNTAKEN = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)

Refusal = Callable[[Path], str]
"""Why what stands at a path is not replaced, in words that follow its name; empty where it may be."""


@contextmanager
def atomic(path: Path, overwrite: bool, refusal: Refusal | None = None) -> Iterator[Path]:
    """A temporary path to write a file or folder to, of the name of `path` and on its disk; moved into place
    on success.

    Of a link, what it points to is written. Files that a writer puts next to its main file (external data,
    weights) move along. What is replaced is exchanged, so that the old or the new stands there at every
    moment. Temporary folders beside `path` whose process is dead are removed. Raises DestinationExists where
    something stands there and `overwrite` is not given, or `refusal` (without it: `unless_file`) speaks;
    WriteFailed for any error of the operating system, leaving nothing behind.
    """
    refusal, real = refusal or unless_file, Path(os.path.realpath(path))
    try:
        _sweep(real.parent)
        with _temporary_folder(real) as folder:
            yield folder / path.name
            with _turn(folder, real.parent):
                written = sorted(folder.iterdir(), key=lambda p: p.name == path.name)
                refusals = {item: refusal if item.name == path.name else unless_file for item in written}
                for item, refuse in refusals.items():
                    _require(path.with_name(item.name), overwrite, refuse)
                    _sync(item)
                for item, refuse in refusals.items():
                    _place(item, path.with_name(item.name), overwrite, refuse)
            _sync_folder(real.parent)
    except OSError as error:
        raise WriteFailed(
            f"{path} could not be written: {error.strerror or error}.", "Nothing was left behind."
        ) from error


def require_free(path: Path, overwrite: bool, refusal: Refusal | None = None) -> None:
    """Raise DestinationExists where `path` is taken and not to be replaced, WriteFailed where it names no
    file, or a folder that does not exist."""
    if path.name in ("", ".."):
        raise WriteFailed(f"{str(path)!r} names no file.", "Name the file to write.")
    _require(path, overwrite, refusal or unless_file)
    if not path.parent.is_dir():
        why = "is a file, not a folder" if path.parent.exists() else "does not exist: create it first"
        raise WriteFailed(f"{path} cannot be written: {path.parent} {why}.", "Or name another destination.")


def make_folder(path: Path) -> None:
    """Make a folder where none is yet. Raises WriteFailed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "a file is there" if isinstance(error, FileExistsError) else error.strerror
        raise WriteFailed(f"The folder {path} could not be made: {why}.", "Name another folder.") from error


def unless_file(place: Path) -> str:
    """The refusal of all but ordinary files."""
    if not place.exists():
        return f"is a link to {os.path.realpath(place)}, which does not exist"
    mode = place.stat().st_mode
    if stat.S_ISREG(mode):
        return ""
    return "is a folder" if stat.S_ISDIR(mode) else "is a device, a pipe or a socket"


def unless_arrays(place: Path) -> str:
    """The refusal of all but empty files and .npz files."""
    why = unless_file(place)
    if why or not place.stat().st_size:
        return why
    names = zipfile.ZipFile(place).namelist() if zipfile.is_zipfile(place) else []
    return "" if names and all(name.endswith(".npy") for name in names) else "is a file that holds no arrays"


def unless_model(fmt: Format) -> Refusal:
    """The refusal of all but empty files, files that hold a model, empty folders, and folders that are a
    model of the format and hold nothing else."""

    def refuse(place: Path) -> str:
        if not place.is_dir():
            why = unless_file(place)
            if why or not place.stat().st_size or is_model(place):
                return why
            return "is a file that holds no model bridge knows"
        files = [
            p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_symlink() or not p.is_dir()
        ]
        if not files and not fmt.folder:
            return f"is a folder, and a {fmt.title} model is a file"
        if files and not fmt.detect(place):
            return f"is a folder that is no {fmt.title} model"
        strange = next((f for f in files if not any(fnmatch(f, pattern) for pattern in fmt.folder)), None)
        return f"is a folder that holds {strange} beside a model" if strange else ""

    return refuse


def _require(place: Path, overwrite: bool, refusal: Refusal) -> None:
    """Raise DestinationExists for a place that is taken and not to be replaced."""
    if not os.path.lexists(place):
        return
    if why := refusal(place):
        raise DestinationExists(
            f"{place} {why}: it is not replaced.", "Name another destination, or remove it yourself first."
        )
    if not overwrite:
        raise DestinationExists(
            f"{place} exists already.", "Pass overwrite=True (--overwrite) to replace it."
        )


def _place(item: Path, place: Path, overwrite: bool, refusal: Refusal) -> None:
    """Move `item` to `place`, or to where the link there points. What stood there takes the place of `item`,
    and goes back where it may not be replaced after all."""
    real = Path(os.path.realpath(place))
    try:
        _move_to_free(item, real)
    except FileExistsError:
        _require(place, overwrite, refusal)
        _exchange(item, real)
        try:
            _require(item, overwrite, refusal)
        except DestinationExists:
            _exchange(item, real)
            raise


def _move_to_free(item: Path, place: Path) -> None:
    """Move a file or folder where nothing is, in one step. Raises FileExistsError."""
    if _rename(item, place, NO_REPLACE):
        return
    if item.is_dir():
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
        item.rename(place)
    else:
        os.link(item, place)
        item.unlink()


def _exchange(item: Path, place: Path) -> None:
    """Exchange two files or folders, in one step where the system has one. Elsewhere a file is replaced, and
    of a folder the old one stands beside it for a moment."""
    if _rename(item, place, EXCHANGE):
        return
    if item.is_file() and place.is_file():
        item.replace(place)
        return
    aside = place.with_name(f"{place.name}.old")
    place.rename(aside)
    item.rename(place)
    aside.rename(item)


def _rename(item: Path, place: Path, flag: int) -> bool:
    """True if renameat2(2) did it, False where the system or the disk does not have the call. Raises
    OSError."""
    call = _renameat2()
    if call is None:
        return False
    if call(AT_FDCWD, os.fsencode(item), AT_FDCWD, os.fsencode(place), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNTAKEN:
        return False
    raise OSError(code, os.strerror(code), str(item), None, str(place))


@cache
def _renameat2() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return None


@contextmanager
def _temporary_folder(real: Path) -> Iterator[Path]:
    """A folder beside `real` that is locked while it is used, removed at the end."""
    folder: Path | None = None
    lock = None
    try:
        while folder is None or lock is None:
            with suppress(FileExistsError):
                folder = real.with_name(f".{real.name[:200]}{MARK}{secrets.token_hex(4)}")
                folder.mkdir(mode=0o700)
                lock = _lock(folder)
        yield folder
    finally:
        try:
            _remove(folder)
        finally:  # a signal may have come meanwhile
            _remove(folder)
        if lock is not None:
            os.close(lock)


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove the temporary folders in `parent` that no living process holds."""
    if fcntl is None:
        return
    for folder in parent.glob(f".*{MARK}????????"):
        with suppress(OSError):
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder; None where another has it, or the folder is gone."""
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


@contextmanager
def _turn(folder: Path, parent: Path) -> Iterator[None]:
    """The time in which this process alone moves files into `parent`, where there are several of them to
    move together."""
    if fcntl is None or len(list(folder.iterdir())) < 2:
        yield
        return
    descriptor = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def require_space(folder: Path) -> None:
    """Raise OSError where no file of `folder` can grow."""
    largest = max((p.stat().st_size for p in folder.rglob("*") if p.is_file()), default=0)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, largest + PROBE)
        else:
            file.write(bytes(PROBE))


def _sync(item: Path) -> None:
    for file in [item] if item.is_file() else [f for f in item.rglob("*") if f.is_file()]:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
