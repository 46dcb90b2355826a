"""Operators of ONNX files that the hub lacks, by family: QLinear* and the common ones of com.microsoft.

ONNX Runtime's ContribOperators.md describes the latter. Their schemas are unknown here: an absent attribute
reads as None, which becomes the default of the hub's operator; a vendor's default that differs is stated
where it is read.
"""

from bridge.ops import OpTable

ops = OpTable.of(__name__)
