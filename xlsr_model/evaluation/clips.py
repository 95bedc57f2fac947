"""Ground truth for video, and how people's copies of it were shrunk.

A picture is its decoded planes, as a viewer's screen gets them: rows of Y, U and V, 4:2:0, uint8
[H * 3 / 2, W], limited range. What is never converted to RGB cannot change its colour on the way.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from xlsr_model.data.codec import TO_YUV
from xlsr_model.data.images import Image
from xlsr_model.data.imresize import imresize

SUFFIXES = (".avi", ".m2ts", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm", ".y4m")
YUV = av.VideoFormat("yuv420p")
SKIPPED = 24  # the start of a long clip is often a still or a fade
# BT.709 with limited range (ITU-R BT.709-6, 3.2 and 3.4), of RGB in 0..255: luma from 16 to 235.
_KR, _KB = 0.2126, 0.0722
_LUMA = np.array([_KR, 1 - _KR - _KB, _KB])
TO_YUV_709 = (
    np.array(
        [
            219 * _LUMA,
            112 * (np.array([0, 0, 1]) - _LUMA) / (1 - _KB),
            112 * (np.array([1, 0, 0]) - _LUMA) / (1 - _KR),
        ]
    )
    / 255
)
BT709, BT601 = (1,), (5, 6)  # how frames are tagged with them (ITU-T H.273, table 4)
# accurate_rnd: without it swscale darkens what it resizes by half a level of 255.
EXACT = "accurate_rnd+bitexact+full_chroma_int"
KERNELS = {
    "area": f"flags=area+{EXACT}",
    "bicubic": f"flags=bicubic+{EXACT}",
    "matlab": None,
    "lanczos": f"flags=lanczos+{EXACT}",
    "mitchell": f"flags=bicubic+{EXACT}:param0={1 / 3}:param1={1 / 3}",
    "bilinear": f"flags=bilinear+{EXACT}",
    "gaussian": f"flags=gauss+{EXACT}",
}
"""How low-resolution copies are made: options of FFmpeg's scale; matlab is imresize's bicubic."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of a video.

    `frames` is uint8 [N, H * 3 / 2, W]; `matrix` [3, 3] takes RGB to YUV.
    """

    name: str
    frames: NDArray[np.uint8]
    matrix: NDArray[np.float64]

    @property
    def size(self) -> tuple[int, int]:
        return self.frames.shape[2], self.frames.shape[1] * 2 // 3

    @property
    def digest(self) -> str:
        head = f"{self.frames.shape} {self.matrix.tolist()}".encode()
        return hashlib.sha256(head + self.frames.tobytes()).hexdigest()


def find_clips(places: Sequence[Path]) -> list[Path]:
    """List files, and the videos in folders by their names.

    Raises ValueError where there is none, or where two have one name.
    """
    files: list[Path] = []
    for place in places:
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        files += [file for file in inside if not place.is_dir() or file.suffix in SUFFIXES]
    if not files:
        raise ValueError(f"no clips in {', '.join(map(str, places))}")
    names = [file.stem for file in files]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"two clips are called {twice}")
    return files


def read_clip(file: Path, scale: int, frames: int) -> Clip:
    """Read the last `frames` of a clip's first SKIPPED + `frames`.

    The size is cut to a multiple of twice the scale. Untagged pictures have the matrix that players
    take: BT.709 from 720 lines up. Raises ValueError if the clip is too short or too small.
    """
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        graph = Graph()
        graph.link_nodes(
            graph.add_buffer(template=stream),
            graph.add("scale", f"out_range=tv:flags=bicubic+{EXACT}"),
            graph.add("format", "yuv420p"),
            graph.add("buffersink"),
        ).configure()
        decoded = list(islice(container.decode(stream), SKIPPED + frames))[-frames:]
    if len(decoded) < frames:
        raise ValueError(f"{file}: expected {frames} frames, got {len(decoded)}")
    first = decoded[0]
    untagged = BT601 if first.height < 720 else BT709
    is_709 = (first.colorspace if first.colorspace in BT601 + BT709 else untagged[0]) in BT709
    width, height = (size // (2 * scale) * 2 * scale for size in (first.width, first.height))
    if min(width, height) < 16 * scale:
        raise ValueError(f"{file}: {first.width}x{first.height} is too small to shrink by {scale}")
    pictures = []
    for frame in decoded:
        graph.push(frame)
        rows = np.asarray(graph.pull().to_ndarray(), np.uint8)
        pictures.append(_cut(rows, width, height))
    return Clip(file.stem, np.stack(pictures), TO_YUV_709 if is_709 else TO_YUV)


def planes(rows: Image) -> tuple[Image, Image, Image]:
    """Return Y [H, W], U and V [H / 2, W / 2] of rows [..., H * 3 / 2, W]; leading axes stay."""
    height, width = rows.shape[-2] * 2 // 3, rows.shape[-1]
    halves = rows[..., height:, :].reshape(*rows.shape[:-2], 2, height // 2, width // 2)
    return rows[..., :height, :], halves[..., 0, :, :], halves[..., 1, :, :]


def from_planes(y: Image, u: Image, v: Image) -> Image:
    """Join the planes of one picture to rows."""
    return np.concatenate([plane.ravel() for plane in (y, u, v)]).reshape(-1, y.shape[1])


def _cut(rows: Image, width: int, height: int) -> Image:
    y, u, v = planes(rows)
    halves = (plane[: height // 2, : width // 2] for plane in (u, v))
    return from_planes(y[:height, :width], *halves)


def shrink(frames: Sequence[Image], scale: int, kernel: str) -> list[Image]:
    """Shrink rows by a whole factor with one of KERNELS, plane by plane."""
    options = KERNELS[kernel]
    if options is None:
        factor = Fraction(1, scale)
        return [
            from_planes(*(imresize(plane[..., None], factor)[..., 0] for plane in planes(rows)))
            for rows in frames
        ]
    height, width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
    return rescale(frames, (width // scale, height // scale), options)


def rescale(frames: Sequence[Image], size: tuple[int, int], options: str) -> list[Image]:
    """Resize rows to (width, height) with FFmpeg's scale under these options."""
    graph = Graph()
    height, width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=YUV, time_base=Fraction(1, 25)),
        graph.add("scale", f"{size[0]}:{size[1]}:{options}"),
        graph.add("buffersink"),
    ).configure()
    resized = []
    for number, rows in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rows), format="yuv420p")
        frame.pts = number
        graph.push(frame)
        resized.append(np.asarray(graph.pull().to_ndarray(), np.uint8))
    return resized
