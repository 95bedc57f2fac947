"""The networks of a live stage: the rungs of the family on which it may compute, and what each
cell of a picture was computed on."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Engine, Tile
from streamsr.frame import Image
from streamsr.live.costs import RungCosts
from streamsr.region import CELL, Cells, Region
from streamsr.tiling.priority import cells_within, cost_pixels
from streamsr.tiling.results import Results

Levels = NDArray[np.int8]
"""Of each cell of a picture [rows, columns], the number of the rung that computed it."""

INTERPOLATED = -1
"""The level of a cell that no network computed yet."""

SAMPLES = 128, 256
"""Sides of the squares on which a rung is measured at the start. In the smaller one a call and its
threads count as well, which makes rungs look alike; in a strip of as many pixels their reach would.
"""

QUICK_S = 0.02
"""A first run that takes longer is believed; one that takes a quarter of it gets the larger
sample."""

MEASURE_S = 0.3
"""Rungs that are not measured by then, from the lowest up, are not used: they would take seconds
for a picture."""


class Ladder:
    """Engines by rung, from the least work to the most, of one scale. For one thread.

    Each cell of a picture that is made here has the bytes that the rung at its level gives the
    whole picture.

    names, engines  of the rungs; the caller's, who closes them
    reach           farthest that a change reaches in any of them, in LR pixels
    costs           learned from all that is computed here
    """

    def __init__(
        self, rungs: Mapping[str, Engine], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.names = tuple(rungs)
        self.engines: Sequence[Engine] = tuple(rungs.values())
        if len({engine.scale for engine in self.engines}) != 1:
            raise ValueError("expected rungs of one scale")
        self.reach = max(engine.halo for engine in self.engines)
        self.costs = RungCosts(len(self.engines))
        self._clock = clock

    @property
    def top(self) -> int:
        """The highest rung."""
        return len(self.engines) - 1

    def measure(self, results: Results, lr: Image) -> None:
        """Learn what a part of the picture costs on each rung, and have them all ready. Rungs for
        which there is no time are left out from then on."""
        height, width = lr.shape[:2]
        parts = [Region.of(min(side, width), min(side, height)) for side in SAMPLES]
        hr = results.buffer(lr)
        hr[parts[-1].scaled(self.engines[0].scale).slices] = (
            0  # fresh memory costs whoever is first
        )
        begin_s, measured = self._clock(), 0
        for rung, engine in enumerate(self.engines):
            if rung and self._clock() - begin_s > MEASURE_S:
                break
            tiles = [Tile(lr, hr, parts[0])]
            took_s = self._timed(engine, tiles)
            if took_s <= QUICK_S:
                tiles = [Tile(lr, hr, parts[took_s <= QUICK_S / 4])]
                took_s = self._timed(engine, tiles)
            self.costs.begin(rung, cost_pixels(engine, tiles), took_s)
            measured += 1
        self.names, self.engines = self.names[:measured], self.engines[:measured]

    def _timed(self, engine: Engine, tiles: Sequence[Tile]) -> float:
        begin_s = self._clock()
        engine.run(tiles)
        return self._clock() - begin_s

    def predict(self, rung: int, tiles: Sequence[Tile]) -> float:
        """Seconds that these tiles are expected to take on a rung."""
        return self.costs.predict(rung, cost_pixels(self.engines[rung], tiles))

    def run(
        self, rung: int, tiles: Sequence[Tile], hr: Image, level: Levels, results: Results
    ) -> None:
        """Compute these tiles of one picture into ``hr``, write the rung into their ``level``, and
        learn what that costs."""
        engine = self.engines[rung]
        begin_s = self._clock()
        # Around the cells that are wanted an engine may write what is right on its rung only.
        apart = any(_spoils(tile, rung, level) for tile in tiles)
        into = results.buffer(tiles[0].lr) if apart else hr
        engine.run([tile._replace(hr=into) for tile in tiles])
        for lr, _, region, cells in tiles:
            height, width = lr.shape[:2]
            if cells is None:
                level[cells_within(region, width, height)] = rung
            else:
                level[cells] = rung
            if apart:
                parts = [region] if cells is None else list(_runs(cells, width, height))
                for part in parts:
                    place = part.scaled(engine.scale).slices
                    hr[place] = into[place]
        self.costs.learn(rung, cost_pixels(engine, tiles), self._clock() - begin_s)


def _spoils(tile: Tile, rung: int, level: Levels) -> bool:
    """Whether around the tile's cells something of another rung lies in its region."""
    if tile.cells is None:
        return False
    height, width = tile.lr.shape[:2]
    rows, columns = cells_within(tile.region, width, height)
    around = level[rows, columns][~tile.cells[rows, columns]]
    return bool(((around != rung) & (around != INTERPOLATED)).any())


def _runs(cells: Cells, width: int, height: int) -> Iterator[Region]:
    """Cut the true cells of a picture of this size into runs along each row of cells."""
    edges = np.diff(cells.astype(np.int8), axis=1, prepend=0, append=0)
    for (row, begin), (_, end) in zip(np.argwhere(edges > 0), np.argwhere(edges < 0), strict=True):
        x, y = int(begin) * CELL, int(row) * CELL
        yield Region(x, y, min(int(end) * CELL, width) - x, min(CELL, height - y))
