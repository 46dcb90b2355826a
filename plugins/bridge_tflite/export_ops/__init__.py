"""Hub operators → TFLite builtins, by family.

The dtypes of a rule are those for which LiteRT's kernel computes what ONNX says. A float operator needs a
rule here and nothing else. Further tables, where they apply:

- `versions.py`: if some dtype or option needs another version than 1;
- `legalize/quantize_integer.py` (KERNELS or DATA_MOVEMENT) and `export_ops/quantize.py` (SAME_FORM): if it
  has an integer kernel;
- `legalize/tensor.py` (MOVED_DTYPES): if it moves elements of dtypes that other kernels do not take;
- a rewrite in `legalize/` to an operator of domain `bridge.tflite`, with its body in `legalize/bodies.py`: if
  the kernel does not compute the ONNX operator as it is.
"""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_tflite.export_ops import quantize

ops = OpTable.of(__name__)
for rule in quantize.integer_rules(list(ops)):
    ops.add(rule)
