"""Models that stand in a file of their own, beside the one that names them.

LinkedModel.proto: a link names a compiled model and where to look for it. What a compiled model holds is
Apple's secret, so the model it was compiled from, `<stem>.mlpackage` or `<stem>.mlmodel`, is read in its
place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from bridge.errors import UnreadableFile, UnsupportedModel
from bridge_coreml.reader import AUTHORITY, File, read

DEPTH = 8
SUFFIXES = (".mlpackage", ".mlmodel")
PIPELINES = ("pipeline", "pipelineClassifier", "pipelineRegressor")


def steps(message: Any) -> list[Any]:
    """The models of a pipeline; none of anything else."""
    kind = message.WhichOneof("Type")
    if kind not in PIPELINES:
        return []
    held = getattr(message, kind)
    return list(held.models if kind == "pipeline" else held.pipeline.models)


def follow(file: File) -> None:
    """Put every model that is linked to in the place of its link.

    Raises UnsupportedModel for a link whose model is not there, UnreadableFile for one that leads outside its
    folder or in a circle.
    """
    _follow(file, file.message, 0)


def _follow(file: File, message: Any, depth: int) -> None:
    if depth > DEPTH:
        raise UnreadableFile(f"{file.path}: models are linked, or nested, more than {DEPTH} deep.")
    if message.WhichOneof("Type") == "linkedModel":
        other = read(_place(file, message.linkedModel.linkedModelFile))
        _follow(other, other.message, depth + 1)
        _adopt(file, other)
        message.CopyFrom(other.message)
        return
    for step in steps(message):
        _follow(file, step, depth + 1)


def _place(file: File, link: Any) -> Path:
    """The model a link names. Looked for in the folder of the file, and in those inside it that the link
    lists."""
    name = PurePosixPath(link.linkedModelFileName.defaultValue)
    around = file.path.resolve().parent
    if str(name) in ("", ".", "..") or len(name.parts) != 1:
        raise UnreadableFile(f"{file.path} links to {str(name)!r}, which is no name of a model.")
    for listed in (link.linkedModelSearchPath.defaultValue or ".").split(":"):
        if listed.startswith("$"):
            continue
        for suffix in SUFFIXES:
            try:
                place = (around / listed / f"{name.stem}{suffix}").resolve()
                there = place.exists() and place != file.path.resolve()
            except (OSError, ValueError) as error:
                raise UnreadableFile(f"{file.path} links to {str(name)!r}: {error}") from error
            if not place.is_relative_to(around):
                raise UnreadableFile(f"{file.path} links to a model outside its folder: {listed!r}.")
            if there:
                return place
    raise UnsupportedModel(
        f"{file.path} links to {name}, a compiled model, which nothing outside Apple's systems can run.",
        [],
        f"Put the model it was compiled from, {name.stem}.mlmodel or {name.stem}.mlpackage, beside the file.",
    )


def _adopt(file: File, other: File) -> None:
    """Have `file` find the weights of `other`, whose folders go by names of their own from here on."""
    folders = {AUTHORITY: other.folder, **other.folders} if other.folder else other.folders
    renamed = {old: f"@linked{len(file.folders) + n}/" for n, old in enumerate(folders)}
    file.folders.update((renamed[old], folder) for old, folder in folders.items())
    for model in _models(other.message) if renamed else ():
        for function in model.mlProgram.functions.values() if model.HasField("mlProgram") else ():
            for block in function.block_specializations.values():
                for value in _values(block):
                    if value.WhichOneof("value") == "blobFileValue":
                        authority, slash, inside = value.blobFileValue.fileName.partition("/")
                        value.blobFileValue.fileName = (
                            renamed.get(authority + slash, authority + slash) + inside
                        )


def _models(message: Any) -> Iterator[Any]:
    yield message
    for step in steps(message):
        yield from _models(step)


def _values(block: Any) -> Iterator[Any]:
    """Every value a block holds."""
    for operation in block.operations:
        yield from operation.attributes.values()
        for argument in operation.inputs.values():
            yield from (b.value for b in argument.arguments if b.HasField("value"))
        for inner in operation.blocks:
            yield from _values(inner)
