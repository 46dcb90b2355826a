"""Inputs for a model: lengths, values, and the user's own data."""

from __future__ import annotations

from bridge.inputs.data import read_inputs
from bridge.inputs.lengths import Lengths, Setting
from bridge.inputs.values import Ranges, inputs_at, random_inputs

__all__ = ["Lengths", "Ranges", "Setting", "inputs_at", "random_inputs", "read_inputs"]
