"""Upscaling under a latency budget: does with the pixels what `streamsr.live.budget` decides."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from streamsr.engines import Tile
from streamsr.frame import Frame, Image, StreamInfo
from streamsr.live.budget import Allowance, Costs, Situation, Take, decide, too_late
from streamsr.picture.buffers import BufferPool
from streamsr.picture.resize import interpolate, resized
from streamsr.region import CELL, Cells, Region
from streamsr.tiling.changes import affected_cells, no_cells, regions_of
from streamsr.tiling.priority import (
    Tiles,
    cells_of,
    cells_within,
    choose,
    grid,
    pixels_of,
    scores,
    side_of,
    tiles_with,
    wanted_pixels,
    work_for,
)
from streamsr.upscaler import Upscaler

RESIZE_COST = 1024
"""What interpolating a region costs beside its area, in LR pixels: about 10 us for a call."""

STALL_S = 1.0
"""Longer than this between two frames is a stall, not the source's rate."""

RATE_WEIGHT = 0.1
"""Of a new interval in the average: a camera that halves its rate in the dark is followed within a
second."""


class _Last(NamedTuple):
    """The picture before, and which of its cells are not the network's work yet."""

    lr: Image
    hr: Image
    shown: Image
    stale: Cells


class LiveStage:
    """Upscales the frames of a live source, each in the time it has left. For one thread.

    budget_s  the age at which a frame must leave; older ones are dropped, or counted as late where
              the viewer would otherwise see nothing
    clock     ``time.monotonic``, what `Frame.arrival_s` was taken from; another one in tests

    What it does to each frame is counted in the upscaler's record: its fate, the pixels by network,
    copied and resized, its age at the start and the end. A part that was only resized is refined by
    network once there is time.
    """

    def __init__(
        self, upscaler: Upscaler, budget_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not budget_s > 0:
            raise ValueError(f"expected a budget above 0 seconds, got {budget_s}")
        self.budget_s = budget_s
        self._upscaler, self._engine, self._record, self._clock = (
            upscaler,
            upscaler.engine,
            upscaler.record,
            clock,
        )
        self._side = side_of(upscaler.engine)
        self._network, self._resize, self._other = Costs(), Costs(), Costs()
        self._allowance = Allowance()
        self._pool = BufferPool()
        self._last: _Last | None = None
        self._age = np.zeros((0, 0), np.int64)
        self._taken = np.zeros((0, 0), np.bool_)
        self._interval_s = math.inf
        self._shown_s = -math.inf
        self._previous: tuple[int, float] | None = None
        self._record.budget_s = budget_s

    def warm(self, info: StreamInfo) -> None:
        """Compute pictures of the stream's size before it starts: costs are learned, memory
        touched, loops compiled."""
        if info.rate:
            self._interval_s = float(1 / info.rate)
        rng = np.random.default_rng(0)
        lr = rng.integers(0, 256, (info.height, info.width, 3), np.uint8)
        whole, half = (
            Region.of(info.width, info.height),
            Region.of(info.width, max(info.height // 2, 1)),
        )
        hr = self._pool.take((info.height * self._engine.scale, info.width * self._engine.scale, 3))
        cells = no_cells(info.width, info.height)
        cells[::2, ::2] = True
        if self._engine.sparse:
            tasks = [[Tile(lr, hr, half)], work_for(self._engine, lr, cells)]
        else:
            parts = [
                Tile(lr, hr, part)
                for part in grid(tiles_with(cells, self._side), info.width, info.height)
            ]
            tasks = [
                parts[:1],
                parts[-1:],
                parts,
            ]  # one alone is cut for the workers, those at the edges are smaller
        tasks.append([Tile(lr, hr, whole)])
        for tiles in tasks:
            self._engine.run([tile._replace(hr=hr) for tile in tiles])
        for tiles in tasks:
            self._run(hr, tiles)
        for region in (whole, half):
            self._enlarge(lr, hr, [region])
        regions_of(cells, info.width, info.height, region_cost=RESIZE_COST)
        self._sized(hr)
        scores(lr, lr, self._side)
        affected_cells(lr, lr, halo=self._engine.halo)

    def frame(self, frame: Frame, *, waiting: int = 0) -> Frame | None:
        """The frame upscaled, with the picture it came from as its ``lr``; None when it is dropped.

        ``waiting``: how many newer frames wait already.
        """
        start = self._clock()
        self._follow_rate(frame)
        lr = frame.rgb
        height, width = lr.shape[:2]
        last = self._last if self._last is not None and self._last.lr.shape == lr.shape else None
        if not self._upscaler.reuse:
            last = None
        changed = (
            ~no_cells(width, height)
            if last is None
            else affected_cells(last.lr, lr, halo=self._engine.halo)
        )
        stale = changed.copy() if last is None else changed | last.stale
        everything = work_for(self._engine, lr, stale)
        self._wait_on(stale & ~changed)
        changed_pixels = self._area(changed, width, height)
        now = self._clock()
        age_s = now - frame.arrival_s
        decision, self._allowance = decide(
            Situation(
                age_s=age_s,
                waiting=waiting,
                silent_s=now - self._shown_s,
                interval_s=self._interval_s,
                all_s=self._network.predict(pixels_of(self._engine, everything)),
                least_s=self._network.predict((self._side * CELL) ** 2),
                resize_s=self._resize.predict(changed_pixels),
                other_s=self._other.predict(1),
                margin=self._network.margin,
            ),
            self._allowance,
            budget_s=self.budget_s,
        )
        self._record.latency(start - frame.arrival_s, "start")
        if decision.take is Take.DROP:
            self._record.count("dropped")
            return None
        spent_s = now - start
        begin = now
        before, hr = last, None if last is None else last.hr
        by_network: Sequence[Tile] = []
        if hr is None or everything:
            hr = self._pool.take((height * self._engine.scale, width * self._engine.scale, 3))
            if before is not None and not changed.all():
                np.copyto(hr, before.hr)
            spent_s += self._clock() - begin
            by_network = everything
            if decision.take is not Take.ALL:
                picked, by_network = no_cells(width, height), []
                if decision.take is Take.SOME:
                    picked, by_network = self._some(before, lr, changed, stale, decision.network_s)
                enlarged = regions_of(changed & ~picked, width, height, region_cost=RESIZE_COST)
                self._enlarge(lr, hr, enlarged)
                for region in enlarged:  # merged regions hold more than what changed
                    stale[cells_within(region, width, height)] = True
            for tile in by_network:
                if tile.cells is None:
                    stale[cells_within(tile.region, width, height)] = False
                else:
                    stale = stale & ~tile.cells  # not in place: the tile may hold this very array
            self._run(hr, by_network)
        if not by_network:
            self._network.doubt()
        begin = self._clock()
        shown = self._sized(hr) if everything or before is None else before.shown
        self._last = _Last(lr, hr, shown, stale)
        done = self._clock()
        self._other.learn(1, spent_s + done - begin)
        self._count(by_network, stale, width, height)
        if not self._in_time(done, frame.arrival_s):
            self._record.count("dropped")
            return None
        self._count_fate(by_network, stale, width * height)
        self._shown_s = done
        # There is no time for more than 8 bits, nor for opacity.
        return replace(frame, rgb=shown, lr=lr, deep=None, alpha=None)

    def _follow_rate(self, frame: Frame) -> None:
        if self._previous is not None and frame.index > self._previous[0]:
            index, arrival_s = self._previous
            interval_s = (frame.arrival_s - arrival_s) / (frame.index - index)
            if 0 < interval_s < STALL_S:
                known = self._interval_s if self._interval_s < math.inf else interval_s
                self._interval_s = known + RATE_WEIGHT * (interval_s - known)
        self._previous = frame.index, frame.arrival_s

    def _some(
        self, before: _Last | None, lr: Image, changed: Cells, stale: Cells, network_s: float
    ) -> tuple[Cells, list[Tile]]:
        """The cells that the network takes within ``network_s``, and the work for them."""
        height, width = lr.shape[:2]
        score = scores(lr if before is None else before.lr, lr, self._side)
        known = Tiles(score, tiles_with(changed, self._side), self._age, self._taken)
        count = int(tiles_with(stale, self._side).sum())
        while count > 0:
            chosen = choose(known, count)
            picked = cells_of(chosen, self._side, stale) & stale
            tiles = work_for(self._engine, lr, picked)
            cost_s = self._network.predict(pixels_of(self._engine, tiles))
            if cost_s <= network_s:
                self._taken = chosen
                return picked, tiles
            count = min(int(count * network_s / cost_s), count - 1)
        return no_cells(width, height), []

    def _wait_on(self, still: Cells) -> None:
        """Count for how many frames each tile has had parts that stand still and were only
        resized."""
        tiles = tiles_with(still, self._side)
        if self._age.shape != tiles.shape:
            self._age, self._taken = (
                np.zeros(tiles.shape, np.int64),
                np.zeros(tiles.shape, np.bool_),
            )
        self._age = np.where(tiles, self._age + 1, 0)

    def _run(self, hr: Image, tiles: Sequence[Tile]) -> None:
        """Do this work, and learn what it costs."""
        if tiles:
            begin = self._clock()
            with self._record.stage("network"):
                self._engine.run([tile._replace(hr=hr) for tile in tiles])
            self._network.learn(pixels_of(self._engine, tiles), self._clock() - begin)

    def _enlarge(self, lr: Image, hr: Image, regions: Sequence[Region]) -> None:
        """Bicubic interpolation of these regions, its cost learned."""
        if not regions:
            return
        begin = self._clock()
        with self._record.stage("resize"):
            interpolate(lr, hr, regions)
        self._resize.learn(sum(region.area for region in regions), self._clock() - begin)

    def _sized(self, hr: Image) -> Image:
        if self._upscaler.size is None:
            return hr
        with self._record.stage("resize"):
            return resized(hr, self._upscaler.size)

    def _area(self, cells: Cells, width: int, height: int) -> int:
        return round(float(np.count_nonzero(cells)) / cells.size * width * height)

    def _in_time(self, now: float, arrival_s: float) -> bool:
        """Count a late frame; whether it is shown all the same."""
        age_s = now - arrival_s
        if age_s > self.budget_s:
            self._record.late += 1
        if too_late(age_s, now - self._shown_s, budget_s=self.budget_s):
            return False
        self._record.latency(age_s, "upscaled")
        return True

    def _count(self, by_network: Sequence[Tile], stale: Cells, width: int, height: int) -> None:
        network, poor = sum(map(wanted_pixels, by_network)), self._area(stale, width, height)
        reused = max(width * height - network - poor, 0)
        self._record.pixels(
            total=width * height, reused=reused, resized=min(poor, width * height - network)
        )

    def _count_fate(self, by_network: Sequence[Tile], stale: Cells, pixels: int) -> None:
        poor = bool(stale.any())
        if not poor:
            self._record.sharp += 1
        if not by_network:
            self._record.count("resized" if poor else "reused")
        else:
            whole = not poor and sum(map(wanted_pixels, by_network)) == pixels
            self._record.count("network" if whole else "partial")
