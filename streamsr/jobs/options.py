"""What every command that upscales is asked: which network runs on what, and how large the result
is to be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from streamsr.errors import ModelError, quoted
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

MAX_SIDE = 16384
"""Longest side of an output picture: H.264, HEVC and AV1 end there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleOptions:
    """The options that the commands share; see ``streamsr upscale --help``.

    to  ``1080p`` (lines of a landscape, columns of a portrait picture) or ``WxH``
    """

    scale: int | None = None
    to: str | None = None
    model: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    reuse: bool = True
    verify_reuse: bool = False

    def open(
        self,
        *,
        scale: int | None,
        record: Recorder,
        lossy: bool = False,
        picture: tuple[int, int] | None = None,
    ) -> Upscaler:
        """The upscaler asked for; arguments as in `Upscaler`. Raises ModelError.

        With the (width, height) of ``picture`` its result has the size that ``to`` means for it.
        """
        try:
            size = None if self.to is None or picture is None else target_size(self.to, *picture)
            if size is not None and max(size) > MAX_SIDE:
                raise ValueError(
                    f"--to {self.to}: {size[0]}x{size[1]} has more than {MAX_SIDE} pixels on a side"
                )
            return Upscaler(
                self.model,
                scale=scale,
                lossy=lossy,
                size=size,
                engine=self.engine,
                threads=self.threads,
                delegate=self.delegate,
                delegate_options=self.delegate_options,
                batch=self.batch,
                reuse=self.reuse,
                verify_reuse=self.verify_reuse,
                record=record,
            )
        except (
            ValueError
        ) as error:  # options that do not go together, such as a model and another scale
            raise ModelError(str(error)) from error


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
