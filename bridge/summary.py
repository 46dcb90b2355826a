"""Summary of a model file."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bridge import hub
from bridge.load import reader
from bridge.ports import Port, port_of
from bridge.weightfile import FileTensor


@dataclass(frozen=True)
class Summary:
    """Format, interface, operators by count, bytes on disk, parameters and metadata of a model."""

    format: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: dict[str, int]
    bytes: int
    parameters: int
    metadata: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.format}, {self.bytes:,} bytes, {self.parameters:,} parameters"]
        lines += [f"  input   {port}" for port in self.inputs]
        lines += [f"  output  {port}" for port in self.outputs]
        lines += [f"  {count:>6} × {op}" for op, count in self.operators.items()]
        lines += [f"  {key}: {value}" for key, value in self.metadata.items()]
        return "\n".join(lines)


def inspect(
    path: str | Path, *, source: str | None = None, dims: dict[str, int] | None = None, **options: Any
) -> Summary:
    """Summary of a model file as the hub reads it, with lengths of symbolic dimensions by name, and those
    options of its importer. Raises what `load` raises."""
    read = reader(path, source, options, dims)
    model, here = read.read(), Path(read.source)
    counts = Counter(hub.qualified(node) for node in hub.all_nodes(model))
    weights = hub.weights(model)
    files = {here, *(w.file.path for w in weights if isinstance(w, FileTensor))}
    files |= set(here.rglob("*")) if here.is_dir() else set()
    return Summary(
        read.format.name,
        tuple(port_of(v) for v in model.graph.inputs),
        tuple(port_of(v) for v in model.graph.outputs),
        dict(counts.most_common()),
        sum(file.stat().st_size for file in files if file.is_file()),
        sum(tensor.size for tensor in weights),
        dict(model.metadata_props),
    )
