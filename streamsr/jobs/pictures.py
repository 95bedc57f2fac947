"""Upscaling still pictures, with what their files say beside the pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamsr.frame import Image
from streamsr.picture import embed
from streamsr.picture.decode import of_8_bits
from streamsr.picture.files import Picture, write_image
from streamsr.picture.high_depth import Image16, add_detail, enlarge_16
from streamsr.picture.resize import resized
from streamsr.stats import Event, Fate
from streamsr.upscaler import Upscaler


def upscale_image(
    picture: Picture,
    target: Path,
    upscaler: Upscaler,
    *,
    overwrite: bool,
    unchanged: Callable[[], None] | None = None,
) -> None:
    """Upscale a picture from `read_image` into a file, in 16 bits where it has them and the file
    may; its alpha is resized. Raises SinkError."""
    rgb, alpha = picture.rgb, picture.alpha
    result: Image | Image16 = upscaler(rgb)
    size = result.shape[1], result.shape[0]
    kind = embed.format_of(target) or ""
    if picture.deep is not None and kind in embed.HOLDS_16_BITS:
        result = add_detail(picture.deep, rgb, np.asarray(result, np.uint8))
        alpha = None if alpha is None else enlarge_16(alpha, size)
    elif alpha is not None:
        alpha = resized(of_8_bits(alpha), size)
    write_image(
        target,
        result,
        alpha,
        metadata=picture.metadata.of_enlarged(size),
        gray=picture.is_gray_as(kind),
        was_gray=picture.gray,
        overwrite=overwrite,
        unchanged=unchanged,
    )
    for what in (Event.IN, Event.OUT, Fate.NETWORK):
        upscaler.record.count(what)
    upscaler.record.pixels(total=rgb.shape[0] * rgb.shape[1], reused=0)


def lost(picture: Picture, source: Path, target: Path) -> list[str]:
    """What of a picture from ``source`` cannot be in ``target``, in lines."""
    kind = embed.format_of(target) or ""
    lines = []
    if picture.metadata.left_out:
        lines.append(f"{source}: is read without {', '.join(picture.metadata.left_out)}")
    if missing := picture.unheld_by(kind):
        lines.append(f"{target}: {kind} cannot hold {', '.join(missing)}")
    return lines
