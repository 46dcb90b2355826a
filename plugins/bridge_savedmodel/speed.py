"""SavedModels in TensorFlow, as fast as it runs them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge.errors import ExecutionFailed
from bridge.session import Runner
from bridge_savedmodel.runtime import TensorFlowSession
from bridge_savedmodel.tensorflow import FILES, tensorflow


class TensorFlowRunner(Runner):
    """A signature of a SavedModel, on one of TensorFlow's devices."""

    def __init__(self, path: Path, threads: int, place: str, signature: str | None = None) -> None:
        tf, path = tensorflow(), path.parent if path.name in FILES else path
        if path.is_file():
            raise ExecutionFailed(
                f"{path} is no SavedModel, and TensorFlow's speed is measured on those.",
                "Add --to savedmodel: what is written is measured.",
            )
        with suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        self.engine, self._device = f"TensorFlow {tf.__version__}", place
        with tf.device(place):
            self._session = TensorFlowSession(path, signature)

    @classmethod
    def places(cls) -> tuple[str, ...]:
        """The processor, and what TensorFlow finds beside it."""
        devices = [
            d.name.removeprefix("/physical_device:") for d in tensorflow().config.list_physical_devices()
        ]
        return ("CPU:0", *(name for name in devices if name != "CPU:0"))

    def prepared(self, inputs: dict[str, Any]) -> Callable[[], Any]:
        """A call of the signature, whose results are read."""
        tf, function = tensorflow(), self._session.function
        with tf.device(self._device):
            tensors = {name: tf.identity(tensor) for name, tensor in self._session.tensors(inputs).items()}

        def called() -> None:
            with tf.device(self._device):
                for result in tf.nest.flatten(function(**tensors), expand_composites=True):
                    result.numpy()

        return called
