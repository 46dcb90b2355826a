"""Files timed side by side: what is counted is what the operators compute, what is measured is the file's own."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import onnx
import pytest
from build import hub_from_text, model_from_text
from click.testing import CliRunner

import bridge
from bridge.cli import main
from bridge.workbench.bench_figures import Latency, Machine, duration, interval
from bridge.workbench.bench_race import ratios
from bridge.workbench.bench_work import quantity, work_of

RNG = np.random.default_rng(0)


def weight(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def counted(text, **weights):
    return work_of(hub_from_text(text, **weights))


@pytest.mark.parametrize(
    ("text", "weights", "macs"),
    [
        ("(float[2,6,8,8] x) => (float y) { y = Conv <group = 2> (x, w) }", [(4, 3, 3, 3)], 2 * 4 * 6 * 6 * 27),
        ("(float[1,4,5,5] x) => (float y) { y = ConvTranspose (x, w) }", [(4, 3, 2, 2)], 4 * 25 * 3 * 4),
        ("(float[5,3,4] x) => (float y) { y = MatMul (x, w) }", [(4, 7)], 5 * 3 * 4 * 7),
        ("(float[4] x) => (float y) { y = MatMul (x, w) }", [(4,)], 4),
        ("(float[4,3] x) => (float y) { y = Gemm <transA = 1> (x, w) }", [(4, 5)], 3 * 4 * 5),
        ('(float[2,3,4] x) => (float y) { y = Einsum <equation = "bij,jk->bik"> (x, w) }', [(4, 5)], 2 * 3 * 4 * 5),
        ('(float[2,3,4] x) => (float y) { y = Einsum <equation = "...j,jk"> (x, w) }', [(4, 5)], 2 * 3 * 4 * 5),
        ('(float[2,3] x) => (float y) { y = Einsum <equation = "ij->ji"> (x) }', [], 0),
        ("(float[7,2,3] x) => (float y) { y = LSTM <hidden_size = 5> (x, w, v) }", [(1, 20, 3), (1, 20, 5)], 14 * 160),
        ("(float[7,2,3] x) => (float y) { y = GRU <hidden_size = 5> (x, w, v) }", [(1, 15, 3), (1, 15, 5)], 14 * 120),
        ("(float[2,3] x) => (float y) { y = Exp (x) }", [], 0),
    ],
)  # fmt: skip
def test_multiply_accumulates_are_those_of_the_formula(text, weights, macs):
    names = dict(zip("wv", (weight(*shape) for shape in weights), strict=False))
    assert counted(text, **names).macs == macs


@pytest.mark.parametrize(
    ("inputs", "attributes"),
    [
        ("float[2,4,5,8] q, float[2,2,7,8] k, float[2,2,7,6] v", ""),
        ("float[2,5,32] q, float[2,7,16] k, float[2,7,12] v", "<q_num_heads = 4, kv_num_heads = 2>"),
    ],
)
def test_heads_that_share_keys_are_counted_each(inputs, attributes):
    assert (
        counted(f"({inputs}) => (float y) {{ y = Attention {attributes} (q, k, v) }}").macs
        == 2 * 4 * 5 * 7 * 14
    )


def test_quantized_products_count_as_products():
    text = "(uint8[2,4] x) => (int32 y) { y = MatMulInteger (x, w) }"
    assert counted(text, w=np.ones((4, 3), np.uint8)).macs == 2 * 4 * 3


def test_a_loop_counts_every_turn_and_a_branch_once():
    loop = (
        "(float[4,4] x) => (float[4,4] y) { y = Loop (n, c, x) <body = b (int64 i, bool k, float[4,4] a) => "
    )
    loop += "(bool l, float[4,4] r) { l = Identity (k) r = MatMul (a, w) }> }"
    numbers = {"n": np.array(3, np.int64), "c": np.array(True), "w": weight(4, 4)}
    assert counted(loop, **numbers).macs == 3 * 64
    branch = "(bool p, float[4,4] x) => (float y) { y = If (p) <then_branch = t () => (float[4,4] a) "
    branch += "{ a = MatMul (x, w) }, else_branch = e () => (float[4,4] b) { c = MatMul (x, w) b = MatMul (c, w) }> }"
    assert counted(branch, w=weight(4, 4)).macs == 128


def test_torchs_counter_agrees():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 8, 3, padding=1, stride=2)
            self.depth = torch.nn.Conv2d(8, 8, 3, groups=8, bias=False)
            self.norm = torch.nn.BatchNorm2d(8)
            self.up = torch.nn.ConvTranspose2d(8, 4, 2, stride=2)
            self.query, self.head = torch.nn.Linear(24, 16), torch.nn.Linear(16, 5)

        def forward(self, x):
            x = self.up(self.norm(self.depth(self.first(x))).relu())
            x = self.query(x.flatten(1, 2)[:, :, :24])
            return self.head(torch.softmax(x @ x.transpose(1, 2), -1) @ x)

    net, image = Net().eval(), torch.rand(2, 3, 32, 32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(image)
    work = work_of(bridge.load(torch.jit.trace(net, image), inputs={"x": image.numpy()}))
    assert work.macs == counter.get_total_flops() // 2


def test_bytes_are_those_that_are_read_and_written():
    both = counted("(float[10,10] x) => (float[10,10] y) { y = MatMul (x, w) }", w=weight(10, 10))
    assert both.moved == 3 * 400
    assert both.intensity == 2 * 1000 / 1200
    assert (both.weights, both.parameters, both.activations) == (400, 100, 800)
    fused = "(float[10,10] x) => (float[10,10] y) { a = MatMul (x, w) b = Relu (a) y = Reshape (b, s) }"
    assert counted(fused, w=weight(10, 10), s=np.array([10, 10])).moved == 3 * 400
    rows = "(int64[2] i) => (float[2,10] y) { y = Gather (w, i) }"
    assert counted(rows, w=weight(1000, 10)).moved == 80 + 16 + 80


def test_activations_are_those_alive_at_once():
    chain = "(float[100] x) => (float[100] y) { a = Exp (x) b = Exp (a) c = Exp (b) y = Exp (c) }"
    assert counted(chain).activations == 800
    held = "(float[100] x) => (float[100] y) { a = Exp (x) b = Exp (a) c = Exp (b) y = Add (c, a) }"
    assert counted(held).activations == 1200


def test_lengths_that_only_a_run_tells_are_named():
    text = "(float[9] x) => (float y) { i = NonZero (x) f = Cast <to = 1> (i) t = Transpose (f) y = MatMul (t, f) }"
    assert "MatMul" in counted(text).unknown
    assert "whose lengths only a run tells" in str(counted(text))


def test_the_median_is_within_its_interval_and_ratios_are_of_turns():
    turns = [np.full((5, 2), t) for t in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 9.0)]
    assert interval(turns) == (1.0, 9.0)
    many = [np.full((5, 2), 1 + i / 100) for i in range(100)]
    low, high = interval(many)
    assert 1.35 < low < Latency.of(many).p50 < high < 1.65
    assert ratios([turn * [2, 3] for turn in turns], turns) == (2.0, 3.0)


def test_a_small_model_is_held_against_the_memory_that_holds_it():
    work = counted("(float[10,10] x) => (float[10,10] y) { y = MatMul (x, w) }", w=weight(10, 10))
    assert Machine(1, 1e12, {2000: 1e9, 10**9: 1e6}).least(work) == 1200 / 1e9
    assert Machine(1, 1e3, {2000: 1e9, 10**9: 1e6}).least(work) == 2.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.50 s"), (0.0314, "31.4 ms"), (314e-6, "314 µs"), (0, "0.00 µs")]
)
def test_seconds_are_told_in_three_digits(seconds, text):
    assert duration(seconds) == text
    assert quantity(123456) == "123 k"


@pytest.fixture(scope="module")
def batched(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "net.onnx"
    text = "(float[n,64] x) => (float[n,64] y) { a = MatMul (x, w) b = Relu (a) y = MatMul (b, w) }"
    onnx.save(model_from_text(text, 17, w=weight(64, 64)), path)
    return path


@pytest.fixture(scope="module")
def done(batched):
    targets = ["tflite", "torchscript", "savedmodel", "coreml"]
    return bridge.bench(batched, to=targets, seconds=0.3, batches=[1, 8], profile=True)


def test_every_format_runs_in_its_own_runtime(done):
    rows = {row.format: row for row in done.rows}
    engines = {"onnx": "ONNX Runtime", "tflite": "LiteRT", "torchscript": "torch", "savedmodel": "TensorFlow"}
    for name, engine in engines.items():
        row = rows[name]
        assert row.engine.startswith(engine), row.problem
        assert 0 < row.latency.p50 <= row.latency.p90 <= row.latency.p99
        assert row.latency.interval[0] <= row.latency.p50 <= row.latency.interval[1]
        assert row.latency.processor > 0
        assert row.load > 0 < row.memory < row.process
        assert row.bytes > 16384
        assert {*row.rate} == {1, 8}
        assert row.rate[8] > row.rate[1] * 0.5
    assert rows["onnx"].ratio == rows["onnx"].processor_ratio == 1.0


def test_a_format_that_does_not_run_here_says_so(done, mnist):
    rows = {row.format: row for row in done.rows}
    if not rows["coreml"].latency:
        assert "own runtime is not here" in rows["coreml"].problem
        assert rows["coreml"].bytes > 0
    refused = bridge.bench(mnist, to="pmml", seconds=0.2).rows[1]
    assert "cannot be written as PMML" in refused.problem
    assert refused.latency is None


def test_runtimes_that_profile_name_their_operators(done):
    rows = {row.format: row for row in done.rows}
    kinds = {o.kind for o in rows["onnx"].operators}
    assert "MatMul" in kinds
    assert any("mm" in o.kind for o in rows["torchscript"].operators)
    assert abs(sum(o.share for o in rows["onnx"].operators) - 1) < 1e-6


def test_table_json_and_csv_say_the_same(done):
    told = json.loads(json.dumps(done.to_dict()))
    (group,) = told["groups"]
    assert group["models"][0]["macs"] == 2 * 64 * 64
    assert group["models"][0]["inputs"] == {"x": [1, 64]}
    lines = [*csv.DictReader(io.StringIO(done.to_csv()))]
    assert [line["name"] for line in lines] == [row["name"] for row in group["rows"]]
    assert float(lines[0]["p50"]) == group["rows"][0]["latency"]["p50"]
    assert "rows a second" in str(done)
    assert "net.tflite" in str(done)


def test_several_models_are_held_against_the_first(batched, mnist, tmp_path):
    smaller = bridge.optimize(mnist, tmp_path / "smaller.onnx").path
    done = bridge.bench([mnist, smaller, batched], seconds=0.2, on="CPUExecutionProvider", threads=2)
    (group,) = done.groups
    assert [row.name for row in group.rows] == ["mnist.onnx", "smaller.onnx", "net.onnx"]
    assert [row.place for row in group.rows] == ["CPUExecutionProvider"] * 3
    assert group.rows[0].ratio == 1.0


def test_delegates_are_rows(batched, tmp_path):
    path = bridge.convert(batched, tmp_path / "net.tflite").path
    done = bridge.bench(path, on=["XNNPACK", "builtin"], seconds=0.2)
    assert [row.place for row in done.rows] == ["XNNPACK", "builtin"]


def test_own_inputs_are_run(batched):
    done = bridge.bench(batched, inputs={"x": np.ones((5, 64), np.float32)}, seconds=0.2)
    assert done.groups[0].inputs == {"net.onnx": {"x": [5, 64]}}
    assert done.groups[0].work["net.onnx"].macs == 5 * 2 * 64 * 64


def test_the_command_prints_csv_and_json(batched):
    line = ["bench", str(batched), "--seconds", "0.2", "--batches", "1"]
    printed = CliRunner().invoke(main, [*line, "--csv"])
    assert printed.exit_code == 0
    assert printed.stdout.splitlines()[1].startswith("net.onnx,onnx,ONNX Runtime")
    told = json.loads(CliRunner().invoke(main, [*line, "--json"]).stdout)
    assert told["groups"][0]["rows"][0]["latency"]["p50"] > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on": "CUDA"}, "ONNX: CPUExecutionProvider"),
        ({"dims": {"m": 2}}, "There are: n."),
        ({"ranges": {"z": (0, 1)}}, "There are: x."),
        ({"seconds": 0}, "seconds=0 is not above 0"),
        ({"threads": -1}, "threads=-1 is not above 0"),
        ({"opsett": 17}, "None of these formats has an option 'opsett'"),
        ({"to": "tflit"}, "Did you mean 'tflite'?"),
        ({"inputs": {"z": np.ones(2)}}, "unknown: z"),
    ],
)
def test_what_nobody_has_is_refused_with_the_way_out(batched, settings, words):
    with pytest.raises(bridge.BridgeError) as refused:
        bridge.bench(batched, **settings)
    assert words in str(refused.value)


def test_numbers_of_rows_need_a_dimension_that_varies(mnist):
    with pytest.raises(bridge.BridgeError, match="INPUT:0=batch"):
        bridge.bench(mnist, batches=[1, 2])


def test_a_live_object_and_a_file_twice_are_refused(batched):
    with pytest.raises(bridge.BridgeError, match="bench runs files"):
        bridge.bench([onnx.load(batched)])
    with pytest.raises(bridge.BridgeError, match="named twice"):
        bridge.bench([batched, batched])
