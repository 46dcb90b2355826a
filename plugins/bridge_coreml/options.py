"""Options of the Core ML exporter: each is declared here, and parsed once into the value that the exporter
reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.errors import InvalidOption
from bridge.formats import LABELS, Option, within

SPECIFICATION = {15: 6, 16: 7, 17: 8, 18: 9}
TARGETS = tuple(f"iOS{number}" for number in SPECIFICATION)
UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")
COLOURS = {"GRAYSCALE": (10, 1), "RGB": (20, 3), "BGR": (30, 3)}
UPPER_BOUND = 2048
LONGEST = 2**63 - 1


@dataclass(frozen=True)
class Picture:
    """An input that takes an image: pixels from 0 to 255 are multiplied by `scale`, then `bias` is added per
    channel."""

    colour: str
    scale: float = 1.0
    bias: tuple[float, ...] = ()

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """The model's own input for pixels [1, channels, height, width]."""
        bias = np.array(self.bias or (0.0,), np.float32).reshape(1, -1, 1, 1)
        return (pixels * np.float32(self.scale) + bias).astype(pixels.dtype)

    def read(self, mil: Any, pixels: Any) -> Any:
        """Scale the pixels and add the bias, in the MIL function."""
        if self.scale != 1:
            pixels = mil.mul(x=pixels, y=np.float32(self.scale))
        if any(self.bias):
            pixels = mil.add(x=pixels, y=np.array(self.bias, np.float32).reshape(1, -1, 1, 1))
        return pixels


@dataclass(frozen=True)
class Precision:
    """Precision of the file: float16 if `half`, except operators of the names or types `keep_float32`."""

    half: bool
    keep_float32: tuple[str, ...] = ()


def version(options: dict[str, Any]) -> int:
    """iOS version of the minimum deployment target."""
    return options["minimum_deployment_target"]


def kept_float32(options: dict[str, Any]) -> list[str] | None:
    """Names and types of operators that stay float32 in a float16 file; None for a float32 file."""
    precision: Precision = options["precision"]
    return [*options["keep_float32"], *precision.keep_float32] if precision.half else None


def parse_target(name: str) -> int:
    """`iOS17` → 17."""
    return int(name.removeprefix("iOS"))


def parse_precision(value: Any) -> Precision:
    """Parse float32, float16, or {"keep_float32": [names]} as a dict or as text."""
    parsed = value
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            parsed = json.loads(value.replace("'", '"'))
        except ValueError:
            parsed = None
    if isinstance(parsed, dict) and set(parsed) == {"keep_float32"}:
        return Precision(True, parse_names(parsed["keep_float32"]))
    if parsed not in ("float32", "float16"):
        raise InvalidOption(
            f"precision={value!r} is not valid.", 'It is float32, float16 or {"keep_float32": [names]}.'
        )
    return Precision(parsed == "float16")


def parse_names(value: Any) -> tuple[str, ...]:
    """Names of a list, or of comma-separated text."""
    if isinstance(value, str):
        return tuple(comma_separated(value))
    if not isinstance(value, (list, tuple)):
        raise InvalidOption(
            f"keep_float32={value!r} is no list of names.", "Such as: keep_float32=Softmax,head"
        )
    return tuple(map(str, value))


def parse_labels(value: Any) -> list[Any]:
    """Class labels of a list of strings or integers, or of comma-separated text."""
    if isinstance(value, str):
        return comma_separated(value)
    if not isinstance(value, (list, tuple)) or {type(label) for label in value} not in ({str}, {int}, set()):
        raise InvalidOption(
            f"class_labels={value!r} is no list of texts, nor one of integers.",
            "Such as: class_labels=cat,dog",
        )
    return list(value)


def parse_images(value: Any) -> dict[str, Picture]:
    """`x:RGB:0.0039:-0.5/-0.5/-0.5,y:GRAYSCALE`, or {"x": "RGB:0.0039"}, by input."""
    pairs = named_values("image_inputs", value)
    return {name: text if isinstance(text, Picture) else parse_image(name, text) for name, text in pairs}


def parse_image(name: str, text: Any) -> Picture:
    color, *fields = str(text).split(":")
    try:
        scale = float(fields[0]) if fields else 1.0
        bias = tuple(float(b) for b in fields[1].split("/")) if len(fields) > 1 else ()
        is_valid = color in COLOURS and len(fields) < 3 and len(bias) in (0, 1, COLOURS[color][1])
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidOption(
            f"image_inputs={f'{name}:{text}'!r} is not NAME:COLOUR, NAME:COLOUR:SCALE or "
            "NAME:COLOUR:SCALE:BIAS/BIAS/BIAS.",
            f"Colours: {', '.join(COLOURS)}.",
        )
    return Picture(color, scale, bias)


def parse_ranges(value: Any) -> dict[str, tuple[int, int]]:
    """`N:1..64,H:32..512`, or {"N": (1, 64)}, by symbolic dimension."""
    ranges = {}
    for name, bounds in named_values("ranges", value):
        sizes = positive_integers(bounds.split("..") if isinstance(bounds, str) else bounds)
        if sizes is None or len(sizes) != 2 or sizes[0] > sizes[1]:
            raise InvalidOption(
                f"ranges={f'{name}:{bounds}'!r} is not DIMENSION:LOWEST..HIGHEST.", "Such as: ranges=N:1..64"
            )
        ranges[name] = (sizes[0], sizes[1])
    return ranges


def parse_shapes(value: Any) -> dict[str, list[list[int]]]:
    """`x:1x3x224x224|1x3x256x256`, or {"x": [[1, 3, 224, 224]]}, by input."""
    shapes = {}
    for name, listed in named_values("shapes", value):
        forms = [one.split("x") for one in listed.split("|")] if isinstance(listed, str) else listed
        sizes = [positive_integers(one) for one in forms] if isinstance(forms, (list, tuple)) else [None]
        if not all(sizes):
            raise InvalidOption(
                f"shapes={f'{name}:{listed}'!r} is not INPUT:SHAPE|SHAPE.",
                "Such as: shapes=x:1x3x224x224|1x3x256x256",
            )
        shapes[name] = [one for one in sizes if one]
    return shapes


def positive_integers(values: Any) -> list[int] | None:
    """Lengths above zero, from numbers or their texts; None if one is invalid."""
    texts = [str(each) for each in values] if isinstance(values, (list, tuple)) else [""]
    lengths = [int(t) if t.isdecimal() and len(t) < 20 else 0 for t in texts]
    return lengths if all(0 < length <= LONGEST for length in lengths) else None


def comma_separated(text: str) -> list[str]:
    return [p.strip() for p in text.split(",") if p.strip()]


def named_values(option: str, value: Any) -> Iterable[tuple[str, Any]]:
    """Pairs of names and values from a dict, or from text NAME:VALUE,NAME:VALUE. A name may contain
    colons."""
    if isinstance(value, Mapping):
        return value.items()
    if not isinstance(value, str):
        raise InvalidOption(f"{option}={value!r} is no text, and no dict by name.")
    return [named_value(option, part) for part in comma_separated(value)]


def named_value(option: str, part: str) -> tuple[str, str]:
    fields = part.split(":")
    color_index = next((i for i, word in enumerate(fields) if i and word in COLOURS), 1)
    split_at = color_index if option == "image_inputs" else len(fields) - 1
    name, value = ":".join(fields[:split_at]), ":".join(fields[split_at:])
    if not name:
        raise InvalidOption(f"{option}={part!r} does not begin with a name and a colon.")
    return name, value


KIND = Option(
    "kind",
    "the kind of model: an ML Program, or classical: Core ML's own trees, linear models, support vectors "
    "and feature steps; auto is classical for a destination .mlmodel, a program for any other",
    "auto",
    choices=("auto", "program", "classical"),
)
PROGRAM = (
    KIND,
    Option(
        "minimum_deployment_target",
        "the oldest system the file is for; the report tells which operators a newer one would hold as they "
        "are",
        TARGETS[0],
        choices=TARGETS,
        parser=parse_target,
    ),
    Option(
        "precision",
        'the dtype of what is computed: float32, float16, or {"keep_float32": ["Softmax", "head/logits"]} '
        "for float16 but for operators of these kinds or names; inputs and outputs keep theirs",
        "float32",
        parser=parse_precision,
    ),
    Option(
        "keep_float32",
        "names or kinds of operators that stay float32 where precision is float16: NAME,NAME",
        "",
        parser=parse_names,
    ),
    Option(
        "image_inputs",
        "inputs that take an image in place of float32 [1, channels, height, width], whose pixels from 0 to "
        "255 are multiplied by a scale, then added to a bias: NAME:COLOUR, or "
        "NAME:COLOUR:SCALE:BIAS/BIAS/BIAS, such as x:RGB:0.00392:-0.5/-0.5/-0.5",
        "",
        parser=parse_images,
    ),
    Option(
        "class_labels",
        "labels of a classifier over the only output, such as cat,dog; the source's own where none are given",
        "",
        parser=parse_labels,
    ),
    Option(
        "ranges",
        "ranges of dimensions that vary, such as N:1..64,H:32..512; for others those of the source, else "
        "from 1 to upper_bound",
        "",
        parser=parse_ranges,
    ),
    Option(
        "shapes",
        "shapes an input may have, one by one, such as x:1x3x224x224|1x3x256x256",
        "",
        parser=parse_shapes,
    ),
    Option(
        "upper_bound",
        "the highest length of a dimension whose range nobody says",
        UPPER_BOUND,
        int,
        parser=within("upper_bound", 1, LONGEST),
    ),
    Option(
        "compute_units",
        "the processors bridge.run lets Core ML use when it runs the file on a Mac, kept in its metadata",
        "ALL",
        choices=UNITS,
    ),
    LABELS,
)
