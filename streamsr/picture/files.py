"""Reads and writes still pictures, with what their files say beside the pixels.

OpenCV decodes and encodes the pixels of PNG, JPEG, WebP, BMP and TIFF, Pillow decodes those of AVIF
and others; the rest of a file is read and written here.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsr.errors import SinkError, SourceError, reason_of
from streamsr.frame import Coded, Image
from streamsr.options import MAX_PIXELS
from streamsr.picture import embed, pillow
from streamsr.picture.coded import coded_of
from streamsr.picture.decode import decoded, of_8_bits, upright
from streamsr.picture.embed import profile_fits, with_metadata
from streamsr.picture.high_depth import Image16
from streamsr.picture.metadata import Metadata
from streamsr.picture.pages import pictures_in
from streamsr.picture.size import FORMATS, picture_size
from xlsr_model.files import Output

SUFFIXES = frozenset(embed.FORMATS)
"""Endings of the names of pictures that are written."""

READ = SUFFIXES | {".avif", ".avifs", ".heic", ".heif", ".hif"}
"""Endings of the names of pictures that are read. A GIF may be a film as well."""

JPEG_QUALITY = 95
LARGEST_PIXEL = 16
LARGEST_FILE = 1 << 26
"""Bytes of a picture file: four channels of 32 bits a pixel, and 64 MiB for what stands beside
them."""

FULL = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A still picture, upright.

    rgb       [H, W, 3] uint8
    deep      the same at its full depth, [H, W, 3] uint16, where the file has more than 8 bits
    alpha     its opacity [H, W] over the full range of its type; None where there is none
    gray      the file has one channel
    metadata  what the file says beside the pixels, as it stands there
    coded     how strongly a lossy file has compressed it
    """

    rgb: Image
    deep: Image16 | None = None
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    gray: bool = False
    metadata: Metadata = field(default_factory=Metadata)
    coded: Coded | None = None

    @property
    def has_transparency(self) -> bool:
        return self.alpha is not None and bool((self.alpha < FULL[self.alpha.dtype]).any())

    def is_gray_as(self, kind: str) -> bool:
        """Whether the output of this kind has one channel too: a profile for gray fits no other,
        and 16 bits show the network's traces of colour."""
        if self.alpha is not None:
            return False
        return (self.gray and self.deep is not None and kind in embed.HOLDS_16_BITS) or (
            self.metadata.profile_space == b"GRAY"
            and np.array_equal(self.rgb[..., 0], self.rgb[..., 1])
            and np.array_equal(self.rgb[..., 1], self.rgb[..., 2])
        )

    def unheld_by(self, kind: str) -> list[str]:
        """What of it this kind of picture file cannot hold, in words."""
        return embed.unheld(
            kind,
            self.metadata,
            gray=self.is_gray_as(kind),
            was_gray=self.gray,
            alpha=self.has_transparency,
            deep=self.deep is not None,
        )


def is_image(path: Path) -> bool:
    """Whether the name is one of a picture that can be written."""
    return path.suffix.lower() in SUFFIXES


def is_picture(path: Path) -> bool:
    """Whether the name is one of a picture that can be read."""
    return path.suffix.lower() in READ


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture, turned upright as its file says. The file is opened once.

    Raises SourceError, for more than ``max_pixels`` before memory is allocated, and for a file of
    several pictures.
    """
    import cv2  # noqa: F401 - here: 0.1 s; first, so that its absence is what is said

    content = read_content(path, max_pixels)
    several = pictures_in(path, content, max_pixels)
    if several > 1:
        raise SourceError(
            f"{path}: holds {several} pictures; name a film as the output, such as "
            f"{path.with_suffix('.mkv').name}"
        )
    try:
        picture = picture_of(path, content, max_pixels)
        return replace(picture, coded=coded_of(content, picture.rgb))
    except MemoryError as error:
        raise SourceError(f"{path}: there is not enough memory for it") from error


def read_content(path: Path, max_pixels: int) -> bytes:
    """Read a picture file whose header claims no more than ``max_pixels``. Raises SourceError."""
    try:
        # Not blocking, because opening a FIFO would wait for a writer.
        with open(
            path,
            "rb",
            opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)),
        ) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(f"{path}: is not a file with a picture")
            if status.st_size == 0:
                raise SourceError(f"{path}: the file is empty")
            largest = LARGEST_FILE + LARGEST_PIXEL * max_pixels
            if status.st_size > largest:
                raise SourceError(
                    f"{path}: {status.st_size} bytes are too many for a picture of {max_pixels} "
                    "pixels"
                )
            size = picture_size(file)
            if size is None or min(size) < 1:
                raise SourceError(f"{path}: not a picture, or damaged; known: {FORMATS}")
            pillow.check_size(path, size, max_pixels)
            file.seek(0)
            return file.read(largest)
    except OSError as error:
        raise SourceError(f"{path}: {reason_of(error)}") from error
    except MemoryError as error:
        raise SourceError(f"{path}: there is not enough memory for it") from error


def picture_of(path: Path, content: bytes, max_pixels: int) -> Picture:
    """Decode the first picture in a file's content. Raises SourceError, MemoryError."""
    image, metadata = decoded(path, content, max_pixels)
    return _picture(path, image, metadata)


def _picture(path: Path, image: NDArray[Any], metadata: Metadata) -> Picture:
    """Make a picture of what was decoded (see `streamsr.picture.decode.decoded`)."""
    image = upright(image, metadata.turned)
    if image.dtype not in FULL:
        raise SourceError(f"{path}: {image.dtype} pixels are not supported")
    gray = image.ndim == 2
    if gray:
        image = np.repeat(image[..., None], 3, axis=2)
    alpha = np.ascontiguousarray(image[..., 3]) if image.shape[2] == 4 else None
    rgb = np.ascontiguousarray(image[..., 2::-1])
    if rgb.dtype == np.uint16:
        return Picture(of_8_bits(rgb), rgb, alpha, gray, metadata)
    return Picture(rgb, None, alpha, gray, metadata)


def write_image(
    path: Path,
    rgb: Image | Image16,
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None,
    *,
    metadata: Metadata | None = None,
    gray: bool = False,
    was_gray: bool = False,
    overwrite: bool,
    unchanged: Callable[[], None] | None = None,
) -> None:
    """Write RGB [H, W, 3] and alpha [H, W], of 8 bits or of 16, in the format of the path's suffix.

    The file appears under its name when it is complete. What the format has no place for is left
    out: alpha, 16 bits, metadata (see `streamsr.picture.embed.unheld`).

    metadata   of the picture as it is now
    gray       write one channel; ``was_gray``: the metadata are from a file of one
    unchanged  called before the file gets its name; raises when the input has changed meanwhile

    Raises SinkError.
    """
    import cv2  # imported here, 0.1 s, and system libraries that films can do without

    kind = embed.format_of(path)
    if kind is None:
        raise SinkError(
            f"{path}: unknown kind of picture {path.suffix!r}; known: {' '.join(sorted(SUFFIXES))}"
        )
    metadata = metadata or Metadata()
    if not profile_fits(metadata, gray=gray, was_gray=was_gray):
        metadata = replace(metadata, icc=None)
    parts = [rgb[..., ::-1], *([] if alpha is None or kind not in embed.HOLDS_ALPHA else [alpha])]
    if kind not in embed.HOLDS_16_BITS:
        parts = [of_8_bits(part) for part in parts]
    pixels = np.ascontiguousarray(parts[0] if len(parts) == 1 else np.dstack(parts))
    if gray and len(parts) == 1:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == "JPEG" else []
    try:
        with Output(path, overwrite=overwrite) as output:
            done, encoded = cv2.imencode(path.suffix.lower(), pixels, quality)
            if not done:
                raise SinkError(f"{path}: the picture cannot be encoded")
            content = encoded.tobytes()
            output.write(with_metadata(kind, content, metadata, alpha=len(parts) > 1))
            if unchanged is not None:
                unchanged()
            output.publish()
    except cv2.error as error:
        raise SinkError(f"{path}: the picture cannot be encoded ({error.err})") from error
    except ValueError as error:
        raise SinkError(f"{path}: the picture cannot be encoded ({error})") from error
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror}") from error
