"""TorchScript is read: complex numbers inside a model, and images whose channels and places are exchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from build import SUFFIXES
from torchscript_programs import scripted

import bridge
from bridge.errors import ExecutionFailed, UnsupportedModel

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

INSIDE = {
    "with real numbers": "return torch.view_as_real(z + x), (x * z).imag, torch.view_as_real(z - 2.0)",
    "with constants": "return torch.view_as_real(z * (2.0 + 1.0j)), torch.view_as_real(x * 1.0j)",
    "quotients": "return torch.view_as_real(z / (z + 3.0)), (x / (z + 3.0)).real, (z / 2.0).imag",
    "sizes": "return x * z.size(1), x + z.numel() + z.dim(), z.reshape([z.size(0), -1]).real",
    "joined": "return torch.view_as_real(torch.cat([z, z], 1)), torch.view_as_real(torch.stack([z, z], 1))",
    "exchanged": "return torch.view_as_real(z.transpose(1, 2)[:, 1:]), z.permute([2, 0, 1]).imag",
    "reduced": "return torch.view_as_real(z.sum(1)), torch.view_as_real(z.mean([1, 2])), z.abs()",
    "compared": "return z == z, z != z.conj(), torch.is_complex(z), torch.is_floating_point(z)",
    "multiplied": "return torch.view_as_real(z @ z.mT), torch.view_as_real(torch.matmul(z, x.mT + 0.0j))",
}


def agree(path: Path, sizes: list[tuple[int, ...]], *specs: str) -> None:
    """The hub model gives torch's numbers at every size."""
    model = bridge.load(path, source="torchscript", inputs=list(specs))
    for size in sizes:
        x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        checked = bridge.verify(path, model, {"x": x}, reference_source="torchscript")
        assert checked.ok, str(checked)


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("size", ["2,3,4", "b,n,m"])
def test_complex_numbers_inside_a_model(name: str, size: str, tmp_path: Path) -> None:
    code = f"z = torch.complex(x, x + 1)\n{INSIDE[name]}"
    sizes = [(2, 3, 4)] if size == "2,3,4" else [(2, 3, 4), (3, 2, 5)]
    agree(scripted("x: Tensor", code, tmp_path), sizes, f"x:float32[{size}]")


@pytest.mark.parametrize(
    "code", ["torch.exp(z)", "z ** 2", "torch.where(x > 0, z, z)", "z.mH", "torch.sort(x, 1)[0] < z"]
)
def test_what_takes_no_complex_numbers_says_so(code: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor", f"z = torch.complex(x, x)\nreturn torch.view_as_real({code})", tmp_path)
    with pytest.raises(UnsupportedModel, match=r"on complex numbers|not Complex"):
        bridge.load(path, source="torchscript", inputs=["x:float32[2,3]"])


IMAGES = {
    "unshuffled": "torch.nn.functional.pixel_unshuffle(x, 2)",
    "shuffled": "torch.nn.functional.pixel_shuffle(x, 2)",
    "among channels": "torch.channel_shuffle(x, 4)",
    "natively": "torch.native_channel_shuffle(x, 2)",
    "of many": "torch.pixel_unshuffle(x.unsqueeze(0), 2), torch.pixel_shuffle(x.unsqueeze(0), 2)",
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("size", ["2,8,4,6", "b,8,h,w", "b,c,h,w"])
def test_places_of_images_become_channels(name: str, size: str, tmp_path: Path) -> None:
    sizes = [(2, 8, 4, 6)] if size == "2,8,4,6" else [(2, 8, 4, 6), (1, 8, 6, 2)]
    agree(scripted("x: Tensor", f"return {IMAGES[name]}", tmp_path), sizes, f"x:float32[{size}]")


RESULTS = {"complex64": "float32", "complex128": "float64"}


@pytest.mark.parametrize("dtype", RESULTS)
@pytest.mark.parametrize("to", ["onnx", "tflite", "coreml", "savedmodel", "torchscript"])
def test_a_complex_result_is_held_as_pairs_and_given_back(to: str, dtype: str, tmp_path: Path) -> None:
    source = scripted("x: Tensor", "return torch.complex(x, x + 1), x + 2", tmp_path)
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(RESULTS[dtype])
    expected = x + 1j * (x + 1)
    read = next(iter(bridge.run(source, {"x": x}, source="torchscript").values()))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, expected)
    path = tmp_path / f"written{SUFFIXES[to]}"
    done = bridge.convert(source, path, to=to, inputs=[f"x:{RESULTS[dtype]}[n,3]"], verify=True)
    assert any("complex numbers are held as pairs" in note for note in done.report.notes)
    first, second = bridge.run(path, {"x": x}).values()
    assert first.dtype == dtype
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    assert second.shape == x.shape
    again = bridge.run(bridge.load(path), {"x": x})
    np.testing.assert_allclose(next(iter(again.values())), expected, rtol=1e-6)


def test_pairs_of_another_shape_are_no_complex_numbers() -> None:
    from bridge.stored import restored

    told = {"bridge.stored.y": '{"complex": "complex64"}'}
    with pytest.raises(ExecutionFailed, match="no pairs"):
        restored({"y": np.zeros((2, 3), np.float32)}, told)
    assert restored({"y": np.zeros((3, 2), np.float32)}, told)["y"].shape == (3,)
    assert restored({"y": np.zeros((3, 2), np.float32)}, {"bridge.stored.y": '{"complex": "c"}'})[
        "y"
    ].shape == (3, 2)


@pytest.mark.parametrize("records", [0, 3])
def test_a_document_holds_a_complex_number_of_each_record(records: int, tmp_path: Path) -> None:
    pytest.importorskip("pypmml")
    source = scripted("x: Tensor", "return torch.view_as_complex(x)", tmp_path)
    path = tmp_path / "written.pmml"
    bridge.convert(source, path, inputs=["x:float32[n,2]"], verify=True, verification=records)
    x = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    for read in (path, bridge.load(path)):
        (found,) = bridge.run(read, {"x": x}).values()
        assert found.dtype == np.complex64
        np.testing.assert_array_equal(found, x[:, 0] + 1j * x[:, 1])
