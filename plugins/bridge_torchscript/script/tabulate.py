"""Writes the tables of schemas, and of what torch spells out, of the torch installed:
python -m bridge_torchscript.script.tabulate"""

from __future__ import annotations

import importlib
import re

from bridge_torchscript.script.schema import SPELLED_OUT, TABLE

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
    spelled = [
        f"# Operators that torch {torch.__version__} makes of others, by {__name__}",
        *sorted(_spelled_out(kept)),
    ]
    SPELLED_OUT.write_text("\n".join(spelled) + "\n")


def _spelled_out(names: list[str]) -> set[str]:
    """Those of the operators that torch's decompositions, or their own code, make of others: not only of the
    same in prims."""
    import torch
    from torch._decomp import decomposition_table

    tables = (decomposition_table, dict(torch.export.default_decompositions().items()))
    found = {str(overload.name()).partition(".")[0] for table in tables for overload in table}
    found |= {n for n in names if _has_kernel(n, "CompositeImplicitAutograd")}
    own = {f"aten::{n.partition('::')[2]}" for n in names if n.startswith("prims::")}
    return (found - own) & set(names)


def _has_kernel(name: str, key: str) -> bool:
    import torch

    schemas = torch._C._jit_get_schemas_for_operator(name)
    overloads = [f"{name}.{s.overload_name}" if s.overload_name else name for s in schemas]
    return any(
        torch._C._dispatch_has_kernel(o) and torch._C._dispatch_has_kernel_for_dispatch_key(o, key)
        for o in overloads
    )


if __name__ == "__main__":
    main()
