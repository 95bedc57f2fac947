"""Puts what a picture file says beside its pixels into an encoded file, as far as its format holds
it."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from streamsr.picture import chunks, exif, tiff
from streamsr.picture.metadata import (
    APP1,
    APP2,
    APP13,
    EXIF_HEAD,
    ICC_HEAD,
    INCH_M,
    PNG_XMP,
    XMP_HEAD,
    Metadata,
)
from streamsr.picture.tiff import Structure, Tags, Value

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WebP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Kinds of pictures that are written, by the endings of their names."""

HOLDS_ALPHA = frozenset({"PNG", "WebP", "TIFF"})
HOLDS_16_BITS = frozenset({"PNG", "TIFF"})

JPEG_SEGMENT = 65533
"""Bytes of a segment of JPEG without its length: ITU-T T.81, B.1.1.4."""

JPEG_PROFILE = 255 * (JPEG_SEGMENT - 14)
"""Bytes of a colour profile in 255 segments: ICC.1, B.4."""

WEBP_ICC, WEBP_ALPHA, WEBP_EXIF, WEBP_XMP = 0x20, 0x10, 0x08, 0x04
"""Flags of a WebP's header: RFC 9649, 2.7."""

UNASSOCIATED_ALPHA = 2


def format_of(path: Path) -> str | None:
    """The kind of picture that this name stands for; None for another kind of file."""
    return FORMATS.get(path.suffix.lower())


def unheld(
    kind: str, metadata: Metadata, *, gray: bool, was_gray: bool, alpha: bool, deep: bool
) -> list[str]:
    """What of a picture this format cannot hold, in words.

    gray, was_gray  the output, and the input, has shades of gray alone
    alpha, deep     the picture has transparent parts, more than 8 bits
    """
    found = []
    if alpha and kind not in HOLDS_ALPHA:
        found.append("transparency")
    if deep and kind not in HOLDS_16_BITS:
        found.append("more than 8 bits")
    if metadata.icc is not None:
        fits = profile_fits(metadata, gray=gray, was_gray=was_gray)
        if not fits or kind == "BMP" or (kind == "JPEG" and len(metadata.icc) > JPEG_PROFILE):
            words = "its colour profile"
            if not fits:
                space = metadata.profile_space.decode("ascii", "replace").strip()
                words += f", which is for {space}"
            found.append(words)
    elif metadata.has_other_colours and kind != "PNG":
        found.append(
            "its colours (" + " ".join(name.decode() for name, _ in metadata.colours) + ")"
        )
    for what, content, head in (
        ("EXIF data", metadata.exif, EXIF_HEAD),
        ("XMP data", metadata.xmp, XMP_HEAD),
    ):
        long = content is not None and len(head) + len(content) > JPEG_SEGMENT
        if content is not None and (kind == "BMP" or (kind == "JPEG" and long)):
            found.append(what)
    if metadata.iptc and kind != "JPEG":
        found.append("IPTC data")
    if metadata.texts and kind != "PNG":
        found.append("comments")
    return found


def profile_fits(metadata: Metadata, *, gray: bool, was_gray: bool) -> bool:
    """Whether the profile is one for the output's pixels, or was beside such as these already."""
    space = metadata.profile_space
    return space == (b"GRAY" if gray else b"RGB ") or (space != b"CMYK" and gray == was_gray)


def with_metadata(kind: str, content: bytes, metadata: Metadata, *, alpha: bool) -> bytes:
    """Put all of it that the format holds into a file that an encoder wrote; the pixels stay.

    kind   of picture, one of FORMATS
    alpha  whether the file has an alpha channel

    Raises ValueError for what becomes too large for the format.
    """
    if kind == "PNG":
        return chunks.png_with(content, _png_chunks(metadata))
    if kind == "JPEG":
        return _jpeg(content, metadata)
    if kind == "WebP":
        return _webp(content, metadata, alpha=alpha)
    if kind == "TIFF":
        return _tiff(content, metadata, alpha=alpha)
    if metadata.dpi is None:
        return content
    return content[:38] + struct.pack("<ii", *_dots_a_metre(metadata.dpi)) + content[46:]


def _dots_a_metre(dpi: tuple[float, float]) -> tuple[int, int]:
    across, down = (min(max(round(dots / INCH_M), 1), (1 << 31) - 1) for dots in dpi)
    return across, down


def _png_chunks(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    if metadata.icc is not None:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)
    else:
        yield from metadata.colours
    yield from metadata.texts
    if metadata.dpi is not None:
        yield b"pHYs", struct.pack(">IIB", *_dots_a_metre(metadata.dpi), 1)
    if metadata.exif is not None:
        yield b"eXIf", metadata.exif
    if metadata.xmp is not None:
        yield b"iTXt", PNG_XMP + b"\0\0\0\0" + metadata.xmp


def _jpeg(content: bytes, metadata: Metadata) -> bytes:
    added = []
    if metadata.exif is not None and len(EXIF_HEAD) + len(metadata.exif) <= JPEG_SEGMENT:
        added.append((APP1, EXIF_HEAD + metadata.exif))
    if metadata.xmp is not None and len(XMP_HEAD) + len(metadata.xmp) <= JPEG_SEGMENT:
        added.append((APP1, XMP_HEAD + metadata.xmp))
    added += [(APP13, body) for body in metadata.iptc]
    icc = metadata.icc or b""
    if len(icc) <= JPEG_PROFILE:
        step = JPEG_SEGMENT - 14
        parts = [icc[at : at + step] for at in range(0, len(icc), step)]
        for number, part in enumerate(parts, 1):
            added.append((APP2, ICC_HEAD + bytes((number, len(parts))) + part))
    if metadata.dpi is not None:
        dots = (min(max(round(dots), 1), 65535) for dots in metadata.dpi)
        # Behind SOI, the marker and length of APP0, "JFIF" and the version.
        content = content[:13] + struct.pack(">BHH", 1, *dots) + content[18:]
    return chunks.jpeg_with(content, added)


def _webp(content: bytes, metadata: Metadata, *, alpha: bool) -> bytes:
    """A WebP's own part for the resolution is its EXIF data."""
    data = metadata.exif
    if metadata.dpi is not None:
        data = exif.with_resolution(data, metadata.dpi)
    held = ((WEBP_ICC, metadata.icc), (WEBP_EXIF, data), (WEBP_XMP, metadata.xmp))
    flags = sum(flag for flag, part in held if part is not None)
    if not flags:
        return content
    width, height = _webp_size(content)
    head = bytes((flags | alpha * WEBP_ALPHA, 0, 0, 0))
    parts = [
        (b"VP8X", head + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))
    ]
    if metadata.icc is not None:
        parts.append((b"ICCP", metadata.icc))
    pixels = (b"ALPH", b"VP8 ", b"VP8L")
    parts += [(name, body) for name, body in chunks.webp_chunks(content) if name in pixels]
    if data is not None:
        parts.append((b"EXIF", data))
    if metadata.xmp is not None:
        parts.append((b"XMP ", metadata.xmp))
    return chunks.webp_of(parts)


def _webp_size(content: bytes) -> tuple[int, int]:
    """(width, height) of what the encoder wrote. RFC 9649, 2.5 and 3.4."""
    parts = dict(chunks.webp_chunks(content))
    if b"VP8L" in parts:
        (bits,) = struct.unpack_from("<I", parts[b"VP8L"], 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", parts[b"VP8 "], 6)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(content: bytes, metadata: Metadata, *, alpha: bool) -> bytes:
    structure = Structure.of(content)
    assert structure is not None
    tags: dict[int, Value | Tags] = {}
    if metadata.exif is not None:
        tags |= exif.as_tags(metadata.exif)
    if metadata.dpi is not None:
        tags |= exif.resolution_tags(metadata.dpi)
    if metadata.icc is not None:
        tags[tiff.ICC] = Value(tiff.UNDEFINED, metadata.icc)
    if metadata.xmp is not None:
        tags[tiff.XMP] = Value(1, metadata.xmp)
    if alpha:  # without it, readers may take the channel for anything
        tags[tiff.EXTRA_SAMPLES] = Value(tiff.SHORT, struct.pack("<H", UNASSOCIATED_ALPHA))
    return tiff.with_tags(structure, tags) if tags else content
