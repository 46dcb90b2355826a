"""Comparison of a converted classical model with the object it was read from, on records made of what it
knows."""
