"""Core ML's models that are neither networks nor programs, alone or in a pipeline: trees, generalized linear
models, support vectors, neighbors, feature engineering."""
