"""Shared fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from browser import Browser
from build import model_from_text
from hypothesis import HealthCheck, settings

# How long an example takes on a loaded machine decides nothing
settings.register_profile("bridge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bridge")

MODELS = Path(__file__).parent / "models"
SHARED = next(
    (p / "shared" / "models" for p in Path(__file__).parents if (p / "shared" / "models").is_dir()),
    Path("none"),
)
FORMATS = [
    *("catboost", "coreml", "lightgbm", "onnx", "pmml", "savedmodel", "sklearn", "tflite", "torchscript"),
    *("transformers", "xgboost"),
]


@pytest.fixture
def mnist() -> Path:
    return MODELS / "mnist.onnx"


@pytest.fixture
def parse() -> Callable[..., onnx.ModelProto]:
    """ONNX text of a graph at opset 21 → ModelProto."""
    return model_from_text


def installed(package: Path) -> None:
    """What an editable installation of the package of a format `toy` leaves: metadata with the entry
    point."""
    info = package / "bridge_toy-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bridge-toy\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[bridge]\ntoy = bridge_toy\n")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium, for tests that are skipped where there is none."""
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
