"""Pickles of TorchScript archives, read by a machine that knows what torch writes, and executes nothing.

It knows tensors, containers, numbers, texts, devices and objects of TorchScript classes. Anything else that a
pickle names raises UnreadableFile.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.script.stored import Quantizer, StoredObject, StoredTensor, strided

MAX_ITEMS = 10_000_000
"""Elements in all containers, those that are named twice counted twice."""
MAX_DEPTH = 200
MARK = object()
DTYPES = {entry.storage: np.dtype(dtype.numpy()) for dtype, entry in TORCH_DTYPES.items()} | {
    "QInt8Storage": np.dtype(np.int8),
    "QUInt8Storage": np.dtype(np.uint8),
    "QInt32Storage": np.dtype(np.int32),
}
LISTS = frozenset(f"torch.jit._pickle build_{n}list" for n in ("int", "double", "bool", "tensor"))
SCHEMES = {"torch per_tensor_affine": 2, "torch per_channel_affine": 4}
"""Quantization schemes, and the number of parameters of each."""
KNOWN = LISTS | frozenset(
    [
        *(f"torch._utils _rebuild_{n}" for n in ("tensor_v2", "qtensor", "parameter")),
        *("torch.jit._pickle restore_type_tag", "collections OrderedDict", "torch device"),
        "builtins complex",
    ]
)
Load = Callable[[str], np.ndarray]
"""The bytes of a storage by its key."""


class Global:
    """A name that a pickle mentions: of a function or class torch writes, or of a TorchScript class."""

    def __init__(self, name: str) -> None:
        self.name = name


def read_pickle(data: bytes, load: Load, title: str) -> Any:
    """Value of a pickle. Raises UnreadableFile."""
    try:
        value = _Machine(load).run(data)
        _require_size(value, {}, 0)
        return value
    except _Damaged as error:
        raise UnreadableFile(f"{title} {error}.") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UnreadableFile(f"{title} is no pickle of torch ({error}).") from error


class _Damaged(Exception):
    """Error: the message continues the name of the pickle."""


class _Machine:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, np.ndarray] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                (value,) = self.stack
                return value
            step = STEPS.get(opcode.name)
            if step is not None:
                step(self, argument)
            elif opcode.name in PUSHED:
                self.stack.append(argument)
            elif opcode.name not in ("PROTO", "FRAME"):
                raise _Damaged(f"holds {opcode.name}, which torch does not write")
        raise _Damaged("has no end")

    def items(self) -> list[Any]:
        """All that is on the stack above the last mark."""
        at = next((i for i in reversed(range(len(self.stack))) if self.stack[i] is MARK), None)
        if at is None:
            raise _Damaged("ends containers that it does not begin")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def put(self, argument: Any) -> None:
        self.memo[argument] = self.stack[-1]

    def get(self, argument: Any) -> None:
        self.stack.append(self.memo[argument])

    def global_(self, argument: Any) -> None:
        module = argument.partition(" ")[0].split(".")[0]
        storage = argument.removeprefix("torch ")
        if not (module == "__torch__" or argument in KNOWN or argument in SCHEMES or storage in DTYPES):
            raise _Damaged(f"names {argument[:80]!r}, which torch does not write; nothing was executed")
        self.stack.append(Global(argument))

    def new_object(self, argument: Any) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        if arguments != () or not cls.name.startswith("__torch__"):
            raise _Damaged(f"makes an object of {cls.name[:80]}")
        self.stack.append(StoredObject(cls.name.replace(" ", ".")))

    def build(self, argument: Any) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], StoredObject):
            raise _Damaged("gives a state to what is no object")
        self.stack[-1].state = state

    def reduce(self, argument: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(arguments, tuple) or not isinstance(function, Global):
            raise _Damaged("calls what is no function")
        self.stack.append(self.called(function.name, arguments))

    def called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name in LISTS or name == "torch.jit._pickle restore_type_tag":
            return arguments[0]
        match name:
            case "torch._utils _rebuild_tensor_v2":
                return self.tensor(*arguments[:4])
            case "torch._utils _rebuild_qtensor":
                return self.quantized(*arguments[:5])
            case "torch._utils _rebuild_parameter":
                return arguments[0]
            case "collections OrderedDict":
                return dict(arguments[0]) if arguments else {}
            case "torch device":
                return str(arguments[0])
            case "builtins complex":
                return complex(*arguments)
        if name.startswith("__torch__") and len(arguments) == 1:
            return StoredObject(name.replace(" ", "."), arguments[0])
        raise _Damaged(f"calls {name[:80]}")

    def storage(self, pid: Any) -> None:
        pid = self.stack.pop()
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise _Damaged("refers to what is no storage")
        _, kind, key, _, count = pid
        dtype = DTYPES.get(kind.name.removeprefix("torch "))
        if dtype is None or type(count) is not int or count < 0:
            raise _Damaged(f"has a storage of {kind.name[:80]}")
        name = f"{key} {dtype}"
        if name not in self.storages:
            data = self.load(str(key))
            if data.size != count * dtype.itemsize:
                raise _Damaged(
                    f"has a weight of {count * dtype.itemsize:,} bytes, and {data.size:,} in {key}"
                )
            self.storages[name] = data.view(dtype)
        self.stack.append((key, self.storages[name]))

    def tensor(
        self, storage: Any, offset: int, shape: Any, strides: Any, quantizer: Any = None
    ) -> StoredTensor:
        key, data = storage
        try:
            return strided(data, offset, tuple(map(int, shape)), tuple(map(int, strides)), quantizer)
        except ValueError as error:
            raise _Damaged(f"has a tensor that lies outside its storage {key}") from error

    def quantized(self, storage: Any, offset: int, shape: Any, strides: Any, parameters: Any) -> StoredTensor:
        scheme, *rest = parameters
        if SCHEMES.get(scheme.name) == 2:
            return self.tensor(storage, offset, shape, strides, Quantizer(float(rest[0]), int(rest[1])))
        scales, zeros, axis = rest[0].array, rest[1].array, int(rest[2])
        return self.tensor(storage, offset, shape, strides, Quantizer(scales, zeros, axis))

    def set_items(self, argument: Any) -> None:
        items = self.items()
        if not isinstance(self.stack[-1], dict):
            raise _Damaged("sets items of what is no dict")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def set_item(self, argument: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][key] = value

    def append(self, argument: Any) -> None:
        value = self.stack.pop()
        self.stack[-1].append(value)

    def extend(self, argument: Any) -> None:
        items = self.items()
        self.stack[-1].extend(items)

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[len(self.stack) - count :])
        if len(items) < count or MARK in items:
            raise _Damaged("has a tuple of what is not there")
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)


PUSHED = frozenset(
    [
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
    ]
)
STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda m, _: m.stack.append(MARK),
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.items())),
    "LIST": lambda m, _: m.stack.append(m.items()),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "PUT": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GET": _Machine.get,
    "GLOBAL": _Machine.global_,
    "NEWOBJ": _Machine.new_object,
    "BUILD": _Machine.build,
    "REDUCE": _Machine.reduce,
    "BINPERSID": _Machine.storage,
    "SETITEMS": _Machine.set_items,
    "SETITEM": _Machine.set_item,
    "APPENDS": _Machine.extend,
    "APPEND": _Machine.append,
}


def _require_size(value: Any, sizes: dict[int, int | None], depth: int) -> int:
    """Number of elements of containers in containers. Raises _Damaged for too many, and for circles."""
    if isinstance(value, StoredObject):
        inner: Any = (value.state,)
    elif isinstance(value, dict):
        inner = (*value, *value.values())
    elif isinstance(value, (list, tuple)):
        inner = value
    else:
        return 1
    if depth > MAX_DEPTH:
        raise _Damaged("is nested deeper than any model")
    if id(value) not in sizes:
        sizes[id(value)] = None
        sizes[id(value)] = 1 + sum(_require_size(v, sizes, depth + 1) for v in inner)
    size = sizes[id(value)]
    if size is None or size > MAX_ITEMS:
        raise _Damaged("holds containers without an end")
    return size
