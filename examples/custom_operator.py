"""A plugin's own operator: its function body lets every format hold it, and this file is the whole plugin."""

import sys
from pathlib import Path

import onnx_ir as ir

import bridge

BODY = """<ir_version: 10, opset_import: ["" : 21, "my.domain" : 1]>
g (float[4] x) => (float[4] y) { y = my.domain.Swish (x) }
<domain: "my.domain", opset_import: ["" : 21]>
Swish (x) => (y) { s = Sigmoid (x) y = Mul (x, s) }
"""


@bridge.hookimpl
def bridge_functions() -> list[ir.Function]:
    return list(ir.from_onnx_text(BODY).functions.values())


def main(folder: str) -> bridge.Conversion:
    source = Path(folder) / "swish.onnxtxt"
    source.write_text("".join(BODY.partition("<domain")[:1]))
    return bridge.convert(source, Path(folder) / "swish.tflite", verify=True)


if __name__ == "__main__":
    print(main(sys.argv[1]))
