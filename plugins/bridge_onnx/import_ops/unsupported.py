"""Operators that ONNX Runtime has and that are refused, with the reason as shown to the user."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import MS

ops = OpTable()

SEARCH = "it searches with a decoder it holds as a graph: convert that by itself, and search outside"
WORDS = "an operator on the characters of strings: do this before the model"
STATE = (
    "it rounds its state to the range of every step: convert the float model, or quantize all but its LSTMs"
)
LAYOUT = "its weights or values lie as one maker's accelerator wants them: export the model without them"
PACKED = "its weights are packed by ONNX Runtime for itself: quantize with MatMulNBits"
HASH = "it hashes tokens for tables of a model under development: no operator of ONNX does"
PAGES = "its keys and values lie in pages that a server hands out: export with GroupQueryAttention"
LOWER = "weights of 8-bit or 4-bit floats: export the model in float16, or with integer weights (MatMulNBits)"
TRAINING = "an operator of training: export the model for inference"

REASONS = {
    SEARCH: "BeamSearch GreedySearch Sampling WhisperBeamSearch",
    WORDS: "Tokenizer WordConvEmbedding",
    STATE: "DynamicQuantizeLSTM",
    PACKED: "MatMulFpQ4",
    HASH: "MurmurHash3 NGramHashMapping VarlenNGramHashMapping",
    "a matrix stored sparse, which ONNX has not as a value: store it dense": "SparseToDenseMatMul",
    "a step of a search among tokens: take it outside the model": "BifurcationDetector NGramRepeatBlock",
    "the path of least cost through a matrix, which is walked step by step: walk it behind the model": """
        DynamicTimeWarping""",
    "an LSTM with attention inside its steps: export it as the loop it is": "AttnLSTM",
    "a pool for ONNX Runtime's internal use: export it with MaxPool": "MaxpoolWithMask",
    LAYOUT: """
        QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul
        QuantizeWithOrder DequantizeWithOrder QuantizeBFP DequantizeBFP EPContext Snpe
        DecoderMaskedSelfAttention""",
    LOWER: "GemmFloat8 MatMulBlockQuantizedFp4Weight MatMulBlockQuantizedFp8Weight",
    PAGES: """
        PagedAttention SparsePagedAttention PackedSparseAttentionIndexer SparseAttentionIndexer
        DynamicSparseAttention""",
    "a recurrence over sequences packed for an accelerator: export it as LinearAttention": """
        GatedDeltaNet VarlenCausalConvWithState""",
    TRAINING: "BiasDropout BitmaskBiasDropout BitmaskDropout",
    "attention whose paths are chosen by flags at run time: export it with MultiHeadAttention": """
        DecoderAttention""",
    "an operator of ONNX Runtime's optimizer for GPUs: optimize for the CPU, or not": """
        RelativePositionBias GatedRelativePositionBias""",
    "whether it scales its result is said nowhere: export it with DFT": "Irfft",
    "attention to a window and to tokens marked at run time: export it without ONNX Runtime's optimizer": """
        LongformerAttention""",
}

DOMAINS = {
    "com.microsoft.nchwc": "channels lie in blocks for the processor that optimized the file: save it with "
    "GraphOptimizationLevel.ORT_ENABLE_EXTENDED",
    "com.ms.internal.nhwc": "its layout is that of one execution provider: save it with the CPU provider",
}
"""Of whole domains that ONNX Runtime writes for one machine."""

for _reason, _names in REASONS.items():
    ops.unsupported(_reason, *(MS + name for name in _names.split()))


def why(table: OpTable, node: ir.Node) -> str:
    """Why no rule of the table reads `node`, in words that follow its name."""
    if node.domain in DOMAINS:
        return f"is not supported: {DOMAINS[node.domain]}"
    return table.refusal(hub.qualified(node), node) or "is not supported with inputs of these shapes"
