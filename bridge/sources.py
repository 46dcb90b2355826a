"""Places a model is read from: a path, standard input, an address, an archive. Each becomes a path here."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urldefrag, urlparse

from bridge.archives import copy, is_packed, own_folder, unpacked
from bridge.detect import has_suffix, is_model, of_source
from bridge.digests import sha256_of
from bridge.errors import BridgeError, MissingDependency, UnreadableFile
from bridge.formats import Format
from bridge.limits import memory
from bridge.plugins import DISTRIBUTION

__all__ = ["CACHE", "found"]

LOGGER = logging.getLogger("bridge")
CACHE = "BRIDGE_CACHE"
"""The environment variable of the folder that keeps what was fetched; without it, that is `bridge` in the
user's cache."""
STANDARD_INPUT = "-"
VERSIONS = ("ETag", "etag", "Last-Modified", "LastModified", "mtime", "size")
"""What file systems tell of a file that changes with it."""


def found(src: Any, name: str | None = None) -> tuple[Any, Format]:
    """The path here, or the object, that `src` stands for, and its format: as named, else by its content.

    `-` is standard input. An address (https://, hf://, s3:// and what else fsspec knows) is fetched once and
    kept with its digest; one that ends in #sha256=… is held to it. A compressed file, or an archive that
    holds one model, is unpacked within the memory that is allowed, and goes when the process ends.

    Raises UnreadableFile, UnknownFormat, MissingDependency, TooLarge.
    """
    if not isinstance(src, (str, Path)):
        return src, of_source(src, name)
    here: str | Path = src
    if str(src) == STANDARD_INPUT:
        here = _standard_input()
    elif _is_address(str(src)):
        here = _fetched(str(src))
    path = Path(here)
    if path.is_file() and not has_suffix(path) and is_packed(path) and not is_model(path):
        here = unpacked(path)
    return here, of_source(here, name)


def _is_address(text: str) -> bool:
    """True for text that begins with a scheme, longer than the letter of a drive."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and len(scheme) > 1 and scheme.replace("+", "").isalnum()


@functools.cache
def _standard_input() -> Path:
    """Standard input, as a file."""
    path = own_folder() / "stdin"
    with path.open("wb") as file:
        copy(sys.stdin.buffer, file, [memory()], "Standard input")
    if not path.stat().st_size:
        raise UnreadableFile("Standard input is empty.", "Hand a model to it: bridge convert - … < FILE")
    return path


def _fetched(address: str) -> Path:
    """The file or folder of an address, fetched unless the same one is kept already."""
    url, pinned = urldefrag(address)
    system, remote = _file_system(url)
    try:
        info = system.info(remote)
        kept = _cache() / hashlib.sha256(f"{url}\n{_version(info)}".encode()).hexdigest()
        path = kept / (PurePosixPath(unquote(urlparse(remote).path)).name or "model")
        digest = _kept_digest(kept, path) or _fetch(system, info, remote, kept, path)
    except BridgeError:
        raise
    except Exception as error:  # each file system raises its own
        said = type(error).__name__ if str(error) in ("", url) else error
        raise UnreadableFile(
            f"{url} could not be read: {said}.", "Is the address right, and can it be reached from here?"
        ) from error
    LOGGER.info("%s has the digest sha256=%s", url, digest)
    if pinned and pinned.lower().removeprefix("sha256=") != digest:
        raise UnreadableFile(
            f"{url} has the digest sha256={digest}, not {pinned}.", "It is not the file that was meant."
        )
    return path


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path there."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise MissingDependency(
            f"Reading {url} needs a package that is not installed: {error.name or error}.",
            f"Install what is needed with: pip install '{DISTRIBUTION}[remote]'",
        ) from error
    except ValueError as error:
        raise UnreadableFile(f"{url} cannot be read: {error}.", "Fetch it yourself.") from error


def _version(info: dict[str, Any]) -> str:
    """Text that tells the content of an address today from tomorrow's; a new one where nothing does."""
    told = {key: str(info[key]) for key in VERSIONS if info.get(key)}
    return json.dumps(told, sort_keys=True) if told.keys() - {"size"} else os.urandom(16).hex()


def _cache() -> Path:
    own = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE) or Path(own) / "bridge")


def _kept_digest(kept: Path, path: Path) -> str:
    """The digest of what was fetched, if it is there as it was fetched; empty where it is not."""
    note = kept / "digest"
    digest = _digest(path) if note.is_file() and path.exists() else ""
    return digest if digest and note.read_text() == digest else ""


def _fetch(system: Any, info: dict[str, Any], remote: str, kept: Path, path: Path) -> str:
    """Fetch a file or folder into `kept`, whole or not at all; its digest."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        part = Path(folder) / "part"
        part.mkdir()
        if info["type"] == "directory":
            system.get(remote, str(part / path.name), recursive=True)
        else:
            system.get_file(remote, str(part / path.name))
        digest = _digest(part / path.name)
        (part / "digest").write_text(digest)
        shutil.rmtree(kept, ignore_errors=True)
        part.rename(kept)
    return digest


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's files."""
    if path.is_file():
        return sha256_of(path)
    whole = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        whole.update(f"{file.relative_to(path).as_posix()}\n{_digest(file)}\n".encode())
    return whole.hexdigest()
