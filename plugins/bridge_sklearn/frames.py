"""Records as columns side by side, numbers and text, on their way through the steps of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import DOUBLE, Unwritten, cast


@dataclass
class Frame:
    """Blocks of columns, values [N, width] each, in order; None for a single column that nothing reads."""

    op: hub.Builder
    blocks: Sequence[ir.Value | None]

    @property
    def widths(self) -> list[int]:
        return [1 if block is None else width_of(block) for block in self.blocks]

    def __len__(self) -> int:
        return sum(self.widths)

    def column(self, index: int) -> ir.Value:
        """One column, [N, 1]."""
        for block, width in zip(self.blocks, self.widths, strict=True):
            if index < width and block is not None:
                return block if width == 1 else self.op.Gather(block, np.array([index]), axis=1)
            index -= width
        raise Unwritten("it reads a column that is not there")

    def select(self, indices: Sequence[int]) -> Frame:
        """Some columns, in the order asked for. Columns of one block that stand together stay so."""
        places = [(b, i) for b, width in enumerate(self.widths) for i in range(width)]
        runs: list[tuple[int, list[int]]] = []
        for owner, place in (places[i] for i in indices):
            if runs and runs[-1][0] == owner:
                runs[-1][1].append(place)
            else:
                runs.append((owner, [place]))
        blocks: list[ir.Value | None] = []
        for number, chosen in runs:
            block = self.blocks[number]
            whole = block is None or chosen == list(range(width_of(block)))
            blocks.append(block if whole else self.op.Gather(block, np.array(chosen), axis=1))
        return Frame(self.op, blocks)

    def matrix(self) -> ir.Value:
        """All columns in one matrix of doubles. Raises Unwritten for text."""
        read = [block for block in self.blocks if block is not None]
        if any(b.dtype == ir.DataType.STRING for b in read):
            raise Unwritten("text reaches a step that reads numbers")
        if not read or len(read) < len(self.blocks):
            raise Unwritten("a column it reads is left out")
        parts = [cast(self.op, b, DOUBLE) for b in read]
        return parts[0] if len(parts) == 1 else self.op.Concat(*parts, axis=1)


def width_of(block: ir.Value) -> int:
    width = block.shape[-1] if block.shape is not None else None
    if not isinstance(width, int):
        raise Unwritten("a step makes columns whose number is not known")
    return width
