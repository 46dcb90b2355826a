"""TorchScript is read: operators whose lengths come at run time, and those spelled out step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchscript_programs import scripted

import bridge
from bridge.errors import UnsupportedModel

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)

FLOATS = np.random.default_rng(0).standard_normal(4000).astype(np.float32)


def floats(*shape: int) -> np.ndarray:
    return FLOATS[: int(np.prod(shape))].reshape(shape)


def agrees(path: Path, inputs: dict[str, Any], *specs: str, to: tuple[str, ...] = ("pt",)) -> None:
    """The hub model and what is written of it compute what torch does."""
    model = bridge.load(path, source="torchscript", inputs=list(specs))
    files = [bridge.save(model, path.with_name(f"made.{suffix}")).path for suffix in to]
    for candidate in (model, *files):
        checked = bridge.verify(path, candidate, inputs, reference_source="torchscript")
        assert checked.ok, f"{candidate if candidate in files else 'hub'}: {checked}"


BAG = "return torch.embedding_bag(w, i, o, False, {mode}, False, {weights}, {last}, {padding})[0]"


@pytest.mark.parametrize("mode", [0, 1, 2], ids=["sum", "mean", "max"])
@pytest.mark.parametrize(("last", "padding"), [(False, None), (True, 1), (False, -2)])
def test_bags_of_embeddings(mode: int, last: bool, padding: int | None, tmp_path: Path) -> None:
    weighted = not mode and not last
    code = BAG.format(mode=mode, weights="s" if weighted else None, last=last, padding=padding)
    path = scripted("w: Tensor, i: Tensor, o: Tensor, s: Tensor", code, tmp_path)
    inputs = {
        "w": floats(5, 3),
        "i": np.array([0, 1, 1, 4, 3, 2, 0]),
        "o": np.array([0, 2, 2, 5]),
        "s": floats(7),
    }
    if not weighted:
        inputs.pop("s")
        code = code.replace("s: Tensor", "")
        path = scripted("w: Tensor, i: Tensor, o: Tensor", code, tmp_path)
    agrees(path, inputs, "w:float32[5,3]", "i:int64[n]", "o:int64[m]", *["s:float32[n]"] * weighted)


class Bags(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(9, 4, mode="mean")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bag(x)


def test_bags_of_one_length_are_reduced_along_an_axis(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.jit.save(torch.jit.script(Bags().eval()), path)
    inputs = {"x": np.array([[0, 1, 8], [4, 4, 4]])}
    agrees(path, inputs, "x:int64[2,3]", to=("pt", "tflite"))
    model = bridge.load(path, source="torchscript", inputs=inputs)
    assert not any(n.op_type.startswith("Scatter") for n in model.graph)


REPEATS = {
    "as often as a tensor says": "return x.repeat_interleave(n, 1)",
    "with its length": "return x.repeat_interleave(n, 1, output_size=5)",
    "all alike": "return x.repeat_interleave(2, 0)",
    "flat": "return x.repeat_interleave(3)",
    "places": "return x, torch.repeat_interleave(n)",
    "never": "return x.repeat_interleave(n * 0, 1)",
    "one number for all": "return x.repeat_interleave(n[:1], 1)",
}


@pytest.mark.parametrize("name", REPEATS)
def test_elements_repeat_in_a_row(name: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor, n: Tensor", REPEATS[name], tmp_path)
    inputs = {"x": floats(2, 3), "n": np.array([3, 0, 2])}
    agrees(path, inputs, "x:float32[rows,3]", "n:int64[3]")


SPECTRA = {
    "centred": "torch.stft(x, 16, 4, None, w, True, 'reflect', False, True, True)",
    "as it is": "torch.stft(x, 16, 5, 16, w, False, 'reflect', True, True, True)",
    "both sides": "torch.stft(x, 16, 4, 16, None, True, 'constant', False, False, True)",
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("samples", ["n", "80"])
def test_spectra_in_short_time(name: str, samples: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor, w: Tensor", f"return torch.view_as_real({SPECTRA[name]})", tmp_path)
    inputs = {"x": floats(2, 80), "w": np.hanning(16).astype(np.float32)}
    to = ("pt", "tflite") if samples == "80" else ("pt",)
    agrees(path, inputs, f"x:float32[2,{samples}]", "w:float32[16]", to=to)


@pytest.mark.parametrize("name", ["centred", "both sides"])
@pytest.mark.parametrize("length", [None, 70, 90])
@pytest.mark.parametrize("samples", ["n", "80"])
def test_spectra_become_sounds_again(name: str, length: int | None, samples: str, tmp_path: Path) -> None:
    half, window = ("True", "w") if name == "centred" else ("False", "None")
    code = (
        f"z = {SPECTRA[name]} * 2\nreturn torch.istft(z, 16, 4, 16, {window}, True, False, {half}, "
        f"{length}, False)"
    )
    path = scripted("x: Tensor, w: Tensor", code, tmp_path)
    inputs = {"x": floats(2, 80), "w": np.hanning(18)[1:-1].astype(np.float32)}
    agrees(path, inputs, f"x:float32[2,{samples}]", "w:float32[16]")


class Smoothed(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        resize = torch.nn.functional.interpolate
        half = resize(x, scale_factor=0.5, mode="bilinear", antialias=True)
        return (
            half,
            resize(x, (5, 7), mode="bilinear", antialias=True),
            resize(x, (9, 40), mode="bicubic", antialias=True),
        )


@pytest.mark.parametrize("size", ["20,16", "h,w"])
def test_resizing_is_smoothed(size: str, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.jit.save(torch.jit.trace(Smoothed(), torch.ones(1, 3, 20, 16)), path)
    to = ("pt", "tflite") if size == "20,16" else ()
    agrees(path, {"x": floats(1, 3, 20, 16)}, f"x:float32[1,3,{size}]", to=to)


MATRICES = {
    "qr": "return torch.linalg.qr(x)",
    "qr, complete": "return torch.linalg.qr(x, 'complete')",
    "qr, r alone": "return torch.linalg.qr(x, 'r')[1]",
    "reflections": "a, tau = torch.geqrf(x.mT)\nreturn torch.linalg.householder_product(a, tau), "
        "torch.ormqr(a, tau, x, False, True)",
    "lu": "return torch.linalg.lu(x)",
    "lu, packed": "return torch.linalg.lu_factor(x)",
    "lu, solved": "a = x @ x.mT\nlu, p = torch.linalg.lu_factor(a)\nreturn torch.linalg.lu_solve(lu, p, x)",
    "triangle": "return torch.triangular_solve(x, x @ x.mT, False, True)[0]",
    "singular values": "return torch.linalg.svdvals(x), torch.linalg.svdvals(x.mT)",
    "of all three alone": "return torch.svd(x)[1], torch.linalg.svd(x)[1]",
    "eigenvalues": "return torch.linalg.eigvalsh(x @ x.mT - 2 * torch.eye(3)), "
        "torch.linalg.eigh(x @ x.mT)[0]",
    "pseudoinverse": "return torch.linalg.pinv(x), torch.pinverse(x.mT)",
    "of a lower rank": "y = x[..., :1] @ x[..., :1, :]\n"
        "return torch.linalg.pinv(y), torch.linalg.matrix_rank(y)",
    "norms": "return torch.linalg.matrix_norm(x, 'nuc'), torch.linalg.matrix_norm(x, 2), "
        "torch.linalg.matrix_norm(x, -2, keepdim=True)",
    "condition": "return torch.linalg.cond(x), torch.linalg.cond(x @ x.mT, 1)",
    "least squares": "return torch.linalg.lstsq(x, x[..., :2] * 2 + 1)[0]",
    "without numbers": "return torch.linalg.qr(x[:0]), torch.linalg.svdvals(x[:, :0]), "
        "torch.linalg.pinv(x[:, :, :0])",
}  # fmt: skip


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_are_taken_apart(name: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor", MATRICES[name], tmp_path)
    agrees(path, {"x": floats(2, 3, 4)}, "x:float32[2,3,4]")


VECTORS = [
    "torch.linalg.svd(x)[0]",
    "torch.linalg.eigh(x)[1]",
    "torch.svd(x)[2] * 2",
    "torch.linalg.lstsq(x, x)[1]",
]


@pytest.mark.parametrize("code", VECTORS)
def test_vectors_of_no_certain_sign_are_refused(code: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor", f"return {code}", tmp_path)
    with pytest.raises(UnsupportedModel, match=r"signs|not read"):
        bridge.load(path, source="torchscript", inputs=["x:float32[3,3]"])


class Packed(torch.nn.Module):
    def __init__(self, layer_class: type[torch.nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.layer = layer_class(4, 5, batch_first=True, **options)

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rnn = torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False)
        output, _last = self.layer(packed)
        padded, lengths = rnn.pad_packed_sequence(
            output, batch_first=True, padding_value=-1.0, total_length=6
        )
        return padded, lengths


LAYERS = {
    "lstm": (torch.nn.LSTM, {"bidirectional": True, "num_layers": 2}),
    "gru": (torch.nn.GRU, {"bidirectional": True}),
    "rnn": (torch.nn.RNN, {"nonlinearity": "relu", "bias": False}),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", ["3,6", "batch,time"])
def test_packed_sequences_have_their_own_lengths(name: str, size: str, tmp_path: Path) -> None:
    layer_class, options = LAYERS[name]
    module, path = Packed(layer_class, **options).eval(), tmp_path / "m.pt"
    inputs = {"x": floats(3, 6, 4), "n": np.array([5, 2, 4])}
    examples = [torch.from_numpy(v) for v in inputs.values()]
    torch.jit.save(torch.jit.script(module) if name != "rnn" else torch.jit.trace(module, examples), path)
    to = ("pt", "tflite") if name == "lstm" and size == "3,6" else ("pt",)
    agrees(path, inputs, f"x:float32[{size},4]", f"n:int64[{size.split(',')[0]}]", to=to)


class Decoding(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = torch.nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)
        self.layers = torch.nn.TransformerDecoder(layer, 1)

    def forward(self, x: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.layers(x, seen, tgt_mask=mask)


@pytest.mark.parametrize("causal", [True, False])
def test_scripted_transformers_take_a_mask_at_run_time(causal: bool, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.jit.save(torch.jit.script(Decoding().eval()), path)
    mask = np.triu(np.full((5, 5), -np.inf, np.float32), 1) if causal else floats(5, 5)
    inputs = {"x": floats(2, 5, 16), "seen": floats(2, 7, 16), "mask": mask}
    agrees(path, inputs, "x:float32[b,t,16]", "seen:float32[b,s,16]", "mask:float32[t,t]")


COUNTED = {
    "bincount": "return n.bincount(), n.bincount(minlength=9), n.bincount(weights=x[0, : n.size(0)])",
    "in a row": "return torch.unique_consecutive(n), torch.unique_consecutive(n, True, True), "
    "torch.unique_consecutive(x, dim=1)",
}


@pytest.mark.parametrize("name", COUNTED)
def test_lengths_that_numbers_make(name: str, tmp_path: Path) -> None:
    path = scripted("x: Tensor, n: Tensor", COUNTED[name], tmp_path)
    agrees(
        path, {"x": floats(4, 8), "n": np.array([1, 1, 4, 0, 0, 4])}, "x:float32[rows,columns]", "n:int64[n]"
    )


def test_a_difference_is_told_where_the_reference_is_not_described(tmp_path: Path) -> None:
    model = bridge.load(scripted("x: Tensor", "return x * 3", tmp_path), inputs=["x:float32[2]"])
    path = scripted("x: Tensor", "return x * 2", tmp_path)
    assert not bridge.verify(path, model, {"x": floats(2)}, reference_source="torchscript").ok


@pytest.mark.parametrize("size", ["b,2,h,w", "1,2,5,8"])
def test_windows_of_images_side_by_side(size: str, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.jit.save(torch.jit.script(torch.nn.Unfold((2, 3), padding=(1, 0), stride=(1, 2))), path)
    agrees(path, {"input": floats(1, 2, 5, 8)}, f"input:float32[{size}]")


def test_parts_of_an_operator_may_write_in_place(tmp_path: Path) -> None:
    path = scripted("x: Tensor", "return torch.nanquantile(x, 0.4, 1), torch.combinations(x[0])", tmp_path)
    agrees(path, {"x": floats(3, 4)}, "x:float32[3,4]")


SIZES = {
    "its own height": ("[x.size(2), 1]", (7, 8), (13, 21)),
    "its own width": ("[1, x.size(3)]", (7, 8), (13, 21)),
    "sizes that divide nothing": ("[3, 4]", (7, 8), (13, 21)),
    "more than there are": ("[5, 2]", (3, 2), (4, 9)),
    "sizes of another": ("[like.size(0), like.size(1)]", (7, 8), (13, 21)),
}


@pytest.mark.parametrize("setting", [1, 2])
@pytest.mark.parametrize("name", SIZES)
def test_averages_of_a_part_each_where_lengths_vary(name: str, setting: int, tmp_path: Path) -> None:
    sizes, (height, width) = SIZES[name][0], SIZES[name][setting]
    code = f"return torch.nn.functional.adaptive_avg_pool2d(x, {sizes})"
    path = scripted("x: Tensor, like: Tensor", code, tmp_path)
    inputs = {"x": floats(2, 3, height, width), "like": floats(3 + setting, 3)}
    agrees(path, inputs, "x:float32[n,3,h,w]", "like:float32[a,b]", to=("pt", "tflite"))
