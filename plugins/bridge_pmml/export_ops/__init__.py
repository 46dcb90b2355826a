"""Hub operators → PMML, by family. Handlers take (document, node, *inputs): columns, or arrays for
constants."""

from bridge.ops import OpTable

ops = OpTable.of(__name__)
