"""The child process of a trial: runs the model that it reads from standard input on pictures, whole
and in parts."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from streamsr.engines import Engine, Tile
from streamsr.engines.litert import LiteRTEngine
from streamsr.engines.trial import DAMAGED, MEMORY_BYTES
from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.region import Region
from xlsr_model import system

SIDE = 160
"""Width and height of the pictures that are cut, in pixels: several times what a network for real
time sees."""


def main() -> None:
    system.limit_memory(MEMORY_BYTES)
    system.crash_quietly()
    model = ModelFile("probed", Path("model"), sys.stdin.buffer.read())
    try:
        with LiteRTEngine(model, threads=1, trusted=True) as engine:
            check_parts(engine)
    except ModelError as error:
        print(str(error).removeprefix("model: "), flush=True)
        sys.exit(DAMAGED)


def check_parts(engine: Engine) -> None:
    """Raise ModelError unless a picture has the same bytes computed in rows, in columns, in blocks
    and as a whole."""
    for seed in range(2):
        lr = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        if seed:  # flat parts too, whose borders differ otherwise than noise
            lr[40:120, 40:120] = 255
        hr = np.zeros((SIDE * engine.scale, SIDE * engine.scale, 3), np.uint8)
        engine.run([Tile(lr, hr, Region.of(SIDE, SIDE))])
        for kind, cuts in PARTS.items():
            parts = np.zeros_like(hr)
            engine.run([Tile(lr, parts, part) for part in cuts])
            wrong = int(np.count_nonzero(hr != parts))
            if wrong:
                raise ModelError(
                    f"cannot be computed in parts: {wrong} of {hr.size} bytes differ in {kind}, so "
                    f"it sees further than its graph tells ({engine.halo} pixels)"
                )


def _lines(at: Sequence[int]) -> Iterator[tuple[int, int]]:
    yield from zip((0, *at), (*at, SIDE), strict=True)


# Cut at many places: LiteRT's engine rounds widths up, which would hide a radius that is a little
# too small.
PARTS = {
    "rows": [Region(0, top, SIDE, end - top) for top, end in _lines((53, 110))],
    "columns": [Region(left, 0, end - left, SIDE) for left, end in _lines((22, 49, 73, 104, 131))],
    "blocks": [
        Region(left, top, end - left, bottom - top)
        for top, bottom in _lines((45, 99))
        for left, end in _lines((54, 108))
    ],
}
"""Ways to cut a picture of SIDE by SIDE."""


if __name__ == "__main__":
    main()
