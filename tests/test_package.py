"""Packages: four models for every kind, each checked by what reads it and by its own smoke test."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from build import model_from_text
from click.testing import CliRunner

import bridge
from bridge.cli import main
from bridge.errors import DestinationExists, InvalidOption, MissingDependency, UnsupportedModel
from bridge.package.core import unless_package
from bridge.package.kinds import Kind, kind_of, kinds
from bridge.package.tfserving import prediction_log
from bridge.plugins import Plugins

NAMES = [kind.name for kind in kinds()]
MODELS = ("mobile", "encoder", "lstm", "pipeline")
NOT_HERE = 77


def weights(seed: int, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: (0.3 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


def mobile() -> onnx.ModelProto:
    """An inverted residual of MobileNetV2, and a head."""
    text = """(float[N,3,16,16] image) => (float[N,5] scores) {
        a = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image, stem)
        low = Constant <value_float=0.0> ()
        high = Constant <value_float=6.0> ()
        b = Clip (a, low, high)
        c = Conv (b, expand)
        d = Clip (c, low, high)
        e = Conv <kernel_shape=[3,3], pads=[1,1,1,1], group=16> (d, depth)
        f = Clip (e, low, high)
        g = Conv (f, project)
        h = Add (b, g)
        i = GlobalAveragePool (h)
        j = Flatten (i)
        scores = Gemm <transB=1> (j, head, bias)
    }"""
    shapes = {"stem": (8, 3, 3, 3), "expand": (16, 8, 1, 1), "depth": (16, 1, 3, 3), "project": (8, 16, 1, 1)}
    return model_from_text(text, 17, **weights(0, **shapes, head=(5, 8), bias=(5,)))


def encoder() -> onnx.ModelProto:
    """One layer of BERT with one head."""
    text = """(int64[N,S] ids, int64[N,S] mask) => (float[N,S,8] hidden) {
        x = Gather (table, ids)
        q = MatMul (x, wq)
        k = MatMul (x, wk)
        v = MatMul (x, wv)
        kt = Transpose <perm=[0,2,1]> (k)
        qk = MatMul (q, kt)
        axis = Constant <value_ints=[1]> ()
        wide = Unsqueeze (mask, axis)
        real = Cast <to=1> (wide)
        one = Constant <value_float=1.0> ()
        left = Sub (one, real)
        large = Constant <value_float=-10000.0> ()
        hide = Mul (left, large)
        masked = Add (qk, hide)
        p = Softmax <axis=-1> (masked)
        pv = MatMul (p, v)
        sum = Add (x, pv)
        normal = LayerNormalization (sum, gamma, beta)
        up = MatMul (normal, w1)
        erf = Erf (up)
        gelu = Mul (up, erf)
        down = MatMul (gelu, w2)
        both = Add (normal, down)
        hidden = LayerNormalization (both, gamma, beta)
    }"""
    shapes = {"table": (20, 8), "wq": (8, 8), "wk": (8, 8), "wv": (8, 8), "w1": (8, 16), "w2": (16, 8)}
    return model_from_text(text, 17, **weights(1, **shapes, gamma=(8,), beta=(8,)))


def lstm() -> onnx.ModelProto:
    """A bidirectional LSTM over [batch, time, features]."""
    text = """(float[N,6,4] x) => (float[N,6,3] y) {
        t = Transpose <perm=[1,0,2]> (x)
        h, last, cell = LSTM <hidden_size=5, direction="bidirectional"> (t, w, r, b)
        n = Transpose <perm=[2,0,1,3]> (h)
        shape = Constant <value_ints=[0,0,10]> ()
        flat = Reshape (n, shape)
        y = MatMul (flat, head)
    }"""
    return model_from_text(text, 17, **weights(2, w=(2, 20, 4), r=(2, 20, 5), b=(2, 40), head=(10, 3)))


def pipeline() -> Any:
    """A scaler and a logistic regression of scikit-learn."""
    pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(x, (x[:, 0] > x[:, 1]).astype(int))


def source(name: str, folder: Path) -> Any:
    made = {"mobile": mobile, "encoder": encoder, "lstm": lstm, "pipeline": pipeline}[name]()
    if not isinstance(made, onnx.ModelProto):
        return made
    onnx.save(made, folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Any:
    """The package of a model for a kind, made once."""
    made: dict[tuple[str, str], bridge.Package] = {}

    def pack(model: str, kind: str) -> bridge.Package:
        for module in kind_of(kind).needs:
            pytest.importorskip(module)
        if (model, kind) not in made:
            folder = tmp_path_factory.mktemp("package")
            made[model, kind] = bridge.package(source(model, folder), folder / "out", kind=kind)
        return made[model, kind]

    return pack


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory) -> Path:
    """onnxruntime-web as npm installs it."""
    if shutil.which("npm") is None or shutil.which("chromium") is None:
        pytest.skip("npm or Chromium is missing")
    folder = tmp_path_factory.mktemp("npm")
    from bridge.package.ort_web import WEB

    words = ["npm", "install", "--silent", "--no-save", f"onnxruntime-web@{WEB}"]
    if subprocess.run(words, cwd=folder, capture_output=True).returncode:
        pytest.skip("npm did not bring onnxruntime-web")
    return folder / "node_modules"


def smoke(path: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(path / "smoke_test.py")], capture_output=True, text=True)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", NAMES)
def test_the_smoke_test_of_a_package_passes(kind, model, packed, request):
    package = packed(model, kind)
    if kind == "ort-web":
        (package.path / "node_modules").symlink_to(request.getfixturevalue("node_modules"))
    done = smoke(package.path)
    expected = NOT_HERE if kind == "coreml" and sys.platform != "darwin" else 0
    assert done.returncode == expected, done.stdout + done.stderr
    assert ("NOT RUN" in done.stdout) == (expected == NOT_HERE)


@pytest.mark.parametrize("kind", NAMES)
def test_a_package_holds_sums_the_report_samples_and_a_readme(kind, packed):
    package = packed("mobile", kind)
    for name, digest in package.sums.items():
        assert hashlib.sha256((package.path / name).read_bytes()).hexdigest() == digest
    report = json.loads((package.path / "report.json").read_text())
    assert report["path"] == str(package.conversion.path)
    assert package.conversion.path.exists()
    assert report["verification"]["ok"]
    facts = json.loads((package.path / "facts.json").read_text())
    assert len(facts["samples"]) == package.samples == 2
    readme = (package.path / "README.md").read_text()
    assert all(name in readme for name in ("`image`", "`scores`", "python smoke_test.py"))
    assert package.to_dict()["kind"] == kind
    assert f"for {kind_of(kind).title}" in str(package)


def test_a_changed_file_and_a_wrong_answer_fail_the_smoke_test(tmp_path):
    onnx.save(mobile(), tmp_path / "m.onnx")
    package = bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="ort")
    sample = package.path / "samples" / "expected-0.npz"
    with np.load(sample) as stored:
        np.savez(sample, **{n: a + 1 for n, a in stored.items()})
    done = smoke(package.path)
    assert done.returncode == 1
    assert "samples/expected-0.npz is not the file that was packed" in done.stdout
    assert "scores differs by up to 1" in done.stdout


@pytest.mark.parametrize("model", MODELS)
def test_triton_reads_the_configuration(model, packed):
    found = importlib.util.find_spec("tritonclient")
    if found is None:
        pytest.skip("tritonclient is missing")
    from google.protobuf import text_format

    # The package around it imports grpc
    module = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", module)
    messages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(messages)
    package = packed(model, "triton")
    (text,) = package.path.glob("models/*/config.pbtxt")
    config = text_format.Parse(text.read_text(), messages.ModelConfig())
    assert config.name == text.parent.name
    assert config.max_batch_size == 8
    (version,) = config.version_policy.specific.versions
    graph = onnx.load(text.parent / str(version) / config.default_model_filename).graph
    elements = {"TYPE_FP32": 1, "TYPE_INT64": 7, "TYPE_FP64": 11}
    for entries, values in ((config.input, graph.input), (config.output, graph.output)):
        for entry, value in zip(entries, values, strict=True):
            kind = value.type.tensor_type
            known = [d.dim_value or -1 for d in kind.shape.dim]
            dims = list(entry.dims) if not entry.HasField("reshape") else list(entry.reshape.shape)
            assert entry.name == value.name
            assert elements[messages.DataType.Name(entry.data_type)] == kind.elem_type
            assert [-1, *dims] == known
    assert config.HasField("dynamic_batching")


def test_triton_takes_what_has_no_batch_as_it_is(tmp_path):
    onnx.save(
        model_from_text("(float x, int64[2] n) => (float y, int64[2] m) { y = Abs(x) m = Abs(n) }"),
        tmp_path / "m.onnx",
    )
    package = bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="triton", version=3)
    text = (package.path / "models" / "m" / "config.pbtxt").read_text()
    assert "max_batch_size: 0" in text
    assert 'name: "x" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] }' in text
    assert (package.path / "models" / "m" / "3" / "model.onnx").exists()


def test_triton_says_which_types_it_lacks(tmp_path):
    onnx.save(model_from_text("(int4[2] x) => (float[2] y) { y = Cast<to=1>(x) }"), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModel, match="Triton does not have the types"):
        bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="triton")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("model", MODELS)
def test_tensorflow_serving_reads_the_requests_that_warm_it_up(model, packed):
    package = packed(model, "tfserving")
    (records,) = package.path.glob("models/*/1/assets.extra/tf_serving_warmup_requests")
    pytest.importorskip("tensorflow_serving")
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    loaded = tf.saved_model.load(str(records.parents[1]))
    count = 0
    for number, record in enumerate(tf.data.TFRecordDataset(str(records))):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        asked = log.predict_log.request
        assert asked.model_spec.name == records.parents[2].name
        given = {name: tf.make_ndarray(tensor) for name, tensor in asked.inputs.items()}
        answer = loaded.signatures[asked.model_spec.signature_name](
            **{n: tf.constant(a) for n, a in given.items()}
        )
        assert set(answer) == set(json.loads((package.path / "facts.json").read_text())["outputs"])
        rest = json.loads((package.path / f"samples/request-{number}.json").read_text())
        for name, array in given.items():
            np.testing.assert_allclose(np.array(rest["inputs"][name], array.dtype), array)
        count += 1
    assert count == 2


def test_saved_model_cli_shows_the_signature_served(packed):
    package = packed("encoder", "tfserving")
    (folder,) = package.path.glob("models/*/1")
    program = "from tensorflow.python.tools.saved_model_cli import main; main()"
    words = ["show", "--dir", str(folder), "--tag_set", "serve", "--signature_def", "serving_default"]
    shown = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True).stdout
    told = " ".join(shown.split())
    assert "inputs['ids'] tensor_info: dtype: DT_INT64 shape: (-1, -1)" in told
    assert "outputs['hidden'] tensor_info: dtype: DT_FLOAT shape: (-1, -1, 8)" in told


def test_a_long_field_of_protobuf_has_its_length():
    message = prediction_log("m", {"x": bytes(300)})
    assert message[0] == 6 << 3 | 2
    assert bytes([2 << 3 | 2, 0xB2, 0x02]) in message


def test_onnx_runtime_is_packed_for_the_release_of_a_profile(tmp_path):
    onnx.save(encoder(), tmp_path / "m.onnx")
    package = bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="ort", profile="ort-1.16")
    model = onnx.load(package.path / "model.onnx")
    assert model.opset_import[0].version <= 19
    assert model.ir_version <= 9


def test_a_phone_is_told_which_operators_a_build_must_have(packed):
    text = (packed("mobile", "ort-mobile").path / "model.required_operators_and_types.config").read_text()
    assert "Conv" in text
    assert "globally_allowed_types" in text or "{" in text


def test_litert_and_core_ml_have_the_names_of_the_readme(packed):
    litert = (packed("encoder", "litert").path / "README.md").read_text()
    assert 'runSignature(mapOf<String, Any>("ids" to …, "mask" to …)' in litert
    coreml = packed("encoder", "coreml")
    import coremltools as ct

    spec = ct.utils.load_spec(str(coreml.path / "model.mlpackage"))
    readme = (coreml.path / "README.md").read_text()
    assert all(f'"{port.name}"' in readme for port in (*spec.description.input, *spec.description.output))


def test_a_package_replaces_a_package_and_nothing_else(tmp_path):
    onnx.save(mobile(), tmp_path / "m.onnx")
    bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="ort")
    with pytest.raises(DestinationExists, match="exists already"):
        bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="ort")
    bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="triton", overwrite=True)
    assert not (tmp_path / "out" / "model.onnx").exists()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(DestinationExists, match=r"holds notes\.txt beside a package"):
        bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="ort", overwrite=True)
    assert unless_package(tmp_path / "m.onnx") == "is no package, but a file"
    assert unless_package(tmp_path) == "is a folder that is no package"


def test_samples_of_the_user_are_packed(tmp_path):
    onnx.save(mobile(), tmp_path / "m.onnx")
    np.save(tmp_path / "image.npy", np.full((1, 3, 16, 16), 0.5, np.float32))
    words = [
        "package",
        str(tmp_path / "m.onnx"),
        str(tmp_path / "out"),
        "--for",
        "ort",
        "-i",
        str(tmp_path / "image.npy"),
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "out" / "samples" / "inputs-0.npz") as stored:
        assert (stored["0"] == 0.5).all()
    assert "1 sample" not in done.output
    assert smoke(tmp_path / "out").returncode == 0


def test_outputs_that_are_no_tensors_are_refused(tmp_path):
    text = "(float[2] x) => (seq(float[2]) y) { y = SequenceConstruct (x, x) }"
    onnx.save(model_from_text(text), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModel, match="y is no tensor"):
        bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="ort")


def test_a_plugin_brings_a_kind(tmp_path, monkeypatch):
    def build(build):
        build.convert(build.folder / "toy.onnx")
        return "Nothing to say."

    run = kind_of("ort").source()
    toy = Kind("toy", "Toys", "onnx", build, run, runtime="onnxruntime")
    provided = Plugins.provided

    def also(self, hook, **arguments):
        added = [("bridge-toy", toy)] if hook == "bridge_packages" else []
        return [*provided(self, hook, **arguments), *added]

    monkeypatch.setattr(Plugins, "provided", also)
    kinds.cache_clear()
    try:
        assert kind_of("toy") is toy
        onnx.save(mobile(), tmp_path / "m.onnx")
        package = bridge.package(tmp_path / "m.onnx", tmp_path / "out", kind="toy")
        assert smoke(package.path).returncode == 0
    finally:
        kinds.cache_clear()


def test_what_is_missing_or_misspelt_is_told():
    with pytest.raises(InvalidOption, match="Did you mean 'triton'"):
        kind_of("tritn")
    absent = Kind("x", "X", "onnx", "x:build", "", needs=("no_such_module",), install="such")
    with pytest.raises(MissingDependency, match="pip install such"):
        absent.resolve()
