"""OpenVINO IR → hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.formats import Importer
from bridge.report import Blocker
from bridge_openvino import document
from bridge_openvino.document import Body, Layer, Net, Port, element_type
from bridge_openvino.import_ops import ops

ENDS = ("Parameter", "Const", "Result")


def load(path: str | Path) -> ir.Model:
    """Read an .xml with its .bin. Raises UnreadableFile for what is no IR, UnsupportedModel for operators
    without a rule."""
    net = document.read(path)
    blockers = list(_blockers(net))
    if blockers:
        raise UnsupportedModel(
            f"{path} cannot be read:", blockers, "Add a rule: plugins/README.md#one-operator"
        )
    facts = _facts(net)
    graph = ir.Graph([], [], nodes=[], name=net.name, opset_imports={"": hub.HUB_OPSET})
    reading = Reading(hub.Builder(graph), {})
    for layer in net.of_type("Parameter"):
        graph.inputs.append(reading.parameter(layer, facts.get("dims", {})))
    reading.fill(net)
    taken = {value.name for value in graph.inputs}
    for layer in net.of_type("Result"):
        port = layer.inputs[0]
        value = reading.builder.Identity(reading.values[port])
        value.name = next((n for n in (port.name, *port.others) if n not in taken), "") or layer.name
        taken.add(value.name)
        graph.outputs.append(value)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(facts.get("metadata", {}))
    return model


def _facts(net: Net) -> dict[str, Any]:
    """What bridge noted when it wrote the file: names of dimensions by input, metadata. Nothing where
    somebody else wrote it."""
    if not net.metadata:
        return {}
    facts = json.loads(net.metadata)
    texts = facts["metadata"]
    dims = facts["dims"]
    if not all(
        isinstance(t, str) for t in (*texts, *texts.values(), *(d for names in dims.values() for d in names))
    ):
        raise UnreadableFile("The file's rt_info/bridge is not what bridge writes.")
    return facts


def _blockers(net: Net) -> Iterator[Blocker]:
    for layer in net.layers:
        refusal = None if layer.type in ENDS else ops.refusal(layer.type, layer)
        if refusal:
            yield Blocker(layer.type, layer.name, "", refusal)
        elif layer.type == "Parameter" and "..." in layer.data.get("shape", "..."):
            yield Blocker(layer.type, layer.name, "", "needs a known rank")
        for body in layer.bodies.values():
            yield from _blockers(body.net)


def _described(value: ir.Value, port: Port) -> ir.Value:
    """What the hub cannot tell of a value, which is so for results of branches and loops, as the file says
    it."""
    if value.type is None and port.dtype is not None:
        value.type = ir.TensorType(port.dtype)
    if value.shape is None and port.dims is not None:
        value.shape = ir.Shape(port.dims)
    return value


class Reading:
    """A hub graph being filled from layers. Handlers get it in the place of the builder: it builds, and reads
    bodies."""

    def __init__(self, builder: hub.Builder, values: dict[Port, ir.Value]) -> None:
        self.builder = builder
        self.values = values

    def __getattr__(self, name: str) -> Any:
        return getattr(self.builder, name)

    def parameter(self, layer: Layer, names: dict[str, list[str]] | None = None) -> ir.Value:
        """A graph input; dimensions of any length are called as `names` says, or by their place."""
        port = layer.outputs[0]
        name = layer.name or port.name
        words = [w.strip() for w in layer.data.get("shape", "").split(",") if w.strip()]
        noted = (names or {}).get(name, [])
        dims = [
            int(w) if w.isdigit() else noted[i] if len(noted) == len(words) else None
            for i, w in enumerate(words)
        ]
        dtype = element_type(layer.data["element_type"])
        self.values[port] = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dims))
        return self.values[port]

    def fill(self, net: Net) -> None:
        """Append what the layers mean."""
        for layer in net.layers:
            if layer.type == "Const":
                self.values[layer.outputs[0]] = self._constant(layer)
            elif layer.type not in ENDS:
                self.builder.begin(layer.type, layer.name)
                inputs = [self.values[port] for port in layer.inputs]
                results = ops.find(layer.type, layer).handler(self, layer, *inputs)
                results = results if isinstance(results, tuple) else (results,)
                for port, value in zip(layer.outputs, results, strict=False):
                    if value is not None:
                        self.values[port] = _described(value, port)

    def _constant(self, layer: Layer) -> ir.Value:
        assert layer.array is not None
        dtype = element_type(layer.data["element_type"])
        return self.builder.const(ir.tensor(np.asarray(layer.array), dtype=dtype))

    def graph_of(
        self,
        body: Body,
        given: dict[int, ir.Value],
        inputs: list[int | None],
        results: list[int],
        squeezed: int | None = None,
    ) -> ir.Graph:
        """A body as a subgraph. `given` are values around for its parameters, `inputs` the parameters that
        stay inputs (None for one the body does not have: a step's number, then its condition), `results` its
        results in order; those from `squeezed` on lose the dimension they are stacked along."""
        graph = ir.Graph([], [], nodes=[], name="body", opset_imports={"": hub.HUB_OPSET})
        inner = Reading(hub.Builder(graph), {body.net.by_id[p].outputs[0]: v for p, v in given.items()})
        for place, number in enumerate(inputs):
            if number is not None:
                graph.inputs.append(inner.parameter(body.net.by_id[number]))
            else:
                dtype = ir.DataType.BOOL if place else ir.DataType.INT64
                graph.inputs.append(
                    ir.Value(name=f"unread{place}", type=ir.TensorType(dtype), shape=ir.Shape([]))
                )
        inner.fill(body.net)
        for place, number in enumerate(results):
            value = inner.values[body.net.by_id[number].inputs[0]]
            if place == 0 and inputs:
                value = inner.builder.Reshape(value, inner.builder.const(np.zeros(0, np.int64)))
            elif squeezed is not None and place >= squeezed:
                value = inner.builder.Squeeze(value, [0])
            graph.outputs.append(inner.builder.Identity(value))
        return graph


importer = Importer(load, table=ops)
