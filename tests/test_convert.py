"""The whole flow, on a real model and on what can go wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from build import model_from_text, model_of_nodes
from conftest import FORMATS, SHARED

import bridge
from bridge import errors, route
from bridge.detect import by_name
from bridge.passes.opset.down import RUNTIME_OPSET
from bridge.plugins import formats
from bridge.trials import Sampling


def test_a_real_model_becomes_a_verified_tflite_file(mnist, tmp_path):
    conversion = bridge.convert(mnist, tmp_path / "mnist.tflite", verify=True)
    assert conversion.path.read_bytes()[4:8] == b"TFL3"
    assert conversion.verification.ok
    assert conversion.report.ok


LOSSY: dict[str, list[dict[str, Any]]] = {
    "coreml": [
        {"precision": "float16"},
        {"precision": "float16", "minimum_deployment_target": "iOS18"},
        {"precision": "float16", "keep_float32": "Softmax"},
        {"precision": {"keep_float32": ["MatMul"]}},
    ],
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_written_with_any_option_is_verified(name, parse, tmp_path):
    """Every choice and flag of the exporter by itself, and what else makes a file less precise."""
    if by_name(name).exporter is None:
        pytest.skip("is not written")
    model = parse(
        "agraph (float[n, 3] x) => (float[n, 3] y) "
        "<float[3, 3] w = {1.0, -0.5, 0.25, 3.0, 0.1, -1.5, 0.7, 2.0, -0.3}> { z = MatMul(x, w) y = "
        "Softmax(z) }"
    )
    exporter = by_name(name).resolve("exporter")
    values = {o.name: o.choices or (False, True) * isinstance(o.default, bool) for o in exporter.options}
    alone = [{option: value} for option, choices in values.items() for value in choices]
    for i, options in enumerate([{}, *alone, *LOSSY.get(name, [])]):
        # ONNX Runtime has no release for the newest opsets
        judged = Sampling(runtime="reference") if options.get("opset", 0) > RUNTIME_OPSET else True
        try:
            path = tmp_path / f"{i}{by_name(name).suffixes[0]}"
            assert isinstance(route.writer(path, name, options).tolerance, float | None), options
            assert bridge.convert(model, path, to=name, verify=judged, **options).verification.ok, options
        except (errors.UnsupportedModel, errors.InvalidOption):
            continue


def test_destination_is_named_after_the_source_in_the_current_directory(mnist, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bridge.convert(mnist, to="tflite").path == Path("mnist.tflite")


def test_a_live_proto_is_a_source(mnist, tmp_path):
    assert bridge.convert(onnx.load(mnist), tmp_path / "m.onnx").path.exists()


@pytest.mark.parametrize("opset", range(11, 29))
def test_every_opset_is_written_and_computes_the_same(mnist, tmp_path, opset):
    path = tmp_path / "m.onnx"
    bridge.convert(mnist, path, opset=opset)
    assert onnx.load(path).opset_import[0].version == opset
    assert bridge.verify(mnist, path, runtime="reference" if opset > RUNTIME_OPSET else "").ok


def test_check_writes_nothing_and_says_what_would_happen(mnist, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = bridge.check(mnist, to="tflite")
    assert report.ok
    assert report.counts()
    assert not any(tmp_path.iterdir())


def test_external_data_is_written_beside_the_model_and_read_back(mnist, tmp_path):
    path = tmp_path / "m.onnx"
    bridge.convert(mnist, path, external_data=True)
    assert (tmp_path / "m.onnx.data").exists()
    assert bridge.verify(mnist, path).ok


def test_what_lies_beside_the_destination_is_not_overwritten_unasked(mnist, tmp_path):
    beside = tmp_path / "m.onnx.data"
    beside.write_bytes(b"mine")
    with pytest.raises(errors.DestinationExists, match=r"m\.onnx\.data"):
        bridge.convert(mnist, tmp_path / "m.onnx", external_data=True)
    assert [p.name for p in tmp_path.iterdir()] == [beside.name]
    assert beside.read_bytes() == b"mine"
    bridge.convert(mnist, tmp_path / "m.onnx", external_data=True, overwrite=True)
    assert beside.read_bytes() != b"mine"


def external_model(folder: Path, location: str) -> Path:
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    specs = {name: (np.float32, [2]) for name in "xy"}
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    proto = model_of_nodes(node, {"x": specs["x"]}, {"y": specs["y"]})
    proto.graph.initializer.append(tensor)
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(("location", "word"), [("gone.bin", "missing"), ("../../etc/passwd", "outside")])
def test_external_data_that_is_missing_or_elsewhere_is_refused(tmp_path, location, word):
    with pytest.raises(errors.UnreadableFile, match=word):
        bridge.load(external_model(tmp_path, location))


def test_external_data_may_be_neither_absolute_nor_behind_a_link(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(2, np.float32).tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    for location in (str(secret), "link"):
        path = external_model(folder, location)
        with pytest.raises(errors.UnreadableFile, match="outside"):
            bridge.convert(path, tmp_path / "m.onnx")
        with pytest.raises(errors.BridgeError):
            bridge.run(path, {"x": np.ones(2, np.float32)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "secret"]


def test_external_data_that_is_too_short_is_refused(tmp_path):
    (tmp_path / "short.bin").write_bytes(b"1234")
    with pytest.raises(errors.UnreadableFile, match="too short"):
        bridge.load(external_model(tmp_path, "short.bin"))


def test_a_truncated_file_is_refused_with_the_way_out(mnist, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(mnist.read_bytes()[:20_000])
    with pytest.raises(errors.UnreadableFile, match="complete"):
        bridge.convert(path, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"to": "tflit"}, errors.UnknownFormat, "tflite"),
        ({}, errors.UnknownFormat, "to="),
        ({"to": "onnx", "opsett": 3}, errors.InvalidOption, "opset"),
        ({"to": "onnx", "opset": 5}, errors.InvalidOption, "11"),
        ({"to": "onnx", "ir_version": 10**20}, errors.InvalidOption, "from 3 to"),
    ],
)
def test_a_wrong_request_says_what_is_right(mnist, tmp_path, monkeypatch, arguments, error, word):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=word):
        bridge.convert(mnist, **arguments)


def test_a_missing_source_is_named():
    with pytest.raises(errors.UnreadableFile, match=r"nowhere\.onnx"):
        bridge.convert("nowhere.onnx", to="tflite")


def test_a_missing_extra_names_the_pip_command(mnist, tmp_path):
    code = (
        "import sys; sys.modules['tensorflow'] = None; import bridge\n"
        "try: bridge.convert(sys.argv[1], sys.argv[2], to='savedmodel')\n"
        "except bridge.BridgeError as error: print(type(error).__name__, error)"
    )
    words = [sys.executable, "-c", code, str(mnist), str(tmp_path / "model")]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "MissingDependency" in printed
    assert "pip install 'formatbridge[savedmodel]'" in printed


FULL_DISK = """
import resource, signal, sys, bridge
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
source, target, options = sys.argv[1], sys.argv[2], dict(pair.split("=") for pair in sys.argv[3:])
bridge.convert(source, target + ".first", to="onnx")
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try: bridge.convert(source, target, **options)
except bridge.BridgeError as error: print(type(error).__name__, error)
"""


@pytest.mark.parametrize("target", ["m.tflite", "m.onnx", "m.onnx external_data=yes"])
def test_a_disk_that_fills_half_way_leaves_nothing(target, mnist, tmp_path):
    name, *options = target.split()
    words = [sys.executable, "-c", FULL_DISK, str(mnist), str(tmp_path / name), *options]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert printed.startswith("WriteFailed"), printed
    assert "Nothing was left behind" in printed
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.first"]


def test_names_order_and_symbolic_dimensions_survive(tmp_path):
    model = model_from_text(
        "(float[batch, 3] b, float[batch, 3] a) => (float[batch, 3] z, float[batch, 3] y) { y = Add (a, "
        "b) z = Sub (a, b) }"
    )
    bridge.convert(model, tmp_path / "m.onnx")
    summary = bridge.inspect(tmp_path / "m.onnx")
    assert [str(p) for p in summary.inputs] == ["b: float[batch,3]", "a: float[batch,3]"]
    assert [p.name for p in summary.outputs] == ["z", "y"]


def test_native_layout_drops_the_boundary_transposes(tmp_path):
    model = model_from_text(
        "(float[1,2,4,5] x) => (float[1,2,2,2] y) { y = MaxPool <kernel_shape: ints = [2,2], strides: "
        "ints = [2,2]> (x) }"
    )
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 5)).astype(np.float32)
    for layout in ("source", "native"):
        bridge.convert(model, tmp_path / f"{layout}.tflite", layout=layout)
    same = bridge.run(tmp_path / "source.tflite", {"x": x})["y"]
    turned = bridge.run(tmp_path / "native.tflite", {"x": np.ascontiguousarray(x.transpose(0, 2, 3, 1))})["y"]
    np.testing.assert_array_equal(same, turned.transpose(0, 3, 1, 2))


def test_dimensions_are_given_by_name(tmp_path):
    model = model_from_text("(float[n,3] x) => (float[n,3] y) { y = Relu (x) }")
    bridge.convert(model, tmp_path / "m.onnx", dims={"n": 5})
    assert [list(v.shape) for v in bridge.load(tmp_path / "m.onnx").graph.outputs] == [[5, 3]]
    with pytest.raises(errors.InvalidOption, match="Symbolic dimensions: n"):
        bridge.convert(model, tmp_path / "n.onnx", dims={"m": 5})


@pytest.mark.parametrize("length", [-1, 2**63, 1.5, "3", True, None])
def test_what_is_no_length_is_no_dimension(length, tmp_path):
    model = model_from_text("(float[n,3] x) => (float[n,3] y) { y = Relu (x) }")
    with pytest.raises(errors.InvalidOption, match="is no length of n"):
        bridge.convert(model, tmp_path / "m.onnx", dims={"n": length})


def test_formats_are_listed_by_name():
    assert [f.name for f in formats()] == FORMATS


REAL = sorted(SHARED.glob("onnx/*/*.onnx")) if SHARED.exists() else []


@pytest.mark.skipif(not REAL, reason="no shared models here")
@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name)
def test_real_onnx_models_come_round_the_hub(path, tmp_path):
    bridge.convert(path, tmp_path / "m.onnx")
    found = bridge.verify(path, tmp_path / "m.onnx", speech(path) if "silero" in path.name else None)
    assert found.ok, str(found)
    assert found.engines[1].startswith("ONNX Runtime")


def speech(path: Path) -> dict[str, np.ndarray]:
    """Inputs of a voice detector: 512 samples, a zero state, 16 kHz."""
    rng = np.random.default_rng(0)
    made = {}
    for value in bridge.load(path).graph.inputs:
        dtype = value.dtype.numpy()
        if value.name == "input":
            made[value.name] = rng.standard_normal((1, 512)).astype(dtype)
        elif value.name == "sr":
            made[value.name] = np.array(16000, dtype).reshape([1] * len(value.shape))
        else:
            made[value.name] = np.zeros([d if isinstance(d, int) else 1 for d in value.shape], dtype)
    return made


@pytest.mark.skipif(not REAL, reason="no shared models here")
@pytest.mark.parametrize("name", ["silero_vad_half.onnx", "silero_vad_op18_ifless.onnx"])
def test_a_model_whose_ranks_depend_on_its_shapes_converts_once_they_are_given(name, tmp_path):
    path = next(p for p in REAL if p.name == name)
    dims = {"batch": 1, "sequence": 512}
    assert bridge.convert(path, tmp_path / "m.tflite", dims=dims, verify=True).verification.ok


VERIFIED = (
    "model.onnx",
    "test_xgb.onnx",
    "treecl.onnx",
    "treecl2.onnx",
    "go1_policy.onnx",
    "FastestDet.onnx",
    "mnist.onnx",
    "yunet_n_dynamic.onnx",
    "pytorch_super_resolution.onnx",
    "tinybert.onnx",
    "dummy_transformer_mlm.onnx",
    "random_decoder.onnx",
    "random_encoder.onnx",
)


@pytest.mark.skipif(not REAL, reason="no shared models here")
@pytest.mark.parametrize("path", [p for p in REAL if p.name in VERIFIED], ids=lambda p: p.name)
def test_real_onnx_models_become_verified_tflite(path, tmp_path):
    bridge.convert(path, tmp_path / "m.tflite", verify=True)


def test_a_convolution_net_keeps_only_the_boundary_transposes(tmp_path):
    model = model_from_text(
        "(float[1,2,6,6] x) => (float[1,2,6,6] y) <float[2,2,1,1] w = {1.0, 2.0, 3.0, 4.0}, float lo = "
        "{0.0}, float hi = {6.0}> "
        "{ a = Conv (x, w) b = Clip (a, lo, hi) c = Conv (b, w) d = Add (c, b) e = HardSwish (d) y = Conv "
        "(e, w) }"
    )
    path = bridge.convert(model, tmp_path / "m.tflite", verify=True).path
    from ai_edge_litert.interpreter import Interpreter

    names = [o["op_name"] for o in Interpreter(str(path))._get_ops_details()]
    assert names.count("TRANSPOSE") == 2
    assert "RELU6" not in names


def test_a_refusal_names_the_operator_of_the_source():
    """The part of it that has no equal is told to programs, not to people."""
    model = model_from_text(
        "g (int64[3] x, string[3] like) => (string[3] y) { [the_node] y = CastLike (x, like) }"
    )
    report = bridge.check(model, to="tflite")
    blocker, *_ = report.blockers
    assert (blocker.op, blocker.name, blocker.part) == ("CastLike", "the_node", "Cast")
    assert "in part: needs" in str(report)
    assert " Cast " not in str(report)
