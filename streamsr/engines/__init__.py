"""The contract of engines: they run the network on any region of any picture, with the same result
however the picture is cut."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import numpy as np

from streamsr.frame import Image
from streamsr.region import CELL, Cells, Region

__all__ = ["Cells", "Engine", "Image", "Tile", "check_tiles"]


class Tile(NamedTuple):
    """A unit of work: compute ``region`` of the picture ``lr`` into the same part of ``hr``.

    lr      [H, W, 3] uint8, C-contiguous, only read
    hr      [s*H, s*W, 3] uint8, C-contiguous. The engine writes exactly the pixels of
            ``region.scaled(s)``, with the values that a pass over the whole of ``lr`` would give
    region  of ``lr``, not empty
    cells   of the whole picture, for engines that are ``sparse``: they need only write the true
            cells of the region. Whatever else they write there has its right value too
    """

    lr: Image
    hr: Image
    region: Region
    cells: Cells | None = None


class Engine(Protocol):
    """An implementation of the network for one model file.

    ``run`` is called by one thread at a time, any one, and uses ``threads`` cores itself. Leaving
    the ``with`` block, also by an error, closes the engine and ends its threads. Closing twice is
    harmless.
    """

    @property
    def name(self) -> str:
        """Short name for logs and stats, such as ``litert`` or ``fused``."""

    @property
    def scale(self) -> int: ...

    @property
    def halo(self) -> int:
        """Receptive radius in LR pixels: how far around a changed pixel the output changes."""

    @property
    def region_cost(self) -> int:
        """What a tile costs beside its own area, in LR pixels."""

    @property
    def sparse(self) -> bool:
        """Whether tiles may have ``cells``: a tile then costs little more than they do."""

    @property
    def threads(self) -> int: ...

    @property
    def batch(self) -> int:
        """How many frames in one call the device computes fastest; 1 where batches gain nothing, as
        on a CPU."""

    def run(self, tiles: Sequence[Tile]) -> None:
        """Compute all tiles. They may belong to different frames and must not overlap in ``hr``.

        Raises ValueError for arrays, regions or cells that do not fit each other, after which it
        may be called again; ModelError when the device fails or the engine is closed.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def check_tiles(tiles: Sequence[Tile], scale: int) -> None:
    """Raise ValueError unless every tile keeps the contract above. Every engine calls this
    first."""
    for lr, hr, region, cells in tiles:
        if lr.dtype != np.uint8 or lr.ndim != 3 or lr.shape[2] != 3 or not lr.flags.c_contiguous:
            raise ValueError(f"expected contiguous [H, W, 3] uint8, got {lr.shape} {lr.dtype}")
        height, width = lr.shape[:2]
        if hr.dtype != np.uint8 or hr.shape != (height * scale, width * scale, 3):
            raise ValueError(
                f"expected output [{height * scale}, {width * scale}, 3] uint8, got {hr.shape} "
                f"{hr.dtype}"
            )
        if not hr.flags.c_contiguous or not hr.flags.writeable:
            raise ValueError("expected a contiguous, writable output")
        if not region.within(width, height):
            raise ValueError(f"expected a region inside {width}x{height}, got {region}")
        if cells is not None and (
            cells.dtype != np.bool_ or cells.shape != (-(-height // CELL), -(-width // CELL))
        ):
            raise ValueError(
                f"expected a flag for each cell of {width}x{height}, got {cells.shape} "
                f"{cells.dtype}"
            )
