"""TorchScript archives read from their text and records: no framework, nothing executed."""
