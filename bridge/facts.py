"""Every entry of `metadata_props` that is written or read here, typed: what is known of a model, a value or a
node beside what it computes.

An entry never says what a node computes: that is in its operator and attributes. `KEY.get(holder)` reads an
entry of an ir.Model, ir.Value or ir.Node, `KEY.set(holder, value)` writes it, `KEY.drop(holder)` takes it
away; a key that ends in a dot or colon is of a name: `KEY.of(name)`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Holder(Protocol):
    """An ir.Model, ir.Graph, ir.Value or ir.Node."""

    @property
    def metadata_props(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Fact(Generic[T]):
    """One entry: its key, and how its value is written as text and read from it."""

    key: str
    encode: Callable[[T], str]
    decode: Callable[[str], T]

    def get(self, holder: Holder) -> T | None:
        """The value, or None where there is none, or text that stands for none."""
        text = holder.metadata_props.get(self.key)
        try:
            return None if text is None else self.decode(text)
        except (ValueError, TypeError):
            return None

    def set(self, holder: Holder, value: T) -> None:
        holder.metadata_props[self.key] = self.encode(value)

    def drop(self, holder: Holder) -> None:
        holder.metadata_props.pop(self.key, None)

    def of(self, name: str) -> Fact[T]:
        """The entry of one name among those that share this key."""
        return Fact(self.key + name, self.encode, self.decode)

    def all(self, holder: Holder) -> Iterator[tuple[str, T]]:
        """(name, value) of the entries that share this key, without text that stands for no value."""
        for key in holder.metadata_props:
            name = key.removeprefix(self.key)
            if key != name and (value := self.of(name).get(holder)) is not None:
                yield name, value

    def owns(self, key: str) -> bool:
        """True if `key` is this entry's, or that of a name among those that share it."""
        return key == self.key or (self.key.endswith((".", ":")) and key.startswith(self.key))


def _text(key: str) -> Fact[str]:
    return Fact(key, str, str)


def _flag(key: str) -> Fact[bool]:
    return Fact(key, lambda value: "1" if value else "", bool)


def _data(key: str) -> Fact[Any]:
    """Anything JSON holds."""
    return Fact(key, lambda value: json.dumps(value, ensure_ascii=False), json.loads)


@dataclass(frozen=True)
class Origin:
    """The operator of the source that a node comes from: its place among those that nodes come from, its kind
    and its name."""

    index: int
    op: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.op} {self.name}".strip()


def _origin(text: str) -> Origin:
    return Origin(*json.loads(text))


# Of nodes

ORIGIN = Fact[Origin]("bridge.source", lambda o: json.dumps([o.index, o.op, o.name]), _origin)
"""The operator of the source it comes from."""

UNREAD = _text("bridge.unread")
"""Why its importer reads it no further, in words that follow its name."""

APPROXIMATED = _text("bridge.approximated")
"""Why its numbers may differ from the source's."""

DECISIVE = _flag("bridge.decisive")
"""A comparison with numbers that are met exactly, or a sum whose terms cancel: less precision than it has may
turn the one, and leaves nothing of the other."""

TORCH_SCOPES = Fact[list[str]]("pkg.torch.onnx.name_scopes", repr, re.compile(r"'([^']*)'").findall)
"""The modules an operator stands in, the whole name of each, outermost first, and its own name: as torch.onnx
writes them."""

WIDENED = _flag("bridge.widened")
"""A Cast back to the dtype a value had before it was computed wider."""

OUTPUT_HALF_PIXEL = _flag("bridge.output_half_pixel")
"""A RoiAlign below opset 16, where half pixels were the only places."""

QUANTIZED = _flag("bridge.quantized")
"""A QuantizeLinear or DequantizeLinear whose integers a TFLite file holds."""

WRAPPED = _text("bridge.wrapped")
"""The dtype to which integers computed in a wider one are wrapped."""

PRISTINE = _flag("bridge.pristine")
"""An element of a list that no step of a Core ML loop has written yet."""

STEP = _text("bridge.step")
"""The operator of a loop's body that it is a copy of, and the step it takes there."""

# Of models

FORMAT = _text("bridge.format")
"""The format it was read from."""

SHA256 = _text("bridge.sha256")
"""The digest of the file it was read from."""

OPSET = _text("bridge.opset")
"""The opset of the ONNX file it was read from."""

VERSION = _text("bridge.version")
"""The version of the format, or of the library, that it was read from."""

ESTIMATOR = _text("bridge.estimator")
"""The class of the estimator it was read from."""

STORED_WEIGHTS = _text("bridge.stored_weights")
"""The scheme whose fewer bits hold its large weights exactly: float16, bfloat16, or a palette."""

PROVENANCE = _data("bridge.provenance")
"""The conversions that led to it, the oldest first: a list (`bridge.provenance.chain`)."""

CARD = _data("bridge.card")
"""Its model card: the fields of `bridge.provenance.card`."""

NOTES = _data("bridge.notes")
"""Sentences on what its importer changed, for the report: a list."""

FEATURE_NAMES = _data("bridge.feature_names")
"""Names of the columns of its only input: a list."""

CLASSES = _data("bridge.classes.")
"""The classes whose scores are the columns of the output of a name: a list of numbers or texts."""

STORED = _data("bridge.stored.")
"""How a file holds the output of a name where its format lacks the type of it: {"names": [TEXT, …]}."""

INTERFACE = _text("bridge.interface")
"""Inputs and outputs as the source of a Core ML file has them, as JSON."""

TENSORFLOW = _text("bridge.tensorflow")
"""The version of TensorFlow by whose definitions of operators a SavedModel was read."""

SPECIFICATION = _text("bridge.specification")
"""The specification version of a Core ML file."""

COMPUTE_UNITS = _text("bridge.compute_units")
"""The compute units Core ML may use when it runs the model."""

COREML = _text("coreml.")
"""Author, license, shortDescription and versionString of a Core ML model."""

COREML_CLASSES = _data("coreml.classes")
"""The labels of a Core ML classifier: a list of numbers or texts."""

COREML_KEYS = _data("coreml.keys.")
"""The keys of the dictionary that the input of a name stands for: a list."""

COREML_RANGE = _text("coreml.range.")
"""The lengths a dimension may have, as LOWEST..HIGHEST."""

COREML_SHAPES = _data("coreml.shapes.")
"""The shapes an input may have: a list of lists."""

COREML_IMAGE = _text("coreml.image.")
"""The colour layout and size of an input or output that is an image."""

COREML_DESCRIPTION = _text("coreml.description.")
"""Description of an input or output."""

COREML_ROWS = _text("coreml.rows")
"""A classical model whose source takes many records at once."""

COREML_NEWER = _data("coreml.newer.")
"""Operators that the deployment target of a number would hold as they are: a list."""

TFLITE_MODEL = _data("tflite.model")
"""The description of the model in a TFLite file's metadata."""

TFLITE_FILE = _text("tflite.file:")
"""A file packed into a TFLite file."""

TFLITE_QUANTIZATION = _data("tflite.quantization")
"""Dtype, scale and zero point of the quantized inputs and outputs of a TFLite file, by name."""

LAYOUT = _data("bridge.layout.")
"""Of a model, by `input:NAME` and `output:NAME`: the axes by which the array of the source becomes the
file's, and by which the file's becomes that of the source."""

# Of values

TFLITE_TENSOR = _data("tflite.tensor")
"""The description of an input or output in a TFLite file's metadata."""

TFLITE_VARIABLE = _text("bridge.tflite.held")
"""The index of the tensor in which a TFLite file keeps this state."""

SAVEDMODEL_VARIABLE = _text("bridge.savedmodel.variable")
"""TensorFlow's name of the variable that this input stands for."""

DIMENSIONS = _data("bridge.dimensions")
"""Names of the dimensions that vary, by input or output."""
