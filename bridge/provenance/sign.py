"""Signatures of model files by OpenSSF's model-signing, with a key: of every file of a model."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from bridge.errors import InvalidOption, InvalidSignature, MissingDependency, UnreadableFile
from bridge.load import reader
from bridge.output import atomic, require_free
from bridge.plugins import DISTRIBUTION
from bridge.provenance.record import files_of_model

__all__ = ["sign", "verify_signature"]

ALONE = ["."]
"""The names in the manifest of a signature of one file."""
CHANGED = re.compile(r"Hash mismatch for \\?'([^'\\]+)\\?'")
KEYS = (
    "Make a pair: openssl ecparam -genkey -name prime256v1 -noout -out key.pem && "
    "openssl ec -in key.pem -pubout -out key.pub"
)


def sign(
    model: str | Path,
    key: str | Path,
    signature: str | Path | None = None,
    *,
    password: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Sign a model file with an elliptic-curve private key in PEM: its bytes, those of the weights beside it,
    or of all files of its folder. The path of the signature is returned, a Sigstore bundle that
    `model_signing` reads too; `MODEL.sig` where none is given.

    Raises UnreadableFile where the model is none, InvalidOption for a key that is none, MissingDependency,
    DestinationExists, WriteFailed.
    """
    path, private = Path(model), _existing(key)
    target = Path(signature) if signature is not None else path.with_name(f"{path.name}.sig")
    require_free(target, overwrite)
    files = _files(path)
    signing = _part("signing")
    try:
        secret = None if password is None else password.encode()
        config = signing.Config().use_elliptic_key_signer(private_key=private, password=secret)
    except (ValueError, TypeError) as error:
        raise InvalidOption(f"{key} is no private key that signs: {_said(error)}.", KEYS) from error
    with atomic(target, overwrite) as temporary:
        if len(files) > 1 and not path.is_dir():
            config.set_hashing_config(_only(path.parent, files))
        config.sign(path, temporary)
    return target


def verify_signature(model: str | Path, key: str | Path, signature: str | Path | None = None) -> Path:
    """Check that a model is byte for byte the one that was signed with the private part of `key`, an
    elliptic-curve public key in PEM. The path of the signature is returned; `MODEL.sig` where none is given.

    Raises InvalidSignature for another model, another key, or a damaged signature; InvalidOption for a key
    that is none, UnreadableFile where the model or the signature is not there, MissingDependency.
    """
    path, public = Path(model), _existing(key)
    if not path.exists():
        reader(path)
    bundle = Path(signature) if signature is not None else path.with_name(f"{path.name}.sig")
    names = _signed(_existing(bundle))
    verifying = _part("verifying")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public)
    except (ValueError, TypeError) as error:
        raise InvalidOption(f"{key} is no public key: {_said(error)}.", KEYS) from error
    folder = path
    if not path.is_dir() and names != ALONE:
        if path.name not in names:
            raise InvalidSignature(
                f"{bundle} is no signature of {path.name}: it is one of {', '.join(names)}."
            )
        folder = path.parent
        config.set_ignore_unsigned_files(True)
    try:
        config.verify(folder, bundle)
    except Exception as error:  # whatever bytes there are in a bundle, cryptography says it in its own errors
        raise InvalidSignature(
            f"{path} is not what was signed in {bundle} with that key: {_told(error, path)}.",
            "Do not use the model.",
        ) from error
    return bundle


def _only(folder: Path, files: list[Path]) -> Any:
    """The hashing of some files of a folder."""

    class Files(_part("hashing").Config):  # type: ignore[misc]
        def hash(self, model_path: Any, **settings: Any) -> Any:
            return super().hash(folder, files_to_hash=files)

    return Files()


def _files(path: Path) -> list[Path]:
    """The files of a model. Raises UnreadableFile."""
    model = reader(path).read()
    base = path if path.is_dir() else path.parent
    return [base / name for name in files_of_model(path, model)]


def _existing(path: str | Path) -> Path:
    if not Path(path).exists():
        raise UnreadableFile(f"{path} does not exist.")
    return Path(path)


def _signed(bundle: Path) -> list[str]:
    """The names of the files that a signature is said to be of. Raises InvalidSignature."""
    try:
        payload = json.loads(bundle.read_bytes())["dsseEnvelope"]["payload"]
        return [str(r["name"]) for r in json.loads(base64.b64decode(payload))["predicate"]["resources"]]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InvalidSignature(f"{bundle} is no signature of a model.", "Is the file complete?") from error


def _told(error: Exception, path: Path) -> str:
    """The files that changed, or what else is wrong."""
    changed = [path.name if name == "." else name for name in CHANGED.findall(str(error))]
    return f"{', '.join(changed)} changed" if changed else _said(error)


def _said(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:200]


def _part(name: str) -> Any:
    """A module of model-signing. Raises MissingDependency."""
    try:
        import model_signing.hashing
        import model_signing.signing
        import model_signing.verifying
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"Signatures need the package 'model-signing', and {error.name!r} is not installed.",
            f"Install it with: pip install '{DISTRIBUTION}[signing]'",
        ) from error
    return getattr(model_signing, name)
