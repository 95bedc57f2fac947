"""Measures models on video: frames are shrunk, encoded, decoded, upscaled and compared."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

from xlsr_model.data.codec import through_codec
from xlsr_model.data.images import Image
from xlsr_model.data.imresize import imresize
from xlsr_model.evaluation.evaluate import Upscaler
from xlsr_model.evaluation.metrics import luma, psnr

FRAMES, SKIPPED = 12, 24  # skipped, because the start of a clip is often a still or a fade


def read_frames(clip: Path, scale: int) -> list[Image]:
    """Read consecutive RGB frames, cut to a multiple of the scale.

    Raises ValueError if the clip has too few.
    """
    with av.open(str(clip)) as container:
        decoded = islice(container.decode(video=0), SKIPPED, SKIPPED + FRAMES)
        frames = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded]
    if len(frames) < FRAMES:
        raise ValueError(f"{clip}: expected {SKIPPED + FRAMES} frames, got fewer")
    height, width = (size // scale * scale for size in frames[0].shape[:2])
    return [frame[:height, :width] for frame in frames]


def compare_on_video(
    clip: Path, upscalers: Sequence[Upscaler], *, codec: str, crf: int
) -> dict[str, float]:
    """Return the mean Y PSNR in dB of each upscaler over the frames, border of one scale cut.

    All must have one scale.
    """
    (scale,) = {upscaler.scale for upscaler in upscalers}
    frames = read_frames(clip, scale)
    decoded = through_codec([imresize(frame, Fraction(1, scale)) for frame in frames], codec, crf)
    cut = slice(scale, -scale)
    return {
        upscaler.name: float(
            np.mean(
                [
                    psnr(luma(upscaler.run(lr))[cut, cut], luma(hr)[cut, cut])
                    for lr, hr in zip(decoded, frames, strict=True)
                ]
            )
        )
        for upscaler in upscalers
    }
