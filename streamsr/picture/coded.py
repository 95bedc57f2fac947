"""Sees how strongly a picture file's codec has compressed it."""

import numpy as np

from streamsr.frame import Coded, Image
from streamsr.picture import chunks, pillow
from streamsr.picture.sharpness import middle, steps

TABLES = 0xDB
"""The marker of JPEG's quantisation tables: ITU-T T.81, B.2.4.1."""

CODECS = {"AVIF": "av1", "HEIC": "hevc"}
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue. ITU-R BT.601."""


def coded_of(content: bytes, rgb: Image) -> Coded | None:
    """How the pixels ``rgb`` were coded in a file; None for formats without loss, and what is known
    of no other."""
    codec, quantiser = "", None
    if content.startswith(chunks.JPEG):
        codec, quantiser = "jpeg", _jpeg_quantiser(content)
    elif chunks.is_webp(content):
        if any(kind == b"VP8 " for kind, _ in chunks.webp_chunks(content)):
            codec = "webp"
    else:
        codec = CODECS.get(pillow.brand_of(content) or "", "")
    if not codec:
        return None
    seen = steps((middle(rgb) @ LUMA).astype(np.uint8))
    bits = 8 * len(content) / (rgb.shape[0] * rgb.shape[1])
    return Coded(
        codec, quantiser=quantiser, bits=bits, sharpness=seen.sharpness, detail=seen.detail
    )


def _jpeg_quantiser(content: bytes) -> float | None:
    """The mean over the first quantisation table, which is that of luma."""
    for marker, body in chunks.jpeg_segments(content):
        if marker == TABLES and body:
            values = np.frombuffer(body[1:], ">u2" if body[0] >> 4 else "u1")[:64]
            return float(values.mean()) if values.size == 64 else None
    return None
