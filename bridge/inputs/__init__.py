"""Inputs for a model: lengths, values, and the user's own data."""

from __future__ import annotations

from bridge.inputs.values import random_inputs

__all__ = ["random_inputs"]
