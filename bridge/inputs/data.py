"""The user's own data as inputs: arrays and pictures in files, and folders of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import InvalidInput, InvalidOption, MissingDependency, near_miss
from bridge.plugins import DISTRIBUTION
from bridge.runtime import check_inputs

ARRAYS = (".npy", ".npz")
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
COLOURS = (1, 3, 4)


@dataclass(frozen=True)
class Images:
    """The way pictures become numbers: pixels of 0 to 255 less `mean` and divided by `std`, of one number or
    one a channel, with the channels in the order rgb or bgr. Raises InvalidOption."""

    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    channels: str = "rgb"

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "bgr"):
            raise InvalidOption(f"channels={self.channels!r} is not one of rgb, bgr.")
        if not np.isfinite([*self.mean, *self.std]).all() or not all(self.std):
            raise InvalidOption("The mean and the deviation of images are finite, and no deviation is 0.")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [height, width, channels] as they are, else as float32. Raises InvalidInput."""
        if self == Images():
            return pixels
        count = pixels.shape[-1]
        if not {len(self.mean), len(self.std)} <= {1, count}:
            raise InvalidInput(f"The mean or the deviation of images is not of one number or {count}.")
        ordered = pixels[..., ::-1] if self.channels == "bgr" and count == 3 else pixels
        return (ordered - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)


def read_inputs(
    files: list[str], inputs: Sequence[ir.Value], images: Images | None = None
) -> list[dict[str, Any]]:
    """Arrays by input name, several of them to run one by one.

    A file is an `.npz` (keys are input names), or an `.npy` or a picture: of the input NAME where it is
    written NAME=FILE, else of the inputs in order. A folder holds such files, one a run where the model has
    one input, else an `.npz` each; a folder for each input, NAME=FOLDER, gives its files in the order of
    their names. Numbers take the input's dtype, pictures its layout, `images` done to their pixels; what
    lacks a batch of one gets it.
    Raises InvalidInput.
    """
    values = {v.name or "": v for v in inputs}
    columns: list[list[dict[str, Any]]] = []
    order = iter(values)
    for item in files:
        name, _, path = item.rpartition("=")
        if name and name not in values:
            raise InvalidInput(
                f"No input is called {name}; they are {', '.join(values)}.", near_miss(name, values).strip()
            )
        folder = Path(path).is_dir()
        found = (
            sorted(p for p in Path(path).iterdir() if p.suffix.lower() in ARRAYS + PICTURES)
            if folder
            else [Path(path)]
        )
        if not found:
            raise InvalidInput(f"{path} holds no {', '.join(ARRAYS + PICTURES)}.")
        if not name and found[0].suffix.lower() != ".npz":
            name = next(order, "")
            if not name:
                raise InvalidInput(
                    f"{path} is one file too many: the model's inputs are {', '.join(values)}."
                )
        columns.append([_read(file, values.get(name), values, images or Images()) for file in found])
    count = max(map(len, columns), default=0)
    if any(len(column) not in (1, count) for column in columns):
        raise InvalidInput("The folders hold different numbers of files.", "Give each as many, or one.")
    rows = [
        {n: a for column in columns for n, a in column[min(i, len(column) - 1)].items()} for i in range(count)
    ]
    for row in rows:
        check_inputs(values, row)
    return rows


def _read(path: Path, value: ir.Value | None, values: dict[str, ir.Value], images: Images) -> dict[str, Any]:
    if not path.exists():
        raise InvalidInput(f"{path} does not exist.", "Inputs are files: .npy, .npz, pictures, or NAME=FILE.")
    if path.suffix.lower() in PICTURES and value is not None:
        return {value.name or "": _picture(path, value, images)}
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(
            f"{path} is no .npy or .npz file of numbers or text, and no picture.",
            "Save one with numpy.save, or numpy.savez for several inputs.",
        ) from error
    if isinstance(loaded, np.ndarray) and value is not None:
        return {value.name or "": fitted(loaded, value)}
    if isinstance(loaded, np.ndarray):
        raise InvalidInput(f"{path} is one array.", "Say whose: NAME=FILE.")
    return {name: fitted(array, values[name]) if name in values else array for name, array in loaded.items()}


def fitted(array: np.ndarray, value: ir.Value) -> np.ndarray:
    """The array in the input's dtype, where that holds what it says, with a batch of one where it has
    none."""
    rank = None if value.shape is None else len(value.shape)
    array = array[None] if rank is not None and array.ndim == rank - 1 else array
    wanted = None if value.dtype is None or value.dtype == ir.DataType.STRING else value.dtype.numpy()
    if wanted is None or array.dtype == wanted or array.dtype.kind not in "iuf":
        return array
    with np.errstate(over="ignore"):
        cast = array.astype(wanted)
    if array.dtype.kind == "f":
        is_float = value.dtype is not None and value.dtype.is_floating_point()
        return cast if is_float and (np.isfinite(cast) == np.isfinite(array)).all() else array
    return cast if np.array_equal(cast.astype(array.dtype), array) else array


def _picture(path: Path, value: ir.Value, images: Images) -> np.ndarray:
    """Pixels from 0 to 255 in the colours, layout and size that the input has; its own size where it has
    none."""
    dims = [d if isinstance(d, int) else None for d in value.shape or ()]
    if len(dims) not in (3, 4):
        raise InvalidInput(f"{path} is a picture; the input {value.name} has the shape {value.shape}.")
    sides, last = dims[-3:], dims[-1] in COLOURS and dims[-3] not in COLOURS[:2]
    channels = sides[-1] if last else sides[0]
    if channels not in COLOURS:
        raise InvalidInput(f"{path} is a picture; the input {value.name} has {channels} channels.")
    height, width = sides[:2] if last else sides[1:]
    pixels = images(_opened(path, channels, height, width))
    array = pixels if last else pixels.transpose(2, 0, 1)
    dtype = value.dtype.numpy() if value.dtype else np.dtype(np.float32)
    return (array if len(dims) == 3 else array[None]).astype(dtype)


def _opened(path: Path, channels: int, height: int | None, width: int | None) -> np.ndarray:
    """Pixels [height, width, channels]."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "Pictures need the package 'pillow', which is not installed.",
            f"Install it with: pip install pillow (beside {DISTRIBUTION})",
        ) from error
    try:
        with Image.open(path) as image:
            colours = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
            sized = colours.resize((width or image.width, height or image.height))
            return np.asarray(sized).reshape(sized.height, sized.width, channels)
    except OSError as error:
        raise InvalidInput(f"{path} is no readable picture: {error}") from error
