"""Every layer class of keras.layers: read, run and compared with Keras, written as TFLite and as SavedModel,
and compared again.

    python benchmarks/keras_layers.py [NAME ...]

The layers are those of bridge_savedmodel.cases.layers. What is not the same, or is refused, is printed with
its reason; at the end stand the classes that no case makes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from bridge_savedmodel.cases import as_array
from bridge_savedmodel.cases.layers import cases
from bridge_savedmodel.tensorflow import tensorflow

import bridge
from bridge.errors import BridgeError, UnsupportedModel
from bridge.runtime import Outputs
from bridge.verify import compare

TARGETS = ("onnx", "tflite", "savedmodel")
OUTSIDE = ("Layer", "Wrapper", "InputLayer", "FlaxLayer", "JaxLayer", "TorchModuleWrapper", "TFSMLayer")
"""Not layers of their own, or another framework's."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    tensorflow()
    import keras

    keras.utils.set_random_seed(0)
    counts: dict[str, Counter] = {to: Counter() for to in TARGETS}
    seen: set[str] = set()
    for name, (inputs, make) in cases(keras).items():
        if given.names and name not in given.names:
            continue
        model = keras.Model(inputs, make()(*inputs))
        seen |= {type(each).__name__ for each in model._flatten_layers()}
        with tempfile.TemporaryDirectory() as folder:
            for to, (found, reason) in measured(model, Path(folder)).items():
                counts[to][found] += 1
                if found != "passed":
                    print(f"{name} {to} {found}: {reason}\n", flush=True)
    for to, count in counts.items():
        print(f"{to:<12} " + ", ".join(f"{n} {what}" for what, n in count.most_common()))
    if given.names:
        return
    classes = {
        made.__name__
        for made in vars(keras.layers).values()
        if isinstance(made, type) and issubclass(made, keras.layers.Layer)
    }
    print("classes without a case:", *sorted(classes - seen - set(OUTSIDE)))


def measured(model: Any, folder: Path) -> dict[str, tuple[str, str]]:
    """The outcome and its reason, by target."""
    try:
        hub = bridge.load(model, state="initial")
    except UnsupportedModel as error:
        return dict.fromkeys(TARGETS, ("refused", str(error)))
    arrays = filled(hub, np.random.default_rng(1))
    tensors = [tensorflow().constant(a) for a in arrays.values()]
    made = model(tensors if len(tensors) > 1 else tensors[0], training=False)
    values = [as_array(t) for t in tensorflow().nest.flatten(made)]
    expected = Outputs(dict(zip((v.name for v in hub.graph.outputs), values, strict=True)), "Keras")
    return {to: outcome(hub, to, folder, arrays, expected) for to in TARGETS}


def outcome(hub: Any, to: str, folder: Path, arrays: Any, expected: Any) -> tuple[str, str]:
    try:
        path = bridge.save(hub, folder / f"layer.{to}").path
        checked = compare(expected, bridge.run(path, arrays))
    except UnsupportedModel as error:
        return "refused", str(error)
    except BridgeError as error:
        return "failed", str(error)
    return ("passed", "") if checked.ok else ("wrong", str(checked))


def filled(hub: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random inputs: two rows of numbers, or of known and unknown words."""
    arrays = {}
    for value in hub.graph.inputs:
        dims = [d if isinstance(d, int) else 2 if n == 0 else 9 for n, d in enumerate(value.shape)]
        kind = value.dtype
        if kind.name == "STRING":
            arrays[value.name] = rng.choice(["a", "b", "zz"], dims).astype(object)
        elif kind.is_floating_point():
            arrays[value.name] = rng.standard_normal(dims).astype(kind.numpy())
        else:
            arrays[value.name] = rng.integers(0, 5, dims).astype(kind.numpy())
    return arrays


if __name__ == "__main__":
    main()
