"""Gates by letters."""

import numpy as np
import onnx_ir as ir
import pytest

from bridge.recurrent import DEFAULT_ACTIVATIONS, GATES, activations, order, reorder


def test_gates_are_put_in_another_order_by_their_letters():
    blocks = {gate: np.full((2, 3), ord(gate)) for gate in "iofc"}
    torch = np.concatenate([blocks[g] for g in "ifco"])
    np.testing.assert_array_equal(
        reorder(torch, "ifco", GATES["LSTM"]), np.concatenate(list(blocks.values()))
    )
    assert order("rzh", GATES["GRU"]) == [1, 0, 2]


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_activations_of_each_direction(op, direction):
    node = ir.node(op, [], {"direction": direction})
    usual = DEFAULT_ACTIVATIONS[op]
    assert activations(node) == [usual] * (2 if direction == "bidirectional" else 1)
    node.attributes["activations"] = ir.AttrStrings("activations", ["Relu"] * len(usual) * 2)
    assert activations(node)[0] == ["Relu"] * len(usual)
