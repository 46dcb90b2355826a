"""What a model file holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Port:
    """An input or output: its name, dtype, and dimensions (numbers, or names of symbolic ones)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None

    def __str__(self) -> str:
        dims = "?" if self.shape is None else ",".join(map(str, self.shape))
        return f"{self.name}: {self.dtype}[{dims}]"


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


def inspect(path: str | Path, *, source: str | None = None) -> Summary:
    """Summary of a model file as the hub reads it. Raises what `load` raises."""
    from bridge import hub
    from bridge.convert import load
    from bridge.formats import of_source

    fmt = of_source(path, source)
    model = load(path, source=fmt.name)
    counts = Counter(hub.qualified(node) for node in hub.all_nodes(model))
    weights = [
        v.const_value for g in model.graphs() for v in g.initializers.values() if v.const_value is not None
    ]
    return Summary(
        fmt.name,
        tuple(_port(v) for v in model.graph.inputs),
        tuple(_port(v) for v in model.graph.outputs),
        dict(counts.most_common()),
        sum(
            f.stat().st_size
            for f in ([Path(path)] if Path(path).is_file() else Path(path).rglob("*"))
            if f.is_file()
        ),
        sum(tensor.size for tensor in weights),
        dict(model.metadata_props),
    )


def _port(value: Any) -> Port:
    shape = (
        None if value.shape is None else tuple(d if isinstance(d, int) else str(d.value) for d in value.shape)
    )
    return Port(value.name, value.dtype.name.lower() if value.dtype else str(value.type), shape)
