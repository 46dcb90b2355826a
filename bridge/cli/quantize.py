"""Options of `convert` that quantize."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from bridge.cli.usage import option_of, refuse_without

__all__ = ["quantize_options", "take_quantizing"]

option = partial(option_of, "Quantization")
OPTIONS = (
    option(
        "--quantize",
        metavar="SCHEME",
        help="Quantize: int8, int16x8, int8-dynamic, int8-weights, int4-weights, palette-4, float16, …, as "
        "far as the target holds it.",
    ),
    option(
        "--calibration",
        metavar="DATA",
        help="Samples to quantize by: an .npz, .npy or CSV, a folder of pictures, .npy or .npz; or 'random'.",
    ),
    option(
        "--calibration-method",
        "method",
        metavar="METHOD",
        help="How ranges are chosen: mse, minmax, percentile, entropy; else the best of the first two.",
    ),
    option("--image-mean", metavar="N,…", help="Of pictures, what is taken from each channel."),
    option("--image-std", metavar="N,…", help="Of pictures, what each channel is divided by then."),
    option("--image-channels", type=click.Choice(["rgb", "bgr"]), help="The order of their channels."),
    option("--keep-float", multiple=True, metavar="NAME", help="A layer, pattern or kind left float."),
    option("--min-sqnr", type=float, metavar="DB", help="Fail where an output keeps less than this."),
    option("--min-agreement", type=float, metavar="PART", help="The same, of the greatest element."),
    option("--integer-io", is_flag=True, help="Inputs and outputs are integers too."),
    option("--auto", is_flag=True, help="Return layers to float until it holds, most harmful first."),
)
NAMES = (
    *("method", "image_mean", "image_std", "image_channels"),
    *("keep_float", "min_sqnr", "min_agreement", "integer_io", "auto"),
)


def quantize_options(function: Callable) -> Callable:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def take_quantizing(settings: dict[str, Any]) -> None:
    """Make what `bridge.convert` takes of the options in `settings`. Raises UsageError for one that is
    without --quantize."""
    given = {name: settings.pop(name) for name in NAMES}
    if settings["quantize"] is None:
        refuse_without(click.get_current_context(), ["calibration", *NAMES], "--quantize SCHEME")
        del settings["quantize"], settings["calibration"]
        return
    pictures = {name: given.pop(f"image_{name}") for name in ("mean", "std", "channels")}
    if any(pictures.values()):
        from bridge.inputs.data import Images

        mean, std = (_numbers(n, pictures[n]) if pictures[n] else None for n in ("mean", "std"))
        given["images"] = Images(mean or (0.0,), std or (1.0,), pictures["channels"] or "rgb")
    settings |= {name: value for name, value in given.items() if value}


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not NUMBER,…", param_hint=f"--image-{name}") from None
