"""TorchScript archives and exported programs in torch, as fast as it runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bridge.session import Runner
from bridge_torchscript.program import call_arguments as program_arguments
from bridge_torchscript.program import open_program
from bridge_torchscript.runtime import TorchJitSession, call_arguments, to_torch
from bridge_torchscript.safe_open import is_program


class TorchRunner(Runner):
    """A method of an archive, or an exported program, on a device of torch, with its executor's
    optimizations."""

    engine = f"torch {torch.__version__}"

    def __init__(
        self, path: Path, threads: int, place: str, inputs: Any = None, method: str = "forward"
    ) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(place)
        if is_program(path):
            program = open_program(path)
            self._call = program.module().to(self._device)
            self._arguments = lambda given: program_arguments(
                program, {name: to_torch(value) for name, value in given.items()}
            )
        else:
            session = TorchJitSession(path, inputs, method)
            module, fixed = session.module.to(self._device), session.fixed
            self._call = getattr(module, method)
            self._arguments = lambda given: (
                tuple(call_arguments(module, session.names, fixed | given, method)),
                {},
            )

    @classmethod
    def places(cls) -> tuple[str, ...]:
        """The processor, and the devices torch finds beside it."""
        others = {"cuda": torch.cuda, "mps": torch.backends.mps}
        return ("cpu", *(name for name, module in others.items() if module.is_available()))

    def prepared(self, inputs: dict[str, Any]) -> Callable[[], Any]:
        """A call in inference mode, which waits for the device."""
        args, kwargs = self._arguments(inputs)
        args = tuple(a.to(self._device) if isinstance(a, torch.Tensor) else a for a in args)
        run, wait = self._call, torch.cuda.synchronize if self._device.type == "cuda" else None

        def called() -> None:
            with torch.inference_mode():
                run(*args, **kwargs)
                if wait is not None:
                    wait()

        return called

    def profiled(self, inputs: dict[str, Any], runs: int) -> list[tuple[str, str, float]]:
        """By torch's profiler, on the processor: what each operator of aten takes itself."""
        run = self.prepared(inputs)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(runs):
                run()
        return [
            (event.key, "", event.self_cpu_time_total / 1e6 / event.count)
            for event in profile.key_averages()
            for _ in range(event.count // runs)
        ]
