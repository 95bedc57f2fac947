"""Decodes through Pillow what OpenCV does not: AVIF, GIF, animated WebP; HEIC by pillow-heif."""

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamsr.errors import SourceError, first_line
from streamsr.picture.metadata import Metadata, checked

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""[H, W, 3 or 4] RGB or RGBA, over the full range of the type."""

HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})

HIGH_DEPTH, TWELVE_BITS = 0x40, 0x20
"""Bits of the third byte of AVIF's decoder configuration: AV1-ISOBMFF, 2.3.3."""

_SRGB_NCLX = frozenset({1, 2}), frozenset({1, 2, 6, 13, 14, 15})
"""Primaries and transfers that every picture without a profile is taken for: H.273."""


def brand_of(content: bytes) -> str | None:
    """``AVIF`` or ``HEIC`` for a file that says so in its first box, else None."""
    if content[4:8] != b"ftyp":
        return None
    (length,) = struct.unpack(">I", content[:4])
    brands = {content[8:12], *(content[at : at + 4] for at in range(16, min(length, 512), 4))}
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & HEIC_BRANDS else None


@contextlib.contextmanager
def opened(path: Path, content: bytes, max_pixels: int) -> Iterator["PillowImage"]:
    """The picture's header is read; its first picture is current. Raises SourceError, for more than
    ``max_pixels`` before memory is allocated."""
    from PIL import Image, UnidentifiedImageError  # imported here: most pictures do without

    formats = ["AVIF", "GIF", "WEBP", "TIFF"]
    if brand_of(content) == "HEIC":
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise SourceError(
                f"{path}: HEIC pictures need pillow-heif: pip install 'streamsr[heic]'"
            ) from None
        register_heif_opener(thumbnails=False)
        formats = ["HEIF"]
    with warnings.catch_warnings():
        # The limit of pixels is ours, and what is odd in a file needs no line of its own.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=formats) as image:
                check_size(path, image.size, max_pixels)
                yield image
        except SourceError:
            raise
        except UnidentifiedImageError as error:  # its message has the address of an object
            raise SourceError(f"{path}: not a picture, or damaged") from error
        except MemoryError as error:
            raise SourceError(f"{path}: there is not enough memory for it") from error
        except Exception as error:  # Pillow's decoders raise all kinds for damaged files
            raise SourceError(f"{path}: not a picture, or damaged ({first_line(error)})") from error


def check_size(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    """Raise SourceError for a picture of more than ``max_pixels``."""
    if size[0] * size[1] > max_pixels:
        raise SourceError(
            f"{path}: {size[0]}x{size[1]} is larger than {max_pixels} pixels (--max-pixels)"
        )


def pixels_of(image: "PillowImage") -> Pixels:
    """Decode the current picture."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return np.asarray(image.convert(mode), np.uint8)


def metadata_of(image: "PillowImage", content: bytes) -> Metadata:
    """What the file says beside its pixels, read after these."""
    info: dict[Any, Any] = image.info  # Pillow's values
    depth = _depth(content)
    return checked(
        Metadata(
            icc=info.get("icc_profile") or None,
            exif=info.get("exif") or None,
            xmp=info.get("xmp") or None,
            colours=() if info.get("icc_profile") else _colours(content),
            left_out=(f"{depth - 8} of its {depth} bits",) if depth > 8 else (),
        )
    )


def _depth(content: bytes) -> int:
    """Bits a sample of an AVIF or HEIC."""
    brand = brand_of(content)
    if brand == "AVIF" and (at := content.find(b"av1C")) > 0 and at + 7 <= len(content):
        flags = content[at + 6]
        return (12 if flags & TWELVE_BITS else 10) if flags & HIGH_DEPTH else 8
    if brand == "HEIC" and (at := content.find(b"hvcC")) > 0 and at + 22 <= len(content):
        return (content[at + 21] & 7) + 8  # ISO/IEC 14496-15, 8.3.3.1
    return 8


def _colours(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """What an AVIF's or HEIC's colours are where they are not sRGB, as the chunk that says so in a
    PNG. ISO/IEC 14496-12, 12.1.5: primaries, transfer, matrix."""
    at = content.find(b"colrnclx") if brand_of(content) else -1
    if at < 0 or at + 14 > len(content):
        return ()
    primaries, transfer = struct.unpack_from(">HH", content, at + 8)
    if (primaries in _SRGB_NCLX[0] and transfer in _SRGB_NCLX[1]) or max(primaries, transfer) > 255:
        return ()
    return ((b"cICP", bytes((primaries, transfer, 0, 1))),)
