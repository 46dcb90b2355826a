"""Random graphs of everyday operators: what cases of single operators cannot show, passes meeting passes.

`STEPS` is a table: a step adds what the ONNX specification lets an operator be, with unusual attributes and
ill-conditioned values, one function each in a module of its family. What makes one a graph is in `growth`.
"""

from __future__ import annotations

import onnx

from bridge.testing.graphs import (
    control,
    conv,
    image,
    index,
    math,
    nn,
    norm,
    quantize,
    recurrent,
    reduce,
    tensor,
)
from bridge.testing.graphs.growth import STEPS, Case, Graph, grown

__all__ = ["STEPS", "Case", "Graph", "random_case", "random_graph"]

FAMILIES = (control, conv, image, index, math, nn, norm, quantize, recurrent, reduce, tensor)


def random_graph(seed: int, number: int, nodes: int = 8) -> onnx.ModelProto:
    """The model of `random_case`."""
    return random_case(seed, number, nodes).model


def random_case(seed: int, number: int, nodes: int = 8) -> Case:
    """The graph of this number, always the same: about `nodes` steps from one to three inputs, lengths of
    which are symbolic and shared in three of four; with inputs at two settings and their answers."""
    return grown(seed, number, nodes)
