"""One picture of a film before and after, for who chooses in the desk's page. Runs in a process of
its own, since files may be anything."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from streamsr.errors import SourceError
from streamsr.frame import Frame, StreamInfo
from streamsr.jobs.options import FileOptions
from streamsr.jobs.upscaler import Upscalers
from streamsr.picture.files import is_picture, read_image
from streamsr.picture.upright import upright, upright_info
from streamsr.preview.web.jpeg import encoded
from streamsr.sources.file import FileSource
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler


def look(path: Path, at_s: float, options: FileOptions, out: BinaryIO) -> None:
    """Write a line of JSON about the film, and then its picture at ``at_s`` before and after as
    `streamsr.preview.web.jpeg.encoded` has them. Raises StreamsrError."""
    upscalers = Upscalers(options, Recorder())
    try:
        frame, info, duration_s = _frame(path, at_s)
        upscaler = upscalers.fitting(info, path)
        (larger,) = upscaler.frames([frame])
        shown = upright(replace(larger, lr=frame.rgb), info.display_matrix)
        about = _about(info, upscaler, duration_s)
        out.write(json.dumps(about).encode() + b"\n" + encoded(shown))
    finally:
        upscalers.close()


def _frame(path: Path, at_s: float) -> tuple[Frame, StreamInfo, float]:
    """The picture, what is known of its film, and the film's length in seconds, 0 where it is not
    known or there is one picture only."""
    if is_picture(path):
        picture = read_image(path)
        height, width = picture.rgb.shape[:2]
        info = StreamInfo(width, height, Fraction(1), coded=picture.coded)
        return Frame(picture.rgb, 0, Fraction(1)), info, 0.0
    with FileSource(path) as film:
        info = film.info
    duration_s = float(info.frames / info.rate) if info.frames and info.rate else 0.0
    if duration_s:
        at_s = min(at_s, max(duration_s - 1 / float(info.rate or 1), 0.0))
    with FileSource(path, start_s=at_s) as film:
        for frame in film:
            return frame, info, duration_s
    raise SourceError(f"{path}: has no picture there")


def _about(info: StreamInfo, upscaler: Upscaler, duration_s: float) -> dict[str, object]:
    width, height = upscaler.output_size(info.width, info.height)
    shown = upright_info(replace(info, width=width, height=height))
    reasons = filter(None, (upscaler.model_reason, upscaler.quality_reason))
    return {
        "duration_s": round(duration_s, 3),
        "from": [info.width, info.height],
        "to": [width, height],
        "shape": round(float(shown.width * shown.sar / shown.height), 4),
        "how": "; ".join((f"{upscaler.model.name} on {upscaler.engine.name}", *reasons)),
    }
