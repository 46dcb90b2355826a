"""Hold the Core ML importer to models that Apple's converter makes of torch and TensorFlow ones.

Each is converted by coremltools to an ML Program in float32 (and, with --fp16, in its default half
precision), read back, run on the same inputs, and compared with the framework's own answer.

    python benchmarks/coreml_models.py [--fp16] [NAME ...]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def torch_model(make: Callable[[Any], Any], *shapes: tuple[int, ...], ids: int = 0) -> Callable[[], Any]:
    def build() -> Any:
        import coremltools as ct
        import torch

        torch.manual_seed(0)
        net = make(torch).eval()
        inputs = [torch.randint(0, ids, s, dtype=torch.int32) if ids else torch.randn(*s) for s in shapes]
        with torch.no_grad():
            expected = net(*inputs)
            traced = torch.jit.trace(net, tuple(inputs))
        kinds = [
            ct.TensorType(name=f"x{i}", shape=s, dtype=np.int32 if ids else np.float32)
            for i, s in enumerate(shapes)
        ]
        expected = expected if isinstance(expected, (tuple, list)) else [expected]
        arrays = {f"x{i}": v.numpy() for i, v in enumerate(inputs)}
        return traced, {"inputs": kinds}, arrays, [e.numpy() for e in expected]

    return build


def tensorflow_model(make: Callable[[Any], Any], shape: tuple[int, ...]) -> Callable[[], Any]:
    def build() -> Any:
        import tensorflow as tf

        tf.random.set_seed(0)
        run = make(tf)
        function = tf.function(run, input_signature=[tf.TensorSpec(shape, tf.float32, name="x0")])
        concrete = function.get_concrete_function()
        tensorflow_model.kept = run  # type: ignore[attr-defined]
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        expected = concrete(tf.constant(x))
        expected = expected if isinstance(expected, (tuple, list)) else [expected]
        return [concrete], {"source": "tensorflow"}, {"x0": x}, [e.numpy() for e in expected]

    return build


def small_cnn(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.GELU(), nn.MaxPool2d(2), nn.ConvTranspose2d(8, 4, 3, 2, 1, 1), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.LogSoftmax(-1),
    )  # fmt: skip


def encoder(torch: Any) -> Any:
    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(50, 32)
            self.qkv, self.out = torch.nn.Linear(32, 96), torch.nn.Linear(32, 32)
            self.norm = torch.nn.LayerNorm(32)

        def forward(self, ids: Any) -> Any:
            x = self.table(ids)
            q, k, v = self.qkv(x).reshape(1, 7, 3, 4, 8).permute(2, 0, 3, 1, 4)
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            return self.norm(x + self.out(y.transpose(1, 2).reshape(1, 7, 32)))

    return Attention()


def recurrent(kind: str, **more: Any) -> Callable[[Any], Any]:
    def make(torch: Any) -> Any:
        class Net(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = getattr(torch.nn, kind)(6, 5, batch_first=True, **more)

            def forward(self, x: Any) -> Any:
                return self.net(x)[0]

        return Net()

    return make


def vision(name: str) -> Callable[[Any], Any]:
    def make(torch: Any) -> Any:
        sys.path.insert(0, str(Path(__file__).parent))
        if "torchvision" not in sys.modules:
            from models import import_torchvision

            import_torchvision()
        import torchvision.models as zoo

        return getattr(zoo, name)(weights=None)

    return make


def tf_network(tf: Any) -> Any:
    kernels = [tf.Variable(tf.random.normal(s, stddev=0.3)) for s in ((3, 3, 3, 8), (3, 3, 8, 1), (8, 5))]

    def run(x: Any) -> Any:
        y = tf.nn.relu6(tf.nn.conv2d(x, kernels[0], 2, "SAME"))
        y = tf.nn.depthwise_conv2d(y, kernels[1], [1, 2, 2, 1], "SAME")
        y = tf.nn.avg_pool2d(tf.nn.leaky_relu(y), 3, 2, "SAME")
        y = tf.image.resize(y, (5, 7))
        return tf.nn.softmax(tf.reduce_mean(y, [1, 2]) @ kernels[2])

    return run


def tf_loop(tf: Any) -> Any:
    weights = tf.Variable(tf.random.normal((4, 4), stddev=0.3))

    def run(x: Any) -> Any:
        _, y = tf.while_loop(
            lambda i, v: i < 5, lambda i, v: (i + 1, tf.tanh(v @ weights)), [tf.constant(0), x]
        )
        parts = tf.stack([y, tf.cumsum(x, 1), tf.reverse(x, [0])], 1)
        return tf.gather(parts, [2, 0, 1], axis=1), tf.strided_slice(parts, [0, 0, 3], [2, 3, 0], [1, 2, -1])

    return run


MODELS: dict[str, Callable[[], Any]] = {
    "small_cnn": torch_model(small_cnn, (2, 3, 16, 16)),
    "encoder": torch_model(encoder, (1, 7), ids=50),
    "lstm": torch_model(recurrent("LSTM", num_layers=2, bidirectional=True), (2, 4, 6)),
    "gru": torch_model(recurrent("GRU"), (2, 4, 6)),
    "rnn": torch_model(recurrent("RNN"), (2, 4, 6)),
    "tf_network": tensorflow_model(tf_network, (1, 16, 20, 3)),
    "tf_loop": tensorflow_model(tf_loop, (2, 4)),
    "mobilenet_v2": torch_model(vision("mobilenet_v2"), (1, 3, 224, 224)),
    "resnet18": torch_model(vision("resnet18"), (1, 3, 224, 224)),
    "squeezenet1_1": torch_model(vision("squeezenet1_1"), (1, 3, 224, 224)),
    "efficientnet_b0": torch_model(vision("efficientnet_b0"), (1, 3, 224, 224)),
    "densenet121": torch_model(vision("densenet121"), (1, 3, 224, 224)),
}


def compared(name: str, half: bool) -> str:
    """One line on one model."""
    import coremltools as ct

    import bridge

    source, options, inputs, expected = MODELS[name]()
    precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
    made = ct.convert(
        source,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS15,
        compute_precision=precision,
        **options,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlpackage"
        made.save(str(path))
        model = bridge.load(path)
        given = {v.name: inputs[v.name].astype(v.dtype.numpy()) for v in model.graph.inputs}
        found = list(bridge.run(model, given).values())
    rtol, atol = (5e-2, 5e-2) if half else (1e-3, 1e-4)
    worst = max(float(np.abs(f - e).max()) for f, e in zip(found, expected, strict=True))
    good = all(np.allclose(f, e, rtol, atol) for f, e in zip(found, expected, strict=True))
    return f"{'agrees' if good else 'DIFFERS'} (largest difference {worst:.1e})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="models; all without one")
    parser.add_argument("--fp16", action="store_true", help="in coremltools' default precision")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    bad = 0
    for name in given.names or MODELS:
        try:
            line = compared(name, given.fp16)
        except Exception as error:
            line = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        bad += not line.startswith("agrees")
        print(f"{name:<20} {line}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
