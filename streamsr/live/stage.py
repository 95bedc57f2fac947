"""Upscales live frames within a latency budget, as `streamsr.live.budget` decides for each."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from streamsr.engines import Engine, Tile
from streamsr.frame import Fit, Frame, Image, StreamInfo
from streamsr.live.budget import Allowance, Costs, Decision, Situation, Take, decide, too_late
from streamsr.live.capacity import too_large
from streamsr.picture.finish import Finish
from streamsr.picture.resize import interpolate
from streamsr.region import CELL, Cells, Region
from streamsr.stats import Event, Fate, Point, Recorder, Stage
from streamsr.tiling.changes import affected_cells, no_cells, regions_of
from streamsr.tiling.priority import (
    Blocks,
    block_regions,
    block_scores,
    block_side,
    blocks_with,
    cells_of_blocks,
    cells_within,
    choose_blocks,
    cost_pixels,
    live_tiles,
    requested_pixels,
)
from streamsr.tiling.results import Result, Results, read_only, sized

RESIZE_COST = 1024
"""What interpolating a region costs beside its area, in LR pixels: about 10 us for a call."""

STALL_S = 1.0
"""Longer than this between two frames is a stall, not the source's rate."""

RATE_WEIGHT = 0.1
"""Of a new interval in the average: a camera that halves its rate in the dark is followed within a
second."""


class _Seen(NamedTuple):
    """What is known of a picture before anything of it is computed.

    lr        the picture [H, W, 3] uint8
    previous  the result it is compared with, None where there is none of this size
    changed   cells whose result may differ from the previous one
    stale     cells that are not the network's work yet, those that changed and older ones
    work      what the network would compute for all of ``stale``
    """

    lr: Image
    previous: Result | None
    changed: Cells
    stale: Cells
    work: Sequence[Tile]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture."""
        return self.lr.shape[1], self.lr.shape[0]


class LiveStage:
    """Upscales the frames of a live source, each in the time it has left. For one thread.

    engine    the caller's, which closes it
    finish    what is done to its pictures, the caller's too; None for nothing
    budget_s  the age at which a frame must leave; older ones are dropped, or counted as late where
              the viewer would otherwise see nothing
    record    where the fate of each frame, its age at the start and the end, and the pixels
              computed, copied and resized are counted
    size      (width, height) of the result when it is not the engine's scale times the input
    reuse     take what did not change since the frame before from its result
    clock     ``time.monotonic``, what `Frame.arrival_s` was taken from; another one in tests

    A part that was only resized is refined by the network once there is time.
    """

    def __init__(
        self,
        engine: Engine,
        budget_s: float,
        *,
        finish: Finish | None = None,
        record: Recorder | None = None,
        size: tuple[int, int] | None = None,
        reuse: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not budget_s > 0:
            raise ValueError(f"expected a budget above 0 seconds, got {budget_s}")
        self.budget_s = budget_s
        self._engine = engine
        self._record = record or Recorder()
        self._record.set_budget(budget_s)
        self._size = size
        self._reuse = reuse
        self._clock = clock
        self._side = block_side(engine)
        self._results = Results(engine, finish)
        # What the kinds of work cost here, learned from frame to frame.
        self._network = Costs()
        self._resize = Costs()
        self._other = Costs()
        self._allowance = Allowance()
        self._stale = no_cells(0, 0)  # of the previous result
        self._age = np.zeros((0, 0), np.int64)
        self._taken = np.zeros((0, 0), np.bool_)
        self._interval_s = math.inf
        self._shown_s = -math.inf
        self._arrived: tuple[int, float] | None = None  # index and arrival of the frame before

    def warm(self, info: StreamInfo) -> None:
        """Compute pictures of the stream's size before it starts: costs are learned, memory is
        touched, loops are compiled."""
        if info.rate:
            self._interval_s = float(1 / info.rate)
        width, height = info.width, info.height
        lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        hr = self._results.buffer(lr)
        whole = Region.of(width, height)
        half = Region.of(width, max(height // 2, 1))
        cells = no_cells(width, height)
        cells[::2, ::2] = True
        if self._engine.sparse:
            rehearsals = [[Tile(lr, hr, half)], live_tiles(self._engine, lr, cells)]
        else:
            regions = block_regions(blocks_with(cells, self._side), width, height)
            parts = [Tile(lr, hr, region) for region in regions]
            # One alone is cut for the workers; those at the edges are smaller.
            rehearsals = [parts[:1], parts[-1:], parts]
        rehearsals.append([Tile(lr, hr, whole)])
        for tiles in rehearsals:  # not measured: the first run of a shape prepares it
            self._engine.run([tile._replace(hr=hr) for tile in tiles])
        for tiles in rehearsals:
            self._run(hr, tiles)
        for region in (whole, half):
            self._enlarge(lr, hr, [region])
        regions_of(cells, width, height, region_cost=RESIZE_COST)
        sized(self._results.finished(lr, hr, self._record), self._size, self._record)
        block_scores(lr, lr, self._side)
        affected_cells(lr, lr, halo=self._engine.halo)

    def too_large(self, info: StreamInfo) -> str | None:
        """What to tell the user where the network has no time for all of such a stream, by the
        costs that it has learned; see `capacity.too_large`."""
        halo = 2 * self._engine.halo
        pixels = (info.width + halo) * (info.height + halo) + self._engine.region_cost
        pace = self._network.predict(pixels) / (info.width * info.height)
        return too_large(info, pace, self.budget_s)

    def frame(self, frame: Frame, *, waiting: int = 0) -> Frame | None:
        """The frame upscaled, with the picture it came from as its ``lr``; None when it is dropped.

        ``waiting``: how many newer frames wait already.
        """
        start_s = self._clock()
        self._record.latency(start_s - frame.arrival_s, Point.START)
        self._follow_rate(frame)
        fit = None if frame.fit is None else frame.fit.scaled(self._engine.scale)
        seen = self._look(frame.rgb, fit)
        decision = self._decide(seen, frame, waiting)
        if decision.take is Take.DROP:
            self._record.count(Fate.DROPPED)
            return None
        raw = self._begin(seen)
        begun_s = self._clock()
        by_network, stale = self._compute(seen, raw, decision)
        computed_s = self._clock()
        if seen.previous is not None and not seen.work:
            hr, shown = seen.previous.hr, seen.previous.shown
        else:
            hr = self._results.finished(seen.lr, raw, self._record)
            shown = sized(hr, self._size, self._record, fit=fit)
        self._results.remember(seen.lr, raw, hr, shown, self._size, fit)
        self._stale = stale
        done_s = self._clock()
        self._other.learn(1, begun_s - start_s + done_s - computed_s)
        if not self._account(seen, by_network, stale, frame.arrival_s, done_s):
            return None
        self._shown_s = done_s
        # There is no time for more than 8 bits, nor for opacity.
        return replace(frame, rgb=read_only(shown), lr=seen.lr, deep=None, alpha=None, fit=None)

    def _look(self, lr: Image, fit: Fit | None) -> _Seen:
        """Compare the picture with the one before."""
        changed = self._results.changed(lr, self._size, fit) if self._reuse else None
        if changed is None:
            previous = None
            changed = ~no_cells(lr.shape[1], lr.shape[0])
            stale = changed
        else:
            previous = self._results.previous
            stale = changed | self._stale
        self._wait_on(stale & ~changed)
        return _Seen(lr, previous, changed, stale, live_tiles(self._engine, lr, stale))

    def _decide(self, seen: _Seen, frame: Frame, waiting: int) -> Decision:
        """What to do with the frame, given its age and what everything is expected to cost."""
        now_s = self._clock()
        situation = Situation(
            age_s=now_s - frame.arrival_s,
            waiting=waiting,
            silent_s=now_s - self._shown_s,
            interval_s=self._interval_s,
            all_s=self._network.predict(cost_pixels(self._engine, seen.work)),
            least_s=self._network.predict((self._side * CELL) ** 2),
            resize_s=self._resize.predict(_area(seen.changed, seen.size)),
            other_s=self._other.predict(1),
            margin=self._network.margin,
        )
        decision, self._allowance = decide(situation, self._allowance, budget_s=self.budget_s)
        return decision

    def _begin(self, seen: _Seen) -> Image:
        """The network's picture as far as the previous one has it; what changed is to be filled
        in."""
        previous = seen.previous
        if previous is not None and not seen.work:
            return previous.raw
        if previous is None or seen.changed.all():
            return self._results.buffer(seen.lr)
        return self._results.carried(previous)

    def _compute(self, seen: _Seen, hr: Image, decision: Decision) -> tuple[Sequence[Tile], Cells]:
        """Fill in ``hr``: by network as far as was decided, what changed besides by interpolation.

        Returns what the network did, and the cells that are not its work yet.
        """
        stale = seen.stale.copy()  # a tile may hold the other one
        by_network = seen.work
        if seen.work and decision.take is not Take.ALL:
            picked = no_cells(*seen.size)
            by_network = []
            if decision.take is Take.SOME:
                picked, by_network = self._some(seen, decision.network_s)
            resized = regions_of(seen.changed & ~picked, *seen.size, region_cost=RESIZE_COST)
            self._enlarge(seen.lr, hr, resized)
            for region in resized:  # merged regions hold more than what changed
                stale[cells_within(region, *seen.size)] = True
        for tile in by_network:
            if tile.cells is None:
                stale[cells_within(tile.region, *seen.size)] = False
            else:
                stale &= ~tile.cells
        self._run(hr, by_network)
        if not by_network:
            self._network.doubt()
        return by_network, stale

    def _account(
        self,
        seen: _Seen,
        by_network: Sequence[Tile],
        stale: Cells,
        arrival_s: float,
        done_s: float,
    ) -> bool:
        """Count what was done to a frame; False when it is too late to be shown."""
        pixels = seen.size[0] * seen.size[1]
        computed = sum(map(requested_pixels, by_network))
        poor = _area(stale, seen.size)
        self._record.pixels(
            total=pixels,
            reused=max(pixels - computed - poor, 0),
            resized=min(poor, pixels - computed),
        )
        age_s = done_s - arrival_s
        if age_s > self.budget_s:
            self._record.count(Event.LATE)
        if too_late(age_s, done_s - self._shown_s, budget_s=self.budget_s):
            self._record.count(Fate.DROPPED)
            return False
        self._record.latency(age_s, Point.UPSCALED)
        sharp = not stale.any()
        if sharp:
            self._record.count(Event.SHARP)
        if not by_network:
            self._record.count(Fate.REUSED if sharp else Fate.RESIZED)
        else:
            self._record.count(Fate.NETWORK if sharp and computed == pixels else Fate.PARTIAL)
        return True

    def _follow_rate(self, frame: Frame) -> None:
        """Learn the time between two frames of the source."""
        if self._arrived is not None and frame.index > self._arrived[0]:
            index, arrival_s = self._arrived
            interval_s = (frame.arrival_s - arrival_s) / (frame.index - index)
            if 0 < interval_s < STALL_S:
                known_s = self._interval_s if self._interval_s < math.inf else interval_s
                self._interval_s = known_s + RATE_WEIGHT * (interval_s - known_s)
        self._arrived = frame.index, frame.arrival_s

    def _some(self, seen: _Seen, network_s: float) -> tuple[Cells, list[Tile]]:
        """The cells that the network takes within ``network_s``, and the work for them."""
        before = seen.lr if seen.previous is None else seen.previous.lr
        score = block_scores(before, seen.lr, self._side)
        changed = blocks_with(seen.changed, self._side)
        tiles = Blocks(score, changed, self._age, self._taken)
        count = int(blocks_with(seen.stale, self._side).sum())
        while count > 0:
            chosen = choose_blocks(tiles, count)
            picked = cells_of_blocks(chosen, self._side, seen.stale) & seen.stale
            work = live_tiles(self._engine, seen.lr, picked)
            cost_s = self._network.predict(cost_pixels(self._engine, work))
            if cost_s <= network_s:
                self._taken = chosen
                return picked, work
            count = min(int(count * network_s / cost_s), count - 1)
        return no_cells(*seen.size), []

    def _wait_on(self, still: Cells) -> None:
        """Count for how many frames each tile has had parts that stand still and were only
        resized."""
        tiles = blocks_with(still, self._side)
        if self._age.shape != tiles.shape:
            self._age = np.zeros(tiles.shape, np.int64)
            self._taken = np.zeros(tiles.shape, np.bool_)
        self._age = np.where(tiles, self._age + 1, 0)

    def _run(self, hr: Image, tiles: Sequence[Tile]) -> None:
        """Compute these tiles into ``hr``, and learn what that costs."""
        if tiles:
            begin_s = self._clock()
            with self._record.stage(Stage.NETWORK):
                self._engine.run([tile._replace(hr=hr) for tile in tiles])
            self._network.learn(cost_pixels(self._engine, tiles), self._clock() - begin_s)

    def _enlarge(self, lr: Image, hr: Image, regions: Sequence[Region]) -> None:
        """Interpolate these regions into ``hr``, bicubic, and learn what that costs."""
        if regions:
            begin_s = self._clock()
            with self._record.stage(Stage.RESIZE):
                interpolate(lr, hr, regions)
            self._resize.learn(sum(region.area for region in regions), self._clock() - begin_s)


def _area(cells: Cells, size: tuple[int, int]) -> int:
    """Pixels in the true cells of a picture of this (width, height)."""
    return round(float(np.count_nonzero(cells)) / cells.size * size[0] * size[1])
