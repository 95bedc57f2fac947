"""Upscales live frames within a latency budget, as `streamsr.live.budget` decides for each."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Engine, Tile
from streamsr.frame import Fit, Frame, Image, StreamInfo
from streamsr.live.budget import Allowance, Decision, Situation, Take, decide, too_late
from streamsr.live.capacity import room_s, rung_line, starting_rung, too_large
from streamsr.live.costs import Costs
from streamsr.live.ladder import INTERPOLATED, Ladder, Levels
from streamsr.live.picking import Picker
from streamsr.live.rungs import Standing
from streamsr.picture.finish import Finish
from streamsr.picture.resize import interpolate
from streamsr.region import CELL, Cells, Region
from streamsr.stats import Event, Fate, Point, Recorder, Stage
from streamsr.tiling.changes import affected_cells, no_cells, regions_of
from streamsr.tiling.priority import (
    block_regions,
    block_scores,
    blocks_with,
    cells_within,
    live_tiles,
    requested_pixels,
)
from streamsr.tiling.results import Result, Results, read_only, sized

RESIZE_COST = 1024
"""What interpolating a region costs beside its area, in LR pixels: about 10 us for a call."""

STALL_S = 1.0
"""Longer than this between two frames is a stall, not the source's rate."""

STILL = 5
"""Frames for which a part has stood still before the top rung takes it: what changes again soon is
not worth that."""

RATE_WEIGHT = 0.1
"""Of a new interval in the average: a camera that halves its rate in the dark is followed within a
second."""


class _Seen(NamedTuple):
    """What is known of a picture before anything of it is computed.

    lr        the picture [H, W, 3] uint8
    previous  the result it is compared with, None where there is none of this size
    changed   cells whose result may differ from the previous one
    level     by which rung each cell has been computed; INTERPOLATED where it changed
    below     cells that have stood still for a while below the top rung
    work      what each rung's network would compute for all that none has computed yet
    """

    lr: Image
    previous: Result | None
    changed: Cells
    level: Levels
    below: Cells
    work: Sequence[Sequence[Tile]]

    @property
    def stale(self) -> Cells:
        """Cells that are not the network's work yet, those that changed and older ones."""
        return np.asarray(self.level == INTERPOLATED)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture."""
        return self.lr.shape[1], self.lr.shape[0]


class LiveStage:
    """Upscales the frames of a live source, each in the time it has left. For one thread.

    engine    the caller's, which closes it
    rungs     that engine among others by rung, rising, also the caller's: the highest that there is
              time for is taken. Default the engine alone
    finish    what is done to its pictures, the caller's too; None for nothing
    budget_s  the age at which a frame must leave; older ones are dropped, or counted as late where
              the viewer would otherwise see nothing
    record    where the fate of each frame, its age at the start and the end, and the pixels
              computed, copied and resized are counted
    size      (width, height) of the result when it is not the engine's scale times the input
    reuse     take what did not change since the frame before from its result
    clock     ``time.monotonic``, what `Frame.arrival_s` was taken from; another one in tests

    A part that was only resized is refined by the network once there is time, and what stands still
    by the top rung's.
    """

    def __init__(
        self,
        engine: Engine,
        budget_s: float,
        *,
        rungs: Mapping[str, Engine] | None = None,
        finish: Finish | None = None,
        record: Recorder | None = None,
        size: tuple[int, int] | None = None,
        reuse: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not budget_s > 0:
            raise ValueError(f"expected a budget above 0 seconds, got {budget_s}")
        self.budget_s = budget_s
        self._ladder = Ladder(rungs or {"": engine}, clock=clock)
        self._chooses = self._ladder.top > 0
        self._scale = engine.scale
        self._record = record or Recorder()
        self._record.set_budget(budget_s)
        self._size = size
        self._reuse = reuse
        self._clock = clock
        self._picker = Picker(self._ladder)
        self._results = Results(engine, finish, reach=self._ladder.reach)
        # What the kinds of work cost here beside the network, learned from frame to frame.
        self._resize = Costs()
        self._other = Costs()
        self._allowance = Allowance()
        self._level: Levels = np.zeros((0, 0), np.int8)  # of the previous result
        self._still: NDArray[np.int32] = np.zeros((0, 0), np.int32)  # for how many frames
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
        rung = self._begin_on(lr, info)
        engine = self._ladder.engines[rung]
        hr = self._results.buffer(lr)
        whole = Region.of(width, height)
        half = Region.of(width, max(height // 2, 1))
        cells = no_cells(width, height)
        cells[::2, ::2] = True
        if engine.sparse:
            rehearsals = [[Tile(lr, hr, half)], live_tiles(engine, lr, cells)]
        else:
            regions = block_regions(blocks_with(cells, self._picker.side), width, height)
            parts = [Tile(lr, hr, region) for region in regions]
            # One alone is cut for the workers; those at the edges are smaller.
            rehearsals = [parts[:1], parts[-1:], parts]
        rehearsals.append([Tile(lr, hr, whole)])
        for tiles in rehearsals:  # not measured: the first run of a shape prepares it
            engine.run([tile._replace(hr=hr) for tile in tiles])
        level = np.full(cells.shape, INTERPOLATED, np.int8)
        for tiles in rehearsals:
            self._run(rung, hr, tiles, level)
        for region in (whole, half):
            self._enlarge(lr, hr, [region])
        regions_of(cells, width, height, region_cost=RESIZE_COST)
        sized(self._results.finished(lr, hr, self._record), self._size, self._record)
        block_scores(lr, lr, self._picker.side)
        affected_cells(lr, lr, halo=self._ladder.reach)
        if self._chooses:
            names, room = self._ladder.names, room_s(info, self.budget_s)
            line = rung_line(self._whole_s(info), names, rung, room)
            self._record.set_rungs(names, names[rung], line)

    def _begin_on(self, lr: Image, info: StreamInfo) -> int:
        """The rung to begin on: the only one, or the highest that holds rate and budget now."""
        rung = 0
        if self._chooses:
            self._ladder.measure(self._results, lr)
            rung = starting_rung(self._whole_s(info), room_s(info, self.budget_s))
        self._allowance = Allowance(standing=Standing(rung))
        return rung

    def _whole_s(self, info: StreamInfo) -> list[float]:
        """What a whole picture is expected to cost on each rung."""
        lr = np.empty((info.height, info.width, 3), np.uint8)
        tiles = [Tile(lr, lr, Region.of(info.width, info.height))]
        return [self._ladder.predict(rung, tiles) for rung in range(self._ladder.top + 1)]

    def too_large(self, info: StreamInfo) -> str | None:
        """What to tell the user where no network has time for all of such a stream, by the costs
        that were learned; see `capacity.too_large`."""
        pace = self._whole_s(info)[0] / (info.width * info.height)
        return too_large(info, pace, self.budget_s, self._ladder.names)

    def frame(self, frame: Frame, *, waiting: int = 0) -> Frame | None:
        """The frame upscaled, with the picture it came from as its ``lr``; None when it is dropped.

        ``waiting``: how many newer frames wait already.
        """
        start_s = self._clock()
        self._record.latency(start_s - frame.arrival_s, Point.START)
        self._follow_rate(frame)
        fit = None if frame.fit is None else frame.fit.scaled(self._scale)
        seen = self._look(frame.rgb, fit)
        decision = self._decide(seen, frame, waiting)
        if decision.take is Take.DROP:
            self._record.count(Fate.DROPPED)
            return None
        refined = self._refinement(seen, decision)
        raw = self._begin(seen, anew=bool(refined))
        begun_s = self._clock()
        by_network, level = self._compute(seen, raw, decision)
        if refined:
            self._run(self._ladder.top, raw, refined, level)
        computed_s = self._clock()
        if seen.previous is not None and not (seen.work[0] or refined):
            hr, shown = seen.previous.hr, seen.previous.shown
        else:
            hr = self._results.finished(seen.lr, raw, self._record)
            shown = sized(hr, self._size, self._record, fit=fit)
        self._results.remember(seen.lr, raw, hr, shown, self._size, fit)
        self._level = level
        done_s = self._clock()
        self._other.learn(1, begun_s - start_s + done_s - computed_s)
        self._record.on_rung(self._ladder.names[self._allowance.standing.rung])
        if not self._account(seen, [*by_network, *refined], level, frame.arrival_s, done_s):
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
            level = np.full(changed.shape, INTERPOLATED, np.int8)
            self._still = np.zeros(changed.shape, np.int32)
        else:
            previous = self._results.previous
            level = np.where(changed, np.int8(INTERPOLATED), self._level)
            self._still = np.where(changed, 0, self._still + 1)
        stale = level == INTERPOLATED
        self._picker.wait_on(stale & ~changed)
        below = ~stale & (level < self._ladder.top) & (self._still >= STILL)
        work = [live_tiles(engine, lr, stale) for engine in self._ladder.engines]
        return _Seen(lr, previous, changed, level, below, work)

    def _decide(self, seen: _Seen, frame: Frame, waiting: int) -> Decision:
        """What to do with the frame, given its age and what everything is expected to cost."""
        now_s, ladder = self._clock(), self._ladder
        block = (self._picker.side * CELL) ** 2
        situation = Situation(
            age_s=now_s - frame.arrival_s,
            waiting=waiting,
            silent_s=now_s - self._shown_s,
            interval_s=self._interval_s,
            all_s=[ladder.predict(rung, tiles) for rung, tiles in enumerate(seen.work)],
            least_s=ladder.costs.predict(0, block),
            resize_s=self._resize.predict(_area(seen.changed, seen.size)),
            other_s=self._other.predict(1),
            margin=ladder.costs.margin,
            refine_s=ladder.costs.predict(ladder.top, block) if seen.below.any() else 0.0,
        )
        decision, self._allowance = decide(situation, self._allowance, budget_s=self.budget_s)
        return decision

    def _begin(self, seen: _Seen, *, anew: bool) -> Image:
        """The network's picture as far as the previous one has it; what changed is to be filled in.
        ``anew``: other parts of it are, too."""
        previous = seen.previous
        if previous is not None and not (seen.work[0] or anew):
            return previous.raw
        if previous is None or seen.changed.all():
            return self._results.buffer(seen.lr)
        return self._results.carried(previous)

    def _compute(self, seen: _Seen, hr: Image, decision: Decision) -> tuple[Sequence[Tile], Levels]:
        """Fill in ``hr``: by network as far as was decided, what changed besides by interpolation.

        Returns what the network did, and by which rung each cell is computed now.
        """
        level = seen.level.copy()  # a tile may hold the other one
        by_network: Sequence[Tile] = seen.work[decision.rung]
        if by_network and decision.take is not Take.ALL:
            picked = no_cells(*seen.size)
            by_network = []
            if decision.take is Take.SOME:
                picked, by_network = self._picker.some(
                    seen.previous, seen.lr, seen.changed, seen.stale, decision.network_s
                )
            resized = regions_of(seen.changed & ~picked, *seen.size, region_cost=RESIZE_COST)
            self._enlarge(seen.lr, hr, resized)
            for region in resized:  # merged regions hold more than what changed
                level[cells_within(region, *seen.size)] = INTERPOLATED
        if by_network:
            self._run(decision.rung, hr, by_network, level)
        elif seen.work[0] or not self._ladder.top:
            # On several rungs, what stands still would else be refined in more time than there is.
            self._ladder.costs.doubt()
        return by_network, level

    def _account(
        self,
        seen: _Seen,
        by_network: Sequence[Tile],
        level: Levels,
        arrival_s: float,
        done_s: float,
    ) -> bool:
        """Count what was done to a frame; False when it is too late to be shown."""
        pixels = seen.size[0] * seen.size[1]
        computed = min(sum(map(requested_pixels, by_network)), pixels)
        stale = level == INTERPOLATED
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

    def _refinement(self, seen: _Seen, decision: Decision) -> list[Tile]:
        """What the top rung takes of that which stands still, in the time that was decided."""
        if not decision.refine_s:
            return []
        return self._picker.refined(seen.previous, seen.lr, seen.below, decision.refine_s)

    def _run(self, rung: int, hr: Image, tiles: Sequence[Tile], level: Levels) -> None:
        """Compute these tiles into ``hr`` and ``level``, and learn what that costs."""
        with self._record.stage(Stage.NETWORK):
            self._ladder.run(rung, tiles, hr, level, self._results)

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
