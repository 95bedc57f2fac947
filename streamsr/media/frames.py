"""Converts FFmpeg's frames to RGB pictures and back: planar YUV by our converter, other formats by
FFmpeg's."""

import functools
import re
from fractions import Fraction
from typing import Any

import numpy as np
from av.error import FFmpegError
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from streamsr.color import BT709, FULL, LIMITED, SMPTE170M, ColorTags
from streamsr.frame import Frame
from streamsr.picture.yuv import Converter, Plane

_PLANAR_YUV = re.compile(r"yuva?j?(420|422|444)p(9|10|12|14|16)?(le)?")
_GRAY = re.compile(r"gray(9|10|12|14|16)?(le)?")

CENTERED_CHROMA = frozenset({"mjpeg", "mpeg1video"})
"""Codecs whose chroma samples lie between the luma samples; those of MPEG-2 and later lie on the
even columns."""


def chroma_of(pixel_format: str) -> str:
    """Chroma resolution to encode a source of this pixel format with: ``420``, ``422``, ``444``."""
    if match := _PLANAR_YUV.fullmatch(pixel_format):
        return match[1]
    if pixel_format.startswith(("nv12", "nv21", "p010", "gray", "yuv410", "yuv411")):
        return "420"
    if pixel_format.startswith(("yuyv", "uyvy", "yvyu", "nv16", "yuv440")):
        return "422"
    return "444"


def depth_of(pixel_format: str) -> int:
    """Bits of a colour sample in this pixel format."""
    if match := _PLANAR_YUV.fullmatch(pixel_format) or _PLANAR_YUV.fullmatch(
        pixel_format.removesuffix("be")
    ):
        return int(match[2] or 8)
    if pixel_format == "pal8":
        return 8
    return max((c.bits for c in VideoFormat(pixel_format).components), default=8)


def has_alpha(pixel_format: str) -> bool:
    """Whether this pixel format has opacity. Palettes count as opaque."""
    return pixel_format != "pal8" and any(c.is_alpha for c in VideoFormat(pixel_format).components)


def colors_in(pixel_format: str) -> int:
    """How much of the colours this pixel format has: 0 none, 1 a quarter of the samples or fewer,
    2 half, 3 all."""
    kind = VideoFormat(pixel_format)
    if not kind.has_palette and len([c for c in kind.components if not c.is_alpha]) == 1:
        return 0
    samples = kind.chroma_width(4) * kind.chroma_height(4)
    return 3 if samples == 16 else 2 if samples == 8 else 1


def padded(size: tuple[int, int], pixel_format: str) -> tuple[int, int]:
    """The size with a line or a column more, where the format has one chroma sample for two of
    them: encoders want whole ones."""
    kind = VideoFormat(pixel_format)
    width, height = size
    if kind.chroma_width(4) < 4:
        width += width % 2
    if kind.chroma_height(4) < 4:
        height += height % 2
    return width, height


@functools.cache
def can_write(pixel_format: str) -> bool:
    """Whether `FrameWriter` makes frames of this format. Raises ValueError for no format's name."""
    kind = VideoFormat(pixel_format)
    if not kind.components or kind.has_palette or kind.is_bayer or kind.is_bit_stream:
        return False
    try:
        tags = ColorTags().resolved(16, 16)
        writer = FrameWriter(tags, pixel_format, 16, 16)
        writer.of(Frame(np.zeros((16, 16, 3), np.uint8), 0, Fraction(1)))
    except (ValueError, FFmpegError):
        return False
    return True


def tags_of(frame: VideoFrame) -> ColorTags:
    """The frame's colour tags, unresolved."""
    full = frame.format.name.startswith("yuvj")
    return ColorTags(
        int(frame.colorspace),
        int(frame.color_primaries),
        int(frame.color_trc),
        FULL if full else int(frame.color_range),
    )


class FrameReader:
    """Converts decoded frames of one stream to RGB. Keeps scratch memory; for one thread.

    tags   of the stream, resolved
    codec  FFmpeg's name, for the position of its chroma samples
    """

    def __init__(self, tags: ColorTags, *, codec: str = "") -> None:
        self._tags = tags
        self._centered = codec in CENTERED_CHROMA
        self._converters: dict[int, Converter] = {}
        self._reformatter = VideoReformatter()

    def read(self, frame: VideoFrame, out: Plane) -> None:
        """Convert into ``out``, [H, W, 3] uint8 or uint16 of the frame's size, over the full range
        of its type."""
        name = frame.format.name
        for prefixes, planar in _REPACKED.items():
            if name.startswith(prefixes):
                frame = self._reformatter.reformat(frame, format=planar, **_keep(frame))
                break
        name = frame.format.name
        match = _PLANAR_YUV.fullmatch(name)
        gray = _GRAY.fullmatch(name)
        if (match is None and gray is None) or any(plane.line_size < 0 for plane in frame.planes):
            # RGB, palettes and rare formats: FFmpeg converts them right by default.
            kind = "rgb24" if out.dtype == np.uint8 else "rgb48le"
            rgb = self._reformatter.reformat(frame, format=kind)
            out[:] = _rows(rgb, 0, out.dtype)[:, : 3 * out.shape[1]].reshape(out.shape)
            return
        depth = int((match[2] if match else gray[1] if gray else None) or 8)
        dtype = np.uint8 if depth == 8 else np.uint16
        y = _rows(frame, 0, dtype)
        if gray:
            u = v = np.full(out.shape[:2], 1 << depth - 1, dtype)
        else:
            u, v = _rows(frame, 1, dtype), _rows(frame, 2, dtype)
            if match and match[1] != "444":
                columns = -(-out.shape[1] // 2)
                u, v = u[:, :columns], v[:, :columns]
        if depth not in self._converters:
            self._converters[depth] = Converter(self._tags, depth=depth, centered=self._centered)
        self._converters[depth].to_rgb((y, u, v), out)

    def alpha(self, frame: VideoFrame) -> Plane:
        """The opacity of a frame whose format `has_alpha`, [H, W] uint8 or uint16 over the full
        range."""
        match = _PLANAR_YUV.fullmatch(frame.format.name)
        if match is None:
            wide = depth_of(frame.format.name) > 8
            rgba = self._reformatter.reformat(frame, format="rgba64le" if wide else "rgba")
            rows = _rows(rgba, 0, np.uint16 if wide else np.uint8)
            return rows[:, : 4 * frame.width].reshape(frame.height, frame.width, 4)[..., 3].copy()
        depth = int(match[2] or 8)
        plane = _rows(frame, 3, np.uint8 if depth == 8 else np.uint16)[
            : frame.height, : frame.width
        ]
        if depth == 8:
            return plane.copy()
        return (plane.astype(np.uint32) * 65535 // ((1 << depth) - 1)).astype(np.uint16)


_REPACKED = {
    ("nv12", "nv21"): "yuv420p",
    ("yuyv", "uyvy", "yvyu", "nv16"): "yuv422p",
    ("yuv410", "yuv411", "yuv440p", "yuvj440p"): "yuv444p",
    ("p010",): "yuv420p10le",
    ("p012",): "yuv420p12le",
    ("p210", "y210"): "yuv422p10le",
}
"""Pixel formats by the beginning of their names, each with the planar one of the same samples."""


class FrameWriter:
    """Converts RGB pictures to frames for an encoder. Keeps scratch memory; for one thread.

    tags           of the frames, resolved
    pixel_format   one that `can_write` says yes to. Planar YUV of 8 to 16 bits is written by our
                   converter, other YUV repacked from it; RGB is converted by FFmpeg
    width, height  of the frames; a picture may be smaller by a column or a line, which is then
                   repeated
    """

    def __init__(self, tags: ColorTags, pixel_format: str, width: int, height: int) -> None:
        self._tags = tags
        self._format = pixel_format
        self._size = width, height
        self._planar = _planar_of(pixel_format)
        self._gray = _GRAY.fullmatch(pixel_format) is not None
        self._depth = depth_of(pixel_format)
        self._alpha = has_alpha(pixel_format)
        if self._planar is not None:
            self._converter = Converter(tags, depth=depth_of(self._planar))
        self._reformatter = VideoReformatter()

    def of(self, picture: Frame) -> VideoFrame:
        """A new frame with the picture, in more than 8 bits where the format and the picture have
        them, and its opacity. ``pts`` is not set."""
        rgb = picture.rgb if picture.deep is None or self._depth <= 8 else picture.deep
        return self._frame(rgb, picture.alpha)

    def frame(self, rgb: Plane) -> VideoFrame:
        """A new frame with the picture, [H, W, 3] uint8 or uint16, and the tags; opaque. ``pts``
        is not set. Raises ValueError for a picture of another size."""
        return self._frame(rgb, None)

    def _frame(self, rgb: Plane, alpha: Plane | None) -> VideoFrame:
        width, height = self._size
        if height - rgb.shape[0] not in (0, 1) or width - rgb.shape[1] not in (0, 1):
            raise ValueError(
                f"expected a picture of {width}x{height}, got {rgb.shape[1]}x{rgb.shape[0]}"
            )
        if self._planar is None:
            return self._tagged(self._from_rgb(rgb, alpha))
        frame = VideoFrame(width, height, self._format if self._gray else self._planar)
        dtype = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
        if self._gray:
            y = _rows(frame, 0, dtype)
            u, v = np.empty((2, height, width), dtype)
        else:
            y, u, v = (_rows(frame, i, dtype) for i in range(3))
        columns = width if self._gray or "444" in self._planar else -(-width // 2)
        self._converter.from_rgb(rgb, (y[:, :width], u[:, :columns], v[:, :columns]))
        if self._planar.startswith("yuva"):
            self._set_alpha(frame, alpha)
        self._tagged(frame)
        if frame.format.name != self._format:
            repacked = self._reformatter.reformat(frame, format=self._format, **_keep(frame))
            return self._tagged(repacked)
        return frame

    def _from_rgb(self, rgb: Plane, alpha: Plane | None) -> VideoFrame:
        """An RGB frame by FFmpeg, which repeats no lines: RGB has no chroma that would need it."""
        deep = rgb.dtype == np.uint16
        kind = "rgb48le" if deep else "rgb24"
        if self._alpha:
            kind = "rgba64le" if deep else "rgba"
            opacity = np.full(rgb.shape[:2], np.iinfo(rgb.dtype).max, rgb.dtype)
            if alpha is not None:
                opacity[:] = _levels(alpha, int(np.iinfo(rgb.dtype).max))
            rgb = np.dstack((rgb, opacity))
        frame = VideoFrame.from_ndarray(rgb, format=kind)
        return self._reformatter.reformat(frame, format=self._format)

    def _tagged(self, frame: VideoFrame) -> VideoFrame:
        frame.colorspace = self._tags.matrix
        frame.color_range = self._tags.range
        frame.color_primaries = self._tags.primaries
        frame.color_trc = self._tags.transfer
        return frame

    def _set_alpha(self, frame: VideoFrame, alpha: Plane | None) -> None:
        """Fill the alpha plane; opaque for None."""
        depth = frame.format.components[0].bits
        out = _rows(frame, 3, np.uint8 if depth == 8 else np.uint16)
        top = (1 << depth) - 1
        if alpha is None:
            out[:] = top
            return
        level = _levels(alpha, top)
        height, width = level.shape
        out[:height, :width] = level
        out[height:] = out[height - 1]
        out[:height, width:] = level[:, -1:]


def _levels(alpha: Plane, top: int) -> NDArray[np.uint32]:
    """Opacity from 0 to ``top``."""
    full = np.iinfo(alpha.dtype).max
    return (alpha.astype(np.uint32) * top + full // 2) // full


def _planar_of(pixel_format: str) -> str | None:
    """The planar YUV format of the same samples, as our converter writes it; None for RGB."""
    if _PLANAR_YUV.fullmatch(pixel_format):
        return pixel_format
    kind = VideoFormat(pixel_format)
    if kind.is_rgb:
        return None
    wide, high = kind.chroma_width(4) == 4, kind.chroma_height(4) >= 4
    chroma = "444" if wide else "422" if high else "420"
    name = f"yuv{'a' if has_alpha(pixel_format) else ''}{chroma}p"
    depth = next((bits for bits in (8, 9, 10, 12, 14, 16) if bits >= depth_of(pixel_format)), 16)
    return name if depth == 8 else f"{name}{depth}le"


def _rows(frame: VideoFrame, index: int, dtype: Any) -> Plane:
    """A plane as [rows, columns with padding], a view of the frame's memory."""
    plane = frame.planes[index]
    flat = np.frombuffer(plane, dtype)  # type: ignore[call-overload]  # PyAV's planes are buffers
    view: Plane = flat.reshape(plane.height, -1)
    return view


def _keep(frame: VideoFrame) -> dict[str, Any]:
    """Arguments that keep FFmpeg from converting colours where it only repacks samples."""
    matrix = int(frame.colorspace)
    matrix = matrix if matrix in (BT709, SMPTE170M) else SMPTE170M
    level = int(frame.color_range) or LIMITED
    return {
        "src_colorspace": matrix,
        "dst_colorspace": matrix,
        "src_color_range": level,
        "dst_color_range": level,
    }
