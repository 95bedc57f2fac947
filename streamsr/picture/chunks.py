"""The parts that PNG, JPEG and WebP files are made of, taken apart and put together."""

import struct
import zlib
from collections.abc import Iterable, Iterator

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"

IMAGE_BEGINS, IMAGE_ENDS, SCAN = 0xD8, 0xD9, 0xDA
"""Markers of JPEG: ITU-T T.81, table B.1."""

_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""


def is_webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The (name, body) of a PNG's chunks; those with pixels without their body. Ends where the file
    is cut off."""
    at = len(PNG)
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        pixels = kind in (b"IDAT", b"fdAT")
        yield kind, b"" if pixels else content[at + 8 : at + 8 + length]
        at += 12 + length


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(content: bytes, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Put chunks behind a PNG's header, IHDR, which has 13 bytes."""
    end = len(PNG) + 12 + 13
    return content[:end] + b"".join(png_chunk(*chunk) for chunk in chunks) + content[end:]


def jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The (marker, body) of the segments before a JPEG's first scan."""
    at = len(JPEG)
    while at + 4 <= len(content):
        if content[at] != 0xFF:  # rubbish, which decoders pass over
            at = content.find(b"\xff", at)
            if at < 0:
                return
            continue
        marker = content[at + 1]
        if marker in (0xFF, 0) or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (IMAGE_BEGINS, IMAGE_ENDS, SCAN):
            return
        (length,) = struct.unpack_from(">H", content, at + 2)
        yield marker, content[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def jpeg_with(content: bytes, segments: Iterable[tuple[int, bytes]]) -> bytes:
    """Put segments behind the JFIF header that the encoder begins with."""
    (length,) = struct.unpack_from(">H", content, 4)
    end = 4 + length
    added = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments
    )
    return content[:end] + added + content[end:]


def webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The (name, body) of a WebP's chunks. RFC 9649."""
    at = 12
    while at + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, at)
        yield kind, content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def webp_of(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A WebP file of these chunks."""
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body
