"""Degrades pictures as video is: blur, noise, then a lossy codec with 4:2:0 chroma.

A clip of a few frames is encoded in which the picture drifts into place, so that the last frame is
predicted from others as most frames of a film are. Only the low-resolution twin is degraded; the
target stays clean.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from xlsr_model.data.images import Y_FROM_RGB, Image, Pair

# Quality factors span "hardly visible" to "a poor stream"; the scales of the three encoders are not
# the same.
CODECS: dict[str, tuple[str, int, int, dict[str, str]]] = {
    "libx264": ("h264", 12, 33, {"preset": "veryfast", "threads": "1"}),
    "libx265": (
        "hevc",
        14,
        34,
        {"preset": "veryfast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    ),
    "libsvtav1": ("libdav1d", 18, 52, {"preset": "10", "svtav1-params": "lp=1"}),
}
SHARES = (0.6, 0.3, 0.1)
FRAMES = 4
os.environ.setdefault("SVT_LOG", "1")  # errors alone: it prints 30 lines for every clip otherwise
# BT.601 with limited range (ITU-R BT.601-7, 2.5.1), of RGB in 0..255.
TO_YUV = np.array([Y_FROM_RGB * 255, [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
ZEROS = np.array([16.0, 128.0, 128.0])
BLUR, NOISE = 0.6, 2.5  # largest standard deviations: in low-resolution pixels, in grey levels


@dataclass(frozen=True)
class Degradation:
    """What happens to one picture.

    `crf` is the encoder's own quality factor; `drift` (dx, dy) pixels a frame.
    """

    codec: str
    crf: int
    blur: float
    noise: float
    drift: tuple[int, int]


def random_degradation(rng: np.random.Generator) -> Degradation:
    codec = str(rng.choice(list(CODECS), p=SHARES))
    _, best, worst, _ = CODECS[codec]
    return Degradation(
        codec,
        int(rng.integers(best, worst + 1)),
        float(rng.uniform(0, BLUR)) if rng.random() < 0.5 else 0.0,
        float(rng.uniform(0, NOISE)) if rng.random() < 0.5 else 0.0,
        (int(rng.integers(-3, 4)), int(rng.integers(-3, 4))),
    )


def degrade(lr: Image, degradation: Degradation, rng: np.random.Generator) -> Image:
    """Return the decoded last frame of the clip: RGB uint8 [H, W, 3], as large as `lr`.

    `rng` makes the noise.
    """
    if degradation.blur:
        lr = np.asarray(cv2.GaussianBlur(lr, (0, 0), degradation.blur), np.uint8)
    dx, dy = degradation.drift
    clip = []
    for n in range(FRAMES):
        behind = FRAMES - 1 - n
        frame = np.roll(lr, (dy * behind, dx * behind), axis=(0, 1)).astype(np.float32)
        if degradation.noise:
            frame += rng.normal(0, degradation.noise, frame.shape).astype(np.float32)
        clip.append(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
    return through_codec(clip, degradation.codec, degradation.crf)[-1]


def through_codec(frames: Sequence[Image], codec: str, crf: int) -> list[Image]:
    """Encode frames of one size as 4:2:0, and return them decoded."""
    height, width = frames[0].shape[:2]
    decoder_name, _, _, options = CODECS[codec]
    # Any: PyAV types create() as the base class, which has neither encode nor decode.
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width = width + width % 2  # 4:2:0 needs even sizes
    encoder.height = height + height % 2
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.framerate = Fraction(25)
    encoder.options = {**options, "crf": str(crf)}
    decoder: Any = av.CodecContext.create(decoder_name, "r")
    packets = []
    for number, image in enumerate(frames):
        padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        frame = av.VideoFrame.from_ndarray(to_yuv(padded), format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in packets for frame in decoder.decode(packet)]
    decoded += decoder.decode(None)
    return [to_rgb(frame.to_ndarray())[:height, :width] for frame in decoded]


def to_yuv(rgb: Image) -> Image:
    """Convert RGB uint8 [H, W, 3], of even sizes, to rows of Y, U and V planes, 4:2:0.

    They are uint8 [H * 3 / 2, W]. Rounded once, because FFmpeg's own conversion loses about one
    level of 255, and a network learns to add it.
    """
    y, u, v = np.moveaxis(rgb @ TO_YUV.T + ZEROS, -1, 0)
    halves = []
    for plane in (u, v):
        padded = np.pad(
            plane, ((0, 0), (1, 0)), "edge"
        )  # MPEG's chroma lies on the even columns, between the rows
        columns = (padded[:, :-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]) / 4
        halves.append((columns[::2] + columns[1::2]) / 2)
    rows = np.concatenate([plane.ravel() for plane in (y, *halves)]).reshape(-1, rgb.shape[1])
    return np.clip(np.rint(rows), 0, 255).astype(np.uint8)


def to_rgb(rows: Image) -> Image:
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
    rgb = (yuv - ZEROS) @ np.linalg.inv(TO_YUV).T
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def video_pairs(pairs: Sequence[Pair], count: int, *, seed: int) -> list[Pair]:
    """Return `count` differently degraded versions of each pair; 0 gives the pairs as they are.

    The clean targets are shared, not copied.
    """
    if not count:
        return list(pairs)
    degraded = []
    for number, pair in enumerate(pairs):
        for version in range(count):
            rng = np.random.default_rng((seed, number, version))
            lr = degrade(pair.lr, random_degradation(rng), rng)
            degraded.append(Pair(f"{pair.name}#{version}", lr, pair.hr))
    return degraded
