"""Keras layers over small inputs, which the importer must convert."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

ACTIVATIONS = """
    selu celu softplus softsign silu gelu tanh sigmoid exponential hard_sigmoid mish relu6 log_softmax
    sparsemax"""
RESTING: dict[str, tuple] = {
    **dict.fromkeys(
        (
            "RandomBrightness",
            "RandomContrast",
            "RandomRotation",
            "RandomZoom",
            "RandomShear",
            "RandomHue",
            "RandomSaturation",
            "RandomSharpness",
            "RandomGrayscale",
            "RandomColorDegeneration",
        ),
        (0.2,),
    ),
    **dict.fromkeys(
        (
            "RandomErasing",
            "RandomGaussianBlur",
            "RandomInvert",
            "RandomPerspective",
            "RandomElasticTransform",
            "RandomColorJitter",
            "RandAugment",
            "AugMix",
            "MixUp",
            "CutMix",
        ),
        (),
    ),
    "RandomTranslation": (0.2, 0.2),
    "RandomPosterization": (4,),
    "RandomCrop": (5, 6),
}
"""Layers that change images only in training, and their arguments."""
MERGES = "Add Subtract Multiply Average Maximum Minimum Concatenate"


def cases(keras: Any) -> dict[str, tuple[list[Any], Callable[[], Any]]]:
    """Inputs by case name, and a function that creates the layer to call on them."""
    layer = keras.layers

    def x(*shape: Any, dtype: str = "float32") -> list[Any]:
        return [keras.Input(shape, dtype=dtype)]

    image, volume, steps = (9, 8, 3), (4, 5, 6, 2), (7, 5)
    layers: dict[str, tuple[list[Any], Callable[[], Any]]] = {
        "Dense": (x(5, 8), lambda: layer.Dense(4, activation="gelu")),
        "EinsumDense": (
            x(5, 8),
            lambda: layer.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d"),
        ),
        "Conv1D causal": (x(20, 3), lambda: layer.Conv1D(4, 3, padding="causal", dilation_rate=2)),
        "Conv2D any size": (x(None, None, 3), lambda: layer.Conv2D(4, 3, strides=2, padding="same")),
        "Conv2D groups": (x(9, 8, 4), lambda: layer.Conv2D(8, 3, groups=2)),
        "Conv3D": (x(*volume), lambda: layer.Conv3D(4, 3, padding="same")),
        "DepthwiseConv2D": (x(*image), lambda: layer.DepthwiseConv2D(3, depth_multiplier=2, padding="same")),
        "SeparableConv2D": (x(*image), lambda: layer.SeparableConv2D(8, 3)),
        "Conv1DTranspose": (x(10, 3), lambda: layer.Conv1DTranspose(4, 3, strides=2, padding="same")),
        "Conv2DTranspose": (x(*image), lambda: layer.Conv2DTranspose(4, 3, strides=2, padding="valid")),
        "Conv2DTranspose output padding": (
            x(*image),
            lambda: layer.Conv2DTranspose(4, 4, strides=2, padding="same", output_padding=1),
        ),
        "Conv3DTranspose": (x(*volume), lambda: layer.Conv3DTranspose(4, 3, strides=2, padding="same")),
        "MaxPooling2D": (x(*image), lambda: layer.MaxPooling2D(3, strides=2, padding="same")),
        "AveragePooling3D": (x(*volume), lambda: layer.AveragePooling3D(2, padding="same")),
        "GlobalAveragePooling2D": (x(*image), lambda: layer.GlobalAveragePooling2D(keepdims=True)),
        "LSTM": (x(*steps), lambda: layer.LSTM(4)),
        "LSTM states": (x(None, 5), lambda: layer.LSTM(4, return_sequences=True, return_state=True)),
        "GRU": (x(*steps), lambda: layer.GRU(4, reset_after=False, return_sequences=True)),
        "SimpleRNN": (x(*steps), lambda: layer.SimpleRNN(4, go_backwards=True)),
        "Bidirectional": (x(None, 5), lambda: layer.Bidirectional(layer.GRU(4, return_sequences=True))),
        "RNN of cells": (x(*steps), lambda: layer.RNN([layer.LSTMCell(4), layer.LSTMCell(3)])),
        "Masking": (x(*steps), lambda: keras.Sequential([layer.Masking(), layer.LSTM(4)])),
        "TimeDistributed": (x(3, *image), lambda: layer.TimeDistributed(layer.Conv2D(2, 3))),
        "ConvLSTM1D": (x(4, 10, 3), lambda: layer.ConvLSTM1D(2, 3)),
        "ConvLSTM2D": (x(3, *image), lambda: layer.ConvLSTM2D(2, 3, padding="same", return_sequences=True)),
        "BatchNormalization": (x(*image), lambda: layer.BatchNormalization()),
        "LayerNormalization": (x(5, 6), lambda: layer.LayerNormalization()),
        "GroupNormalization": (x(5, 6, 8), lambda: layer.GroupNormalization(4)),
        "UnitNormalization": (x(5, 6), lambda: layer.UnitNormalization()),
        "SpectralNormalization": (x(6), lambda: layer.SpectralNormalization(layer.Dense(3))),
        "Normalization": (x(6), lambda: layer.Normalization(mean=[1.0] * 6, variance=[2.0] * 6)),
        "ReLU": (x(5), lambda: layer.ReLU(max_value=3, negative_slope=0.1, threshold=0.2)),
        "PReLU": (x(5), lambda: layer.PReLU()),
        "ELU": (x(5), lambda: layer.ELU(2.0)),
        "Softmax": (x(5, 6), lambda: layer.Softmax(axis=1)),
        "Embedding": (x(7, dtype="int32"), lambda: layer.Embedding(10, 4)),
        "MultiHeadAttention": (x(5, 6) + x(7, 6), lambda: layer.MultiHeadAttention(2, 4)),
        "GroupQueryAttention": (x(5, 6) + x(7, 6), lambda: layer.GroupQueryAttention(4, 4, 2)),
        "Attention": (x(5, 6) + x(7, 6), lambda: together(layer.Attention(use_scale=True))),
        "AdditiveAttention": (x(5, 6) + x(7, 6), lambda: together(layer.AdditiveAttention())),
        "Dot": (x(5, 6) + x(5, 6), lambda: together(layer.Dot(axes=2))),
        "Flatten": (x(5, 6), lambda: layer.Flatten()),
        "Reshape": (x(6, 4), lambda: layer.Reshape((-1, 3))),
        "Permute": (x(5, 6, 7), lambda: layer.Permute((3, 1, 2))),
        "RepeatVector": (x(5), lambda: layer.RepeatVector(3)),
        "Cropping2D": (x(*image), lambda: layer.Cropping2D(((1, 2), (0, 1)))),
        "ZeroPadding2D": (x(*image), lambda: layer.ZeroPadding2D(((1, 2), (0, 1)))),
        "UpSampling2D": (x(*image), lambda: layer.UpSampling2D((2, 3), interpolation="bilinear")),
        "Dropout": (x(5), lambda: layer.Dropout(0.5)),
        "Resizing": (x(*image), lambda: layer.Resizing(15, 16, interpolation="bicubic")),
        "Resizing cropped": (x(*image), lambda: layer.Resizing(5, 6, crop_to_aspect_ratio=True)),
        "Rescaling": (x(*image), lambda: layer.Rescaling(1 / 255.0, offset=-0.5)),
        "CenterCrop": (x(*image), lambda: layer.CenterCrop(5, 6)),
        "Discretization": (x(4), lambda: layer.Discretization(bin_boundaries=[-1.0, 0.0, 0.5])),
        "CategoryEncoding": (x(4, dtype="int32"), lambda: layer.CategoryEncoding(6, output_mode="multi_hot")),
        "IntegerLookup": (x(4, dtype="int64"), lambda: layer.IntegerLookup(vocabulary=[3, 5, 7])),
        "StringLookup": (x(4, dtype="string"), lambda: layer.StringLookup(vocabulary=["a", "b"])),
        "MelSpectrogram": (
            x(400),
            lambda: layer.MelSpectrogram(fft_length=64, sequence_stride=32, num_mel_bins=8),
        ),
        "Conv2D channels first": (
            x(3, 9, 8),
            lambda: layer.Conv2D(4, 3, padding="same", data_format="channels_first"),
        ),
        "SeparableConv1D": (x(20, 3), lambda: layer.SeparableConv1D(4, 3, strides=2, padding="same")),
        "DepthwiseConv1D": (x(20, 3), lambda: layer.DepthwiseConv1D(3, depth_multiplier=2)),
        "MaxPooling1D": (x(20, 3), lambda: layer.MaxPooling1D(3, strides=2, padding="same")),
        "MaxPooling3D": (x(*volume), lambda: layer.MaxPooling3D(2)),
        "AveragePooling1D": (x(20, 3), lambda: layer.AveragePooling1D(3, strides=2, padding="same")),
        "AveragePooling2D": (x(*image), lambda: layer.AveragePooling2D(3, strides=2, padding="same")),
        "GlobalMaxPooling1D": (x(20, 3), lambda: layer.GlobalMaxPooling1D()),
        "GlobalMaxPooling2D": (x(*image), lambda: layer.GlobalMaxPooling2D()),
        "GlobalMaxPooling3D": (x(*volume), lambda: layer.GlobalMaxPooling3D()),
        "GlobalAveragePooling1D": (x(20, 3), lambda: layer.GlobalAveragePooling1D()),
        "GlobalAveragePooling3D": (x(*volume), lambda: layer.GlobalAveragePooling3D()),
        "LSTM unrolled": (x(*steps), lambda: layer.LSTM(4, unroll=True)),
        "GRU backwards": (x(*steps), lambda: layer.GRU(4, go_backwards=True, return_state=True)),
        "Bidirectional LSTM": (x(*steps), lambda: layer.Bidirectional(layer.LSTM(4), merge_mode="sum")),
        "Masked Bidirectional": (
            x(7, dtype="int32"),
            lambda: keras.Sequential(
                [layer.Embedding(9, 4, mask_zero=True), layer.Bidirectional(layer.LSTM(3))]
            ),
        ),
        "StackedRNNCells": (
            x(*steps),
            lambda: layer.RNN(layer.StackedRNNCells([layer.GRUCell(4), layer.SimpleRNNCell(3)])),
        ),
        "ConvLSTM3D": (x(3, *volume), lambda: layer.ConvLSTM3D(2, 2, padding="same")),
        "RMSNormalization": (x(5, 6), lambda: layer.RMSNormalization()),
        "BatchNormalization of vectors": (x(6), lambda: layer.BatchNormalization(center=False)),
        "LayerNormalization of images": (x(*image), lambda: layer.LayerNormalization(axis=[1, 2, 3])),
        "LeakyReLU": (x(5), lambda: layer.LeakyReLU(0.2)),
        "ReversibleEmbedding": (x(7, dtype="int32"), lambda: layer.ReversibleEmbedding(10, 4)),
        "Self attention": (
            x(5, 6),
            lambda: lambda v: layer.MultiHeadAttention(2, 4)(v, v, use_causal_mask=True),
        ),
        "Identity": (x(5), lambda: layer.Identity()),
        "Cropping1D": (x(20, 3), lambda: layer.Cropping1D((1, 2))),
        "Cropping3D": (x(*volume), lambda: layer.Cropping3D(1)),
        "ZeroPadding1D": (x(20, 3), lambda: layer.ZeroPadding1D((1, 2))),
        "ZeroPadding3D": (x(*volume), lambda: layer.ZeroPadding3D(1)),
        "UpSampling1D": (x(20, 3), lambda: layer.UpSampling1D(2)),
        "UpSampling3D": (x(*volume), lambda: layer.UpSampling3D((1, 2, 2))),
        "UpSampling2D nearest": (x(*image), lambda: layer.UpSampling2D(2)),
        "Resizing area": (x(*image), lambda: layer.Resizing(15, 16, interpolation="area")),
        "Resizing nearest": (x(*image), lambda: layer.Resizing(5, 6, interpolation="nearest")),
        "Resizing lanczos": (x(*image), lambda: layer.Resizing(15, 16, interpolation="lanczos5")),
        "Resizing padded": (x(*image), lambda: layer.Resizing(15, 20, pad_to_aspect_ratio=True)),
        "CategoryEncoding counts": (
            x(4, dtype="int32"),
            lambda: layer.CategoryEncoding(6, output_mode="count"),
        ),
        "Discretization one hot": (
            x(1),
            lambda: layer.Discretization(bin_boundaries=[-1.0, 0.0, 0.5], output_mode="one_hot"),
        ),
        "IntegerLookup one hot": (
            x(1, dtype="int64"),
            lambda: layer.IntegerLookup(vocabulary=[3, 5, 7], output_mode="one_hot"),
        ),
        "StringLookup counts": (
            x(4, dtype="string"),
            lambda: layer.StringLookup(vocabulary=["a", "b"], output_mode="count", num_oov_indices=1),
        ),
        "StringLookup backwards": (
            x(4, dtype="int64"),
            lambda: layer.StringLookup(vocabulary=["a", "b"], invert=True),
        ),
        "TextVectorization": (
            x(1, dtype="string"),
            lambda: layer.TextVectorization(
                vocabulary=["a", "b"], standardize=None, output_sequence_length=4
            ),
        ),
        "TextVectorization as it comes": (
            x(1, dtype="string"),
            lambda: layer.TextVectorization(vocabulary=["a", "b"], output_sequence_length=4),
        ),
        "TextVectorization of pairs": (
            x(1, dtype="string"),
            lambda: layer.TextVectorization(
                vocabulary=["a", "a b"], standardize=None, ngrams=2, output_sequence_length=5
            ),
        ),
        "TextVectorization many hot": (
            x(1, dtype="string"),
            lambda: layer.TextVectorization(vocabulary=["a", "b"], standardize=None, output_mode="multi_hot"),
        ),
        "TextVectorization weighed": (
            x(1, dtype="string"),
            lambda: layer.TextVectorization(
                vocabulary=["a", "b"], standardize=None, idf_weights=[0.5, 0.2], output_mode="tf_idf"
            ),
        ),
        "Hashing": (x(3, dtype="int64"), lambda: layer.Hashing(7)),
        "Hashing salted": (x(3, dtype="int32"), lambda: layer.Hashing(7, salt=[1, 2])),
        "Hashing masked": (
            x(3, dtype="int64"),
            lambda: layer.Hashing(7, mask_value=0, output_mode="multi_hot"),
        ),
        "STFTSpectrogram": (
            x(400, 1),
            lambda: layer.STFTSpectrogram(frame_length=64, frame_step=32, fft_length=64),
        ),
        "SpatialDropout2D": (x(*image), lambda: layer.SpatialDropout2D(0.5)),
        "GaussianNoise": (x(5), lambda: layer.GaussianNoise(0.5)),
        "RandomFlip at rest": (x(*image), lambda: layer.RandomFlip()),
        "AdaptiveAveragePooling2D": (x(*image), lambda: layer.AdaptiveAveragePooling2D((3, 4))),
        "AdaptiveMaxPooling2D": (x(*image), lambda: layer.AdaptiveMaxPooling2D((3, 4))),
        "Lambda": (x(5), lambda: layer.Lambda(lambda v: v * 2)),
    }
    layers |= {
        "AdaptiveAveragePooling1D": (x(20, 3), lambda: layer.AdaptiveAveragePooling1D(6)),
        "AdaptiveMaxPooling1D": (x(20, 3), lambda: layer.AdaptiveMaxPooling1D(6)),
        "AdaptiveAveragePooling3D": (x(*volume), lambda: layer.AdaptiveAveragePooling3D(2)),
        "AdaptiveMaxPooling3D": (x(*volume), lambda: layer.AdaptiveMaxPooling3D(2)),
        "ActivityRegularization": (x(5), lambda: layer.ActivityRegularization(0.1)),
        "AlphaDropout": (x(5), lambda: layer.AlphaDropout(0.5)),
        "GaussianDropout": (x(5), lambda: layer.GaussianDropout(0.5)),
        "SpatialDropout1D": (x(20, 3), lambda: layer.SpatialDropout1D(0.5)),
        "SpatialDropout3D": (x(*volume), lambda: layer.SpatialDropout3D(0.5)),
        "Pipeline": (x(*image), lambda: layer.Pipeline([layer.Rescaling(2.0), layer.CenterCrop(4, 4)])),
        "CategoryEncoding one hot": (
            x(dtype="int32"),
            lambda: layer.CategoryEncoding(6, output_mode="one_hot"),
        ),
        "Discretization counts": (
            x(4),
            lambda: layer.Discretization(bin_boundaries=[-1.0, 0.0, 0.5], output_mode="count"),
        ),
        "Normalization backwards": (
            x(6),
            lambda: layer.Normalization(mean=[1.0] * 6, variance=[2.0] * 6, invert=True),
        ),
    }

    def merging(name: str) -> Any:
        return together(getattr(layer, name)())

    layers |= {f"{n} at rest": (x(*image), partial(getattr(layer, n), *a)) for n, a in RESTING.items()}
    layers |= {n: (x(5), partial(layer.Activation, n)) for n in ACTIVATIONS.split()}
    layers |= {n: (x(5, 6) + x(5, 6), partial(merging, n)) for n in MERGES.split()}
    return layers


def together(layer: Any) -> Callable[..., Any]:
    """A layer that takes its inputs as a list."""
    return lambda *inputs: layer(list(inputs))
