"""Operators of inference that are refused, with the reason as shown to the user."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import unsupported

ops = OpTable()

REASONS = {
    "features as tensors: export a signature that takes them, not serialized tf.Example text": """
        ParseSingleExample ParseSequenceExample ParseSequenceExampleV2 ParseSingleSequenceExample
        ParseTensor DecodeProtoV2 EncodeProto SerializeTensor SerializeSparse SerializeManySparse
        DeserializeSparse DeserializeManySparse""",
    "an operator on the characters of strings, which ONNX has not: do this before the model": """
        StringFormat UnicodeScript UnicodeTranscode UnsortedSegmentJoin DecodeBase64 EncodeBase64
        DecodeRaw DecodePaddedRaw DecodeCompressed DecodeCSV DecodeJSONExample EditDistance
        RegexSplitWithOffsets WordpieceTokenizeWithOffsets SentencepieceOp SentencepieceTokenizeOp""",
    "a hash of the bytes of a string, which no operator of ONNX sees: look words up in a vocabulary "
    "instead": """
        StringToHashBucket SparseCross SparseCrossV2 SparseCrossHashed RaggedCross""",
    "features of sounds as tensors: compute them before the model": "AudioMicrofrontend",
    "images and sounds as tensors: decode them before the model": """
        DecodeJpeg DecodePng DecodeGif DecodeBmp DecodeImage DecodeAndCropJpeg DecodeWav EncodeJpeg
        EncodePng EncodeWav EncodeJpegVariableQuality ExtractJpegShape""",
    "random numbers ONNX draws: uniform and normal ones": """
        StatelessTruncatedNormal StatelessTruncatedNormalV2 StatelessRandomBinomial
        StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomPoisson StatelessMultinomial
        StatelessParameterizedTruncatedNormal StatelessShuffle StatefulRandomBinomial
        StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform
        StatefulUniformFullInt StatefulUniformInt NonDeterministicInts RngReadAndSkip RngSkip
        RandomIndexShuffle RandomGamma RandomPoisson RandomPoissonV2 ParameterizedTruncatedNormal
        FractionalAvgPool FractionalMaxPool KMC2ChainInitialization KmeansPlusPlusInitialization
        NegTrain Skipgram ComputeAccidentalHits SobolSample StochasticCastToInt""",
    "a model without augmentation: this draws crops at random, for training": """
        StatelessSampleDistortedBoundingBox""",
    "a model without an input pipeline: export the function that takes tensors": """
        IteratorV2 Iterator IteratorGetNext IteratorGetNextSync OneShotIterator MakeIterator FIFOQueue
        FIFOQueueV2 QueueDequeue QueueDequeueV2 QueueDequeueMany QueueDequeueManyV2 QueueDequeueUpTo
        QueueDequeueUpToV2 QueueEnqueueV2 PaddingFIFOQueueV2 RandomShuffleQueueV2 Batch BatchFunction
        Unbatch ReadFile WriteFile MatchingFiles TensorSliceDataset ReaderReadV2 AddSparseToTensorsMap
        AddManySparseToTensorsMap TakeManySparseFromTensorsMap GenerateVocabRemapping LoadAndRemapMatrix
        ImmutableConst ComputeBatchSize CompressElement UncompressElement GetElementAtIndex WindowOp
        GetOptions""",
    "code that is in the file: Python functions and compiled extensions are not": """
        PyFunc PyFuncStateless EagerPyFunc XlaCallModule XlaLaunch TPUPartitionedCall MlirPassthroughOp
        ResourceCreateOp ResourceUsingOp""",
    "weights gate by gate: train or export the layer with use_cudnn=False": """
        CudnnRNNParamsToCanonical CudnnRNNParamsToCanonicalV2 CudnnRNNParamsSize""",
    "tables that stay the same: this one is written as the model runs": """
        LookupTableInsert LookupTableInsertV2 LookupTableRemoveV2 LookupTableExport LookupTableExportV2
        LookupTableImport LookupTableImportV2 InitializeTable InitializeTableV2
        InitializeTableFromTextFileV2 MutableDenseHashTable MutableDenseHashTableV2
        AnonymousMutableHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTableOfTensors
        MutableHashTableOfTensors MutableHashTableOfTensorsV2 TensorMapErase TensorMapHasKey
        TensorMapInsert TensorMapLookup TensorMapSize TensorMapStackKeys EmptyTensorMap StackV2
        StackPushV2 StackPopV2 StackCloseV2 CountUpTo ResourceCountUpTo TemporaryVariable
        DestroyTemporaryVariable""",
    "a decomposition of matrices that ONNX has": """
        Eig SelfAdjointEig BatchSelfAdjointEig MatrixExponential MatrixLogarithm MatrixSquareRoot
        IsotonicRegression""",
    "a special function that ONNX has": """
        Betainc Igamma Igammac Polygamma Zeta NextAfter""",
    "a rule, which nobody has asked for yet: plugins/README.md#one-operator": """
        DrawBoundingBoxes DrawBoundingBoxesV2 ExtractGlimpse ExtractGlimpseV2 NearestNeighbors
        NonMaxSuppressionWithOverlaps FusedResizeAndPadConv2D Fact For RefSelect DtypeWithDefaultOp
        QuantizeAndDequantize""",
    "a newer graph: TensorFlow has removed it": """
        Conv3DBackpropInput AdjustContrast""",
    "sparse matrices as indices, values and shape": """
        CSRSparseMatrixComponents CSRSparseMatrixToDense CSRSparseMatrixToSparseTensor
        DenseToCSRSparseMatrix SparseMatrixAdd SparseMatrixMatMul SparseMatrixMul SparseMatrixNNZ
        SparseMatrixOrderingAMD SparseMatrixSoftmax SparseMatrixSparseCholesky SparseMatrixSparseMatMul
        SparseMatrixTranspose SparseMatrixZeros SparseTensorToCSRSparseMatrix""",
    "float weights: export the model as it was before it was quantized, or with QuantizeAndDequantize": """
        QuantizeDownAndShrinkRange RequantizationRange RequantizationRangePerChannel Requantize
        RequantizePerChannel UniformRequantize CustomAggregator""",
    "a graph for inference: these belong to training, devices or debugging": """
        BroadcastGradientArgs CTCLoss CTCLossV2 Dilation2DBackpropFilter Dilation2DBackpropInput Abort
        CheckPinned ConstructionFails DevicePlacementOp DumpTensor GetDeadline ImportEvent
        IsResourceHandleRefCounting IsTensorFloat32Enabled MakeWeakResourceHandle ThreadPoolHandle
        GraphDefVersion CompositeTensorVariantFromComponents CompositeTensorVariantToComponents""",
}

PARTLY_SUPPORTED = frozenset(
    [
        "StringToHashBucketFast",
        "StringToHashBucketStrong",
        "StringLength",
        "Substr",
        "StringStrip",
        "UnicodeDecode",
        "UnicodeDecodeWithOffsets",
        "UnicodeEncode",
        "StringNGrams",
        "Svd",
        "BatchSvd",
        "Qr",
        "Lu",
        "SelfAdjointEigV2",
        "BatchSelfAdjointEigV2",
        "MatrixSolveLs",
        "MatrixInverse",
        "Cholesky",
    ]
)
FUNCTIONS = ("characters of strings", "hash of the bytes", "matrices", "special function")

COMPUTABLE = PARTLY_SUPPORTED | frozenset(
    name
    for reason, names in REASONS.items()
    for name in names.split()
    if any(words in reason for words in FUNCTIONS) or name.startswith("Stateless")
)
"""Functions of their inputs alone, which can be computed once where these are stored."""

for _reason, _names in REASONS.items():

    @ops.op(*_names.split(), needs=(unsupported(_reason),))
    def refused(op, node, *inputs):
        return NotImplemented
