"""Values of the interpreter: tensors with views, Python values, and hub values known at run time."""

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

MAY_SHARE = "reads a tensor after another one was written to, whose memory it may share or not"


class Unsupported(Exception):
    """Error: an operator cannot be read. The message continues its name."""


@dataclass(frozen=True)
class Sym:
    """Run-time Python int, float or bool: a hub scalar of int64, double or bool."""

    value: ir.Value

    @property
    def python_type(self) -> type:
        """Type of the number: bool, int or float."""
        dtype = self.value.dtype
        return bool if dtype == ir.DataType.BOOL else int if dtype == ir.DataType.INT64 else float


@dataclass(frozen=True)
class Quantization:
    """Quantization parameters as hub values, static or not: per tensor, or per element of `axis`."""

    scale: ir.Value
    zero: ir.Value
    axis: int | None = None

    @classmethod
    def of(cls, op: hub.Builder, params: QuantParams) -> Quantization:
        """Static parameters as constants."""
        return cls(op.const(params.scale), op.const(params.zero_point), params.axis)

    @property
    def params(self) -> QuantParams | None:
        """Static parameters; None if they are known only at run time."""
        scale, zero = hub.const(self.scale), hub.const(self.zero)
        if scale is None or zero is None or self.zero.dtype is None:
            return None
        return QuantParams.of(scale, zero, self.zero.dtype, self.axis)

    def quantize_linear(self, op: hub.Builder, x: ir.Value) -> ir.Value:
        """Integers of `x`."""
        return op.QuantizeLinear(x, self.scale, self.zero, **self._axis_attribute())

    def dequantize_linear(self, op: hub.Builder, stored: ir.Value) -> ir.Value:
        """Real values of the integers `stored`."""
        return op.DequantizeLinear(stored, self.scale, self.zero, **self._axis_attribute())

    def fake_quantize(self, op: hub.Builder, x: ir.Value) -> ir.Value:
        """`x` quantized and dequantized."""
        return self.dequantize_linear(op, self.quantize_linear(op, x))

    def _axis_attribute(self) -> dict[str, int]:
        return {} if self.axis is None else {"axis": self.axis}


class Changes:
    """Values before a branch or body wrote to them: tensors and attributes."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.tensors: dict[Var, tuple[ir.Value | None, int, int]] = {}
        self.attributes: dict[tuple[Object, str], Any] = {}

    def written(self) -> list[Var]:
        """Outside tensors that the branch changed. Views are updated through their base."""
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
    """Writes of one reading: written tensors, and the changes of each nested branch or body."""

    def __init__(self) -> None:
        self.written: list[Var] = []
        self._branches: list[Changes] = []

    @property
    def depth(self) -> int:
        """Number of nested branches and bodies."""
        return len(self._branches)

    @property
    def innermost(self) -> Changes | None:
        """Changes of the innermost branch or body."""
        return self._branches[-1] if self._branches else None

    @contextlib.contextmanager
    def branch(self) -> Iterator[Changes]:
        """Record writes in this context, and undo them at its end."""
        changes = Changes(self.depth)
        self._branches.append(changes)
        try:
            yield changes
        finally:
            self._branches.pop()
            changes.undo()

    def record(self, var: Var) -> None:
        """Save the state of `var` before the innermost branch or body writes to it."""
        if self._branches:
            self._branches[-1].tensors.setdefault(var, (var.value, var.version, var.seen))


class Builder(hub.Builder):
    """Builder of the nodes of one block. Its tensors and lists belong to `memory`."""

    graph: ir.Graph

    def __init__(self, graph: ir.Graph, memory: Memory, source: Origin | None = None) -> None:
        super().__init__(graph, source=source)
        self.memory = memory


class Var:
    """Tensor with side effects, created by the builder `op`. A view reads and writes its base.

    `forward(op, base)` computes the view's value; `backward(op, base, new)` the base's value after a write to
    the view. The value of a quantized tensor is its dequantized value. If torch may have copied instead
    (`doubtful`), a write to one of the two makes the other undefined.

    `version` counts the writes, `seen` is the version of the root at the last read. `viewed`: views exist.
    `shared`: a run-time condition decides whether it is the same tensor as another one.
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
        """Version of the root."""
        return self.version if self.base is None else self.base.current()

    def root(self) -> Var:
        """Root tensor, which owns the memory."""
        return self if self.base is None else self.base.root()

    def read(self, op: hub.Builder) -> ir.Value:
        """Current hub value."""
        if self.base is not None and self.seen != self.base.current():
            if self.doubtful:
                raise Unsupported(MAY_SHARE)
            assert self.forward is not None
            self.memory.record(self)
            self.value, self.seen = self.forward(op, self.base.read(op)), self.base.current()
        if self.value is None:
            raise Unsupported(MAY_SHARE)
        return self.value

    def write(self, op: hub.Builder, value: ir.Value) -> None:
        """Write a value; a view also writes its base."""
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
            self._detach(value)
            return
        if self.backward is None:
            raise Unsupported("writes to a tensor whose memory it may share or not")
        before = self.base.read(op)
        self.base.write(op, keep_shape(self.backward(op, before, value), before))
        self.value, self.seen = value, self.base.current()

    def replace(self, op: hub.Builder, value: ir.Value) -> None:
        """Write a value whose shape the tensor takes, as `out=` does."""
        before = self.read(op).shape
        if (self.base is not None or self.viewed) and (before != value.shape or value.shape is None):
            raise Unsupported("writes its results into a tensor that shows another one's memory")
        self.write(op, value)

    def become_view(self, view: Callable[[Var], Var]) -> None:
        """Become a view of the old value, as in-place operators do that change a shape."""
        if self.viewed or self.depth < self.memory.depth:
            raise Unsupported("changes the shape of a tensor in place that another one shows")
        old = copy.copy(self)
        result = view(old)
        self.base, self.forward, self.backward, self.doubtful = (
            old,
            result.forward,
            result.backward,
            result.doubtful,
        )
        self.value, self.seen = result.value, result.seen

    def _detach(self, value: ir.Value) -> None:
        """Detach a possibly shared view on write; its base becomes undefined."""
        root = self.root()
        if root.depth < self.memory.depth:
            raise Unsupported("writes to a tensor whose memory it may share or not")
        self.memory.record(root)
        root.value, root.version = None, root.version + 1
        self.value, self.seen = value, self.current()


def keep_shape(new: ir.Value, before: ir.Value) -> ir.Value:
    """Complete unknown dimensions of `new` from `before`: a write changes no shape."""
    if new.shape is None or before.shape is None or len(new.shape) != len(before.shape):
        return new
    pairs = zip(new.shape, before.shape, strict=True)
    new.shape = ir.Shape([a if isinstance(a, int) else b for a, b in pairs])
    return new


class Object:
    """Instance of a TorchScript class, or the module: attributes by name."""

    def __init__(self, native: Any = None, path: str = "", type_name: str = "") -> None:
        self.native, self.path, self.type_name = native, path, type_name
        self.attributes: dict[str, Any] = {}


class Items(list):
    """Mutable Python list, created `depth` branches deep.

    After a loop of run-time length appends to it, `sequence` is its hub sequence, the list itself is stale,
    and `shape` holds the dimensions that all elements share.
    """

    def __init__(self, op: Builder, items: Iterable[Any] = ()) -> None:
        super().__init__(items)
        self.depth = op.memory.depth
        self.sequence: Var | None = None
        self.shape: ir.Shape | None = None

    def become_sequence(self, op: Builder, dtype: ir.DataType) -> None:
        """Become a hub sequence of `dtype`. Raises Unsupported if an element is no such tensor."""
        elements = [v.read(op) if isinstance(v, Var) else None for v in self]
        if any(v is None or v.dtype != dtype for v in elements):
            raise Unsupported("appends at run time to a list of something else")
        sequence = op.SequenceConstruct(*elements) if elements else op.SequenceEmpty(dtype=int(dtype))
        for index, part in enumerate(elements):
            self.shape = common_shape(self.shape, part.shape) if index else part.shape  # type: ignore[union-attr]
        self.sequence, self.typed = Var(op, sequence), bool(elements)

    def append_to_sequence(self, op: hub.Builder, value: ir.Value) -> None:
        """Append to the hub sequence."""
        assert self.sequence is not None
        before = self.sequence.read(op)
        if before.dtype != value.dtype:
            raise Unsupported("appends at run time to a list of something else")
        self.shape = common_shape(self.shape, value.shape) if self.typed else value.shape
        self.typed = True
        self.sequence.write(op, op.SequenceInsert(before, value))


def collection_like(op: Builder, items: list[Any] | tuple[Any, ...], elements: Iterable[Any]) -> Any:
    """List or tuple of `elements`, of the type of `items`."""
    return Items(op, elements) if isinstance(items, Items) else type(items)(elements)


def is_outside(op: Builder, items: Any) -> bool:
    """True if a list was created outside the run-time condition or loop that is being read."""
    depth = op.memory.depth
    return depth > 0 and not (isinstance(items, Items) and items.depth >= depth)


def check_mutable(op: Builder, items: Any) -> None:
    """Raise Unsupported if an outside list would change under a run-time condition."""
    if is_outside(op, items) or getattr(items, "sequence", None) is not None:
        raise Unsupported("changes a list inside a condition or loop known at run time alone")


def common_shape(one: ir.Shape | None, two: ir.Shape | None) -> ir.Shape | None:
    """Dimensions that two shapes share; None for different ranks."""
    if one is None or two is None or len(one) != len(two):
        return None
    return ir.Shape([a if a == b and isinstance(a, int) else None for a, b in zip(one, two, strict=True)])


class ListGrows(Exception):
    """Error: an outside list is appended to under a run-time condition or in a run-time loop."""

    def __init__(self, items: Items, dtype: ir.DataType) -> None:
        super().__init__("changes a list inside a condition or loop known at run time alone")
        self.items, self.dtype = items, dtype


class Sequence:
    """List of tensors of run-time length: a hub sequence, and the dimensions that its elements share."""

    def __init__(self, value: ir.Value, shape: ir.Shape | None = None) -> None:
        self.value, self.shape = value, shape

    def at(self, op: Builder, index: ir.Value) -> Var:
        """Element at `index`."""
        element = op.SequenceAt(self.value, index)
        if element.shape is None and self.shape is not None:
            element.shape = ir.Shape(list(self.shape))
        return Var(op, element)

    def concat(self, op: hub.Builder, dim: int, stacked: bool) -> ir.Value:
        """Concatenation of all elements along `dim`, or their stack along a new axis."""
        result = op.ConcatFromSequence(self.value, axis=dim, new_axis=int(stacked))
        if result.shape is None and self.shape is not None:
            dims: list[Any] = list(self.shape)
            axis = dim % (len(dims) + stacked)
            result.shape = ir.Shape([*dims[:axis], None, *dims[axis + (not stacked) :]])
        return result


@dataclass(frozen=True)
class Complex:
    """Complex numbers as pairs of floats, a hub value [..., 2]."""

    value: ir.Value


class Poison:
    """Value that may be passed on but not used, and the reason: text of run-time numbers, say."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def _used(self, *_: Any) -> Any:
        raise Unsupported(self.reason)

    def __getattr__(self, name: str) -> Any:
        raise Unsupported(self.reason)

    __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = _used  # type: ignore[assignment]
