"""Pictures on their way to and from a browser: JPEG."""

import struct

import cv2
import numpy as np

from streamsr.frame import Frame, Image

MAX_CAMERA = 1920, 1080
QUALITY = 85
"""JPEG, of what is shown: 5 ms and 300 KB at 1080p."""


def encoded(frame: Frame) -> bytes:
    """For the page: the length of the first JPEG, the picture before upscaling as JPEG, then after.

    Raises ValueError for a picture that JPEG does not hold, such as one wider than 65500 pixels.
    """
    after = _jpeg(frame.rgb)
    before = _jpeg(frame.lr) if frame.lr is not None else after
    return struct.pack("<I", len(before)) + before + after


def _jpeg(rgb: Image) -> bytes:
    size = f"{rgb.shape[1]}x{rgb.shape[0]}"
    try:
        done, content = cv2.imencode(
            ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        )
    except cv2.error as error:
        raise ValueError(f"a picture of {size} cannot be shown here: {error.err}") from error
    if not done:
        raise ValueError(f"a picture of {size} cannot be shown here")
    return content.tobytes()


def decoded(content: bytes) -> Image | None:
    """A JPEG from a browser as RGB; None for anything else, or one that is too large."""
    size = _size_of(content)
    if size is None or min(size) < 1 or size[0] > MAX_CAMERA[0] or size[1] > MAX_CAMERA[1]:
        return None
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if bgr is None else np.ascontiguousarray(bgr[..., ::-1], np.uint8)


def _size_of(content: bytes) -> tuple[int, int] | None:
    """(width, height) from the header, before anything is allocated for it. ITU-T T.81, B.2.2."""
    at = 2
    if content[:2] != b"\xff\xd8":
        return None
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(
                content[at + 5 : at + 7], "big"
            )
        at += 2 + length
    return None
