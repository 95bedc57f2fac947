"""Encoders and their settings, the same for a file made at once and for one made in segments."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import av
from av.video.codeccontext import VideoCodecContext

from streamsr.frame import CHROMATICITY, LUMINANCE, HdrMetadata, StreamInfo
from streamsr.machine import has_avx512
from streamsr.media.frames import FrameWriter, chroma_of, depth_of, has_alpha
from streamsr.options import Encoding

NO_HDR = HdrMetadata()


@dataclass(frozen=True, slots=True)
class Codec:
    """An encoder.

    encoder      FFmpeg's name
    chroma       its 8-bit pixel formats by the source's chroma resolution
    crf, preset  defaults; None for a lossless codec
    depths       bits of a sample that it takes
    alpha        it takes an alpha plane too
    """

    encoder: str
    chroma: Mapping[str, str]
    crf: int | None
    preset: str | None
    depths: tuple[int, ...] = (8, 10)
    alpha: bool = False


_ALL = {c: f"yuv{c}p" for c in ("420", "422", "444")}
CODECS = {
    "h264": Codec("libx264", _ALL, 18, "veryfast"),
    "hevc": Codec("libx265", _ALL, 20, "fast", depths=(8, 10, 12)),
    "av1": Codec("libsvtav1", dict.fromkeys(_ALL, "yuv420p"), 28, "10"),
    "ffv1": Codec("ffv1", _ALL, None, None, depths=(8, 10, 12, 16), alpha=True),
}
"""Defaults are nearly visually lossless at a fast preset; `docs/benchmarks.md` has what they
cost."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """FFmpeg's encoder for an `Encoding`: its name, its options, its frames."""

    encoding: Encoding

    @property
    def codec(self) -> Codec:
        return CODECS[self.encoding.codec]

    @property
    def name(self) -> str:
        """FFmpeg's name of the encoder."""
        return self.codec.encoder

    def pixel_format(self, info: StreamInfo) -> str:
        """FFmpeg's name of the pixel format to encode: the source's chroma, depth and alpha as far
        as the codec has them."""
        codec = self.codec
        depth = depth_of(info.pixel_format)
        name = codec.chroma[chroma_of(info.pixel_format)]
        alpha = codec.alpha and has_alpha(info.pixel_format)
        if alpha:
            name = name.replace("yuv", "yuva")
        # FFmpeg's alpha formats lack 4:2:0 in 12 bits.
        depths = [bits for bits in codec.depths if not (alpha and bits == 12 and "420" in name)]
        fitting = next((bits for bits in depths if bits >= depth), depths[-1])
        return name if fitting == 8 else f"{name}{fitting}le"

    def lost(self, info: StreamInfo) -> list[str]:
        """What of the source's picture this codec cannot hold, a line each for the user."""
        codec = self.codec
        depth = depth_of(info.pixel_format)
        lines = []
        if depth > codec.depths[-1]:
            better = next(
                (name for name, other in CODECS.items() if depth <= other.depths[-1]),
                "no codec here",
            )
            lines.append(
                f"{self.encoding.codec} holds {codec.depths[-1]} of the picture's {depth} bits; "
                f"{better} would hold all"
            )
        if has_alpha(info.pixel_format) and not codec.alpha:
            lines.append(
                f"{self.encoding.codec} has no alpha: the picture's transparency is left out; ffv1 "
                f"would keep it"
            )
        if info.hdr.dynamic:
            lines.append(
                f"the base layer is upscaled: {' and '.join(info.hdr.dynamic)} metadata fit only "
                f"its own pixels"
            )
        return lines

    def options(self, hdr: HdrMetadata = NO_HDR) -> dict[str, str]:
        """Options of FFmpeg's encoder for these settings and this HDR metadata."""
        encoding = self.encoding
        crf = self.codec.crf if encoding.crf is None else encoding.crf
        preset = encoding.preset or self.codec.preset
        threads = encoding.threads
        options = {}
        if crf is not None:
            options["crf"] = str(crf)
        if preset is not None:
            options["preset"] = preset
        if self.name == "libx265":
            # Without pools of a given size x265 counts the cores, and uses no wavefronts on a
            # single one. info=0: its version in the stream would name the processor's features.
            fixed = (
                ""
                if threads is None
                else f":info=0:pools={threads}:frame-threads={min(threads, 4)}"
            )
            options["x265-params"] = f"log-level=error{fixed}{_x265(hdr)}"
        if self.name == "libx264":
            wanted = [_x264(hdr)]
            if threads is not None and has_avx512():
                # With AVX-512 x264's macroblock tree gives other bytes from run to run, even on one
                # thread (seen with x264 165, 192x144, 30 runs: 20 results; all the same with AVX2,
                # as with SSE4.2).
                wanted.append("asm=avx2")
            if joined := ":".join(filter(None, wanted)):
                options["x264-params"] = joined
        if self.name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no option for it
            fixed = "" if threads is None else f"lp={threads}"
            if parameters := f"{fixed}{_svt(hdr)}".strip(":"):
                options["svtav1-params"] = parameters
        return options

    def prepare(
        self, context: VideoCodecContext, info: StreamInfo, size: tuple[int, int]
    ) -> FrameWriter:
        """Set up an encoder made with ``options()`` for frames of this (width, height); returns the
        writer of its frames."""
        pixel_format = self.pixel_format(info)
        # Encoders want whole chroma samples: the last line or column is repeated, not cut off.
        width, height = size
        if "420" in pixel_format or "422" in pixel_format:
            width += width % 2
        if "420" in pixel_format:
            height += height % 2
        context.width = width
        context.height = height
        context.pix_fmt = pixel_format
        # The input's own ticks, so that every frame keeps its exact time, at a variable rate too.
        context.time_base = info.time_base
        context.sample_aspect_ratio = info.sar
        tags = info.color.resolved(width, height)  # pictures that came as RGB have none
        context.color_range = tags.range
        context.colorspace = tags.matrix
        context.color_primaries = tags.primaries
        context.color_trc = tags.transfer
        if self.encoding.threads is None:
            context.thread_type = "AUTO"
        else:
            context.thread_count = self.encoding.threads
        return FrameWriter(tags, pixel_format, width, height)


def canonical_name(encoder: str) -> str:
    """FFmpeg's name of the codec that an encoder writes."""
    return str(av.codec.Codec(encoder, "w").canonical_name)


def _x265(hdr: HdrMetadata) -> str:
    """The metadata as parameters of x265, empty for none."""
    parameters = ""
    if hdr.mastering is not None:
        rx, ry, gx, gy, bx, by, wx, wy, low, high = hdr.mastering
        parameters += (
            f":master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"
        )
    if hdr.light is not None:
        parameters += f":max-cll={hdr.light[0]},{hdr.light[1]}"
    return parameters


def _x264(hdr: HdrMetadata) -> str:
    """The same for x264."""
    return (
        _x265(hdr)
        .replace("master-display", "mastering-display")
        .replace("max-cll", "cll")
        .strip(":")
    )


def _svt(hdr: HdrMetadata) -> str:
    """The same for SVT-AV1, in whole units."""
    parameters = ""
    if hdr.mastering is not None:
        rx, ry, gx, gy, bx, by, wx, wy = (f"{n / CHROMATICITY:.5f}" for n in hdr.mastering[:8])
        low, high = (f"{n / LUMINANCE:.4f}" for n in hdr.mastering[8:])
        parameters += (
            f":mastering-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"
        )
    if hdr.light is not None:
        parameters += f":content-light={hdr.light[0]},{hdr.light[1]}"
    return parameters
