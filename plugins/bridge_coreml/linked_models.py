"""Linked models: models in files of their own beside the file that names them.

LinkedModel.proto: a link names a compiled model and its search path. The compiled format is undocumented, so
the model it was compiled from, `<stem>.mlpackage` or `<stem>.mlmodel`, is read instead.
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


def pipeline_models(message: Any) -> list[Any]:
    """Models of a pipeline; empty for any other model."""
    model_type = message.WhichOneof("Type")
    if model_type not in PIPELINES:
        return []
    pipeline = getattr(message, model_type)
    return list(pipeline.models if model_type == "pipeline" else pipeline.pipeline.models)


def resolve_links(file: File) -> None:
    """Replace every link by the model it names.

    Raises UnsupportedModel for a link whose model is not there, UnreadableFile for one that leads outside its
    folder or in a circle.
    """
    resolve(file, file.message, 0)


def resolve(file: File, message: Any, depth: int) -> None:
    if depth > DEPTH:
        raise UnreadableFile(f"{file.path}: models are linked, or nested, more than {DEPTH} deep.")
    if message.WhichOneof("Type") == "linkedModel":
        other = read(linked_path(file, message.linkedModel.linkedModelFile))
        resolve(other, other.message, depth + 1)
        adopt_weights(file, other)
        message.CopyFrom(other.message)
        return
    for step in pipeline_models(message):
        resolve(file, step, depth + 1)


def linked_path(file: File, link: Any) -> Path:
    """Path of the model that a link names, searched in the folder of the file and in those inside it that the
    link lists."""
    name = PurePosixPath(link.linkedModelFileName.defaultValue)
    folder = file.path.resolve().parent
    if str(name) in ("", ".", "..") or len(name.parts) != 1:
        raise UnreadableFile(f"{file.path} links to {str(name)!r}, which is no name of a model.")
    for search_path in (link.linkedModelSearchPath.defaultValue or ".").split(":"):
        if search_path.startswith("$"):
            continue
        for suffix in SUFFIXES:
            try:
                path = (folder / search_path / f"{name.stem}{suffix}").resolve()
                exists = path.exists() and path != file.path.resolve()
            except (OSError, ValueError) as error:
                raise UnreadableFile(f"{file.path} links to {str(name)!r}: {error}") from error
            if not path.is_relative_to(folder):
                raise UnreadableFile(f"{file.path} links to a model outside its folder: {search_path!r}.")
            if exists:
                return path
    raise UnsupportedModel(
        f"{file.path} links to {name}, a compiled model, which nothing outside Apple's systems can run.",
        [],
        f"Put the model it was compiled from, {name.stem}.mlmodel or {name.stem}.mlpackage, beside the file.",
    )


def adopt_weights(file: File, other: File) -> None:
    """Let `file` find the weights of `other`, whose folders get new names."""
    folders = {AUTHORITY: other.folder, **other.folders} if other.folder else other.folders
    renamed = {old: f"@linked{len(file.folders) + n}/" for n, old in enumerate(folders)}
    file.folders.update((renamed[old], folder) for old, folder in folders.items())
    for model in nested_models(other.message) if renamed else ():
        for function in model.mlProgram.functions.values() if model.HasField("mlProgram") else ():
            for block in function.block_specializations.values():
                for value in block_values(block):
                    if value.WhichOneof("value") == "blobFileValue":
                        authority, slash, inside = value.blobFileValue.fileName.partition("/")
                        value.blobFileValue.fileName = (
                            renamed.get(authority + slash, authority + slash) + inside
                        )


def nested_models(message: Any) -> Iterator[Any]:
    yield message
    for step in pipeline_models(message):
        yield from nested_models(step)


def block_values(block: Any) -> Iterator[Any]:
    """Every value of a block and of its inner blocks."""
    for operation in block.operations:
        yield from operation.attributes.values()
        for argument in operation.inputs.values():
            yield from (b.value for b in argument.arguments if b.HasField("value"))
        for inner in operation.blocks:
            yield from block_values(inner)
