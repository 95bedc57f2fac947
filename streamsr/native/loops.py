"""The loops over every pixel, compiled for this machine: YUV to RGB and back, which cells of two
pictures differ, how much detail and change blocks of them have, what is done to the network's
picture.

Compiled in a tenth of a second and cached, where numba would need 0.3 s to be imported and seconds
to compile them.
"""

import ctypes
import functools
import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamsr.errors import first_line
from streamsr.native import reference
from streamsr.native.calls import CALLS
from streamsr.native.first_run import death
from streamsr.native.jit import Library, Machine, key_of
from streamsr.native.modules import module
from streamsr.native.selftest import Loop, differs

log = logging.getLogger("streamsr")

Rows = NDArray[np.uint8] | NDArray[np.uint16]


def to_rgb(planes: Sequence[Rows], rgb: Rows, k: Mapping[str, float]) -> None:
    """Fill ``rgb`` [H, W, 3] from Y [H, >=W], U and V of all or half of its rows and columns.

    Samples are uint8 or uint16; ``k`` has the constants named in `to_rgb_ir.DECODE`. Raises
    ValueError for arrays that do not fit each other.
    """
    y, u, v = planes
    height, width = rgb.shape[:2]
    _check(rgb, y, u, v)
    if u.shape[0] < -(-height // (1 + int(u.shape[0] < height))) or not rgb.flags.writeable:
        raise ValueError(
            f"expected chroma for every row and a writable picture, got {u.shape} for "
            f"{width}x{height}"
        )
    _loop(f"to_rgb_{8 * y.itemsize}_{8 * rgb.itemsize}")(planes, rgb, k)


def from_rgb(rgb: Rows, planes: Sequence[Rows], k: Mapping[str, float]) -> None:
    """Fill Y, U and V from ``rgb`` [H, W, 3]. They may have more rows and columns than it: its last
    are repeated.

    Samples are uint8 or uint16; ``k`` has the constants named in `from_rgb_ir.ENCODE`. Raises
    ValueError for arrays that do not fit each other.
    """
    y, u, v = planes
    (lines, columns), (rows, half) = y.shape, u.shape
    sub_x, sub_y = int(half < columns), int(rows < lines)
    _check(rgb, y, u, v)
    if (rows, half) != (
        -(-lines // (1 + sub_y)),
        -(-columns // (1 + sub_x)),
    ) or not y.flags.writeable:
        raise ValueError(
            f"expected chroma of all or half of luma's {y.shape}, writable, got {u.shape}"
        )
    _loop(f"from_rgb_{8 * rgb.itemsize}_{8 * y.itemsize}")(rgb, planes, k)


def compare(a: NDArray[np.uint8], b: NDArray[np.uint8], cells: NDArray[np.uint8]) -> None:
    """Set the flags of `compare_ir` in ``cells``, [ceil(H / 8), ceil(W / 8)] uint8, where two dense
    pictures [H, W, 3] uint8 differ; flags that are set stay."""
    height, width = a.shape[:2]
    _check_dense(a, b)
    if (
        cells.shape != (-(-height // 8), -(-width // 8))
        or cells.dtype != np.uint8
        or not cells.flags.c_contiguous
    ):
        raise ValueError(
            f"expected a byte for each cell of {width}x{height}, got {cells.shape} {cells.dtype}"
        )
    _loop("compare")(a, b, cells)


def detail(
    before: NDArray[np.uint8], now: NDArray[np.uint8], side: int, sums: NDArray[np.int64]
) -> None:
    """Add up how green varies in each block of ``side`` x ``side`` pixels, of every other line but
    the last and every column but the last.

    before, now  two dense pictures [H, W, 3] uint8
    side         even
    sums         [ceil(H / side), ceil(W / side), 2] int64: steps from each pixel of ``now`` to
                 those on its right and below it; differences from ``before``
    """
    height, width = now.shape[:2]
    _check_dense(before, now)
    if side < 2 or side % 2:
        raise ValueError(f"expected an even side of at least 2, got {side}")
    if (
        sums.shape != (-(-height // side), -(-width // side), 2)
        or sums.dtype != np.int64
        or not sums.flags.c_contiguous
    ):
        raise ValueError(
            f"expected two int64 for each block of {width}x{height}, got {sums.shape} {sums.dtype}"
        )
    _loop("detail")(before, now, side, sums)


def consistent(
    lr: NDArray[np.uint8], raw: NDArray[np.uint8], hr: NDArray[np.uint8], first: int, last: int
) -> None:
    """Correct an enlarged picture until it gives its source when it is made small again.

    What each pixel of ``lr`` has more or less than the mean of its block in ``raw`` is smoothed
    over 3 x 3 pixels (1, 2, 1), enlarged linearly between the pixels' centres, and added. Edges of
    the picture are repeated. All in int16: eighths of a level, and after smoothing 32nds, rounded
    once at each step and to nearest. Where both are flat the result is exactly the source.

    lr           [H, W, 3] uint8
    raw          [s*H, s*W, 3] uint8, s being 2, 3 or 4; read two rows of ``lr`` further
    hr           the same size; written in the part that is rows ``first`` to ``last`` of ``lr``
    """
    height, width = lr.shape[:2]
    _check_dense(raw, hr)
    scale = hr.shape[0] // height if height else 0
    if lr.shape != (height, width, 3) or lr.size == 0 or not lr.flags.c_contiguous:
        raise ValueError(f"expected a dense picture [H, W, 3], got {lr.shape}")
    if scale not in (2, 3, 4) or hr.shape != (scale * height, scale * width, 3):
        raise ValueError(f"expected 2, 3 or 4 times {width}x{height}, got {hr.shape}")
    _check_rows(hr, first, last, height)
    _loop(f"consistent_{scale}")(lr, raw, hr, first, last)


def blend(hr: NDArray[np.uint8], other: NDArray[np.uint8], share: int) -> None:
    """Leave ``share`` parts of 256 of ``hr`` and take the rest of ``other``: dense pictures of one
    size, [H, W, 3] uint8."""
    _check_dense(hr, other)
    if not 0 <= share <= 256:
        raise ValueError(f"expected a share from 0 to 256, got {share}")
    _check_rows(hr, 0, len(hr), len(hr))
    _loop("blend")(hr, other, share)


def sharpen(
    soft: NDArray[np.uint8], share: int, out: NDArray[np.uint8], first: int, last: int
) -> None:
    """Sharpen rows ``first`` to ``last`` of ``soft`` [H, W, 3] uint8 into ``out``, by AMD's
    FidelityFX CAS on luma.

    It sharpens less where contrast is high already. What it adds to luma is added to each colour
    and limited to what the 3 x 3 pixels around have of it, so that edges get no halo. The edge of
    the picture is repeated.

    share  how much, of 256; 0 changes nothing
    """
    _check_dense(soft, out)
    if not 0 <= share <= 256:
        raise ValueError(f"expected a share from 0 to 256, got {share}")
    _check_rows(out, first, last, len(soft))
    _loop("sharpen")(soft, share, out, first, last)


def _check_rows(out: NDArray[np.uint8], first: int, last: int, height: int) -> None:
    """Raise ValueError unless these rows can be written."""
    if not 0 <= first <= last <= height or out.size == 0 or not out.flags.writeable:
        raise ValueError(
            f"expected rows of a writable picture of {height} rows, got {first} to {last} of "
            f"{out.shape}"
        )


def _check_dense(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    """Raise ValueError unless these are two pictures of one size, without gaps in memory."""
    if (
        a.shape != b.shape
        or a.shape[2:] != (3,)
        or not a.dtype == b.dtype == np.uint8
        or not (a.flags.c_contiguous and b.flags.c_contiguous)
    ):
        raise ValueError(f"expected two dense pictures [H, W, 3], got {a.shape} and {b.shape}")


def _check(rgb: Rows, y: Rows, u: Rows, v: Rows) -> None:
    """Raise ValueError unless the arrays are as native code relies on."""
    height, width = rgb.shape[:2]
    if rgb.shape != (height, width, 3) or rgb.strides[1:] != (3 * rgb.itemsize, rgb.itemsize):
        raise ValueError(f"expected a picture [H, W, 3] with dense rows, got {rgb.shape}")
    if min(height, width) < 1 or y.shape[0] < height or y.shape[1] < width or u.size == 0:
        raise ValueError(
            f"expected luma of at least {width}x{height}, got {y.shape} and chroma {u.shape}"
        )
    if u.shape != v.shape or u.strides != v.strides or not y.dtype == u.dtype == v.dtype:
        raise ValueError(f"expected U and V alike, got {u.shape} {u.dtype} and {v.shape} {v.dtype}")
    if any(plane.strides[1] != plane.itemsize for plane in (y, u, v)):
        raise ValueError("expected planes whose samples lie side by side")
    if any(
        array.dtype not in (np.uint8, np.uint16) or array.strides[0] <= 0
        for array in (rgb, y, u, v)
    ):
        raise ValueError("expected uint8 or uint16 samples, rows from top to bottom")


@functools.cache
def _loop(name: str) -> Loop:
    """The compiled loop where it gives the bytes of its twin in `reference`; else the twin, with a
    warning."""
    try:
        compiled = _compiled(name)
        wrong = _death(name) or differs(name, compiled)
    except RuntimeError as error:  # LLVM does not know this system or cannot make code for it
        wrong = first_line(error)
    if wrong is None:
        return compiled
    log.warning(
        "the compiled loop %s is not used, its self-test failed (%s); a slow one serves",
        name,
        wrong,
    )
    twin: Loop = getattr(reference, name.rsplit("_", 2)[0])
    return twin


USUAL = "to_rgb_8_8", "from_rgb_8_8", "compare", "consistent_3"
"""The loops of most films: one child runs all of them for the first time."""

CHILD = """
from streamsr.native.loops import run
for name in sys.argv[2:]:
    run(name)
"""


def run(name: str) -> None:
    """What the child of a first run does."""
    differs(name, _compiled(name))


def _death(name: str) -> str | None:
    """How this loop ends the process that runs it, None where it does not."""
    machine = Machine.host()
    names = USUAL if name in USUAL else (name,)

    def key(name: str) -> str:
        return key_of(module(name), machine, name)

    signal = death(key(name), CHILD, *names, also=lambda: [key(other) for other in names])
    return None if signal is None else f"it dies on this processor, {signal}"


def _compiled(name: str) -> Loop:
    library = Library(module(name), Machine.host(), name=name)
    function = library.function(name, ctypes.c_void_p)

    def call(
        arrays: Sequence[NDArray[np.generic]], sizes: Sequence[int], _library: Library = library
    ) -> None:
        """``arrays`` are kept alive by the caller's frame until this returns, the library by
        this."""
        words = np.array(
            [*(array.__array_interface__["data"][0] for array in arrays), *sizes], np.int64
        )
        function(words.__array_interface__["data"][0])

    return functools.partial(CALLS[name.rsplit("_", 2)[0]], call)
