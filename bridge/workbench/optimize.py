"""An ONNX file with fewer operators that computes the same, under the same names."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from google.protobuf.message import DecodeError

from bridge.convert import convert
from bridge.detect import by_suffix
from bridge.errors import InvalidOption
from bridge.load import Reader
from bridge.output import atomic, require_free, unless_model
from bridge.route import route

if TYPE_CHECKING:
    from bridge.trials import Sampling
    from bridge.verify import Verification

__all__ = ["Optimization", "optimize"]

ONNX = "onnx"
LOWEST = 11
"""The lowest opset that is written."""


@dataclass(frozen=True)
class Optimization:
    """A file written: where, how often it has each operator and its source did, the bytes of both, and how
    they compared if that was asked. `kept` says that nothing was gained, and the source is written as it
    is."""

    path: Path
    before: dict[str, int]
    after: dict[str, int]
    sizes: tuple[int, int]
    kept: bool = False
    verification: Verification | None = None

    @property
    def operators(self) -> dict[str, tuple[int, int]]:
        """Counts of each operator, before and after, the most frequent first."""
        every = Counter(self.before) + Counter(self.after)
        return {name: (self.before.get(name, 0), self.after.get(name, 0)) for name, _ in every.most_common()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        compared = self.verification.to_dict() if self.verification else None
        return {
            "path": str(self.path),
            "operators": {name: list(counts) for name, counts in self.operators.items()},
            "bytes": list(self.sizes),
            "kept": self.kept,
            "verification": compared,
        }

    def __str__(self) -> str:
        width = max(map(len, ["operator", *self.operators]))
        lines = [f"{self.path} written{', as its source was: nothing was gained' if self.kept else ''}."]
        lines += [f"  {'operator':<{width}}  before   after"]
        lines += [f"  {name:<{width}}  {b:>6}  {a:>6}" for name, (b, a) in self.operators.items()]
        lines += [f"  {'all':<{width}}  {sum(self.before.values()):>6}  {sum(self.after.values()):>6}"]
        lines += [f"  {'bytes':<{width}}  {self.sizes[0]:,} → {self.sizes[1]:,}"]
        return "\n".join([*lines, str(self.verification)] if self.verification else lines)


def optimize(
    src: str | Path,
    dst: str | Path | None = None,
    *,
    overwrite: bool = False,
    verify: bool | Sampling = False,
    keep: bool = False,
    dims: dict[str, int] | None = None,
    **options: Any,
) -> Optimization:
    """Write an ONNX file with fewer operators: constants computed, what has no effect left out, what is
    computed twice computed once, and what ONNX Runtime has one operator for written as that.

    Inputs, outputs, their names and dtypes stay, and so does the opset where `opset` names no other. What has
    more operators or bytes than its source is not kept: the source is written as it is, unless `keep` is
    given, and it always is where outputs are what the hub has no place for, such as maps. Options are those
    of ONNX. Raises InvalidOption for a source that is no ONNX file, and what `convert` raises.
    """
    way = route(src, dst, to=ONNX, source=None, dims=dims, options=options)
    if way.reader.format.name != ONNX or not isinstance(way.reader.source, (str, Path)):
        raise InvalidOption(f"{way.reader} is {way.reader.format.title}: optimize reads ONNX files.")
    source, target = Path(way.reader.source), way.writer.path
    named = by_suffix(target)
    if named is not None and named.name != ONNX:
        raise InvalidOption(f"{target} is a name of {named.title}: optimize writes ONNX files.")
    require_free(target, overwrite, unless_model(way.writer.format))
    skeleton = _skeleton(way.reader, source)
    before, files = counted(skeleton), files_of(source, skeleton)
    with atomic(target, overwrite, unless_model(way.writer.format)) as temporary:
        settings = _own_opset(skeleton) | {"bare": True} | options
        made = convert(source, temporary, to=ONNX, source=ONNX, verify=verify, dims=dims, **settings)
        written = onnx.load(temporary, load_external_data=False)
        after, sizes = counted(written), (bytes_of(files), bytes_of(files_of(temporary, written)))
        larger = sum(after.values()) > sum(before.values()) or sizes[1] > sizes[0]
        kept = (larger and not keep) or kinds(skeleton) != kinds(written)
        if kept:
            for file in files_of(temporary, written):
                file.unlink()
            for file in files:
                shutil.copyfile(file, temporary if file == source else temporary.with_name(file.name))
            after, sizes = before, (sizes[0], sizes[0])
    return Optimization(target, dict(before), dict(after), sizes, kept, made.verification)


def _skeleton(reader: Reader, source: Path) -> onnx.ModelProto:
    """The protobuf of a file without the weights beside it. Raises what reading it raises."""
    try:
        return onnx.load(source, load_external_data=False)
    except DecodeError:
        reader.read()
        raise


def kinds(model: onnx.ModelProto) -> list[tuple[str, str | None, int]]:
    """Inputs and outputs by name, and what each is: a tensor of some dtype, a sequence, a map, …"""
    fed = [
        value for value in model.graph.input if value.name not in {i.name for i in model.graph.initializer}
    ]
    return [
        (value.name, value.type.WhichOneof("value"), value.type.tensor_type.elem_type)
        for value in (*fed, *model.graph.output)
    ]


def _own_opset(model: onnx.ModelProto) -> dict[str, int]:
    """The opset of a file as an option, where it is one that is written."""
    own = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    return {"opset": own} if own >= LOWEST else {}


def counted(model: onnx.ModelProto) -> Counter[str]:
    """Counts of the operators of a model, of its bodies and functions too."""
    counts: Counter[str] = Counter()
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        _count(nodes, counts)
    return counts


def _count(nodes: Iterable[onnx.NodeProto], counts: Counter[str]) -> None:
    for node in nodes:
        counts[f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type] += 1
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                _count(graph.node, counts)


def files_of(path: Path, model: onnx.ModelProto) -> set[Path]:
    """A file, and those beside it that hold its weights."""
    places = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return {path, *(path.with_name(place) for place in places)}


def bytes_of(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)
