"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
from flatbuffers import flexbuffers

from bridge_tflite.cases.common import RNG, c, case, f
from bridge_tflite.cases.file import T, const

_corners = RNG.uniform(0, 1, (9, 2)).astype(np.float32)
BOXES = np.concatenate([_corners, _corners + RNG.uniform(0.1, 0.5, (9, 2)).astype(np.float32)], 1)
for _overlap, _least in ((0.5, 0.0), (0.1, 0.4)):
    _given = [T(BOXES), f(9, low=0, high=1), c(6), const(_overlap, np.float32), const(_least, np.float32)]
    case("NON_MAX_SUPPRESSION_V4", _given, [np.int32, np.int32], name=f"{_overlap}")
    case(
        "NON_MAX_SUPPRESSION_V5",
        [*_given, const(0.0, np.float32)],
        [np.int32, "float32", np.int32],
        name=f"{_overlap}",
    )
case(
    "NON_MAX_SUPPRESSION_V4",
    [
        T(BOXES[:, [2, 3, 0, 1]]),
        f(9, low=0, high=1),
        T(np.int32(3)),
        const(0.3, np.float32),
        T(np.float32(0.2)),
    ],
    [np.int32, np.int32],
    name="flipped",
)
ANCHORS = const(
    np.float32(np.concatenate([RNG.uniform(0.2, 0.8, (12, 2)), RNG.uniform(0.1, 0.3, (12, 2))], 1))
)
OPTIONS = {
    "max_detections": 5,
    "max_classes_per_detection": 1,
    "nms_score_threshold": 0.3,
    "nms_iou_threshold": 0.4,
    "num_classes": 3,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}
for _more in (
    {},
    {"use_regular_nms": True, "detections_per_class": 4},
    {"use_regular_nms": True, "nms_score_threshold": 0.97},
):
    case(
        "TFLite_Detection_PostProcess",
        [f(1, 12, 4), f(1, 12, 4, low=0, high=1), ANCHORS],
        ["float32"] * 4,
        custom=bytes(flexbuffers.Dumps({**OPTIONS, **_more})),
        name="-".join(_more) or "fast",
    )
