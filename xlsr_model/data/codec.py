"""Sends pictures through a lossy video codec, as 4:2:0, with conversions that add no error."""

import os
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from xlsr_model import system
from xlsr_model.data.images import Y_FROM_RGB, Image

CODECS: dict[str, tuple[str, int, int, dict[str, str]]] = {
    "libx264": ("h264", 10, 33, {"preset": "veryfast", "threads": "1"}),
    "libx265": (
        "hevc",
        12,
        34,
        {"preset": "veryfast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    ),
    "libsvtav1": ("libdav1d", 18, 52, {"preset": "10", "svtav1-params": "lp=1"}),
    "libvpx-vp9": (
        "libvpx-vp9",
        12,
        50,
        {"b": "0", "deadline": "realtime", "cpu-used": "6", "threads": "1"},
    ),
    "mpeg4": ("mpeg4", 2, 12, {"threads": "1"}),
    "mpeg2video": ("mpeg2video", 2, 14, {"threads": "1"}),
}
"""Encoder to (decoder, quality that is hardly seen, quality of a poor stream, options).

The scales are not the same: the first four take a constant rate factor, the last two a quantiser.
"""

os.environ.setdefault("SVT_LOG", "1")  # errors alone: it prints 30 lines for every clip otherwise
# BT.601 with limited range (ITU-R BT.601-7, 2.5.1), of RGB in 0..255.
TO_YUV = np.array([Y_FROM_RGB * 255, [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
ZEROS = np.array([16.0, 128.0, 128.0])


def through_codec(frames: Sequence[Image], codec: str, quality: int) -> list[Image]:
    """Encode RGB frames of one size as 4:2:0, and return them decoded."""
    height, width = frames[0].shape[:2]
    decoder, _, _, options = CODECS[codec]
    quantiser = {"qmin": str(quality), "qmax": str(quality)}
    asked = quantiser if codec.startswith("mpeg") else {"crf": str(quality)}
    even = ((0, height % 2), (0, width % 2), (0, 0))  # which 4:2:0 needs
    rows = [to_yuv(np.pad(image, even, "edge")) for image in frames]
    return [
        to_rgb(decoded)[:height, :width]
        for decoded in recode(rows, codec, decoder, {**options, **asked})
    ]


def recode(
    frames: Sequence[Image], encoder_name: str, decoder_name: str, options: dict[str, str]
) -> list[Image]:
    """Encode rows of one even size (`to_yuv`) at 25 frames a second, and return them decoded."""
    # Any: PyAV types create() as the base class, which has neither encode nor decode.
    encoder: Any = av.CodecContext.create(encoder_name, "w")
    encoder.width, encoder.height = frames[0].shape[1], frames[0].shape[0] * 2 // 3
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.framerate = Fraction(25)
    encoder.options = options
    decoder: Any = av.CodecContext.create(decoder_name, "r")
    with system.ordinary_threads():
        encoder.open()
    packets = []
    for number, rows in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rows), format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in packets for frame in decoder.decode(packet)]
    decoded += decoder.decode(None)
    return [np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8) for frame in decoded]


def to_yuv(rgb: Image, matrix: NDArray[np.float64] = TO_YUV) -> Image:
    """Convert RGB uint8 [H, W, 3], of even sizes, to rows of Y, U and V planes, 4:2:0.

    They are uint8 [H * 3 / 2, W]. Rounded once, because FFmpeg's own conversion loses about one
    level of 255, and a network learns to add it.
    """
    y, u, v = np.moveaxis(rgb @ matrix.T + ZEROS, -1, 0)
    halves = []
    for plane in (u, v):
        padded = np.pad(
            plane, ((0, 0), (1, 0)), "edge"
        )  # MPEG's chroma lies on the even columns, between the rows
        columns = (padded[:, :-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]) / 4
        halves.append((columns[::2] + columns[1::2]) / 2)
    rows = np.concatenate([plane.ravel() for plane in (y, *halves)]).reshape(-1, rgb.shape[1])
    return np.clip(np.rint(rows), 0, 255).astype(np.uint8)


def to_rgb(rows: Image, matrix: NDArray[np.float64] = TO_YUV) -> Image:
    """Invert `to_yuv`, interpolating chroma linearly: RGB uint8 [H, W, 3]."""
    height, width = rows.shape[0] * 2 // 3, rows.shape[1]
    yuv = np.empty((height, width, 3))
    yuv[..., 0] = rows[:height]
    halves = rows[height:].reshape(2, height // 2, width // 2).astype(float)
    for channel, plane in enumerate(halves, start=1):
        padded = np.pad(plane, ((1, 1), (0, 1)), "edge")
        columns = np.repeat(padded[:, :-1], 2, axis=1)
        columns[:, 1::2] = (padded[:, :-1] + padded[:, 1:]) / 2
        yuv[::2, :, channel] = 0.75 * columns[1:-1] + 0.25 * columns[:-2]
        yuv[1::2, :, channel] = 0.75 * columns[1:-1] + 0.25 * columns[2:]
    rgb = (yuv - ZEROS) @ np.linalg.inv(matrix).T
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
