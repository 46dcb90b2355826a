"""Options of the Core ML exporter: each is declared here, and parsed once into the value that the exporter
reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.errors import InvalidOption
from bridge.formats import Option

SPECIFICATION = {15: 6, 16: 7, 17: 8, 18: 9}
TARGETS = tuple(f"iOS{number}" for number in SPECIFICATION)
UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")
COLOURS = {"GRAYSCALE": (10, 1), "RGB": (20, 3), "BGR": (30, 3)}
UPPER = 2048


@dataclass(frozen=True)
class Picture:
    """An input that takes an image: pixels from 0 to 255 are multiplied by `scale`, then `bias` is added per
    channel."""

    colour: str
    scale: float = 1.0
    bias: tuple[float, ...] = ()

    def read(self, mil: Any, pixels: Any) -> Any:
        """What the model reads of the pixels."""
        if self.scale != 1:
            pixels = mil.mul(x=pixels, y=np.float32(self.scale))
        if any(self.bias):
            pixels = mil.add(x=pixels, y=np.array(self.bias, np.float32).reshape(1, -1, 1, 1))
        return pixels


@dataclass(frozen=True)
class Precision:
    """Whether the file computes in float16, and the names or kinds of operators that stay float32 then."""

    half: bool
    keep_float32: tuple[str, ...] = ()


def version(options: dict[str, Any]) -> int:
    """The iOS version written for."""
    return options["minimum_deployment_target"]


def kept_float32(options: dict[str, Any]) -> list[str] | None:
    """Names and kinds of operators that stay float32 where the rest is computed in float16; None where all is
    float32."""
    asked: Precision = options["precision"]
    return [*options["keep_float32"], *asked.keep_float32] if asked.half else None


def target(name: str) -> int:
    """`iOS17` → 17."""
    return int(name.removeprefix("iOS"))


def precision(asked: Any) -> Precision:
    """Of float32, float16, or {"keep_float32": [names]} as a dict or as its text."""
    given = asked
    if isinstance(asked, str) and asked.strip().startswith("{"):
        try:
            given = json.loads(asked.replace("'", '"'))
        except ValueError:
            given = None
    if isinstance(given, dict) and set(given) == {"keep_float32"}:
        return Precision(True, names(given["keep_float32"]))
    if given not in ("float32", "float16"):
        raise InvalidOption(
            f"precision={asked!r} is not valid.", 'It is float32, float16 or {"keep_float32": [names]}.'
        )
    return Precision(given == "float16")


def names(given: Any) -> tuple[str, ...]:
    """Names from a list, or from text with commas between them."""
    if isinstance(given, str):
        return tuple(_parts(given))
    if not isinstance(given, (list, tuple)):
        raise InvalidOption(
            f"keep_float32={given!r} is no list of names.", "Such as: keep_float32=Softmax,head"
        )
    return tuple(map(str, given))


def labels(given: Any) -> list[Any]:
    """Class labels from a list of texts or of integers, or from text with commas between them."""
    if isinstance(given, str):
        return _parts(given)
    if not isinstance(given, (list, tuple)) or {type(label) for label in given} not in ({str}, {int}, set()):
        raise InvalidOption(
            f"class_labels={given!r} is no list of texts, nor one of integers.",
            "Such as: class_labels=cat,dog",
        )
    return list(given)


def pictures(given: Any) -> dict[str, Picture]:
    """`x:RGB:0.0039:-0.5/-0.5/-0.5,y:GRAYSCALE`, or {"x": "RGB:0.0039"}, by input."""
    pairs = _pairs("image_inputs", given)
    return {name: form if isinstance(form, Picture) else _picture(name, form) for name, form in pairs}


def _picture(name: str, form: Any) -> Picture:
    colour, *numbers = str(form).split(":")
    try:
        scale = float(numbers[0]) if numbers else 1.0
        bias = tuple(float(b) for b in numbers[1].split("/")) if len(numbers) > 1 else ()
        known = colour in COLOURS and len(numbers) < 3 and len(bias) in (0, 1, COLOURS[colour][1])
    except ValueError:
        known = False
    if not known:
        raise InvalidOption(
            f"image_inputs={f'{name}:{form}'!r} is not NAME:COLOUR, NAME:COLOUR:SCALE or "
            "NAME:COLOUR:SCALE:BIAS/BIAS/BIAS.",
            f"Colours: {', '.join(COLOURS)}.",
        )
    return Picture(colour, scale, bias)


def ranges(given: Any) -> dict[str, tuple[int, int]]:
    """`N:1..64,H:32..512`, or {"N": (1, 64)}, by symbolic dimension."""
    found = {}
    for name, bounds in _pairs("ranges", given):
        sizes = _sizes(bounds.split("..") if isinstance(bounds, str) else bounds)
        if sizes is None or len(sizes) != 2 or sizes[0] > sizes[1]:
            raise InvalidOption(
                f"ranges={f'{name}:{bounds}'!r} is not DIMENSION:LOWEST..HIGHEST.", "Such as: ranges=N:1..64"
            )
        found[name] = (sizes[0], sizes[1])
    return found


def shapes(given: Any) -> dict[str, list[list[int]]]:
    """`x:1x3x224x224|1x3x256x256`, or {"x": [[1, 3, 224, 224]]}, by input."""
    found = {}
    for name, listed in _pairs("shapes", given):
        forms = [one.split("x") for one in listed.split("|")] if isinstance(listed, str) else listed
        sizes = [_sizes(one) for one in forms] if isinstance(forms, (list, tuple)) else [None]
        if not all(sizes):
            raise InvalidOption(
                f"shapes={f'{name}:{listed}'!r} is not INPUT:SHAPE|SHAPE.",
                "Such as: shapes=x:1x3x224x224|1x3x256x256",
            )
        found[name] = [one for one in sizes if one]
    return found


def _sizes(given: Any) -> list[int] | None:
    """Whole numbers above zero, from numbers or their texts; None where one is something else."""
    texts = [str(each) for each in given] if isinstance(given, (list, tuple)) else [""]
    return [int(t) for t in texts] if all(t.isdigit() and int(t) > 0 for t in texts) else None


def _parts(text: str) -> list[str]:
    return [p.strip() for p in text.split(",") if p.strip()]


def _pairs(option: str, given: Any) -> Iterable[tuple[str, Any]]:
    """Names and what belongs to each: of a dict, or of text NAME:FORM with commas between. A name may hold
    colons."""
    if isinstance(given, Mapping):
        return given.items()
    if not isinstance(given, str):
        raise InvalidOption(f"{option}={given!r} is no text, and no dict by name.")
    return [_pair(option, part) for part in _parts(given)]


def _pair(option: str, part: str) -> tuple[str, str]:
    words = part.split(":")
    last = next((i for i, word in enumerate(words) if i and word in COLOURS), 1)
    at = last if option == "image_inputs" else len(words) - 1
    name, form = ":".join(words[:at]), ":".join(words[at:])
    if not name:
        raise InvalidOption(f"{option}={part!r} does not begin with a name and a colon.")
    return name, form


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
        parser=target,
    ),
    Option(
        "precision",
        'the dtype of what is computed: float32, float16, or {"keep_float32": ["Softmax", "head/logits"]} '
        "for float16 but for operators of these kinds or names; inputs and outputs keep theirs",
        "float32",
        parser=precision,
    ),
    Option(
        "keep_float32",
        "names or kinds of operators that stay float32 where precision is float16: NAME,NAME",
        "",
        parser=names,
    ),
    Option(
        "image_inputs",
        "inputs that take an image in place of float32 [1, channels, height, width], whose pixels from 0 to "
        "255 are multiplied by a scale, then added to a bias: NAME:COLOUR, or "
        "NAME:COLOUR:SCALE:BIAS/BIAS/BIAS, such as x:RGB:0.00392:-0.5/-0.5/-0.5",
        "",
        parser=pictures,
    ),
    Option(
        "class_labels",
        "labels of a classifier over the only output, such as cat,dog; the source's own where none are given",
        "",
        parser=labels,
    ),
    Option(
        "ranges",
        "ranges of dimensions that vary, such as N:1..64,H:32..512; for others those of the source, else "
        "from 1 to upper_bound",
        "",
        parser=ranges,
    ),
    Option(
        "shapes",
        "shapes an input may have, one by one, such as x:1x3x224x224|1x3x256x256",
        "",
        parser=shapes,
    ),
    Option("upper_bound", "the highest length of a dimension whose range nobody says", UPPER, int),
    Option(
        "compute_units",
        "the processors bridge.run lets Core ML use when it runs the file on a Mac, kept in its metadata",
        "ALL",
        choices=UNITS,
    ),
)
