"""The fused engine: the whole network in one pass of integer kernels over rows that never leave the
cache."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from streamsr.engines import Tile, check_tiles, conformity
from streamsr.engines.difference import EXACT, WrongResults
from streamsr.engines.fused import first_run
from streamsr.engines.fused.codegen import layout
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import Shape
from streamsr.engines.fused.codegen.library import host_kinds, library, network_ir
from streamsr.engines.fused.graph import read_network
from streamsr.engines.fused.plan import plan
from streamsr.engines.fused.strip import Runner, wanted_cells
from streamsr.engines.fused.taps import Plan, shape_of
from streamsr.errors import ModelError
from streamsr.machine import usable_cores
from streamsr.model import ModelFile
from streamsr.native.jit import Library
from streamsr.region import CELL, Cells, Region

log = logging.getLogger("streamsr")

WORTH_SHARING = 4096
"""Pixels below which a piece of work is not worth waking another thread: about 0.2 ms."""


class FusedEngine:
    """Runs a uint8 file of XLSR's family several times as fast as LiteRT, with the same bytes. See
    `streamsr.engines.Engine`.

    threads  cores that work in parallel, default all usable ones
    kind     of kernels, a name of `isa.KINDS`; default the fastest that runs here

    Raises ModelError when the file is not the network this code knows, the processor lacks the
    instructions, or the conformity test finds any difference from LiteRT; LiteRTEngine then is the
    engine to use.
    """

    name = "fused"
    batch = 1
    sparse = True
    bound = EXACT

    def __init__(self, model: ModelFile, *, threads: int | None = None, kind: str = "") -> None:
        self.threads = usable_cores() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f"expected at least 1 thread, got {threads}")
        self._pool: ThreadPoolExecutor | None = None
        self._runners: list[Runner] = []
        kinds = host_kinds(kind)
        try:
            network = read_network(model.content)
        except ModelError as error:
            raise ModelError(f"{model.path}: {error}") from error
        self.scale = network.scale
        self.macs = network.macs
        shape = shape_of(network)
        self.halo = shape.reach
        # Code that is new here takes as long to compile and try as LiteRT takes to start.
        with ThreadPoolExecutor(1) as beside:
            code = beside.submit(_code, kinds, shape, model)
            expected = conformity.expected_results(model, network.scale)
        self._isa, self._library = code.result()
        self.kind = self._isa.name
        # What a region of 32x32 takes beside its own pixels: its halo, of whose rows each stage
        # computes fewer, and, of XLSR's, what rounds it up and 20 us for the call, which are 370
        # pixels of a whole frame, by blocks 870.
        own = 32
        halo = (own + 2 * self.halo) * (own + self.halo) - own**2
        self.region_cost = halo + (870 if self._isa.by_blocks else 370)
        self._plan = plan(network, self._isa)
        # The caller's thread is one of the workers.
        self._runners = [Runner(self._library, self._plan) for _ in range(self.threads)]
        if self.threads > 1:
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="streamsr-fused")
        try:
            self.difference = conformity.check(self, model, expected)
        except WrongResults as error:
            self.close()
            raise WrongResults(
                f"{model.path}: the fused engine {error} (code {self._library.key[:12]})"
            ) from None
        except BaseException:
            self.close()
            raise

    def run(self, tiles: Sequence[Tile]) -> None:
        check_tiles(tiles, self.scale)
        if not self._runners:
            raise ModelError("the engine is closed")
        work = deque(pieces(tiles, self.threads, self._plan))
        others = []
        if self._pool is not None:
            others = [
                self._pool.submit(_drain, work, runner) for runner in self._runners[1 : len(work)]
            ]
        try:
            _drain(work, self._runners[0])
        finally:
            wait(others)
        for other in others:
            other.result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        if self._runners:
            self._runners = []
            self._library.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _code(kinds: Sequence[Isa], shape: Shape, model: ModelFile) -> tuple[Isa, Library]:
    """The first of these kinds that does not end the process that runs it, and its code."""
    dead = []
    for isa in kinds:
        code = library(network_ir(isa, shape), isa)
        try:
            first_run.check(isa, code.key, model.content)
        except first_run.KernelsDieError as error:
            code.close()
            log.warning("%s", error)
            dead.append(str(error))
            continue
        except BaseException:
            code.close()
            raise
        return isa, code
    raise ModelError("; ".join(dead))


Piece = tuple[Tile, NDArray[np.uint8] | None]
"""What a worker takes: a strip, and which cells of the picture are wanted in it, see
`strip.wanted_cells`."""


def pieces(tiles: Sequence[Tile], threads: int, plan: Plan) -> Iterator[Piece]:
    """Cut tiles so that ``threads`` workers finish together, with as few rows computed twice as
    possible."""
    total = sum(tile.region.area for tile in tiles)
    # Several tiles are shared out as workers come free, so that more pieces even out what is
    # uneven.
    share = max(WORTH_SHARING, total / (threads if len(tiles) == 1 else 2 * threads))
    for tile in tiles:
        lr, hr, region, cells = tile
        width = lr.shape[1]
        fits = 2 * plan.isa.lanes <= width <= layout.COLUMNS
        if cells is not None and region.width == width and fits:
            yield from _bands(tile, cells, threads, plan)
            continue
        for column in _columns(region):
            for strip in column.strips(round(column.area / share)):
                yield Tile(lr, hr, strip), None


def _bands(tile: Tile, cells: Cells, threads: int, plan: Plan) -> Iterator[Piece]:
    """Bands of rows of cells that hold about the same number of wanted ones; none for rows that
    hold none."""
    lr, hr, region, _ = tile
    first, last = region.y // CELL, -(-region.bottom // CELL)
    counts = cells[first:last].sum(axis=1)
    filled = np.flatnonzero(counts)
    if not len(filled):
        return
    wanted = wanted_cells(cells, lr.shape[1], plan)
    share = max(WORTH_SHARING / CELL**2, counts.sum() / (2 * threads if threads > 1 else 1))
    begin, held = int(filled[0]), 0
    # Two empty rows (XLSR) cost more than a halo.
    apart = -(-2 * plan.shape.reach // CELL)
    end = len(counts) + 2 * apart
    for row, after in zip(filled.tolist(), [*filled[1:].tolist(), end], strict=True):
        held += int(counts[row])
        # A band ends when it has its share, or before rows that cost more than its halo.
        if held >= share or after > row + apart:
            y = (first + begin) * CELL
            bottom = min((first + row + 1) * CELL, lr.shape[0])
            yield Tile(lr, hr, Region(0, y, lr.shape[1], bottom - y)), wanted
            begin, held = after, 0


def _columns(region: Region) -> Iterator[Region]:
    """Cut so wide a region that its rows would not stay in the cache."""
    count = -(-region.width // layout.COLUMNS)
    for i in range(count):
        left, right = region.width * i // count, region.width * (i + 1) // count
        yield Region(region.x + left, region.y, right - left, region.height)


def _drain(work: "deque[Piece]", runner: Runner) -> None:
    while True:
        try:
            tile, wanted = work.popleft()
        except IndexError:
            return
        runner.compute(tile, wanted)
