"""Reads and writes still pictures (PNG, JPEG, WebP, BMP, TIFF) through OpenCV."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsr.errors import SinkError, SourceError, reason_of
from streamsr.frame import Image
from streamsr.options import MAX_PIXELS
from streamsr.picture.size import FORMATS, picture_size
from xlsr_model.files import Output

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
JPEG_QUALITY = 95
LARGEST_PIXEL = 16
LARGEST_FILE = 1 << 26
"""Bytes of a picture file: four channels of 32 bits a pixel, and 64 MiB for what stands beside
them."""

WITH_ALPHA = frozenset({".png", ".webp", ".tif", ".tiff"})


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Image, Image | None]:
    """Read RGB [H, W, 3] and alpha [H, W], both uint8; alpha is None where there is none.

    The picture is turned upright as its EXIF data say; more than 8 bits are rounded to 8. The file
    is opened once. Raises SourceError, for more than ``max_pixels`` before memory is allocated.
    """
    import cv2  # imported here: 0.1 s, and system libraries that films can do without

    try:
        content = _content(path, max_pixels)
        flags = cv2.IMREAD_UNCHANGED if path.suffix.lower() in WITH_ALPHA else cv2.IMREAD_COLOR
        image = cv2.imdecode(content, flags)
        if image is None:
            raise SourceError(f"{path}: not a picture, or damaged")
        height, width = image.shape[:2]
        if width * height > max_pixels:  # a header that OpenCV read otherwise
            raise SourceError(
                f"{path}: {width}x{height} is larger than {max_pixels} pixels (--max-pixels)"
            )
        return _rgb_and_alpha(path, image)
    except OSError as error:
        raise SourceError(f"{path}: {reason_of(error)}") from error
    except MemoryError as error:
        raise SourceError(f"{path}: there is not enough memory for it") from error
    except cv2.error as error:
        raise SourceError(f"{path}: not a picture OpenCV can read ({error.err})") from error


def _content(path: Path, max_pixels: int) -> NDArray[np.uint8]:
    """Read a picture file whose header claims no more than ``max_pixels``. Raises SourceError,
    OSError, MemoryError."""
    # Not blocking, because opening a FIFO would wait for a writer.
    with open(
        path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
    ) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path}: is not a file with a picture")
        if status.st_size == 0:
            raise SourceError(f"{path}: the file is empty")
        largest = LARGEST_FILE + LARGEST_PIXEL * max_pixels
        if status.st_size > largest:
            raise SourceError(
                f"{path}: {status.st_size} bytes are too many for a picture of {max_pixels} pixels"
            )
        size = picture_size(file)
        if size is None or min(size) < 1:
            raise SourceError(f"{path}: not a picture, or damaged; known: {FORMATS}")
        if size[0] * size[1] > max_pixels:
            raise SourceError(
                f"{path}: {size[0]}x{size[1]} is larger than {max_pixels} pixels (--max-pixels)"
            )
        file.seek(0)
        return np.frombuffer(file.read(largest), np.uint8)


def _rgb_and_alpha(path: Path, image: "NDArray[Any]") -> tuple[Image, Image | None]:
    """Split what OpenCV read, which has any number of channels, blue first, of any type (so
    Any)."""
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if image.dtype != np.uint8:
        raise SourceError(f"{path}: {image.dtype} pixels are not supported")
    if image.ndim == 2:
        return np.asarray(np.repeat(image[..., None], 3, axis=2), np.uint8), None
    alpha = np.ascontiguousarray(image[..., 3], np.uint8) if image.shape[2] == 4 else None
    return np.ascontiguousarray(image[..., 2::-1], np.uint8), alpha


def write_image(
    path: Path,
    rgb: Image,
    alpha: Image | None,
    *,
    overwrite: bool,
    unchanged: Callable[[], None] | None = None,
) -> None:
    """Write RGB [H, W, 3] and alpha [H, W], both uint8, in the format of the path's suffix.

    The file appears under its name when it is complete. Alpha is left out where the format has
    none.

    unchanged  called before the file gets its name; raises when the input has changed meanwhile

    Raises SinkError.
    """
    import cv2  # imported here, as in `read_image`

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SinkError(
            f"{path}: unknown kind of picture {path.suffix!r}; known: {' '.join(sorted(SUFFIXES))}"
        )
    pixels = (
        rgb[..., ::-1]
        if alpha is None or suffix not in WITH_ALPHA
        else np.dstack((rgb[..., ::-1], alpha))
    )
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    try:
        with Output(path, overwrite=overwrite) as output:
            done, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels), quality)
            if not done:
                raise SinkError(f"{path}: the picture cannot be encoded")
            output.write(encoded.tobytes())
            if unchanged is not None:
                unchanged()
            output.publish()
    except cv2.error as error:
        raise SinkError(f"{path}: the picture cannot be encoded ({error.err})") from error
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror}") from error
