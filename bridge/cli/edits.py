"""Options of `convert` that change the interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from bridge.cli.usage import option_of, refuse_without

__all__ = ["edit_options", "take_edits"]

option = partial(option_of, "Interface")
OPTIONS = (
    option("--rename", multiple=True, metavar="OLD=NEW", help="Another name of an input or output."),
    option(
        "--constant",
        "constants",
        multiple=True,
        metavar="INPUT=VALUE",
        help="A value that an input has from now on: a number, or an .npy file.",
    ),
    option(
        "--dtype", "dtypes", multiple=True, metavar="NAME=DTYPE", help="Another dtype of an input or output."
    ),
    option(
        "--layout",
        "layouts",
        multiple=True,
        metavar="NAME=LAYOUT",
        help="Another order of dimensions of an input or output: NHWC, NCHW, NWC, NCW, NDHWC, NCDHW.",
    ),
    option(
        "--picture",
        "pictures",
        multiple=True,
        metavar="INPUT",
        help="An input takes pictures as they are decoded: uint8, channels last.",
    ),
    option("--mean", metavar="N,…", help="With --picture, what is taken from each channel."),
    option("--std", metavar="N,…", help="With --picture, what each channel is divided by then."),
    option("--scale", metavar="N", help="With --picture, what is multiplied with first; else 1/255."),
    option("--resize", metavar="HxW", help="With --picture, pictures of any size are resized to this."),
    option("--bgr", is_flag=True, help="With --picture, channels are turned round."),
    option("--softmax", multiple=True, metavar="OUTPUT", help="A softmax along its last axis."),
    option("--argmax", multiple=True, metavar="OUTPUT", help="The place of its greatest element."),
    option(
        "--classes", multiple=True, metavar="OUTPUT=FILE", help="The name of its greatest class, a line each."
    ),
    option(
        "--nms",
        metavar="BOXES,SCORES",
        help="Non-maximum suppression of two outputs, as an output `selected`.",
    ),
    option("--iou", type=float, help="With --nms, the overlap that suppresses; else 0.5."),
    option("--score", type=float, help="With --nms, the least score; else 0."),
    option("--most", type=int, metavar="N", help="With --nms, boxes kept of a class; else 100."),
    option("--centred", is_flag=True, help="With --nms, boxes are x, y, width, height."),
    option(
        "--add-output", "add_outputs", multiple=True, metavar="VALUE", help="A value within, as an output."
    ),
    option("--drop-output", "drop_outputs", multiple=True, metavar="NAME", help="An output that is none."),
)
PICTURE = ("mean", "std", "scale", "resize", "bgr")
SUPPRESSION = ("iou", "score", "most", "centred")


def edit_options(function: Callable) -> Callable:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def take_edits(settings: dict[str, Any]) -> None:
    """Make what `bridge.convert` takes of the options in `settings`. Raises UsageError for those that do not
    go together."""
    from bridge.edits import Picture

    pairs = {name: _pairs(name, settings.pop(name)) for name in ("rename", "constants", "dtypes")}
    made: dict[str, Any] = {"rename": pairs["rename"], "dtypes": pairs["dtypes"]}
    made["layouts"] = {n: text.upper() for n, text in _pairs("layout", settings.pop("layouts")).items()}
    made["constants"] = {n: _value(text) for n, text in pairs["constants"].items()}
    pictures, given = settings.pop("pictures"), {name: settings.pop(name) for name in PICTURE}
    if not pictures:
        refuse_without(click.get_current_context(), PICTURE, "--picture INPUT")
    made["pictures"] = {name: Picture(**_prepared(given)) for name in pictures}
    made["heads"] = {name: kind for kind in ("softmax", "argmax") for name in settings.pop(kind)}
    made["heads"] |= {n: _lines(text) for n, text in _pairs("classes", settings.pop("classes")).items()}
    made["suppression"] = _suppression(settings.pop("nms"), {n: settings.pop(n) for n in SUPPRESSION})
    made |= {name: settings.pop(name) for name in ("add_outputs", "drop_outputs")}
    settings |= {name: value for name, value in made.items() if value}


def _pairs(name: str, given: Sequence[str]) -> dict[str, str]:
    split = {text: text.rpartition("=") for text in given}
    if bad := next((text for text, (key, _, value) in split.items() if not key or not value), None):
        raise click.BadParameter(f"{bad!r} is not NAME=VALUE", param_hint=f"--{name.removesuffix('s')}")
    return {key: value for key, _, value in split.values()}


def _value(text: str) -> Any:
    import numpy as np

    if Path(text).suffix == ".npy":
        try:
            return np.load(text, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise click.BadParameter(f"{text} is not read: {error}", param_hint="--constant") from None
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither a number nor an .npy file", param_hint="--constant"
        ) from None


def _prepared(given: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"reverse": given["bgr"]}
    for name in ("mean", "std", "scale"):
        if given[name] is not None:
            numbers = _numbers(name, given[name], ",")
            made[name] = numbers[0] if name == "scale" else numbers
    if given["resize"] is not None:
        made["size"] = [int(n) for n in _numbers("resize", given["resize"].lower(), "x")]
    return made


def _numbers(name: str, text: str, mark: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(mark)]
    except ValueError:
        numbers = []
    if not numbers or (name == "resize" and (len(numbers) != 2 or min(numbers) < 1)):
        raise click.BadParameter(f"{text!r} is not N{mark}N", param_hint=f"--{name}")
    return numbers


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} is not read: {error}", param_hint="--classes") from None


def _suppression(nms: str | None, given: dict[str, Any]) -> Any:
    from bridge.edits import Suppression

    if nms is None:
        refuse_without(click.get_current_context(), SUPPRESSION, "--nms BOXES,SCORES")
        return None
    boxes, comma, scores = nms.partition(",")
    if not comma:
        raise click.BadParameter(f"{nms!r} is not BOXES,SCORES", param_hint="--nms")
    return Suppression(boxes, scores, **{name: value for name, value in given.items() if value})
