"""Options of each kind of job, under the names that the command line and pipeline files use.

Imports the standard library and `streamsr.options` only, so that the command line can use them
before it loads anything heavy.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from streamsr.errors import quoted
from streamsr.options import (
    BUDGET_S,
    INTERLACED,
    MAX_SIDE,
    SEGMENT_S,
    DecodeOptions,
    Encoding,
    EngineChoice,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleOptions:
    """Options shared by all upscaling commands; see ``streamsr upscale --help``.

    quality      rung of the family, of `streamsr.options.QUALITIES`
    to           ``1080p`` (lines of a landscape, columns of a portrait picture) or ``WxH``
    consistency  correct the network's picture by the source's; None where the model is made for it
    sharpen, strength  0 to 1, see `streamsr.options.Look`
    """

    scale: int | None = None
    to: str | None = None
    model: str = "auto"
    quality: str = "auto"
    choice: EngineChoice = field(default_factory=EngineChoice)
    consistency: bool | None = None
    sharpen: float = 0.0
    strength: float = 1.0
    reuse: bool = True
    verify_reuse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions(UpscaleOptions):
    """Options of ``streamsr upscale``.

    at_least     frames a second that the whole job is to make, where ``quality`` is ``auto``; None
                 for the film's own rate where that can be
    start_s, duration_s  the span of the film, in seconds
    keep_partial  an input that breaks off leaves the output as far as it came; the error is raised
                  all the same
    """

    encoding: Encoding = field(default_factory=Encoding)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    at_least: float | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    overwrite: bool = False
    audit: bool = False
    strict: bool = False
    dry_run: bool = False
    resume: bool = False
    segment_s: float = SEGMENT_S
    keep_partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions(UpscaleOptions):
    """Options of ``streamsr live``.

    source      a camera (``0``, ``/dev/video0``), an address, a file, ``test:``, ``browser:`` or
                ``-`` (y4m)
    realtime    a file comes at its own rate, as if it were live; otherwise as fast as it is shown,
                all of it in full
    size, rate  wishes to a camera
    microphone  the device that a camera's sound comes from
    sound       keep the source's sound in recordings and published streams
    interlaced  what to do with interlaced frames, see `streamsr.options.INTERLACED`
    recording   file to record into
    """

    source: str
    realtime: bool = False
    size: tuple[int, int] | None = None
    rate: float | None = None
    microphone: str | None = None
    sound: bool = True
    interlaced: str = INTERLACED[0]
    budget_s: float = BUDGET_S
    duration_s: float | None = None
    preview: str = "none"
    port: int = 8000
    host: str = "127.0.0.1"
    recording: Path | None = None
    publish: str | None = None
    overwrite: bool = False


def target_size(
    to: str, width: int, height: int, *, sar: Fraction = Fraction(1), turned: bool = False
) -> tuple[int, int]:
    """(width, height) of the pictures that ``--to`` means for pictures of this size. Raises
    ValueError for anything else.

    The picture keeps its shape, in pixels of the same shape: it fits into ``1920x1080`` as it is
    shown; of ``1080p`` its shorter side has so many lines. The side that this decides is exact, the
    other is the nearest even number.

    sar     width by height of a pixel
    turned  players turn the picture by a quarter, so that its width is shown as its height
    """
    shown = [width * sar, Fraction(height)]
    if turned:
        shown.reverse()
    wanted: set[int]
    if match := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", to):
        box = int(match[1]), int(match[2])
        if min(box) < 1:
            raise ValueError(f"expected a size of at least 1x1, got {quoted(to)}")
        if max(box) > MAX_SIDE:
            raise ValueError(f"expected sides of at most {MAX_SIDE}, got {quoted(to)}")
        factor = min(side / length for side, length in zip(box, shown, strict=True))
        wanted = set(box)
    elif match := re.fullmatch(r"([0-9]{3,4})p", to):
        factor = int(match[1]) / min(shown)
        wanted = {int(match[1])}
    else:
        raise ValueError(f"expected a size such as 1080p or 1920x1080, got {quoted(to)}")

    def rounded(side: int) -> int:
        exact = side * factor
        return int(exact) if exact in wanted else max(2 * int(exact / 2 + Fraction(1, 2)), 2)

    return rounded(width), rounded(height)


def is_turned(matrix: tuple[int, ...] | None) -> bool:
    """Whether a display matrix (`StreamInfo`) turns the picture by a quarter."""
    return matrix is not None and abs(matrix[1]) > abs(matrix[0])
