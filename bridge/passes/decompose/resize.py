"""Resize, an axis at a time."""

from __future__ import annotations

from bridge.ops import OpTable

ops = OpTable("decomposition: resize")
