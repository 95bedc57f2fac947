"""An engine whose pictures are finished, so that the engines' contract can be asked of both
together."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np

from streamsr.engines import Engine, Tile, check_tiles
from streamsr.options import Look
from streamsr.picture.finish import REACH, SHARPEN_REACH, Finish


class Finished:
    """Computes a region from what the engine makes of it and of ``reach`` more LR pixels around,
    all else being nonsense. It closes the engine."""

    batch = 1
    sparse = False

    def __init__(self, engine: Engine, look: Look) -> None:
        self._engine = engine
        self._finish = Finish(look, threads=2)
        self._reach = REACH + (SHARPEN_REACH if look.sharpen > 0 else 0)
        self.name = f"{engine.name}, finished"
        self.scale = engine.scale
        self.threads = engine.threads
        self.region_cost = engine.region_cost
        self.halo = engine.halo + self._reach

    def run(self, tiles: Sequence[Tile]) -> None:
        check_tiles(tiles, self.scale)
        if not tiles:
            self._engine.run(tiles)
        for lr, hr, region, _ in tiles:
            height, width = lr.shape[:2]
            raw = np.random.default_rng(0).integers(0, 256, hr.shape, np.uint8)
            self._engine.run([Tile(lr, raw, region.grown(self._reach, width, height))])
            whole = np.empty_like(hr)
            self._finish(lr, raw, whole)
            part = region.scaled(self.scale).slices
            hr[part] = whole[part]

    def close(self) -> None:
        self._finish.close()
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
