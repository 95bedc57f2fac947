"""What a picture file says beside its pixels: colours, EXIF, XMP, resolution, which way is up."""

import contextlib
import re
import struct
import zlib
from dataclasses import dataclass, replace

from streamsr.picture import chunks, exif, tiff
from streamsr.picture.tiff import Structure

INCH_M = 0.0254
LARGEST_PROFILE = 1 << 26
"""Bytes of a colour profile, unpacked; the largest ones in use have 5 MB."""

PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
PNG_COLOURS = (b"cICP", b"cHRM", b"gAMA", b"sRGB")
"""Chunks that say what a PNG's numbers mean, where it has no profile."""

EXIF_HEAD, XMP_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
ICC_HEAD = b"ICC_PROFILE\0"
APP0, APP1, APP2, APP13 = 0xE0, 0xE1, 0xE2, 0xED
IPTC_HEAD, IPTC_MARK = b"Photoshop 3.0\0", b"8BIM\x04\x04"
MPF_HEAD, MPF_ENTRIES = b"MPF\0", 0xB002
SMALL_COPY = 1
"""Upper byte of the type of a picture that shows the same, smaller: CIPA DC-007, 5.2.3.3.1."""

PNG_XMP = b"XML:com.adobe.xmp\0"

_SRGB = {
    b"cICP": re.compile(rb"[\x01\x02][\x01\x02\x06\x0d\x0e\x0f]"),
    b"gAMA": re.compile(re.escape(struct.pack(">I", 45455))),
    b"cHRM": re.compile(
        re.escape(struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    ),
    b"sRGB": re.compile(b""),
}
"""What these chunks say of ordinary pictures, which every format holds: sRGB, or BT.709 in
cICP."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a picture file says beside its pixels.

    icc       colour profile
    exif      EXIF data: a TIFF structure
    xmp       XMP packet
    dpi       dots an inch, across and down
    colours   the PNG chunks (name, body) that stand for a profile
    texts     the PNG chunks with comments
    iptc      the JPEG segments with IPTC data, which Photoshop began
    turned    EXIF's orientation, 1 to 8, of the stored pixels
    left_out  what could not be read, in words
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    colours: tuple[tuple[bytes, bytes], ...] = ()
    texts: tuple[tuple[bytes, bytes], ...] = ()
    iptc: tuple[bytes, ...] = ()
    turned: int = 1
    left_out: tuple[str, ...] = ()

    @property
    def profile_space(self) -> bytes:
        """The profile's colour space, ``RGB ``, ``GRAY``, ``CMYK`` and others: ICC.1, 7.2.6."""
        return (self.icc or b"")[16:20]

    @property
    def has_other_colours(self) -> bool:
        """Whether ``colours`` say something else than sRGB."""
        return any(not _SRGB[kind].match(body) for kind, body in self.colours)

    def of_enlarged(self, size: tuple[int, int]) -> "Metadata":
        """The same of the picture turned upright and enlarged to (width, height)."""
        dpi, xmp = self.dpi, self.xmp
        if self.turned > 4 and dpi is not None:
            dpi = dpi[1], dpi[0]
        if self.turned != 1 and xmp is not None:
            xmp = re.sub(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)[1-8]", rb"\g<1>1", xmp)
        upright = None if self.exif is None else exif.upright(self.exif, size)
        return replace(self, exif=upright, xmp=xmp, dpi=dpi, turned=1)


def metadata_of(content: bytes) -> Metadata:
    """Read it from a PNG, JPEG, WebP, TIFF or BMP file; what is damaged is named as left out."""
    if content.startswith(chunks.PNG):
        found = _of_png(content)
    elif content.startswith(chunks.JPEG):
        found = _of_jpeg(content)
    elif chunks.is_webp(content):
        parts = dict(chunks.webp_chunks(content))
        found = Metadata(parts.get(b"ICCP"), parts.get(b"EXIF"), parts.get(b"XMP "))
    elif content[:2] in (b"II", b"MM"):
        return _of_tiff(content)
    else:
        return _of_bmp(content)
    return checked(found)


def checked(found: Metadata) -> Metadata:
    """Look into the EXIF data: which way is up, and the resolution where the file has no other."""
    if found.exif is None:
        return found
    data = found.exif.removeprefix(EXIF_HEAD)
    try:
        dpi = found.dpi or exif.resolution_of(data)
        return replace(found, exif=data, turned=exif.orientation(data), dpi=dpi)
    except ValueError:
        return replace(found, exif=None, left_out=(*found.left_out, "damaged EXIF data"))


def _of_png(content: bytes) -> Metadata:
    found = Metadata()
    colours = {}
    for kind, body in chunks.png_chunks(content):
        if kind == b"iCCP":
            found = replace(found, icc=_unpacked(body.partition(b"\0")[2][1:]))
            if not found.icc:
                found = replace(found, icc=None, left_out=("a damaged colour profile",))
        elif kind == b"eXIf":
            found = replace(found, exif=body)
        elif kind == b"pHYs" and len(body) == 9 and body[8] == 1:
            across, down = struct.unpack(">II", body[:8])
            if across and down:
                found = replace(found, dpi=(across * INCH_M, down * INCH_M))
        elif kind == b"iTXt" and body.startswith(PNG_XMP):
            text = body[len(PNG_XMP) :]
            packed, rest = text[:1] == b"\1", text[2:]
            xmp = rest.partition(b"\0")[2].partition(b"\0")[2]
            found = replace(found, xmp=_unpacked(xmp) if packed else xmp)
        elif kind in PNG_COLOURS and body:
            colours[kind] = body
        elif kind in PNG_TEXTS:
            found = replace(found, texts=(*found.texts, (kind, body)))
    return replace(found, colours=() if found.icc else tuple(colours.items()))


def _unpacked(content: bytes) -> bytes | None:
    """Unpack zlib's format; None for what is damaged or too large."""
    unpacker = zlib.decompressobj()
    with contextlib.suppress(zlib.error):
        text = unpacker.decompress(content, LARGEST_PROFILE)
        if unpacker.eof:
            return text
    return None


def _of_jpeg(content: bytes) -> Metadata:
    found = Metadata()
    profile: dict[int, bytes] = {}
    parts = 0
    for marker, body in chunks.jpeg_segments(content):
        if marker == APP0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            unit, across, down = struct.unpack_from(">BHH", body, 7)
            factor = {1: 1.0, 2: 2.54}.get(unit)
            if factor is not None and across and down:
                found = replace(found, dpi=(across * factor, down * factor))
        elif marker == APP1 and body.startswith(EXIF_HEAD) and found.exif is None:
            found = replace(found, exif=body)
        elif marker == APP1 and body.startswith(XMP_HEAD):
            found = replace(found, xmp=body[len(XMP_HEAD) :])
        elif marker == APP13 and body.startswith(IPTC_HEAD) and IPTC_MARK in body:
            found = replace(found, iptc=(*found.iptc, body))
        elif marker == APP2 and body.startswith(MPF_HEAD) and (more := _further(body)):
            words = f"{more} further picture{'s' if more > 1 else ''}, such as a gain map"
            found = replace(found, left_out=(words,))
        elif marker == APP2 and body.startswith(ICC_HEAD) and len(body) > 14:
            number, parts = body[12], body[13]
            profile[number] = body[14:]
    if not profile:
        return found
    if sorted(profile) != list(range(1, parts + 1)):
        return replace(found, left_out=(*found.left_out, "a damaged colour profile"))
    return replace(found, icc=b"".join(profile[number] for number in sorted(profile)))


def _further(body: bytes) -> int:
    """How many more pictures follow in a camera's JPEG that are no small copies of the first."""
    structure = Structure.of(body[len(MPF_HEAD) :])
    if structure is None:
        return 0
    try:
        entry = structure.directory(structure.first).entries.get(MPF_ENTRIES)
    except ValueError:
        return 0
    entries = b"" if entry is None else entry.value.data
    kinds = [
        struct.unpack_from(structure.order + "I", entries, at)[0] >> 16 & 0xFF
        for at in range(16, len(entries) - 15, 16)
    ]
    return sum(kind != SMALL_COPY for kind in kinds)


def _of_tiff(content: bytes) -> Metadata:
    structure = Structure.of(content)
    if structure is None:
        return Metadata()
    try:
        directory = structure.directory(structure.first)
        icc, xmp = (
            directory.entries[tag].value.data if tag in directory.entries else None
            for tag in (tiff.ICC, tiff.XMP)
        )
        turned = directory.integer(tiff.ORIENTATION) or 1
        return Metadata(
            icc,
            exif.of_tiff(structure, directory),
            xmp,
            exif.resolution(directory),
            turned=turned if turned in range(1, 9) else 1,
        )
    except ValueError:
        return Metadata(left_out=("damaged EXIF data",))


def _of_bmp(content: bytes) -> Metadata:
    if content[:2] != b"BM" or len(content) < 46:
        return Metadata()
    header, across, down = struct.unpack_from("<I20xii", content, 14)
    if header < 40 or across <= 0 or down <= 0:
        return Metadata()
    return Metadata(dpi=(across * INCH_M, down * INCH_M))
