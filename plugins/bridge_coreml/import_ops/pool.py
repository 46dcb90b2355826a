"""Pooling."""

from __future__ import annotations

import numpy as np

from bridge.ops import OpTable
from bridge_coreml.import_ops.common import RANKED
from bridge_coreml.import_ops.conv import PADDINGS, padding_attributes, strides_and_dilations

ops = OpTable()


@ops.op("max_pool", "avg_pool", "l2_pool", needs=(RANKED, PADDINGS))
def pool(op, node, x):
    kernel = [int(k) for k in np.ravel(node.get("kernel_sizes"))]
    strides, _ = strides_and_dilations(node, len(kernel))
    attributes = {"kernel_shape": kernel, "strides": strides, **padding_attributes(node, kernel)}
    attributes["ceil_mode"] = int(node.get("ceil_mode", False))
    if node.op == "max_pool":
        return op.MaxPool(x, **attributes)
    if node.op == "l2_pool":
        return op.LpPool(x, p=2, **attributes)
    return op.AveragePool(
        x, count_include_pad=int(not node.get("exclude_padding_from_average", False)), **attributes
    )
