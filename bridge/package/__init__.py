"""Deployable folders: a model with sums, samples and a smoke test, a kind a module."""
