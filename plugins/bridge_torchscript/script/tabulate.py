"""Writes the table of schemas of the torch installed: python -m bridge_torchscript.script.tabulate"""

from __future__ import annotations

import importlib
import re

from bridge_torchscript.script.schema import TABLE

SPACES = ("aten", "prim", "prims", "quantized", "_quantized", "quantized_decomposed")
LEFT_OUT = re.compile(r"\w+::(_foreach|_fused|cudnn_|miopen_|_cudnn|_mps|_sparse|sparse_|mkldnn_|MKLDNN)")


def main() -> None:
    import torch

    # Declares quantized_decomposed
    importlib.import_module("torch.ao.quantization.fx._decomposed")
    operators = sorted({str(schema.name) for schema in torch._C._jit_get_all_schemas()})
    kept = [n for n in operators if n.partition("::")[0] in SPACES and not LEFT_OUT.match(n)]
    lines = [f"# Schemas of torch {torch.__version__}, by {__spec__.name if __spec__ else __name__}"]
    for name in kept:
        lines += [str(schema) for schema in torch._C._jit_get_schemas_for_operator(name)]
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
