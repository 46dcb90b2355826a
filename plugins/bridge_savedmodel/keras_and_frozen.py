"""Sources other than a folder: Keras files and models, traced functions, frozen graphs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile, first_line
from bridge_savedmodel.keras_tracing import varying_lengths
from bridge_savedmodel.reader import Source, output_names, read_folder, read_function, read_graph, split
from bridge_savedmodel.tensorflow import tensorflow

KERAS = (".keras", ".h5", ".hdf5")


def open_source(src: Any, signature: str | None, tags: str) -> Source:
    """The graph of a path or a live object. Raises UnreadableFile."""
    if isinstance(src, (str, Path)):
        return _open_file(Path(src), signature, tags)
    tf = tensorflow()
    if isinstance(src, tf.types.experimental.ConcreteFunction):
        return read_function(src, "the function")
    if hasattr(src, "get_concrete_function"):
        return read_function(_concrete_function(src), "the function")
    return _keras_model(src, type(src).__name__)


def _open_file(path: Path, signature: str | None, tags: str) -> Source:
    if path.name == "saved_model.pb":
        return read_folder(path.parent, signature, tags)
    with path.open("rb") as file:
        head = file.read(8)
    if head[:2] == b"PK" or head == b"\x89HDF\r\n\x1a\n":
        return _keras_model(load_keras(path), str(path))
    return read_graph(path)


def load_keras(path: Path) -> Any:
    """The model of a Keras file, loaded without running code from the file. Raises UnreadableFile."""
    try:
        tensorflow()
        import keras
    except ModuleNotFoundError as error:
        error.add_note("Keras, which comes with it, reads .keras and .h5 files.")
        raise
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UnreadableFile(
            f"{path} cannot be loaded by Keras: {first_line(error)}",
            "A model with custom layers: load it yourself and hand the model object to bridge.",
        ) from error


def trace_keras(model: Any) -> tuple[Any, list[str], list[str]]:
    """A Keras model as a function traced for inference, the names of its inputs and those of its outputs."""
    tf = tensorflow()
    specs = keras_specs(tf, model)
    leaves = tf.nest.flatten(specs)

    def infer(*tensors: Any) -> Any:
        return model(tf.nest.pack_sequence_as(specs, list(tensors)), training=False)

    with varying_lengths():
        function = tf.function(infer, autograph=False).get_concrete_function(*leaves)
    names = output_names(function, getattr(model, "output_names", None) or ())
    return function, [leaf.name for leaf in leaves], names


def _keras_model(model: Any, what: str) -> Source:
    function, inputs, outputs = trace_keras(model)
    source = (
        _source_from_export(model, what)
        if _reads_tables(tensorflow(), function)
        else read_function(function, what)
    )
    if len(source.inputs) == len(inputs):
        by_name = {p.name: p for p in source.inputs}
        ports = [by_name[n] for n in inputs] if set(inputs) == set(by_name) else source.inputs
        source.inputs = [replace(p, name=n) for p, n in zip(ports, inputs, strict=True)]
    source.outputs = [replace(p, name=n) for p, n in zip(source.outputs, outputs, strict=True)]
    return source


def call_file(path: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    """Outputs of a Keras file or a frozen graph for arrays by input name."""
    tf = tensorflow()
    if path.suffix.lower() in KERAS:
        model = load_keras(path)
        function, inputs, outputs = trace_keras(model)
        specs = keras_specs(tf, model)
        tensors = [tf.constant(arrays[name]) for name in inputs]
        results = model(tf.nest.pack_sequence_as(specs, tensors), training=False)
        return dict(zip(outputs, tf.nest.flatten(results), strict=True))
    source = read_graph(path)
    inputs, outputs = [p.name for p in source.inputs], [p.name for p in source.outputs]
    function = _frozen_function(tf, path, source)
    results = function(*(tf.constant(arrays[n]) for n in inputs))
    return dict(zip(outputs, tf.nest.flatten(results), strict=True))


def _frozen_function(tf: Any, path: Path, source: Source) -> Any:
    """The frozen graph as a function of its inputs."""
    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    function = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    feeds, fetches = (
        [f"{split(p.tensor)[0]}:{split(p.tensor)[1]}" for p in ports]
        for ports in (source.inputs, source.outputs)
    )
    return function.prune(feeds, fetches)


def _reads_tables(tf: Any, function: Any) -> bool:
    handles = {id(v.handle) for v in function.graph.variables}
    return any(
        outer.dtype == tf.resource and id(outer) not in handles for outer, _ in function.graph.captures
    )


def _source_from_export(model: Any, what: str) -> Source:
    """The model exported to a SavedModel first, which contains the contents of tables."""
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        source = read_folder(Path(folder), None, "serve")
        source.variables = {name: _return_array(np.array(read())) for name, read in source.variables.items()}
    source.what = what
    return source


def _return_array(array: Any) -> Any:
    return lambda: array


def keras_specs(tf: Any, model: Any) -> Any:
    declared = getattr(model, "inputs", None)
    if not declared:
        raise UnreadableFile(
            f"{type(model).__name__} has no declared inputs.", "Call it once, or build it, before converting."
        )
    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        structure = declared[0] if len(declared) == 1 else declared
    return tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype, t.name.split(":")[0]), structure)


def _concrete_function(function: Any) -> Any:
    """The only trace of a tf.function, or the one that its input signature describes."""
    try:
        return function.get_concrete_function()
    except Exception as error:
        raise UnreadableFile(
            f"The function has no one signature: {first_line(error)}",
            "Hand over function.get_concrete_function(tf.TensorSpec(…)).",
        ) from error
