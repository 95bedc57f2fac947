"""Encodes and decodes the JPEG pictures that go to and come from a browser."""

import io
import struct

import cv2
import numpy as np

from streamsr.frame import Frame, Image
from streamsr.picture.size import picture_size

MAX_CAMERA = 1920, 1080
"""Largest (width, height) of a camera's picture."""

MOST_SCANS = 20
"""Scans of a camera's picture. Browsers send one, progressive ones have ten; each goes over the
whole picture, and 2 MiB hold 200,000 empty ones."""

SCAN = b"\xff\xda"

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
    """Decode a browser's JPEG to RGB [H, W, 3]; None for anything else, for one above MAX_CAMERA,
    by its header, and for one of more than MOST_SCANS."""
    if not content.startswith(b"\xff\xd8") or content.count(SCAN) > MOST_SCANS:
        return None
    size = picture_size(io.BytesIO(content))
    if size is None or min(size) < 1 or size[0] > MAX_CAMERA[0] or size[1] > MAX_CAMERA[1]:
        return None
    try:
        bgr = cv2.imdecode(
            np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        return None
    if bgr is None or bgr.shape[1::-1] != size:
        return None
    return np.ascontiguousarray(bgr[..., ::-1], np.uint8)
