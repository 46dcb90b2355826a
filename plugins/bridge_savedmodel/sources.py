"""Sources other than a folder: Keras files and models, traced functions, frozen graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.errors import BridgeError, UnreadableFile
from bridge_savedmodel.reader import Source, read_folder, read_function, read_graph, split
from bridge_savedmodel.tensorflow import tensorflow

KERAS = (".keras", ".h5", ".hdf5")


def open_source(src: Any, signature: str | None, tags: str) -> Source:
    """The graph behind a path or a live object. Raises UnreadableFile."""
    if isinstance(src, (str, Path)):
        return _open_file(Path(src), signature, tags)
    tf = tensorflow()
    if isinstance(src, tf.types.experimental.ConcreteFunction):
        return read_function(src, "the function")
    if hasattr(src, "get_concrete_function"):
        return read_function(_concrete(src), "the function")
    return _keras_model(src, type(src).__name__)


def _open_file(path: Path, signature: str | None, tags: str) -> Source:
    if path.name == "saved_model.pb":
        return read_folder(path.parent, signature, tags)
    with path.open("rb") as file:
        head = file.read(8)
    if head[:2] == b"PK" or head == b"\x89HDF\r\n\x1a\n":
        return _keras_file(path)
    return read_graph(path)


def _keras_file(path: Path) -> Source:
    tensorflow()
    import keras

    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except BridgeError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnreadableFile(
            f"{path} cannot be loaded by Keras: {first}",
            "A model with custom layers: load it yourself and hand the model object to bridge.",
        ) from error
    return _keras_model(model, str(path))


def _keras_model(model: Any, what: str) -> Source:
    """A Keras model, traced for inference on its declared inputs."""
    tf = tensorflow()
    specs = _specs(tf, model)
    names = [spec.name for spec in tf.nest.flatten(specs)]

    def infer(*tensors: Any) -> Any:
        return model(tf.nest.pack_sequence_as(specs, list(tensors)), training=False)

    traced = tf.function(infer, autograph=False)
    function = traced.get_concrete_function(*tf.nest.flatten(specs))
    source = (
        _with_tables(tf, model, function, what)
        if _reads_tables(tf, function)
        else read_function(function, what)
    )
    source.inputs = [replace(port, name=name) for port, name in zip(source.inputs, names, strict=True)]
    outputs = getattr(model, "output_names", None)
    if outputs and len(outputs) == len(source.outputs) == len(set(outputs)):
        source.outputs = [
            replace(port, name=name) for port, name in zip(source.outputs, outputs, strict=True)
        ]
    return source


def _reads_tables(tf: Any, function: Any) -> bool:
    own = {id(v.handle) for v in function.graph.variables}
    return any(outer.dtype == tf.resource and id(outer) not in own for outer, _ in function.graph.captures)


def _with_tables(tf: Any, model: Any, function: Any, what: str) -> Source:
    """By way of a SavedModel, which says what is in the tables."""
    import tempfile

    holder = tf.Module()
    holder.model = model
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(holder, folder, signatures=function)
        source = read_folder(Path(folder), None, "serve")
        source.variables = {name: _kept(read()) for name, read in source.variables.items()}
    source.what = what
    traced = read_function(function, what)
    places = {split(p.tensor)[0].removeprefix("serving_default_"): p for p in source.inputs}
    source.inputs = [replace(p, tensor=places[p.name].tensor) for p in traced.inputs]
    return source


def _kept(array: Any) -> Any:
    return lambda: array


def _specs(tf: Any, model: Any) -> Any:
    declared = getattr(model, "inputs", None)
    if not declared:
        raise UnreadableFile(
            f"{type(model).__name__} has no declared inputs.", "Call it once, or build it, before converting."
        )
    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        structure = declared[0] if len(declared) == 1 else declared
    return tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype, t.name.split(":")[0]), structure)


def _concrete(function: Any) -> Any:
    """The only trace of a tf.function, or the one its signature describes."""
    try:
        return function.get_concrete_function()
    except Exception as error:
        raise UnreadableFile(
            f"The function has no one signature: {str(error).strip().splitlines()[0]}",
            "Hand over function.get_concrete_function(tf.TensorSpec(…)).",
        ) from error
