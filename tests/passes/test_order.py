"""Passes say what comes before and after them, and a list that is not so is refused."""

import pytest

from bridge import plugins
from bridge.errors import PluginError
from bridge.lower import writer
from bridge.passes.channels_last import ChannelsLast
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.gelu import RaiseGelu
from bridge.passes.order import require_order
from bridge.passes.transposes import SinkTransposes

TAKEN = Decompose(lambda node: True)


@pytest.mark.parametrize(
    ("passes", "problem"),
    [
        ([TAKEN, FoldConstants(), RaiseGelu()], "Decompose comes before RaiseGelu"),
        ([SinkTransposes(), ChannelsLast()], "ChannelsLast is not followed by SinkTransposes"),
    ],
)
def test_a_list_out_of_order_is_refused(passes, problem):
    with pytest.raises(PluginError, match=problem):
        require_order(passes)


def test_the_lists_of_every_target_are_in_order():
    for fmt in plugins.formats():
        if fmt.exporter:
            require_order(writer(f"model{fmt.suffixes[0]}", fmt.name).passes)
