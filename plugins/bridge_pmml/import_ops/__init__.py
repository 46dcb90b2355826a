"""Model elements → hub, a family a file. Handlers take (scope, element) and return a Result."""

from bridge.ops import OpTable

ops = OpTable.of(__name__)
