"""Which of the operators TensorFlow registers for inference the importer has a rule for.

    python benchmarks/tensorflow_operators.py [--missing] [--list FILE]

Counted are operators with a CPU kernel, without those that train, read data, talk to devices, debug, or are private. With `--list`, the
names in a file (one a line, such as another converter's list) are counted instead.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from bridge_savedmodel.import_ops import ops
from bridge_savedmodel.import_ops.text import REFUSED
from bridge_savedmodel.tensorflow import tensorflow

HANDLES = ("VarHandleOp", "VariableV2", "Variable", "HashTableV2", "MutableHashTableV2", "Placeholder")
OUTSIDE = re.compile(
    r"Grad|Apply|^_|^Xla|Dataset|Iterator|Queue|Barrier|Summary|TPU|Tpu|Collective|Nccl|Infeed|Outfeed|Send|Recv|Save|Restore|"
    r"Reader|Record|File|Debug|Experimental|Quantized|Uniform(Quantize|Dequantize)|Mutex|Session|Stage|Unstage|Optional|MultiDevice|"
    r"Assign|Scatter(Add|Sub|Mul|Div|Min|Max|Update)$|Resource(Scatter|Sparse|Conditional|Accumulator)|Accumulator|Rng|Generator|"
    r"Checkpoint|Sdca|BoostedTrees(?!Bucketize)|Audio|Decode|Encode|Parse|Proto|Sampler|Candidate|Delete|Destroy|Initialized|"
    r"Tensor(Array|Forest|Tree)|Stack(Push|Pop|Close|V2)?$|Backprop(?!Input)|BackpropFilter|Remote|Worker|Server|Compile|ConsumeMutexLock|"
    r"Abort|Test|^Old$|KernelLabel|Sleep|Dummy|Stub|MemoryCache|^Map|OrderedMap|Timestamp|Stats|Batch$|Unbatch|BatchFunction|Lookup(Insert|Remove|Export|Import)|DynamicStitchGrad|Risc|Sync|Rpc|Host"
)


def inference() -> set[str]:
    """Operators with a CPU kernel that belong to inference."""
    tensorflow()
    from tensorflow.python.framework import kernels

    every = {k.op for k in kernels.get_all_registered_kernels().kernel if k.device_type == "CPU"}
    return {name for name in every if not OUTSIDE.search(name)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--missing", action="store_true", help="print the names without a rule")
    parser.add_argument("--list", type=Path, help="count these names instead")
    given = parser.parse_args()
    wanted = set(given.list.read_text().split()) if given.list else inference()
    rules = {rule.op for rule in ops} - set(REFUSED) | set(HANDLES)
    covered = wanted & rules
    print(f"{len(covered)} of {len(wanted)} operators; the importer has rules for {len(rules)}")
    if given.missing:
        print(" ".join(sorted(wanted - covered)))


if __name__ == "__main__":
    main()
