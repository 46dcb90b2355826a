"""Declaration of a case of a Core ML program, and its writing by coremltools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.matrix import Made, NativeCase
from bridge_coreml.coremltools_import import coremltools

RNG = np.random.default_rng(11)
INTERFACE_DTYPES = ("float32", "float16", "int32")


@dataclass(frozen=True)
class State:
    """An input that a program keeps between its runs; its new value is an output."""

    array: np.ndarray


@dataclass(frozen=True)
class Program:
    """One operator of MIL: `build` on variables, one for each array, as iOS `target` has it.

    `want` computes the outputs from the arrays; without it coremltools' own value inference does, which
    applies `build` to constants. The operator's newest definition is a case of its own unless `newest` is
    off. Inputs and outputs of dtypes that an interface has not are cast in the program; `dims` are
    dimensions of inputs in place of the arrays' own, None for what is known at run time alone.
    """

    build: Callable[..., Any]
    arrays: tuple[Any, ...]
    want: Callable[..., Any] | None = None
    target: int = 15
    newest: bool = True
    random: bool = False
    atol: float | None = None
    quanta: int = 1
    dims: tuple[Any, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def expected(self) -> list[np.ndarray]:
        """The outputs as the file holds them."""
        if self.want is not None:
            return [interface_value(v) for v in as_list(self.want(*self.values()))]
        return [interface_value(v) for v in self.inferred_values()]

    def values(self) -> list[np.ndarray]:
        return [a.array if isinstance(a, State) else a for a in self.arrays]

    def inferred_values(self) -> list[np.ndarray]:
        """Value that coremltools infers of the operator on constants. Raises NotImplementedError where it
        does not."""
        from coremltools.converters.mil.mil import Builder as mb
        from coremltools.converters.mil.mil import Function, types

        with Function({"unused": mb.placeholder(shape=(1,))}, opset_version=self.opset):
            outputs = as_list(self.build(*(mb.const(val=a) for a in self.values())))
        if any(v.val is None for v in outputs):
            raise NotImplementedError("coremltools infers no value of this operator")
        return [np.asarray(v.val, types.nptype_from_builtin(v.dtype)) for v in outputs]

    @property
    def opset(self) -> Any:
        return getattr(coremltools().target, f"iOS{self.target}")

    def function(self) -> Any:
        """The MIL function, with the interface's own dtypes at its ends."""
        from coremltools.converters.mil.mil import Builder as mb
        from coremltools.converters.mil.mil import Function

        places = {f"x{i}": self.placeholder(i, a) for i, a in enumerate(self.arrays)}
        with Function(places, opset_version=self.opset) as function:
            inner = []
            for array, given in zip(self.arrays, function.inputs.values(), strict=True):
                dtype = "" if isinstance(array, State) else array.dtype.name
                inner.append(mb.cast(x=given, dtype=dtype) if dtype not in ("", *INTERFACE_DTYPES) else given)
            outputs = [self.output_variable(v, inner) for v in as_list(self.build(*inner))]
            function.set_outputs(outputs)
        return function

    def placeholder(self, index: int, array: Any) -> Any:
        from coremltools.converters.mil.mil import Builder as mb
        from coremltools.converters.mil.mil import get_new_symbol, types

        if isinstance(array, State):
            kind = types.numpy_type_to_builtin_type(array.array.dtype)
            return mb.state_tensor_placeholder(array.array.shape, kind)
        dims = array.shape if self.dims is None else self.dims[index]
        kind = types.numpy_type_to_builtin_type(
            array.dtype if array.dtype.name in INTERFACE_DTYPES else np.int32
        )
        return mb.placeholder(shape=[get_new_symbol() if d is None else d for d in dims], dtype=kind)

    def output_variable(self, value: Any, inputs: list[Any]) -> Any:
        from coremltools.converters.mil.mil import Builder as mb
        from coremltools.converters.mil.mil import types

        values = types.nptype_from_builtin(value.dtype)
        if np.dtype(values).name not in INTERFACE_DTYPES:
            return mb.cast(x=value, dtype="int32")
        return mb.identity(x=value) if value in inputs else value

    def write_package(self, folder: Path) -> Path:
        """The package, as coremltools writes the operator without optimizing it."""
        ct = coremltools()
        from coremltools.converters.mil.mil import Program as Mil

        program = Mil()
        program.add_function("main", self.function())
        path = folder / "native.mlpackage"
        with contextlib.redirect_stderr(io.StringIO()):
            measured = ct.convert(
                program,
                convert_to="mlprogram",
                minimum_deployment_target=self.opset,
                compute_precision=ct.precision.FLOAT32,
                pass_pipeline=ct.PassPipeline.EMPTY,
                skip_model_load=True,
                **{k: v(ct) for k, v in self.options.items()},
            )
            measured.save(str(path))
        return path

    def measured(self, folder: Path) -> Made:
        """The case as the matrix measures it."""
        inputs = {
            f"x{i}": a if isinstance(self.arrays[i], State) else interface_value(a)
            for i, a in enumerate(self.values())
        }
        with np.errstate(all="ignore"):
            expected, path = self.expected(), self.write_package(folder)
        return Made(path, inputs, {}, expected, atol=self.atol, quanta=self.quanta, random=self.random)


def program(build: Callable[..., Any], *arrays: Any, **more: Any) -> Program:
    return Program(build, arrays, **more)


def as_list(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def interface_value(value: Any) -> np.ndarray:
    """A value as a program's interface holds it: whole numbers and truth values in int32."""
    array = np.asarray(value)
    kinds = {"f": np.float16 if array.dtype == np.float16 else np.float32}
    return array.astype(kinds.get(array.dtype.kind, np.int32))


def natives(programs: dict[str, Program]) -> dict[str, NativeCase]:
    """The programs and the newest definitions of their operators by name, whose first word is the
    operator."""
    outputs = {}
    for name, case in programs.items():
        operators = tuple(name.split()[0].split("+"))
        outputs[name] = NativeCase(operators, case.measured)
        newest = newest_definition(operators[0], case)
        if newest is not None:
            outputs[f"{name} iOS{newest}"] = NativeCase(operators, replace(case, target=newest).measured)
    return outputs


def newest_definition(operator: str, case: Program) -> int | None:
    """The iOS version that defined the operator anew after the one of the program."""
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    known = {str(v.name): c for v, c in SSAOpRegistry.core_ops.get(operator, {}).items()}
    own = known.get(f"iOS{case.target}")
    if not case.newest or own is None or known["iOS18"] is own:
        return None
    return next(n for n in (16, 17, 18) if known.get(f"iOS{n}") is known["iOS18"])


def by_torch(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of torch's on arrays: called with `torch.nn.functional` and tensors."""

    def computed(*arrays: np.ndarray) -> list[np.ndarray]:
        import torch

        with torch.no_grad():
            outputs = function(torch.nn.functional, *(torch.from_numpy(np.array(a)) for a in arrays))
        return [t.numpy() for t in as_list(outputs)]

    return computed


def t(array: np.ndarray) -> Any:
    """A constant as torch takes it."""
    import torch

    return torch.from_numpy(np.array(array))


def f(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Float32 numbers between `low` and `high`."""
    return RNG.uniform(low, high, shape).astype(np.float32)


def i(*shape: int, low: int = -5, high: int = 6) -> np.ndarray:
    """Int32 numbers from `low` to below `high`."""
    return RNG.integers(low, high, shape).astype(np.int32)


def b(*shape: int) -> np.ndarray:
    return RNG.random(shape) > 0.5


def half(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16)


def ints(values: Any) -> np.ndarray:
    return np.asarray(values, np.int32)
