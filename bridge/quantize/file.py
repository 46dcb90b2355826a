"""A conversion that quantizes on its way, and what the file it writes keeps of its source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from bridge.errors import VerificationFailed
from bridge.load import Reader, reader
from bridge.lower import Writer
from bridge.noise import Noise
from bridge.quantize.accuracy import Meter
from bridge.quantize.core import Quantizing, quantized_for
from bridge.quantize.interface import Interface, interface_of
from bridge.quantize.result import Quantization
from bridge.quantize.samples import RANDOM, Samples, samples_of
from bridge.quantize.schemes import held_by, scheme_of
from bridge.runtime import HubSession, open_session
from bridge.session import Outputs, Session
from bridge.trials import Sampling, Trial
from bridge.verify import Judge, Seen, View

__all__ = ["Step"]

FEW = 2
PART = 0.05
CHANGED = "is a twentieth of what quantization changes"


class QuantizedJudge(Judge):
    """A judge that knows the float model of a quantized one. Integer kernels round otherwise than the hub's
    arithmetic, and later ones on from there: a difference that is a tenth of what quantization itself
    changed is noise."""

    def __init__(
        self, source: Reader | ir.Model, model: ir.Model, floats: ir.Model, interface: Interface
    ) -> None:
        super().__init__(source, model)
        self._floats, self._interface = HubSession(floats), interface

    def noise(
        self, asked: list[Trial], result: Session, answers: list[Outputs], near: bool
    ) -> dict[str, Noise]:
        """The larger of what runtimes vary by, and half a tenth of what quantization changed."""
        found = super().noise(asked, result, answers, near)
        for name, (peak, rms) in self._changed(asked).items():
            if name not in found or found[name].rms < rms * PART:
                found[name] = Noise(peak * PART, rms * PART, CHANGED)
        return found

    def _changed(self, asked: list[Trial]) -> dict[str, tuple[float, float]]:
        """The largest difference of each output from that of the float model, and its root mean square; none
        where inputs are integers, of which the float model has none."""
        changed: dict[str, tuple[float, float]] = {}
        for trial in asked if not self._interface.inputs else ():
            expected = self._interface.floats(trial.expected)
            for name, value in self._floats.run(trial.inputs).items():
                if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.size:
                    continue
                error = np.abs(value.astype(np.float64) - expected[name])
                largest, rms = changed.get(name, (0.0, 0.0))
                changed[name] = max(largest, float(error.max())), max(rms, float(np.sqrt((error**2).mean())))
        return changed


class Step:
    """The step of a conversion that quantizes: called with a hub model it gives the quantized one. Raises
    InvalidOption at once for a scheme that the target does not hold."""

    def __init__(self, writer: Writer, asked: Quantizing) -> None:
        self.writer, self.asked, self.scheme = writer, asked, scheme_of(asked.scheme)
        self.holding = held_by(writer.exporter.schemes(writer.options), self.scheme, str(writer))
        self.result: Quantization | None = None
        self._source: ir.Model | None = None

    def __call__(self, model: ir.Model) -> ir.Model:
        self._source = model.clone()
        self.result = quantized_for(model, self.asked, self.holding)
        return self.result.model.clone()

    def sampling(self, given: Sampling) -> Sampling:
        """Inputs on which the file is compared with the quantized hub model: some of those held back, where
        the user names no others."""
        if given.data or self.asked.calibration is None:
            return given
        samples, face = self._samples(), self._interface()
        return replace(given, data=[face.given(row) for row in samples.rows(samples.held[:FEW])])

    def judge(self, source: Reader | ir.Model, model: ir.Model) -> Judge:
        """The judge of a file that a quantized hub model became."""
        assert self._source is not None
        return QuantizedJudge(source, model, self._source, self._interface())

    def _interface(self) -> Interface:
        assert self._source is not None
        assert self.result is not None
        return interface_of(self._source, self.result.model)

    def _samples(self) -> Samples:
        assert self._source is not None
        data = RANDOM if self.asked.calibration is None else self.asked.calibration
        return samples_of(self._source, data, self.asked.images, self.asked.seed)

    def measure(self, path: Path, lowered: ir.Model, keep: bool) -> None:
        """Measure what a file written keeps of the float source on the samples held back, in its own runtime.
        Raises VerificationFailed, unless it is to be kept all the same, where that is less than was asked,
        or than the scheme is expected to keep."""
        assert self._source is not None
        assert self.result is not None
        face = self.writer.exporter.face(self._source, self.writer.options)
        session = Seen(open_session(reader(path, self.writer.format.name)), View(face, self._source, lowered))
        judge, meter, samples, ports = Judge(self._source), Meter(), self._samples(), self._interface()
        for row in samples.rows(samples.held):
            meter.add(judge.run(row), ports.floats(session.run(ports.given(row))))
        self.result = replace(self.result, written=meter.accuracies())
        least = self.scheme.expected if self.asked.min_sqnr is None else self.asked.min_sqnr
        far = [a for a in self.result.written if a.sqnr < least]
        if not keep and (far or not self.asked.holds(self.result.written)):
            raise VerificationFailed(
                f"{path.name} keeps less of its float source than {least:g} dB.\n{self.result}",
                "auto=True with min_sqnr= returns layers to float; keep_float= names those that stay.",
            )
