"""What TorchScript computes with, while it is read: tensors with their views, and Python values known or not."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.facts import Origin
from bridge.quant import QuantParams

DOUBT = "reads a tensor after another one was written to, whose memory it may share or not"


class Unsupported(Exception):
    """Why one operator cannot be read, in words that follow its name."""


@dataclass(frozen=True)
class Sym:
    """A Python int, float or bool known only at run time: a hub scalar of int64, double or bool."""

    value: ir.Value

    @property
    def kind(self) -> type:
        dtype = self.value.dtype
        return bool if dtype == ir.DataType.BOOL else int if dtype == ir.DataType.INT64 else float


@dataclass(frozen=True)
class Quantization:
    """Quantization parameters as hub values, maybe known only at run time: per tensor, or along `axis`."""

    scale: ir.Value
    zero: ir.Value
    axis: int | None = None

    @classmethod
    def of(cls, op: hub.Builder, params: QuantParams) -> Quantization:
        """Parameters that are known, as constants."""
        return cls(op.const(params.scale), op.const(params.zero_point), params.axis)

    @property
    def params(self) -> QuantParams | None:
        """The parameters that are known before run time."""
        scale, zero = hub.const(self.scale), hub.const(self.zero)
        if scale is None or zero is None or self.zero.dtype is None:
            return None
        return QuantParams.of(scale, zero, self.zero.dtype, self.axis)

    def integers(self, op: hub.Builder, x: ir.Value) -> ir.Value:
        """What stands for the numbers of `x`."""
        return op.QuantizeLinear(x, self.scale, self.zero, **self._along())

    def numbers(self, op: hub.Builder, held: ir.Value) -> ir.Value:
        """What the integers stand for."""
        return op.DequantizeLinear(held, self.scale, self.zero, **self._along())

    def through(self, op: hub.Builder, x: ir.Value) -> ir.Value:
        """`x` as it comes back from 8 bits."""
        return self.numbers(op, self.integers(op, x))

    def _along(self) -> dict[str, int]:
        return {} if self.axis is None else {"axis": self.axis}


class Changes:
    """Tensors and attributes that a branch or body wrote to, with what they were before."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.tensors: dict[Var, tuple[ir.Value | None, int, int]] = {}
        self.attributes: dict[tuple[Object, str], Any] = {}

    def written(self) -> list[Var]:
        """Tensors made outside the branch that have another value now; views have it through their base."""
        return [
            var
            for var, (_, version, _) in self.tensors.items()
            if var.base is None and var.depth <= self.depth and var.version != version
        ]

    def undo(self) -> None:
        """Restore every tensor and attribute."""
        for var, before in self.tensors.items():
            var.value, var.version, var.seen = before
        for (owner, name), value in self.attributes.items():
            owner.attributes[name] = value


class Memory:
    """Writes of one reading: the tensors written to, and the changes of every branch or body being read."""

    def __init__(self) -> None:
        self.written: list[Var] = []
        self._branches: list[Changes] = []

    @property
    def depth(self) -> int:
        """The number of branches and bodies, one inside another, that are being read."""
        return len(self._branches)

    @property
    def innermost(self) -> Changes | None:
        """The changes of the innermost branch or body that is being read."""
        return self._branches[-1] if self._branches else None

    @contextlib.contextmanager
    def branch(self) -> Iterator[Changes]:
        """Record what is written to from here on, and undo it at the end."""
        changes = Changes(self.depth)
        self._branches.append(changes)
        try:
            yield changes
        finally:
            self._branches.pop()
            changes.undo()

    def record(self, var: Var) -> None:
        """Keep what `var` is before the innermost branch or body writes to it."""
        if self._branches:
            self._branches[-1].tensors.setdefault(var, (var.value, var.version, var.seen))


class Builder(hub.Builder):
    """Builds the nodes of one block; tensors and lists made in it belong to `memory`."""

    graph: ir.Graph

    def __init__(self, graph: ir.Graph, memory: Memory, source: Origin | None = None) -> None:
        super().__init__(graph, source=source)
        self.memory = memory


class Var:
    """A tensor that may be written to, created with the builder `op`. A view reads and writes its base.

    `forward(op, base)` makes the view's value; `backward(op, base, new)` the base's value after the view is written.
    The value of a quantized tensor is what its integers stand for. Where torch may have copied instead (`doubtful`), what
    is written to one of the two leaves the other unknown.
    """

    def __init__(
        self,
        op: Builder,
        value: ir.Value | None,
        base: Var | None = None,
        forward: Callable[[Any, ir.Value], ir.Value] | None = None,
        backward: Callable[[Any, ir.Value, ir.Value], ir.Value] | None = None,
        label: str = "",
        quantization: Quantization | None = None,
        doubtful: bool = False,
    ) -> None:
        self.value, self.base, self.label = value, base, label
        self.quantization = quantization
        self.forward, self.backward, self.doubtful = forward, backward, doubtful
        self.version = 0
        self.memory, self.depth = op.memory, op.memory.depth
        self.shared = False
        self.viewed = False
        self.seen = 0
        if base is not None:
            base.viewed, self.seen = True, base.current()

    def current(self) -> int:
        return self.version if self.base is None else self.base.current()

    def root(self) -> Var:
        """The tensor whose memory it shows."""
        return self if self.base is None else self.base.root()

    def read(self, op: hub.Builder) -> ir.Value:
        """The hub value it has now."""
        if self.base is not None and self.seen != self.base.current():
            if self.doubtful:
                raise Unsupported(DOUBT)
            assert self.forward is not None
            self.memory.record(self)
            self.value, self.seen = self.forward(op, self.base.read(op)), self.base.current()
        if self.value is None:
            raise Unsupported(DOUBT)
        return self.value

    def write(self, op: hub.Builder, value: ir.Value) -> None:
        """Give it a value; through a view the base gets it too."""
        self.memory.record(self)
        if self.root().shared:
            raise Unsupported(
                "writes to a tensor that another one may be, as a condition decides at run time"
            )
        if self.base is None:
            self.value, self.version = value, self.version + 1
            self.memory.written.append(self)
            return
        if self.doubtful:
            self._part(value)
            return
        if self.backward is None:
            raise Unsupported("writes to a tensor whose memory it may share or not")
        before = self.base.read(op)
        self.base.write(op, kept_shape(self.backward(op, before, value), before))
        self.value, self.seen = value, self.base.current()

    def turn(self, view: Callable[[Var], Var]) -> None:
        """Become a view of what it was, as operators do that change a shape in place."""
        if self.viewed or self.depth < self.memory.depth:
            raise Unsupported("changes the shape of a tensor in place that another one shows")
        old = copy.copy(self)
        made = view(old)
        self.base, self.forward, self.backward, self.doubtful = (
            old,
            made.forward,
            made.backward,
            made.doubtful,
        )
        self.value, self.seen = made.value, made.seen

    def _part(self, value: ir.Value) -> None:
        """Take a value that the tensor it was made of may have taken too: that one is unknown from here on."""
        root = self.root()
        if root.depth < self.memory.depth:
            raise Unsupported("writes to a tensor whose memory it may share or not")
        self.memory.record(root)
        root.value, root.version = None, root.version + 1
        self.value, self.seen = value, self.current()


def kept_shape(new: ir.Value, before: ir.Value) -> ir.Value:
    """`new` with the lengths of `before`, where its own are not known: writing to a tensor changes none."""
    if new.shape is None or before.shape is None or len(new.shape) != len(before.shape):
        return new
    pairs = zip(new.shape, before.shape, strict=True)
    new.shape = ir.Shape([a if isinstance(a, int) else b for a, b in pairs])
    return new


class Object:
    """An instance of a TorchScript class, the module itself among them: attributes by name."""

    def __init__(self, native: Any = None, path: str = "", kind: str = "") -> None:
        self.native, self.path, self.kind = native, path, kind
        self.attributes: dict[str, Any] = {}


class Items(list):
    """A Python list that may be changed, and how many branches deep it was made.

    Once a loop of a length known at run time alone appends to it, `held` is its hub sequence, the list itself is stale, and
    `shape` is what its elements have in common.
    """

    def __init__(self, op: Builder, items: Iterable[Any] = ()) -> None:
        super().__init__(items)
        self.depth = op.memory.depth
        self.held: Var | None = None
        self.shape: ir.Shape | None = None

    def hold(self, op: Builder, dtype: ir.DataType) -> None:
        """Become a hub sequence of `dtype`. Raises Unsupported where it holds anything but such tensors."""
        parts = [v.read(op) if isinstance(v, Var) else None for v in self]
        if any(v is None or v.dtype != dtype for v in parts):
            raise Unsupported("appends at run time to a list of something else")
        made = op.SequenceConstruct(*parts) if parts else op.SequenceEmpty(dtype=int(dtype))
        for index, part in enumerate(parts):
            self.shape = common_shape(self.shape, part.shape) if index else part.shape  # type: ignore[union-attr]
        self.held, self.typed = Var(op, made), bool(parts)

    def append_held(self, op: hub.Builder, value: ir.Value) -> None:
        """Append where it is a hub sequence."""
        assert self.held is not None
        before = self.held.read(op)
        if before.dtype != value.dtype:
            raise Unsupported("appends at run time to a list of something else")
        self.shape = common_shape(self.shape, value.shape) if self.typed else value.shape
        self.typed = True
        self.held.write(op, op.SequenceInsert(before, value))


def collection_like(op: Builder, items: list[Any] | tuple[Any, ...], parts: Iterable[Any]) -> Any:
    """A list or tuple of `parts`, of the kind that `items` is."""
    return Items(op, parts) if isinstance(items, Items) else type(items)(parts)


def outside(op: Builder, items: Any) -> bool:
    """Whether a list was made outside the condition or loop, known at run time alone, that is being read."""
    depth = op.memory.depth
    return depth > 0 and not (isinstance(items, Items) and items.depth >= depth)


def mutable(op: Builder, items: Any) -> None:
    """Raise Unsupported where a list made outside would change under a condition known at run time alone."""
    if outside(op, items) or getattr(items, "held", None) is not None:
        raise Unsupported("changes a list inside a condition or loop known at run time alone")


def common_shape(one: ir.Shape | None, two: ir.Shape | None) -> ir.Shape | None:
    """The dimensions two shapes share; None for different ranks."""
    if one is None or two is None or len(one) != len(two):
        return None
    return ir.Shape([a if a == b and isinstance(a, int) else None for a, b in zip(one, two, strict=True)])


class Grows(Exception):
    """A list made outside is appended to under a condition or in a loop known at run time alone."""

    def __init__(self, items: Items, dtype: ir.DataType) -> None:
        super().__init__("changes a list inside a condition or loop known at run time alone")
        self.items, self.dtype = items, dtype


class Sequence:
    """A list of tensors whose length is known only at run time: a hub sequence, and what the shapes of its elements share."""

    def __init__(self, value: ir.Value, shape: ir.Shape | None = None) -> None:
        self.value, self.shape = value, shape

    def at(self, op: Builder, index: ir.Value) -> Var:
        """One element."""
        made = op.SequenceAt(self.value, index)
        if made.shape is None and self.shape is not None:
            made.shape = ir.Shape(list(self.shape))
        return Var(op, made)

    def joined(self, op: hub.Builder, dim: int, stacked: bool) -> ir.Value:
        """All elements one after another along `dim`, or along a new one."""
        made = op.ConcatFromSequence(self.value, axis=dim, new_axis=int(stacked))
        if made.shape is None and self.shape is not None:
            dims: list[Any] = list(self.shape)
            place = dim % (len(dims) + stacked)
            made.shape = ir.Shape([*dims[:place], None, *dims[place + (not stacked) :]])
        return made


@dataclass(frozen=True)
class Complex:
    """Complex numbers as a hub value of pairs of floats, [..., 2]."""

    value: ir.Value


class Poison:
    """What may be handed on but not used, and why: text made of numbers known at run time alone, say."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def _used(self, *_: Any) -> Any:
        raise Unsupported(self.reason)

    def __getattr__(self, name: str) -> Any:
        raise Unsupported(self.reason)

    __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = _used  # type: ignore[assignment]
