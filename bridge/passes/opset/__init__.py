"""Opset conversion on the graph in memory: subgraphs and functions included, weights untouched."""
