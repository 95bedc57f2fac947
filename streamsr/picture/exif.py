"""EXIF data: which way is up, made true for the enlarged picture, into and out of TIFF."""

import struct
from fractions import Fraction

from streamsr.picture import tiff
from streamsr.picture.tiff import Directory, Structure, Tags, Value

INTEROPERABILITY = 0xA005
_SIZES = (0xA002, 0xA003)
"""PixelXDimension and PixelYDimension, beside the picture's own settings."""

DESCRIPTIVE = frozenset(
    {269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 33723, 0x4746, 0x4749}
    | set(range(0x9C9B, 0x9CA0))
)
"""Tags of a TIFF's own directory that say something about the picture, not how it is stored: names,
maker, times, people, copyright, IPTC, ratings, and Windows' titles."""

DOTS_AN_INCH, DOTS_A_CENTIMETRE = 2, 3


def orientation(exif: bytes) -> int:
    """How the stored picture is to be turned: 1 to 8 as in EXIF, 1 also where nothing is said.

    Raises ValueError for damaged data.
    """
    _, directory = _opened(exif)
    found = directory.integer(tiff.ORIENTATION) or 1
    return found if found in range(1, 9) else 1


def _opened(exif: bytes) -> tuple[Structure, Directory]:
    structure = Structure.of(exif)
    if structure is None or structure.big:
        raise ValueError("no EXIF data")
    return structure, structure.directory(structure.first)


def upright(exif: bytes, size: tuple[int, int]) -> bytes:
    """The EXIF data of a picture that has been turned and enlarged to (width, height).

    Changed where it stands, because makers' notes have offsets that nobody knows. A small copy of a
    picture that was turned is taken off: it lies as before.
    """
    structure, directory = _opened(exif)
    edited = bytearray(exif)
    if orientation(exif) != 1:
        edited[directory.next_at : directory.next_at + 4] = bytes(4)
    _set(edited, structure, directory, tiff.ORIENTATION, 1)
    _set(edited, structure, directory, tiff.WIDTH, size[0])
    _set(edited, structure, directory, tiff.HEIGHT, size[1])
    settings = structure.pointed(directory, tiff.EXIF)
    if settings is not None:
        for tag, length in zip(_SIZES, size, strict=True):
            _set(edited, structure, settings, tag, length)
    return bytes(edited)


def _set(
    edited: bytearray, structure: Structure, directory: Directory, tag: int, number: int
) -> None:
    """Set an integer that is there already, as far as its type holds the number."""
    entry = directory.entries.get(tag)
    if entry is None or not entry.is_single:
        return
    code = {tiff.SHORT: "H", tiff.LONG: "I"}.get(entry.kind)
    if code is not None and number < 1 << 8 * struct.calcsize(code):
        struct.pack_into(structure.order + code, edited, entry.at, number)


def resolution(directory: Directory) -> tuple[float, float] | None:
    """Dots an inch, across and down, of EXIF data or a TIFF file."""
    across, down = (
        directory.entries[tag].value.ratio if tag in directory.entries else None
        for tag in (tiff.X_RESOLUTION, tiff.Y_RESOLUTION)
    )
    unit = directory.integer(tiff.RESOLUTION_UNIT) or DOTS_AN_INCH
    factor = {DOTS_AN_INCH: 1.0, DOTS_A_CENTIMETRE: 2.54}.get(unit)
    if not across or not down or factor is None:
        return None
    return across * factor, down * factor


def resolution_of(exif: bytes) -> tuple[float, float] | None:
    """As `resolution`, of EXIF data. Raises ValueError for damaged ones."""
    return resolution(_opened(exif)[1])


def resolution_tags(dpi: tuple[float, float]) -> dict[int, Value]:
    """The tags for this many dots an inch."""
    across, down = (Fraction(dots).limit_denominator(10_000) for dots in dpi)
    return {
        tiff.X_RESOLUTION: Value(tiff.RATIONAL, struct.pack("<II", *across.as_integer_ratio())),
        tiff.Y_RESOLUTION: Value(tiff.RATIONAL, struct.pack("<II", *down.as_integer_ratio())),
        tiff.RESOLUTION_UNIT: Value(tiff.SHORT, struct.pack("<H", DOTS_AN_INCH)),
    }


def with_resolution(exif: bytes | None, dpi: tuple[float, float]) -> bytes:
    """The EXIF data, or new ones, with a resolution where they have none. Raises ValueError."""
    if exif is None:
        return b"II*\0\x08\0\0\0" + tiff.directory_at(resolution_tags(dpi), 8, "<")
    structure, directory = _opened(exif)
    if resolution(directory) is not None:
        return exif
    return tiff.with_tags(structure, resolution_tags(dpi))


def tags_of(structure: Structure, directory: Directory) -> Tags:
    """What a directory of EXIF data or of a TIFF file says about its picture, as tags for another
    TIFF file."""
    tags: dict[int, Value | Tags] = {**tiff.copied(directory, DESCRIPTIVE)}
    for tag in (tiff.EXIF, tiff.GPS):
        below = structure.pointed(directory, tag)
        if below is None:
            continue
        found: dict[int, Value | Tags] = {**tiff.copied(below)}
        further = structure.pointed(below, INTEROPERABILITY) if tag == tiff.EXIF else None
        found.pop(INTEROPERABILITY, None)
        if further is not None:
            found[INTEROPERABILITY] = tiff.copied(further)
        tags[tag] = found
    return tags


def as_tags(exif: bytes) -> Tags:
    """The EXIF data as tags for a TIFF file's first directory. Raises ValueError."""
    return tags_of(*_opened(exif))


def of_tiff(structure: Structure, directory: Directory) -> bytes | None:
    """What a TIFF file says about its picture as EXIF data; None where that is nothing.

    Raises ValueError.
    """
    tags = dict(tags_of(structure, directory))
    if not tags:
        return None
    turned = directory.integer(tiff.ORIENTATION)
    if turned is not None:
        tags[tiff.ORIENTATION] = Value(tiff.SHORT, struct.pack("<H", turned))
    return b"II*\0\x08\0\0\0" + tiff.directory_at(tags, 8, "<")
