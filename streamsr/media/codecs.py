"""The codecs that have a name of their own here, and what is known of their encoders."""

from collections.abc import Mapping
from dataclasses import dataclass

import av


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


PLAIN = {c: f"yuv{c}p" for c in ("420", "422", "444")}
"""Planar formats of 8 bits by their chroma resolution."""

CODECS = {
    "h264": Codec("libx264", PLAIN, 18, "veryfast"),
    "hevc": Codec("libx265", PLAIN, 20, "fast", depths=(8, 10, 12)),
    "av1": Codec("libsvtav1", dict.fromkeys(PLAIN, "yuv420p"), 28, "10"),
    "ffv1": Codec("ffv1", PLAIN, None, None, depths=(8, 10, 12, 16), alpha=True),
}
"""Defaults are nearly visually lossless at a fast preset; `docs/benchmarks.md` has what they
cost."""

QUALITY = {codec.encoder: codec.crf for codec in CODECS.values()} | {
    "libx264rgb": 18,
    "libvpx-vp9": 24,
}
"""Default ``crf`` by encoder."""

BITS_PER_PIXEL = 0.25
"""Of encoders that know no quality, only a rate: FFmpeg's default is 200 kbit/s, whatever the
size."""

RATES = frozenset(
    {"b", "crf", "cq", "qp", "q", "qscale", "global_quality", "rc", "lossless", "cqp"}
)
"""Options by which a user says the quality or the rate."""

PARAMETERS = {
    "libx264": "x264-params",
    "libx264rgb": "x264-params",
    "libx265": "x265-params",
    "libsvtav1": "svtav1-params",
}
"""The option of an encoder that holds its own parameters, among them the HDR metadata."""


def canonical_name(encoder: str) -> str:
    """FFmpeg's name of the codec that an encoder writes."""
    return str(av.codec.Codec(encoder, "w").canonical_name)
