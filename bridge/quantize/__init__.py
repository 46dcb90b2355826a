"""Quantization of hub models: ranges of activations observed on data, weights in fewer bits, the accuracy
measured."""
