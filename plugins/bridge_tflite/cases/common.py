"""Declaration of one-operator cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from bridge.matrix import Made
from bridge.runtime import Outputs
from bridge_tflite.cases.file import Op, Sub, T, const, write

RNG = np.random.default_rng(7)


@dataclass
class Case:
    """One operator with inputs and example outputs, whose shapes LiteRT computes.

    `graph` are several operators in its place, `subs` further subgraphs. `want` computes the expected outputs
    from the inputs, where LiteRT has no kernel. `bound` is the tolerance of floats; `random` outputs are
    compared by shape only; integer outputs may differ by `quanta` steps.
    """

    op: str
    inputs: list[T | None]
    outputs: list[T]
    options: dict[str, Any] = field(default_factory=dict)
    custom: bytes | None = None
    random: bool = False
    subs: tuple[Sub, ...] = ()
    quanta: int = 1
    graph: list[Op] | None = None
    want: Callable[..., Any] | None = None
    version: int = 1
    hidden: tuple[float, int] | None = None
    bound: float | None = None

    def file(self, path: Path, dynamic: bool = False, keep_last: bool = False) -> Path:
        """Write the file. With `dynamic`, every dimension of every input is known at run time only, but the
        last with `keep_last`."""
        fed = [t for t in self.inputs if t is not None and not t.const and not t.variable]
        for t in fed:
            shape = list(np.shape(t.value))
            static_dims = shape[-1:] if keep_last and len(shape) > 2 else []
            t.dims = [-1] * (len(shape) - len(static_dims)) + static_dims if dynamic and shape else None
        op = Op(self.op, self.inputs, self.outputs, self.options, self.custom, self.version, "", self.hidden)
        return write(path, Sub(fed, self.outputs, self.graph or [op]), *self.subs)

    def make(self, folder: Path) -> Path:
        """Write the file in `folder`, with the output shapes that LiteRT computes."""
        path = folder / "native.tflite"
        if self.want is None:
            self._shape(self.file(path))
        return self.file(path)

    def build(self, folder: Path) -> Made:
        """Case in the form that the matrix measures."""
        expected = None if self.want is None else list(self.expected().values())
        path, feed = self.make(folder), self.feed
        return Made(path, feed, {}, expected, atol=self.bound, quanta=self.quanta, random=self.random)

    def _shape(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=kernels)
        outputs = interpreter.get_signature_runner()(**self.feed)
        for index, output in enumerate(self.outputs):
            output.value = np.zeros(np.shape(outputs[f"y{index}"]), np.asarray(output.value).dtype)

    @property
    def operator(self) -> str:
        """Name of the operator in the importer's table."""
        return self.op if self.custom is None else f"custom::{self.op}"

    def expected(self) -> Outputs:
        """Outputs that `want` computes."""
        outputs = self.want(*self.feed.values())  # type: ignore[misc]
        return Outputs({f"y{i}": v for i, v in enumerate(outputs)}, "the formula")

    @property
    def feed(self) -> dict[str, np.ndarray]:
        fed = [t for t in self.inputs if t is not None and not t.const and not t.variable]
        return {f"x{i}": np.asarray(t.value) for i, t in enumerate(fed)}


CASES: dict[str, Case] = {}


def case(op: str, inputs: list, out: Any = "float32", name: str = "", **options: Any) -> None:
    """Declare a case. `out` is a dtype, a tensor, or a list of them; options of the schema are keywords."""
    fields = {
        k: options.pop(k)
        for k in ("custom", "random", "subs", "quanta", "graph", "want", "version", "hidden", "bound")
        if k in options
    }
    results = out if isinstance(out, list) else [out]
    outputs = [o if isinstance(o, T) else T(np.zeros((), o)) for o in results]
    key = f"{op}-{name}" if name else op
    while key in CASES:
        key += "+"
    if op == "STABLEHLO_COMPOSITE":
        options |= {"name": key, "compositeAttributes": list(flexbuffers.Dumps({}))}
    CASES[key] = Case(op, inputs, outputs, options, **fields)


def f(*shape: int, low: float = -3, high: float = 3) -> T:
    return T(RNG.uniform(low, high, shape).astype(np.float32))


def cf(*shape: int, low: float = -3, high: float = 3) -> T:
    return const(f(*shape, low=low, high=high).value)


def i(*shape: int, low: int = -9, high: int = 9, dtype: Any = np.int32) -> T:
    return T(RNG.integers(low, high, shape, dtype=dtype))


def b(*shape: int) -> T:
    return T(RNG.integers(0, 2, shape).astype(bool))


def c(value: Any, dtype: Any = np.int32) -> T:
    return const(value, dtype)


def q(*shape: int, dtype: Any = np.int8, scale: float = 0.05, zero: int | None = None) -> T:
    """A quantized input."""
    info = np.iinfo(dtype)
    middle = {"int8": -4, "uint8": 121}.get(np.dtype(dtype).name, 0) if zero is None else zero
    return T(RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True), scale, middle)


def qo(dtype: Any = np.int8, scale: float = 0.05, zero: int | None = None) -> T:
    """A quantized output."""
    return T(np.zeros((), dtype), scale, q(dtype=dtype).zero if zero is None else zero)


def s(*items: str) -> np.ndarray:
    return np.array(items, object)


TABLE = 12  # LiteRT computes these operators on int16 by tables and polynomials of its own
INTS = (np.int8, np.int16, np.int32, np.int64)


def w8(*shape: int, axis: int | None = None) -> T:
    """Weights of symmetric int8, quantized per channel along `axis`."""
    scale = 0.02 if axis is None else RNG.uniform(0.01, 0.03, shape[axis]).astype(np.float32)
    return const(RNG.integers(-127, 128, shape, dtype=np.int8), scale=scale, zero=0, axis=axis or 0)
