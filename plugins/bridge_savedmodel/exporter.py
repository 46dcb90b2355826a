"""Hub → SavedModel folder: the graph traced as a function, by export_ops, and saved with one signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge.formats import LABELS, Exporter, Option
from bridge.passes.names import callable_names
from bridge.quantize.standard import LAYER_WEIGHTS
from bridge.report import Report
from bridge_savedmodel.contents import contents
from bridge_savedmodel.export_ops import ops
from bridge_savedmodel.graph import VALUES, Graph
from bridge_savedmodel.legalize import passes
from bridge_savedmodel.repeatable import rename_keys, renumber_functions, write_fingerprint
from bridge_savedmodel.tensorflow import dtype_of, tensorflow

SIGNATURE = "serving_default"
FACTS_KEY = "bridge"


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a legal hub model: one function, its weights as variables or constants, one signature with the
    hub's names."""
    tf = tensorflow()
    graph = Graph()
    if options["weights"] == "variables":
        graph.make_variables(model)
    inputs = sorted(model.graph.inputs, key=lambda v: v.name or "")
    specs = [_tensor_spec(tf, v, input_name(n)) for n, v in enumerate(inputs)]

    def traced(*tensors: Any) -> dict[str, Any]:
        graph.values.update(zip(inputs, tensors, strict=True))
        results = graph.fill(model.graph)
        return {v.name or "": tf.identity(t) for v, t in zip(model.graph.outputs, results, strict=True)}

    module = tf.Module()
    function = tf.function(traced, autograph=False).get_concrete_function(*specs)
    module.weights, module.tables = list(graph.variables.values()), graph.tables
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: function})
    _restore_names(model, path)
    given = callable_names(v.name or "" for v in model.graph.inputs)
    report.notes.extend(f"The input {old} is called {new}." for old, new in given.items() if old != new)


def input_name(index: int) -> str:
    """The name of an input during tracing. TensorFlow sorts arguments by name, so these sort in the hub's
    order."""
    return f"i{index:06}"


def _tensor_spec(tf: Any, value: ir.Value, name: str) -> Any:
    assert value.dtype is not None
    dims = None if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
    return tf.TensorSpec(dims, dtype_of(value.dtype), name)


def _restore_names(model: ir.Model, path: Path) -> None:
    """Give inputs the hub's names, which a Python function cannot take, and record what a SavedModel cannot
    hold: their order, symbolic dimensions, and the model's provenance."""
    saved = _message(path)
    meta = saved.meta_graphs[0]
    renumber_functions(meta)
    given = callable_names(v.name or "" for v in model.graph.inputs)
    inputs = {input_name(n): given[name] for n, name in enumerate(sorted(given))}
    signature = meta.signature_def[SIGNATURE]
    rename_keys(signature.inputs, inputs)
    for node in meta.object_graph_def.nodes:
        if node.WhichOneof("kind") == "bare_concrete_function":
            bare = node.bare_concrete_function
            bare.argument_keywords[:] = [inputs.get(k, k) for k in bare.argument_keywords]
            arguments = bare.function_spec.fullargspec.named_tuple_value.values
            for pair in arguments:
                for each in pair.value.list_value.values:
                    each.string_value = inputs.get(each.string_value, each.string_value)
            function = meta.object_graph_def.concrete_functions[bare.concrete_function_name]
            keywords = function.canonicalized_input_signature.tuple_value.values[1].dict_value.fields
            rename_keys(keywords, inputs)
    facts = {
        "inputs": [_port_facts(v) | {"name": given[v.name or ""]} for v in model.graph.inputs],
        "outputs": [_port_facts(v) for v in model.graph.outputs],
        "metadata": dict(model.metadata_props),
    }
    meta.collection_def[FACTS_KEY].bytes_list.value.append(json.dumps(facts).encode())
    _save(saved, path)


def annotate(path: Path, entries: Mapping[str, str]) -> None:
    """Put other texts in the place of metadata entries of a folder."""
    saved = _message(path)
    held = saved.meta_graphs[0].collection_def[FACTS_KEY].bytes_list.value
    facts = json.loads(held[0])
    facts["metadata"].update({key: entries[key] for key in entries.keys() & facts["metadata"].keys()})
    held[0] = json.dumps(facts).encode()
    _save(saved, path)


def _message(path: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())


def _save(saved: Any, path: Path) -> None:
    """Write the message of a folder, and its fingerprint."""
    (path / "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))
    write_fingerprint(path)


def _port_facts(value: ir.Value) -> dict[str, Any]:
    dims = None if value.shape is None else [d if isinstance(d, int) else str(d.value) for d in value.shape]
    return {"name": value.name, "shape": dims}


exporter = Exporter(
    table=ops,
    legalize=passes,
    write=write,
    value_need=VALUES,
    annotate=annotate,
    written=contents,
    schemes=lambda options: {"int8-weights": LAYER_WEIGHTS},
    options=(
        Option(
            "weights",
            "what weights become: variables, which can be trained further, or constants",
            "variables",
            str,
            ("variables", "constants"),
        ),
        LABELS,
    ),
)
