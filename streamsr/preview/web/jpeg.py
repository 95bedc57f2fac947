"""Encodes and decodes the JPEG pictures that go to and come from a browser."""

import struct

import cv2
import numpy as np

from streamsr.frame import Frame, Image

MAX_CAMERA = 1920, 1080
"""Largest (width, height) of a camera's picture."""

QUALITY = 85
"""Of the JPEGs that are shown: 5 ms and 300 KB at 1080p."""


def encoded(frame: Frame) -> bytes:
    """Encode a frame for the page: the length of the first JPEG (4 bytes, little-endian), the
    picture before upscaling as JPEG, the upscaled one as JPEG.

    Raises ValueError for a picture that JPEG cannot hold, such as one wider than 65500 pixels.
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
    """Decode a browser's JPEG to RGB [H, W, 3]; None for anything else, and for one above
    MAX_CAMERA."""
    size = _size_of(content)
    if size is None or min(size) < 1 or size[0] > MAX_CAMERA[0] or size[1] > MAX_CAMERA[1]:
        return None
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if bgr is None else np.ascontiguousarray(bgr[..., ::-1], np.uint8)


def _size_of(content: bytes) -> tuple[int, int] | None:
    """(width, height) in a JPEG's frame header (ITU-T T.81, B.2.2), to be checked before memory is
    allocated; None where there is none."""
    at = 2
    if content[:2] != b"\xff\xd8":
        return None
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(content[at + 5 : at + 7], "big")
            width = int.from_bytes(content[at + 7 : at + 9], "big")
            return width, height
        at += 2 + length
    return None
