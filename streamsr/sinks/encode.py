"""How the new video is encoded: the same settings whether it goes into a file at once or in segments."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import av
from av.video.codeccontext import VideoCodecContext

from streamsr.frame import StreamInfo
from streamsr.pixels import FrameWriter, chroma_of


@dataclass(frozen=True, slots=True)
class Codec:
    """An encoder: its FFmpeg name, its 8-bit formats by chroma, and its defaults. No ``crf``: it is lossless."""

    encoder: str
    chroma: Mapping[str, str]
    crf: int | None
    preset: str | None


_ALL = {c: f"yuv{c}p" for c in ("420", "422", "444")}
CODECS = {
    "h264": Codec("libx264", _ALL, 18, "veryfast"),
    "hevc": Codec("libx265", _ALL, 20, "fast"),
    "av1": Codec("libsvtav1", dict.fromkeys(_ALL, "yuv420p"), 28, "10"),
    "ffv1": Codec("ffv1", _ALL, None, None),
}
"""Defaults near visually lossless at each codec's fast end; `docs/benchmarks.md` has what they cost."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the user asked for.

    crf, preset  None for this codec's default
    threads      of the encoder, None for as many as it likes. The bytes it writes depend on the number, so that it must
                 be given where two machines, or two runs, are to agree.
    """

    codec: str = "h264"
    crf: int | None = None
    preset: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ValueError(f"expected a codec of {', '.join(CODECS)}, got {self.codec!r}")
        if CODECS[self.codec].crf is None and (self.crf is not None or self.preset is not None):
            raise ValueError(f"expected no crf or preset: {self.codec} is lossless")

    @property
    def encoder(self) -> str:
        """FFmpeg's name."""
        return CODECS[self.codec].encoder

    def pixel_format(self, info: StreamInfo) -> str:
        return CODECS[self.codec].chroma[chroma_of(info.pixel_format)]

    def options(self) -> dict[str, str]:
        """For FFmpeg's encoder."""
        codec = CODECS[self.codec]
        crf, preset = codec.crf if self.crf is None else self.crf, self.preset or codec.preset
        options = {}
        if crf is not None:
            options["crf"] = str(crf)
        if preset is not None:
            options["preset"] = preset
        if self.encoder == "libx265":
            # Without pools of a given size x265 counts the cores, and does without wavefronts on a single one.
            fixed = "" if self.threads is None else f":pools={self.threads}:frame-threads={min(self.threads, 4)}"
            options["x265-params"] = f"log-level=error{fixed}"
        if self.encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it knows no other way
            if self.threads is not None:
                options["svtav1-params"] = f"lp={self.threads}"
        return options

    def prepare(self, context: VideoCodecContext, info: StreamInfo, size: tuple[int, int]) -> FrameWriter:
        """Set up an encoder that was made with ``options()``; returns what turns pictures into its frames."""
        pixel_format = self.pixel_format(info)
        # Encoders want whole chroma samples; the last line or column is repeated, nothing is cut off.
        even_x, even_y = "420" in pixel_format or "422" in pixel_format, "420" in pixel_format
        width, height = size
        width, height = width + (width % 2 if even_x else 0), height + (height % 2 if even_y else 0)
        context.width, context.height, context.pix_fmt = width, height, pixel_format
        # The input's own ticks, so that every frame keeps its exact time, at a variable rate too.
        context.time_base = info.time_base
        context.sample_aspect_ratio = info.sar
        context.color_range, context.colorspace = info.color.range, info.color.matrix
        context.color_primaries, context.color_trc = info.color.primaries, info.color.transfer
        if self.threads is None:
            context.thread_type = "AUTO"
        else:
            context.thread_count = self.threads
        return FrameWriter(info.color, pixel_format, width, height)


def canonical_name(encoder: str) -> str:
    """The codec's name for an encoder's."""
    return str(av.codec.Codec(encoder, "w").canonical_name)
