"""Compares an engine with LiteRT before it is trusted with a picture: one test for every engine but
LiteRT on the CPU.

An engine makes it in its constructor, so that there is no way around it. Compared are flat white,
yellow and black (which saturate where arithmetic is too narrow), noise (which drives every sum far)
and a picture as cameras see them, in odd sizes with every tail; regions cut out of a frame;
scattered cells, where the engine takes them; and as many different pictures at once as the engine
takes in a batch.
"""

import functools
import hashlib
import zlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple, Protocol

import numpy as np

from streamsr.engines import Engine, Tile
from streamsr.engines.difference import (
    NONE,
    Bound,
    Difference,
    WrongResults,
    bound_of,
    difference_of,
)
from streamsr.engines.litert import LiteRTEngine
from streamsr.frame import Image
from streamsr.model import ModelFile
from streamsr.native import cache
from streamsr.region import CELL, Cells, Region

UNTOUCHED = 165
"""Level of pixels that nobody has written, which no test picture has: what is not computed is
seen."""

SMALL, WIDE = (83, 19), (133, 29)
"""Sizes of the pictures: full turns of the widest kernels (48 pixels, or by blocks 128), and tails
of every length."""

CUTS = (Region(33, 7, 31, 15), Region(102, 13, 31, 16), Region(0, 0, 37, 11))
"""Parts of the wide picture: inside it, and in two of its corners."""


class Tested(Protocol):
    """The part of `streamsr.engines.Engine` that the test needs, and what the engine promises."""

    @property
    def scale(self) -> int: ...

    @property
    def sparse(self) -> bool: ...

    @property
    def batch(self) -> int: ...

    @property
    def bound(self) -> Bound: ...

    def run(self, tiles: Sequence[Tile]) -> None: ...


class _Task(NamedTuple):
    """One call of the engine.

    what      it tests, for messages
    pictures  numbers of those in one batch
    region    of each; None for the whole
    cells     of each; None for all
    """

    what: str
    pictures: tuple[int, ...]
    region: Region | None = None
    cells: Cells | None = None


def check(engine: Tested, model: ModelFile, expected: Sequence[Image] | None = None) -> Difference:
    """Measure how far the engine's pictures are from LiteRT's, which may have been ``expected``
    before.

    LiteRT takes 0.2 s to start, so its pictures are cached for each model and LiteRT version; the
    engine runs every time. Raises WrongResults, with the difference and what is allowed, where it
    is beyond the engine's bound.
    """
    expected = expected_results(model, engine.scale) if expected is None else expected
    lrs = pictures()
    total = NONE
    whole = np.empty(0, np.uint8)
    for task in _tasks(engine):
        tiles = []
        for number in task.pictures:
            lr = lrs[number]
            hr = np.full(expected[number].shape, UNTOUCHED, np.uint8)
            tiles.append(
                Tile(lr, hr, task.region or Region.of(lr.shape[1], lr.shape[0]), task.cells)
            )
        engine.run(tiles)
        for number, tile in zip(task.pictures, tiles, strict=True):
            difference = _difference(tile, expected[number], engine.scale)
            if not engine.bound.allows(difference):
                raise WrongResults(
                    f"computes otherwise than LiteRT: {task.what}: {difference}; allowed "
                    f"{engine.bound}"
                )
            total = total.worst(difference)
            if task.region is None and number == len(lrs) - 1 and task.cells is None:
                whole = tile.hr
            if task.region is not None:
                inner = task.region.scaled(engine.scale).slices
                seam = difference_of(
                    np.ascontiguousarray(tile.hr[inner]), np.ascontiguousarray(whole[inner])
                )
                if seam.different:
                    raise WrongResults(
                        f"computes otherwise than it does the whole: {task.what}: {seam}; allowed "
                        f"none"
                    )
    return total


class Judge:
    """Compares whole pictures of a built-in engine with LiteRT's while a run lasts."""

    def __init__(self, engine: Engine, model: ModelFile) -> None:
        self._name = engine.name
        self._bound = bound_of(engine)
        self._litert = LiteRTEngine(model, threads=engine.threads)

    def check(self, lr: Image, hr: Image) -> Difference:
        """Measure how far ``hr`` is from LiteRT's picture of ``lr``. Raises WrongResults beyond the
        engine's bound."""
        expected = np.empty_like(hr)
        self._litert.run([Tile(lr, expected, Region.of(lr.shape[1], lr.shape[0]))])
        difference = difference_of(hr, expected)
        if not self._bound.allows(difference):
            raise WrongResults(
                f"{self._name} gave other pixels than LiteRT: {difference}; allowed {self._bound}; "
                f"please report this"
            )
        return difference

    def close(self) -> None:
        self._litert.close()


def _difference(tile: Tile, expected: Image, scale: int) -> Difference:
    """The difference in what was asked for. All else must be untouched or, where cells were asked
    for, right too; otherwise the difference is as large as can be."""
    inner = tile.region.scaled(scale).slices
    found = tile.hr[inner]
    wanted = expected[inner]
    if tile.cells is None:
        outside = tile.hr.copy()
        outside[inner] = UNTOUCHED
        stray = int(np.count_nonzero(outside != UNTOUCHED))
    else:
        asked = tile.cells.repeat(CELL * scale, 0).repeat(CELL * scale, 1)[
            : found.shape[0], : found.shape[1], None
        ]
        stray = int(np.count_nonzero(~asked & (found != UNTOUCHED) & (found != wanted)))
        found = np.where(asked, found, wanted)
    if stray:
        return Difference(255, 0.0, stray, tile.hr.size)
    return difference_of(np.ascontiguousarray(found), np.ascontiguousarray(wanted))


def _tasks(engine: Tested) -> list[_Task]:
    """The calls of the test; the last whole picture comes before its parts."""
    wide = small = len(NAMES) - 1
    tasks = [_Task(name, (number,)) for number, name in enumerate(NAMES)]
    tasks += [_Task(f"a part of {NAMES[wide]}", (wide,), region) for region in CUTS]
    if engine.sparse:
        cells = np.zeros((-(-WIDE[1] // CELL), -(-WIDE[0] // CELL)), np.bool_)
        cells[::2, ::3] = cells[-1, -1] = True
        tasks.append(_Task("scattered cells", (wide,), None, cells))
    # Twice, in other orders, and never with a period that divides the batch: what a device leaves
    # from the last time, or copies from another place, is then wrong.
    count = max(engine.batch, small)
    for turn in range(2):
        order = tuple((i + i // small + turn) % small for i in range(count))
        tasks.append(_Task(f"{count} pictures at once", order))
    return tasks


NAMES = ("white", "yellow", "black", "noise", "a small natural picture", "a natural picture")


@functools.cache
def pictures() -> tuple[Image, ...]:
    """The pictures of NAMES, [H, W, 3] uint8, all SMALL but the last, which is WIDE."""
    width, height = SMALL
    white, yellow, black = (
        np.full((height, width, 3), color, np.uint8) for color in (255, (255, 255, 0), 0)
    )
    noise = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    return white, yellow, black, noise, natural(*SMALL), natural(*WIDE)


def natural(width: int, height: int) -> Image:
    """Draw slopes, edges, a disc and a little texture, as a camera sees them: [H, W, 3] uint8, in
    whole numbers only, so the same on every machine."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([2 * x + y, 230 - 4 * y, 60 + (x * y) % 97], 2)
    picture[x + 2 * y > 95] = (20, 40, 70)
    picture[(x - 40) ** 2 + (y - 9) ** 2 < 60] = (250, 240, 10)
    texture = (x * x * 7 + x * y * 3 + y * y * 11) % 13 - 6
    result: Image = (picture + texture[..., None]).clip(0, 255).astype(np.uint8)
    return result


def expected_results(model: ModelFile, scale: int) -> list[Image]:
    """Give LiteRT's results of `pictures`, from the cache where it has them."""
    lrs = pictures()
    key = hashlib.sha256(b"".join(lr.tobytes() for lr in lrs)).hexdigest()
    name = f"conformity-{version('ai-edge-litert')}-{key[:12]}-{model.sha256[:32]}"
    shapes = [(lr.shape[0] * scale, lr.shape[1] * scale, 3) for lr in lrs]
    sizes = [height * width * 3 for height, width, _ in shapes]
    kept = cache.load(name)
    content = b"" if kept is None else zlib.decompress(kept)
    if len(content) != sum(sizes):
        results = []
        with LiteRTEngine(model, threads=1) as reference:
            for lr, shape in zip(lrs, shapes, strict=True):
                hr = np.zeros(shape, np.uint8)
                reference.run([Tile(lr, hr, Region.of(lr.shape[1], lr.shape[0]))])
                results.append(hr)
        cache.store(name, zlib.compress(b"".join(hr.tobytes() for hr in results), 1))
        return results
    flat = np.frombuffer(content, np.uint8)
    return [
        part.reshape(shape)
        for part, shape in zip(np.split(flat, np.cumsum(sizes)[:-1]), shapes, strict=True)
    ]
