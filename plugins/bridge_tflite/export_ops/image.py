"""Images: Resize, DepthToSpace, SpaceToDepth, non-maximum suppression."""

from __future__ import annotations

from bridge.hub import attr
from bridge.needs import attribute, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import BLOCK_DTYPES, FLOAT_KERNEL, NHWC, TFLITE
from bridge_tflite.export_ops.conv import IMAGE

ops = OpTable()

RESIZE_ATTRIBUTES = {"align_corners": "align_corners", "half_pixel_centers": "half_pixel_centers"}

ops.same(
    domain=TFLITE,
    attributes=RESIZE_ATTRIBUTES,
    needs=(FLOAT_KERNEL,),
    ResizeBilinear="RESIZE_BILINEAR",
    ResizeNearestNeighbor="RESIZE_NEAREST_NEIGHBOR",
)
ops.same(domain=TFLITE, Suppress="NON_MAX_SUPPRESSION_V4")
ops.unsupported("LiteRT has no kernel that decodes images", "ImageDecoder")


@ops.op(f"{NHWC}::SpaceToDepth", needs=(dtype(*BLOCK_DTYPES), IMAGE, attribute("mode", "DCR")))
def space_to_depth(tfl, node, x):
    tfl.SPACE_TO_DEPTH(x, block_size=attr(node, "blocksize"))


@ops.op(f"{NHWC}::DepthToSpace", needs=(dtype(*BLOCK_DTYPES), IMAGE, attribute("mode", "DCR")))
def depth_to_space(tfl, node, x):
    tfl.DEPTH_TO_SPACE(x, block_size=attr(node, "blocksize"))
