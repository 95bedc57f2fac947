"""What an encoder's output lacks of the picture, and where it will not be played, in words."""

from av.video.format import VideoFormat

from streamsr.color import FULL, LIMITED
from streamsr.frame import StreamInfo
from streamsr.media.codecs import CODECS, PARAMETERS, canonical_name
from streamsr.media.encode import Coded, Encoder
from streamsr.media.frames import colors_in, depth_of, has_alpha, padded

DEPTHS = {"h264": 8, "hevc": 10, "av1": 10, "vp9": 8}
"""Bits of a sample that phones and browsers play, in 4:2:0, of the codecs that they play."""

COLORS = ("no colours", "4:2:0", "4:2:2", "4:4:4")
"""By what `colors_in` says."""


def lost(encoder: Encoder, info: StreamInfo, size: tuple[int, int], coded: Coded) -> list[str]:
    """What of the source's picture is not in what is encoded, in pictures of this (width, height),
    a line each for the user."""
    encoding = encoder.encoding
    auto = encoding.pixel_format == "auto"
    shown = encoding.encoder or encoding.codec if auto else encoding.pixel_format
    depth, held = depth_of(info.pixel_format), depth_of(coded.pixel_format)
    colors, kept = colors_in(info.pixel_format), colors_in(coded.pixel_format)
    lines = []
    if held < depth:
        better = next(
            (name for name, other in CODECS.items() if depth <= other.depths[-1]),
            "no codec here",
        )
        hint = f"; {better} would hold all" if auto else ""
        lines.append(f"{shown} holds {held} of the picture's {depth} bits{hint}")
    if kept < colors:
        lines.append(
            f"{shown} holds {COLORS[kept]} of the picture's {COLORS[colors]}: colours are less "
            f"sharp than brightness"
            if kept
            else f"{shown} holds no colours"
        )
    if has_alpha(info.pixel_format) and not has_alpha(coded.pixel_format):
        lines.append(
            f"{shown} has no alpha: the picture's transparency is left out; ffv1 would keep it"
        )
    if info.hdr.dynamic:
        lines.append(
            f"the base layer is upscaled: {' and '.join(info.hdr.dynamic)} metadata fit only "
            f"its own pixels"
        )
    if (info.hdr.mastering or info.hdr.light) and (
        encoder.name not in PARAMETERS and encoding.encoder is not None
    ):
        lines.append(f"{shown} is not told the HDR metadata of the mastering display")
    was, now = info.color.resolved(*padded(size, coded.pixel_format)), coded.tags
    if (
        (was.range, now.range) == (FULL, LIMITED)
        and held == 8
        and not VideoFormat(info.pixel_format).is_rgb
    ):
        lines.append(f"{shown} has limited range: 219 levels of the picture's 255")
    for what, a, b in (
        ("primaries", was.primaries, now.primaries),
        ("transfer function", was.transfer, now.transfer),
    ):
        if a != b:
            lines.append(f"{shown} cannot say the colours' {what}: {b} instead of {a}")
    return lines


def hard_to_play(encoder: Encoder, container: str, coded: Coded) -> str | None:
    """Why phones and browsers will not play what ``auto`` makes of this picture, in words for
    the user; None where they will, or where that was not to be decided."""
    codec = canonical_name(encoder.name)
    if (
        container not in ("mp4", "mov")
        or encoder.encoding.pixel_format != "auto"
        or codec not in DEPTHS
    ):
        return None
    depth, colors = depth_of(coded.pixel_format), colors_in(coded.pixel_format)
    rgb = VideoFormat(coded.pixel_format).is_rgb
    traits = []
    if rgb or colors > 1:
        traits.append("RGB" if rgb else COLORS[colors])
    if depth > DEPTHS[codec]:
        traits.append(f"{depth} bits")
    if coded.tags.range == FULL and not rgb:
        traits.append("full range")
    if not traits:
        return None
    hint = "--pixel-format yuv420p makes what they play"
    if "yuv420p" not in encoder.formats:
        hint = f"{encoder.name} makes nothing else"
    return f"many phones and browsers do not play {codec} of {', '.join(traits)}; {hint}"
