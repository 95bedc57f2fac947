"""Reads the size of a picture from its header, before anything is decoded: a decoder allocates
memory for whatever size the header claims.

Formats are recognised by their first bytes, as OpenCV does, whatever the file is called.
"""

import struct
from typing import BinaryIO

FORMATS = "PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF and HEIC"

MOST_STEPS = 1 << 16
"""Segments, and bytes between them, that are read before a JPEG's size is known; 255 segments hold
the largest colour profile."""

LARGE_TILE = 1 << 22
"""Pixels of a TIFF tile; the memory for a smaller one does not matter."""

MOST_TAGS = 4096
"""Tags of a TIFF picture that are read; ordinary ones have 20."""

MOST_BOXES = 1 << 16
"""Boxes of an AVIF or HEIC that are read; ordinary ones have 30, and one for each tile."""

_HOLDING = {b"meta": 4, b"iprp": 0, b"ipco": 0}
"""Boxes that hold those with the sizes, and the bytes before these in them."""

_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""TIFF's unsigned integers by their type: BYTE, SHORT, LONG, LONG8."""

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers of JPEG that begin a frame, and those without a length. ITU-T T.81, table B.1."""


def picture_size(file: BinaryIO) -> tuple[int, int] | None:
    """Read (width, height), the larger of each where a header has several; None for other formats
    and damaged headers.

    Reads a few kilobytes, anywhere in the file. Raises OSError.
    """
    file.seek(0)
    start = file.read(32)
    try:
        if start.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack(">II", start[16:24]) if start[12:16] == b"IHDR" else None
        if start.startswith(b"\xff\xd8"):
            return _jpeg(file)
        if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
            return _webp(file)
        if start.startswith(b"BM"):
            return _bmp(start)
        if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(file, start)
        if start[:6] in (b"GIF87a", b"GIF89a"):
            return struct.unpack("<HH", start[6:10])
        if start[4:8] == b"ftyp":
            return _heif(file)
    except (struct.error, OverflowError):  # cut off, or an offset beyond any file
        pass
    return None


def _jpeg(file: BinaryIO) -> tuple[int, int] | None:
    """Find the frame header. Looks for the next marker where a segment does not end at one, as
    libjpeg does."""
    file.seek(2)
    for _ in range(MOST_STEPS):
        byte = file.read(1)
        if byte != b"\xff":
            continue
        while byte == b"\xff":  # any number of these may stand before a marker
            byte = file.read(1)
        marker = byte[0] if byte else 0
        if marker in _ALONE or marker == 0:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _SOF:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return width, height
        if marker in (0xD8, 0xD9, 0xDA) or length < 2:
            return None
        file.seek(length - 2, 1)
    return None


def _webp(file: BinaryIO) -> tuple[int, int] | None:
    """Read the size of the canvas or of the picture in it, whichever is larger. RFC 9649."""
    file.seek(12)
    sizes = []
    for _ in range(2):
        kind, length = struct.unpack("<4sI", file.read(8))
        body = file.read(10)
        if kind == b"VP8X":
            sizes.append((_three(body[4:7]) + 1, _three(body[7:10]) + 1))
        elif kind == b"VP8 ":
            width, height = struct.unpack("<HH", body[6:10])
            sizes.append((width & 0x3FFF, height & 0x3FFF))
        elif kind == b"VP8L":
            (bits,) = struct.unpack("<I", body[1:5])
            sizes.append(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        if kind in (b"VP8 ", b"VP8L"):
            break
        file.seek(length + length % 2 - len(body), 1)
    return _largest(sizes)


def _three(content: bytes) -> int:
    return int.from_bytes(content + b"\0"[: 3 - len(content)], "little")


def _bmp(start: bytes) -> tuple[int, int] | None:
    (header,) = struct.unpack("<I", start[14:18])
    if header == 12:  # OS/2
        return struct.unpack("<HH", start[18:22])
    width, height = struct.unpack("<ii", start[18:26])
    return abs(width), abs(height)  # negative: from the top


def _tiff(file: BinaryIO, start: bytes) -> tuple[int, int] | None:
    """Read the size of the first picture, or of its tiles where these are large and larger. TIFF
    6.0; BigTIFF's numbers are longer."""
    order = "<" if start[:1] == b"I" else ">"
    big = start[2:4] in (b"+\0", b"\0+")
    (at,) = (
        struct.unpack(f"{order}Q", start[8:16]) if big else struct.unpack(f"{order}I", start[4:8])
    )
    file.seek(at)
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))
    length = 20 if big else 12
    values: dict[int, int] = {}
    for _ in range(min(count, MOST_TAGS)):
        entry = file.read(length)
        tag, kind = struct.unpack(f"{order}HH", entry[:4])
        if kind in _INTEGERS and tag not in values:  # the first of several counts, for libtiff too
            (values[tag],) = struct.unpack_from(
                f"{order}{_INTEGERS[kind]}", entry, 12 if big else 8
            )
    size = values.get(256, 0), values.get(257, 0)
    tile = values.get(322, 0), values.get(323, 0)
    return tile if tile[0] * tile[1] > max(LARGE_TILE, size[0] * size[1]) else size


def _heif(file: BinaryIO) -> tuple[int, int] | None:
    """Read the largest size that the properties of an AVIF or HEIC claim for a picture or a part of
    it. ISO/IEC 23008-12, 6.5.3."""
    boxes = [(0, 1 << 62)]
    sizes = []
    for _ in range(MOST_BOXES):
        if not boxes:
            break
        at, end = boxes.pop()
        file.seek(at)
        head = file.read(16)
        if at + 8 > end or len(head) < 8:
            continue
        length, kind = struct.unpack(">I4s", head[:8])
        start = at + 8
        if length == 1:
            (length,) = struct.unpack(">Q", head[8:16])
            start += 8
        after = end if length == 0 else min(at + length, end)
        if after <= at:
            continue
        boxes.append((after, end))
        if kind in _HOLDING:
            boxes.append((start + _HOLDING[kind], after))
        elif kind == b"ispe":
            file.seek(start + 4)
            sizes.append(struct.unpack(">II", file.read(8)))
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _largest(sizes: list[tuple[int, int]]) -> tuple[int, int] | None:
    if not sizes:
        return None
    return max(width for width, _ in sizes), max(height for _, height in sizes)
