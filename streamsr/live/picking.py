"""Picks the parts of a live picture that a network computes when there is no time for all of it."""

import numpy as np

from streamsr.engines import Tile
from streamsr.frame import Image
from streamsr.live.ladder import Ladder
from streamsr.region import Cells
from streamsr.tiling.changes import no_cells
from streamsr.tiling.priority import (
    Blocks,
    Mask,
    Scores,
    block_scores,
    block_side,
    blocks_with,
    cells_of_blocks,
    choose_blocks,
    live_tiles,
)
from streamsr.tiling.results import Result


class Picker:
    """Picks for the pictures of one stream, and knows what was picked before. For one thread.

    side  cells along each side of a block, the least that is picked
    """

    def __init__(self, ladder: Ladder) -> None:
        self.side = block_side(ladder.engines[0])
        self._ladder = ladder
        self._age = np.zeros((0, 0), np.int64)
        self._taken = np.zeros((0, 0), np.bool_)

    def wait_on(self, still: Cells) -> None:
        """Count for how many frames each block has had parts that stand still and were only
        resized."""
        blocks = blocks_with(still, self.side)
        if self._age.shape != blocks.shape:
            self._age = np.zeros(blocks.shape, np.int64)
            self._taken = np.zeros(blocks.shape, np.bool_)
        self._age = np.where(blocks, self._age + 1, 0)

    def some(
        self, previous: Result | None, lr: Image, changed: Cells, stale: Cells, network_s: float
    ) -> tuple[Cells, list[Tile]]:
        """The ``stale`` cells that the lowest rung takes within ``network_s``, and the work for
        them."""
        scores = self._scores(previous, lr)
        blocks = Blocks(scores, blocks_with(changed, self.side), self._age, self._taken)
        chosen, picked, work = self._within(network_s, 0, lr, stale, blocks)
        if work:
            self._taken = chosen
        return picked, work

    def refined(
        self, previous: Result | None, lr: Image, below: Cells, refine_s: float
    ) -> list[Tile]:
        """The work for those of the cells ``below`` that the top rung takes within ``refine_s``."""
        wanted = blocks_with(below, self.side)
        none = np.zeros(wanted.shape, np.int64)
        blocks = Blocks(self._scores(previous, lr), wanted, none, none > 0)
        return self._within(refine_s, self._ladder.top, lr, below, blocks)[2]

    def _scores(self, previous: Result | None, lr: Image) -> Scores:
        return block_scores(lr if previous is None else previous.lr, lr, self.side)

    def _within(
        self, seconds: float, rung: int, lr: Image, wanted: Cells, blocks: Blocks
    ) -> tuple[Mask, Cells, list[Tile]]:
        """The blocks that deserve a rung most, as many as it takes in this time, which of the
        wanted cells lie in them, and the work for these."""
        engine = self._ladder.engines[rung]
        count = int(blocks_with(wanted, self.side).sum())
        while count > 0:
            chosen = choose_blocks(blocks, count)
            picked = cells_of_blocks(chosen, self.side, wanted) & wanted
            work = live_tiles(engine, lr, picked)
            cost_s = self._ladder.predict(rung, work)
            if cost_s <= seconds:
                return chosen, picked, work
            count = min(int(count * seconds / cost_s), count - 1)
        return np.zeros(blocks.changed.shape, np.bool_), no_cells(lr.shape[1], lr.shape[0]), []
