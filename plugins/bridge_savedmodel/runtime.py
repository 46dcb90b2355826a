"""SavedModels in TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput, UnreadableFile
from bridge.formats import Runtime
from bridge.passes.names import callable_names
from bridge.ports import Port
from bridge.runtime import Outputs, Session
from bridge.stored import restored
from bridge_savedmodel.importer import written_variables
from bridge_savedmodel.keras_and_frozen import call_file
from bridge_savedmodel.reader import read_message, signature_key
from bridge_savedmodel.tensorflow import FILES, tensorflow
from bridge_savedmodel.variables import NEXT


class TensorFlowSession(Session):
    """A signature of a SavedModel: the one named, serving_default, or the only one.

    Raises UnreadableFile, or ExecutionFailed with TensorFlow's message.
    """

    def __init__(self, path: Path, signature: str | None = None) -> None:
        tf = tensorflow()
        if not any((path / name).is_file() for name in FILES):
            raise UnreadableFile(f"{path} is not a SavedModel: there is no file saved_model.pb in it.")
        try:
            # TensorFlow drops the variables of a module nobody holds
            self.loaded = tf.saved_model.load(str(path))
            self.function = self.loaded.signatures[signature_key(list(self.loaded.signatures), signature)]
            self.held = _written_variables(self.function, written_variables(path, signature))
        except UnreadableFile:
            raise
        except Exception as error:
            raise ExecutionFailed(f"TensorFlow: {_error_text(error)}") from error
        self.engine = f"TensorFlow {tf.__version__}"
        written = written_facts(path)
        self.order = [output["name"] for output in written.get("outputs", ())]
        self.metadata: dict[str, str] = written.get("metadata", {})
        self.specs = self.function.structured_input_signature[1]
        self.initial = {name: variable.numpy() for name, variable in self.held.items()}
        self.inputs = tuple(_port_of_spec(name, spec) for name, spec in self.specs.items())
        results = self.function.structured_outputs
        self.outputs = (
            tuple(_port_of_spec(n, s) for n, s in results.items()) if isinstance(results, dict) else ()
        )

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Run the signature. Variables without an input begin at their stored values.

        Raises InvalidInput for names, dtypes or shapes that the signature does not take, ExecutionFailed with
        TensorFlow's message.
        """
        tf, tensors = tensorflow(), self.tensors(inputs)
        try:
            for name, variable in self.held.items():
                variable.assign(inputs.get(name, self.initial[name]))
            results = self.function(**tensors)
            values = {name: _to_numpy(value) for name, value in _components(tf, results)}
            values |= {f"{name}{NEXT}": _to_numpy(variable) for name, variable in self.held.items()}
        except Exception as error:
            raise ExecutionFailed(f"TensorFlow: {_error_text(error)}") from error
        ordered = [n for n in self.order if n in values]
        values = {n: values[n] for n in [*ordered, *(n for n in values if n not in ordered)]}
        return Outputs(restored(values, self.metadata), self.engine)

    def tensors(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Tensors that the signature takes, by the names of its arguments. Raises InvalidInput."""
        given = callable_names(n for n in inputs if n not in self.held)
        if set(given) != set(self.specs):
            inputs = {given.get(n, n): v for n, v in inputs.items()}
        tf, own = tensorflow(), {n: v for n, v in inputs.items() if n not in self.held}
        return _tensors(tf, self.specs, _serialized(tf, self.specs, own))


class FileSession(Session):
    """A Keras file, or a frozen graph."""

    def __init__(self, path: Path) -> None:
        self.path, self.engine = path, f"TensorFlow {tensorflow().__version__}"

    def run(self, inputs: dict[str, Any]) -> Outputs:
        try:
            results = call_file(self.path, inputs)
            values = {name: _to_numpy(value) for name, value in results.items()}
        except UnreadableFile:
            raise
        except KeyError as error:
            raise InvalidInput(f"The model has an input {error} that is missing.") from error
        except Exception as error:
            raise ExecutionFailed(f"TensorFlow: {_error_text(error)}") from error
        return Outputs(values, self.engine)


def open_session(path: Path, signature: str | None = None) -> Session:
    """A session of a folder, of the saved_model.pb in one, or of a file. Raises UnreadableFile,
    ExecutionFailed."""
    path = path.parent if path.name in FILES else path
    return FileSession(path) if path.is_file() else TensorFlowSession(path, signature)


def _port_of_spec(name: str, spec: Any) -> Port:
    dims = getattr(spec, "shape", None)
    shape = None
    if dims is not None and dims.rank is not None:
        shape = tuple("?" if d is None else int(d) for d in dims)
    return Port(name, getattr(getattr(spec, "dtype", None), "name", ""), shape)


runtime = Runtime(open_session, ("signature",))


def _components(tf: Any, results: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Tensors, and the components of sparse and ragged ones, under the names their inputs would have."""
    for name, value in results.items():
        if isinstance(value, tf.SparseTensor):
            fields = ("indices", "values", "dense_shape")
            yield from ((f"{name}_{part}", getattr(value, part)) for part in fields)
        elif isinstance(value, tf.RaggedTensor):
            components = tf.nest.flatten(value, expand_composites=True)
            yield from ((f"{name}_component_{n}", part) for n, part in enumerate(components))
        else:
            yield name, value


def _serialized(tf: Any, specs: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """Features by name as tf.Example messages, if the only input of the signature is such messages."""
    name, spec = next(iter(specs.items()), ("", None))
    if len(specs) != 1 or name in inputs or not inputs or getattr(spec, "dtype", None) != tf.string:
        return inputs
    rows = [
        tf.train.Example(features=tf.train.Features(feature={n: _feature(tf, v) for n, v in row.items()}))
        for row in _feature_rows(inputs)
    ]
    return {name: np.array([r.SerializeToString() for r in rows], object)}


def _feature_rows(inputs: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    """The features of each row; of a sparse feature its values there."""
    sparse = {n.removesuffix("/indices") for n in inputs if n.endswith("/indices")}
    components = {f"{n}/{part}" for n in sparse for part in ("indices", "values", "shape")}
    dense = {n: np.asarray(v) for n, v in inputs.items() if n not in components}
    count = len(next(iter(dense.values()))) if dense else int(inputs[f"{min(sparse)}/shape"][0])
    return [
        {n: v[row] for n, v in dense.items()}
        | {n: np.asarray(inputs[f"{n}/values"])[inputs[f"{n}/indices"][:, 0] == row] for n in sparse}
        for row in range(count)
    ]


def _feature(tf: Any, array: np.ndarray) -> Any:
    flat = np.asarray(array).reshape(-1)
    if flat.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
    if flat.dtype.kind in "iu":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=flat))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[str(v).encode() for v in flat]))


def _written_variables(function: Any, written: dict[str, tuple[str, int | None]]) -> dict[str, Any]:
    """Variables by the names of their inputs: found by index among the captured resources, else by name."""
    by_name = {v.name.split(":")[0]: v for v in function.variables}
    by_handle = {id(v.handle): v for v in function.variables}
    captured = [by_handle.get(id(t)) for t in function.captured_inputs if id(t) in by_handle]
    variables = {
        name: captured[index] if index is not None and index < len(captured) else by_name.get(own)
        for name, (own, index) in written.items()
    }
    return {name: variable for name, variable in variables.items() if variable is not None}


def written_facts(path: Path) -> dict[str, Any]:
    """Inputs, outputs in their order, and metadata, as bridge keeps them; empty if another tool wrote the
    file."""
    if not (path / "saved_model.pb").is_file():
        return {}
    collection = read_message(path)[0].meta_graphs[0].collection_def
    if "bridge" not in collection:
        return {}
    return json.loads(collection["bridge"].bytes_list.value[0])


def _tensors(tf: Any, specs: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    missing, extra = [n for n in specs if n not in inputs], [n for n in inputs if n not in specs]
    if missing or extra:
        problems = [f"missing: {', '.join(missing)}"] * bool(missing)
        problems += [f"unknown: {', '.join(extra)}"] * bool(extra)
        raise InvalidInput(f"The model's inputs are {', '.join(specs) or 'none'}; {'; '.join(problems)}")
    tensors = {}
    for name, spec in specs.items():
        array = np.asarray(inputs[name])
        if spec.dtype == tf.string:
            array = np.vectorize(lambda v: v if isinstance(v, bytes) else str(v).encode(), otypes=[object])(
                array
            )
        elif array.dtype != spec.dtype.as_numpy_dtype:
            raise InvalidInput(f"Input {name} takes {spec.dtype.name}, not {array.dtype}.")
        if not spec.shape.is_compatible_with(array.shape):
            raise InvalidInput(f"Input {name} takes shape {spec.shape}, not {list(array.shape)}.")
        tensors[name] = tf.constant(array, spec.dtype)
    return tensors


def _to_numpy(tensor: Any) -> np.ndarray:
    array = np.asarray(tensor.numpy())
    if array.dtype.kind in "OS":
        return np.vectorize(lambda v: v.decode() if isinstance(v, bytes) else v, otypes=[object])(array)
    return array


def _error_text(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return " ".join(lines[:6]) or type(error).__name__
