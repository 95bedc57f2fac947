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
    MAX_SIDE,
    SEGMENT_S,
    DecodeOptions,
    Encoding,
    EngineChoice,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleOptions:
    """Options shared by all upscaling commands; see ``streamsr upscale --help``.

    to  ``1080p`` (lines of a landscape, columns of a portrait picture) or ``WxH``
    """

    scale: int | None = None
    to: str | None = None
    model: str = "auto"
    choice: EngineChoice = field(default_factory=EngineChoice)
    reuse: bool = True
    verify_reuse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions(UpscaleOptions):
    """Options of ``streamsr upscale``.

    start_s, duration_s  the span of the film, in seconds
    keep_partial  an input that breaks off leaves the output as far as it came; the error is raised
                  all the same
    """

    encoding: Encoding = field(default_factory=Encoding)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
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
    recording   file to record into
    """

    source: str
    realtime: bool = False
    size: tuple[int, int] | None = None
    rate: float | None = None
    budget_s: float = BUDGET_S
    duration_s: float | None = None
    preview: str = "none"
    port: int = 8000
    host: str = "127.0.0.1"
    recording: Path | None = None
    publish: str | None = None
    overwrite: bool = False


def target_size(to: str, width: int, height: int) -> tuple[int, int]:
    """(width, height) that ``--to`` means for a picture of this size. Raises ValueError for
    anything else.

    ``1080p`` keeps the picture's shape: its shorter side becomes 1080, the other the nearest even
    number.
    """
    if match := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", to):
        size = int(match[1]), int(match[2])
        if min(size) < 1:
            raise ValueError(f"expected a size of at least 1x1, got {quoted(to)}")
        if max(size) > MAX_SIDE:
            raise ValueError(f"expected sides of at most {MAX_SIDE}, got {quoted(to)}")
        return size
    match = re.fullmatch(r"([0-9]{3,4})p", to)
    if match is None:
        raise ValueError(f"expected a size such as 1080p or 1920x1080, got {quoted(to)}")
    short = int(match[1])
    factor = Fraction(short, min(width, height))

    def even(side: int) -> int:
        return max(2 * round(side * factor / 2), 2)

    return (even(width), short) if height <= width else (short, even(height))
