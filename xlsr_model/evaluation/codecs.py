"""Sends low-resolution video through the codecs that people's files are in."""

from collections.abc import Sequence
from dataclasses import dataclass

from xlsr_model.data.codec import recode
from xlsr_model.data.images import Image

LEVELS = ("near", "high", "medium", "low", "poor")


@dataclass(frozen=True)
class Codec:
    """An encoder of FFmpeg's and its decoder.

    `quality` has the encoder's own number for each of LEVELS, which go into the options in the
    place of ``{q}``.
    """

    encoder: str
    decoder: str
    options: dict[str, str]
    quality: tuple[int, ...]


# One quantiser for the whole clip, as `-qscale:v`: the rate control of so few frames is a lottery.
_FIXED = {"qmin": "{q}", "qmax": "{q}", "b": "1000M", "bf": "2", "g": "12"}
CODECS = {
    "x264": Codec(
        "libx264",
        "h264",
        # With AVX-512 its macroblock tree gives one of two results, by chance.
        {"crf": "{q}", "threads": "1", "x264-params": "asm=avx2"},
        (4, 18, 23, 28, 33),
    ),
    "x265": Codec(
        "libx265",
        "hevc",
        {"crf": "{q}", "x265-params": "log-level=none:pools=none:frame-threads=1"},
        (4, 20, 25, 31, 36),
    ),
    "svtav1": Codec(
        "libsvtav1",
        "libdav1d",
        {"crf": "{q}", "preset": "8", "svtav1-params": "lp=1"},
        (3, 28, 42, 54, 60),
    ),
    "vp9": Codec(
        "libvpx-vp9",
        "vp9",
        {"crf": "{q}", "b": "0", "deadline": "good", "cpu-used": "3", "threads": "1"},
        (4, 30, 40, 52, 60),
    ),
    "mpeg2": Codec("mpeg2video", "mpeg2video", _FIXED, (2, 3, 6, 10, 18)),
    "mpeg4": Codec("mpeg4", "mpeg4", _FIXED, (2, 3, 5, 9, 16)),
}
"""H.264, HEVC, AV1 and VP9 by constant rate factor; MPEG-2 and MPEG-4 ASP by quantiser.

One level is one picture: the numbers were chosen so that the mean Y PSNR of 16 clips of 10 frames,
shrunk by 3, is that of x264's CRF 4, 18, 23, 28 and 33 (51, 39, 36, 32 and 29 dB), to about 0.5 dB.
The two old ones do not reach the first: their best is 43.
"""


def through(frames: Sequence[Image], codec: Codec, quality: int) -> list[Image]:
    """Encode rows of one even size (`clips`) and return them decoded, as many."""
    options = {key: text.replace("{q}", str(quality)) for key, text in codec.options.items()}
    decoded = recode(frames, codec.encoder, codec.decoder, options)
    if len(decoded) != len(frames):
        raise ValueError(f"{codec.encoder}: {len(frames)} frames became {len(decoded)}")
    return decoded
