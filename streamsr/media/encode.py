"""Encoders and their settings, the same for a file made at once and for one made in segments."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat

from streamsr.color import FULL, LIMITED, RGB, ColorTags
from streamsr.errors import SinkError, quoted
from streamsr.frame import HdrMetadata, StreamInfo
from streamsr.machine import has_avx512
from streamsr.media.codecs import BITS_PER_PIXEL, CODECS, PARAMETERS, PLAIN, QUALITY, RATES, Codec
from streamsr.media.encoders import encoder_names, formats_of, is_encoder, options_of
from streamsr.media.frame_encoder import FrameEncoder
from streamsr.media.frames import (
    FrameWriter,
    chroma_of,
    colors_in,
    depth_of,
    has_alpha,
    padded,
)
from streamsr.media.hdr_parameters import svt_hdr, x264_hdr, x265_hdr
from streamsr.options import Encoding

NO_HDR = HdrMetadata()

MPEG4_TICKS = 65535
"""Most ticks a second in MPEG-4 part 2."""


@dataclass(frozen=True, slots=True)
class Coded:
    """What an encoder is given.

    pixel_format  FFmpeg's name
    tags          of the samples, resolved
    counted       frames come with their numbers as times: the encoder takes no other ticks than
                  one a frame
    """

    pixel_format: str
    tags: ColorTags
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Encoder:
    """FFmpeg's encoder for an `Encoding`: its name, its options, its frames.

    Making one raises SinkError for an encoder, an option or a pixel format that there is not.
    """

    encoding: Encoding

    def __post_init__(self) -> None:
        encoding = self.encoding
        if encoding.encoder is not None:
            if not is_encoder(self.name):
                raise SinkError(
                    f"unknown encoder {quoted(self.name)}; there are {', '.join(encoder_names())}"
                )
            for word in ("crf", "preset"):
                if getattr(encoding, word) is not None and word not in options_of(self.name)[0]:
                    raise SinkError(f"{self.name} has no {word}; its options: {self._own_options}")
            if av.codec.Codec(self.name, "w").video_formats and not formats_of(self.name):
                raise SinkError(f"{self.name} takes no pictures in main memory")
        if encoding.encoder_options:
            own, general = options_of(self.name)
            for word in encoding.encoder_options:
                if word not in own | general:
                    raise SinkError(
                        f"{self.name} has no option {quoted(word)}; its own: {self._own_options}; "
                        f"of every encoder: b, g, bf, qmin, qmax and others of FFmpeg"
                    )
        if encoding.pixel_format != "auto" and encoding.pixel_format not in self.formats:
            raise SinkError(
                f"{self.name} takes no {quoted(encoding.pixel_format)}; it takes "
                f"{', '.join(self.formats)}"
            )

    @property
    def name(self) -> str:
        """FFmpeg's name of the encoder."""
        return self.encoding.encoder or CODECS[self.encoding.codec].encoder

    @property
    def codec(self) -> Codec | None:
        """The codec that was chosen; None where an encoder was."""
        return CODECS[self.encoding.codec] if self.encoding.encoder is None else None

    @property
    def formats(self) -> tuple[str, ...]:
        """The pixel formats that may be asked for."""
        # Encoders that do not say, such as V4L2's, take what their device takes.
        return formats_of(self.name) or tuple(PLAIN.values())

    @property
    def _own_options(self) -> str:
        return ", ".join(sorted(options_of(self.name)[0])) or "none"

    def coded(self, info: StreamInfo, size: tuple[int, int]) -> Coded:
        """What to encode of a source, in pictures of this (width, height), before the encoder was
        tried with it: its chroma, depth and alpha as far as the codec has them, or the pixel format
        that was asked for."""
        name = self.encoding.pixel_format
        if name == "auto" and self.codec is not None:
            name = _of_codec(self.codec, info.pixel_format)
            return Coded(name, _color(info, size, name))
        if name == "auto":
            name = _closest(self.formats, info.pixel_format)
            full = info.color.range == FULL
        else:
            # As everywhere in FFmpeg: full range has names of its own.
            full = name.startswith("yuvj")
        plain = name.replace("yuvj", "yuv")
        name = plain if plain in self.formats else name
        color = _color(info, size, name)
        if VideoFormat(name).is_rgb:
            return Coded(name, replace(color, matrix=RGB, range=FULL))
        return Coded(name, replace(color, range=FULL if full else LIMITED))

    def options(self, hdr: HdrMetadata = NO_HDR) -> dict[str, str]:
        """Options of FFmpeg's encoder for these settings and this HDR metadata."""
        encoding = self.encoding
        asked = encoding.encoder_options
        crf = encoding.crf
        if crf is None and not asked.keys() & RATES:
            crf = QUALITY.get(self.name)
        preset = encoding.preset or (self.codec.preset if self.codec else None)
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
            options["x265-params"] = f"log-level=error{fixed}{x265_hdr(hdr)}"
        if self.name in ("libx264", "libx264rgb"):
            wanted = [x264_hdr(hdr)]
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
            if parameters := f"{fixed}{svt_hdr(hdr)}".strip(":"):
                options["svtav1-params"] = parameters
        parameter = PARAMETERS.get(self.name, "")
        for name, value in asked.items():
            ours = options.get(name, "") if name == parameter else ""
            options[name] = f"{ours}:{value}".strip(":")
        return options

    def _counted_rate(self, info: StreamInfo) -> Fraction:
        """Pictures a second of an encoder that is given their numbers: one that it can write."""
        rate = rate_of(info).limit_denominator(1001)
        if rate.numerator > MPEG4_TICKS:
            rate = Fraction(max(round(rate), 1))
        rates = av.codec.Codec(self.name, "w").frame_rates or []
        known = [Fraction(one.numerator, one.denominator) for one in rates]
        return min(known, key=lambda one: abs(one - rate), default=rate)

    def prepare(
        self,
        context: VideoCodecContext,
        info: StreamInfo,
        size: tuple[int, int],
        coded: Coded,
    ) -> FrameEncoder:
        """Set up an encoder made with ``options()`` for frames of this (width, height), before it
        is opened."""
        # Encoders want whole chroma samples: the last line or column is repeated, not cut off.
        width, height = padded(size, coded.pixel_format)
        context.width = width
        context.height = height
        context.pix_fmt = coded.pixel_format
        # The input's own ticks, so that every frame keeps its exact time, at a variable rate too.
        context.time_base = 1 / self._counted_rate(info) if coded.counted else info.time_base
        context.sample_aspect_ratio = info.sar
        context.color_range = coded.tags.range
        context.colorspace = coded.tags.matrix
        context.color_primaries = coded.tags.primaries
        context.color_trc = coded.tags.transfer
        if self.encoding.threads is not None:
            context.thread_count = self.encoding.threads
        else:
            context.thread_type = "AUTO"
        if self.codec is None:
            bits = 0
            if self.name not in QUALITY and not self.encoding.encoder_options.keys() & RATES:
                bits = round(BITS_PER_PIXEL * width * height * rate_of(info))
            context.bit_rate = context.bit_rate_tolerance = bits
            if self.encoding.threads is None:
                context.thread_count = 0  # as many as it likes; FFmpeg's default is one
        writer = FrameWriter(coded.tags, coded.pixel_format, width, height)
        return FrameEncoder(context, writer, counted=coded.counted)


def rate_of(info: StreamInfo) -> Fraction:
    """Pictures a second, as the encoder is told them."""
    return info.rate.limit_denominator(1_000_000) if info.rate else Fraction(25)


def _color(info: StreamInfo, size: tuple[int, int], pixel_format: str) -> ColorTags:
    """The source's tags; pictures that came as RGB have none."""
    return info.color.resolved(*padded(size, pixel_format))


def _of_codec(codec: Codec, source: str) -> str:
    """The pixel format of a codec that is closest to the source's, by name."""
    depth = depth_of(source)
    name = codec.chroma[chroma_of(source)]
    alpha = codec.alpha and has_alpha(source)
    if alpha:
        name = name.replace("yuv", "yuva")
    # FFmpeg's alpha formats lack 4:2:0 in 12 bits.
    depths = [bits for bits in codec.depths if not (alpha and bits == 12 and "420" in name)]
    fitting = next((bits for bits in depths if bits >= depth), depths[-1])
    return name if fitting == 8 else f"{name}{fitting}le"


def _closest(formats: Sequence[str], source: str) -> str:
    """The pixel format of these that loses least of the source's, and of these the smallest."""
    colors = max(colors_in(source), 1)
    depth = depth_of(source)
    alpha = has_alpha(source)

    def cost(name: str) -> tuple[int, ...]:
        return (
            alpha and not has_alpha(name),
            max(colors - colors_in(name), 0),
            max(depth - depth_of(name), 0),
            VideoFormat(name).is_rgb,
            depth_of(name),
            colors_in(name),
            has_alpha(name),
        )

    return min(formats, key=cost)
