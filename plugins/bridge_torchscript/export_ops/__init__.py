"""How every hub operator becomes TorchScript, by family."""

from bridge.ops import OpTable

ops = OpTable.of(__name__)
