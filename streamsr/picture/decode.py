"""Decodes the pixels of a picture file as they are stored, whichever library does it."""

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsr.errors import SourceError
from streamsr.picture import chunks, pillow, tiff
from streamsr.picture.metadata import Metadata, metadata_of


def decoded(path: Path, content: bytes, max_pixels: int) -> tuple[NDArray[Any], Metadata]:
    """Decode the first picture in a file's content: [H, W] or [H, W, 3 or 4], blue first, of any
    type (so Any), not turned. Also what the file says beside it.

    Raises SourceError, also for more than ``max_pixels``, and MemoryError.
    """
    if content[:3] == b"GIF" or pillow.brand_of(content):
        with pillow.opened(path, content, max_pixels) as image:
            return _blue_first(pillow.pixels_of(image)), pillow.metadata_of(image, content)
    metadata = metadata_of(content)
    stored = _as_stored(content)
    pixels = _by_opencv(path, stored.content, max_pixels)
    if pixels.ndim == 2 and stored.samples == 2:  # OpenCV gives the gray alone
        if pixels.dtype == np.uint8:
            with pillow.opened(path, stored.content, max_pixels) as image:
                pixels = _blue_first(pillow.pixels_of(image))
        else:
            metadata = replace(metadata, left_out=(*metadata.left_out, "transparency"))
    elif stored.is_multiplied and pixels.dtype == np.uint8 and pixels.shape[2:] == (4,):
        opacity = np.maximum(pixels[..., 3:].astype(np.uint16), 1)
        straight = (pixels[..., :3].astype(np.uint16) * 255 + opacity // 2) // opacity
        pixels = np.dstack((np.minimum(straight, 255).astype(np.uint8), pixels[..., 3]))
    return pixels, metadata


def _by_opencv(path: Path, content: bytes, max_pixels: int) -> NDArray[Any]:
    """Decode a PNG, JPEG, WebP, BMP or TIFF."""
    import cv2  # imported here: 0.1 s, and system libraries that films can do without

    opaque = content.startswith((chunks.JPEG, b"BM"))
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION if opaque else cv2.IMREAD_UNCHANGED
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise SourceError(f"{path}: not a picture OpenCV can read ({error.err})") from error
    if image is None:
        raise SourceError(f"{path}: not a picture, or damaged")
    # Once more, for a header that OpenCV read otherwise.
    pillow.check_size(path, (image.shape[1], image.shape[0]), max_pixels)
    return image


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file whose pixels decoders give as they are stored.

    samples        of a pixel of a TIFF, alpha too; None for other files
    is_multiplied  the colours of a TIFF were multiplied by its alpha
    """

    content: bytes
    samples: int | None = None
    is_multiplied: bool = False


def _as_stored(content: bytes) -> _Stored:
    """A TIFF file that decoders neither turn nor multiply by its alpha; other files as they are."""
    structure = tiff.Structure.of(content)
    try:
        first = None if structure is None else structure.directory(structure.first)
    except ValueError:
        return _Stored(content)
    if structure is None or first is None:
        return _Stored(content)
    edited = bytearray(content)
    samples = first.integer(tiff.SAMPLES)
    # Upright. libtiff multiplies colours unless it hears that they are, Pillow wants to hear that
    # gray is not.
    told = {tiff.ORIENTATION: 1, tiff.EXTRA_SAMPLES: 2 if samples == 2 else 1}
    for tag, number in told.items():
        entry = first.entries.get(tag)
        if entry is not None and entry.kind == tiff.SHORT:
            struct.pack_into(structure.order + "H", edited, entry.at, number)
    return _Stored(bytes(edited), samples, first.integer(tiff.EXTRA_SAMPLES) == 1)


def _blue_first(pixels: pillow.Pixels) -> NDArray[Any]:
    return np.concatenate((pixels[..., 2::-1], pixels[..., 3:]), axis=2)


def upright(image: NDArray[Any], turned: int) -> NDArray[Any]:
    """Turn a picture that is stored as EXIF's orientation says."""
    if turned > 4:
        image = image.swapaxes(0, 1)
    if turned in (3, 4, 7, 8):
        image = image[::-1]
    if turned in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def of_8_bits(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The same of 8 bits, rounded."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
