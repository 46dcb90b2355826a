"""Which of the operators TensorFlow registers for inference the importer has a rule for.

    python benchmarks/tensorflow_operators.py [--missing] [--list FILE]

and which of those tf2onnx 1.17 reads (tf2onnx_operators.txt: the names its handlers register, those for
TFLite left out).

Every other one is refused with a reason, or is no operator of TensorFlow: names tf2onnx gives to what its own
rewriters make (Loop, Scan, Dropout, …), none of which is in TensorFlow's history of every operator it ever
registered (tensorflow/core/ops/compat/ops_history_v1). Counted are operators with a CPU kernel, without those
that train, read data, talk to devices, debug, or are private. With `--list`, the names in a file (one a line,
such as another converter's list) are counted instead.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from bridge_savedmodel.import_context import REFERENCE_VARIABLES, TABLES
from bridge_savedmodel.import_ops import ops
from bridge_savedmodel.import_ops.common import readable
from bridge_savedmodel.reader import PIPELINES
from bridge_savedmodel.tensorflow import tensorflow

HANDLES = ("VarHandleOp", "Placeholder", "PlaceholderV2", *REFERENCE_VARIABLES, *TABLES, *PIPELINES)
LOOPS = ("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond")
RAISED = {*LOOPS, *(f"Ref{name}" for name in LOOPS)}
OUTSIDE = re.compile(
    r"Grad|Apply|^_|^Xla|Dataset|Iterator|Queue|Barrier|Summary|TPU|Tpu|Collective|Nccl|Infeed|Outfeed|Send|Recv|Save|Restore|"
    r"Reader|Record|File|Debug|Experimental|Quantized|Uniform(Quantize|Dequantize)|Mutex|Session|Stage|Unstage|Optional|MultiDevice|"
    r"Assign|Scatter(Add|Sub|Mul|Div|Min|Max|Update)$|Resource(Scatter|Sparse|Conditional|Accumulator)|Accumulator|Rng|Generator|"
    r"Checkpoint|Sdca|BoostedTrees(?!Bucketize)|AudioSummary|Decode|Encode|Parse|Proto|Sampler|Candidate|Delete|Destroy|Initialized|"
    r"Tensor(Array|Forest|Tree)|Stack(Push|Pop|Close|V2)?$|Backprop(?!Input)|BackpropFilter|Remote|Worker|Server|Compile|ConsumeMutexLock|"
    r"Abort|Test|^Old$|KernelLabel|Sleep|Dummy|Stub|MemoryCache|^Map|OrderedMap|Timestamp|Stats|Batch$|Unbatch|BatchFunction|Lookup(Insert|Remove|Export|Import)|DynamicStitchGrad|Risc|Sync|Rpc|Host"
)


PEER = Path(__file__).parent / "tf2onnx_operators.txt"


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
    tensorflow()
    if given.list:
        report(given.list.name, set(given.list.read_text().split()), given.missing)
        return
    report("TensorFlow", inference(), given.missing)
    report("tf2onnx 1.17", set(PEER.read_text().split()), given.missing)


def report(title: str, wanted: set[str], missing: bool) -> None:
    """Print how many of the operators are read, refused with a reason, unknown to TensorFlow, or without a
    word."""
    from tensorflow.python.framework import op_def_registry

    rules = readable(ops) | set(HANDLES) | RAISED
    covered = wanted & rules
    reasons = {rule.op: rule.needs[-1].text for rule in ops if rule.op not in rules}
    refused = {n for n in wanted - covered if n in reasons}
    foreign = {n for n in wanted - covered - refused if op_def_registry.get(n) is None}
    silent = wanted - covered - refused - foreign
    print(f"{title}: {len(covered)} of {len(wanted)} operators are read; {len(refused)} are refused with a "
        "reason; "
          f"{len(foreign)} are no operators of this TensorFlow; {len(silent)} have no word")  # fmt: skip
    if missing:
        for name in sorted(refused):
            print(f"  {name:<40} needs {reasons[name]}")
        for title, names in (("no operators of TensorFlow", foreign), ("no word", silent)):
            print(f"  {title}: {' '.join(sorted(names))}")


if __name__ == "__main__":
    main()
