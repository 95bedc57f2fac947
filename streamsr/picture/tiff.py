"""The structure of TIFF files, which is that of EXIF data too: directories of tagged values.

TIFF 6.0, section 2. BigTIFF, whose numbers are longer, is read, not written.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self, Union

ORIENTATION = 274
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
SUBFILE, WIDTH, HEIGHT, SAMPLES, EXTRA_SAMPLES = 254, 256, 257, 277, 338
XMP, ICC, EXIF, GPS = 700, 34675, 34665, 34853

SHORT, LONG, RATIONAL, UNDEFINED = 3, 4, 5, 7

MOST_TAGS = 4096
"""Tags of a directory that are read; ordinary ones have 20."""

MOST_PAGES = 1 << 16
"""Directories of a file that are followed."""

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BYTES |= {16: 8, 17: 8, 18: 8}
"""Length of a value by its type."""

_SWAPPED = _BYTES | {RATIONAL: 4, 10: 4}
"""Length of the numbers in it, which the byte order turns round."""

_INTEGERS = {1: "B", SHORT: "H", LONG: "I", 13: "I", 16: "Q"}


@dataclass(frozen=True, slots=True)
class Value:
    """A tag's value: ``count`` values of this type, as they stand in a file of this byte order."""

    kind: int
    data: bytes
    order: str = "<"

    @property
    def count(self) -> int:
        return len(self.data) // _BYTES[self.kind]

    @property
    def ratio(self) -> float | None:
        """A single fraction."""
        if self.kind != RATIONAL or self.count != 1:
            return None
        above, below = struct.unpack(f"{self.order}II", self.data)
        return above / below if below else None

    def ordered(self, order: str) -> bytes:
        """The bytes in a file of this byte order."""
        step = _SWAPPED[self.kind]
        if order == self.order or step == 1:
            return self.data
        return b"".join(self.data[at : at + step][::-1] for at in range(0, len(self.data), step))


Tags = Mapping[int, Union[Value, "Tags"]]
"""Values by their tags; directories that a tag points to are Tags of their own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value in a file, ``size`` bytes at ``at``, read when it is asked for; ``raw`` is its 12
    (BigTIFF: 20) bytes in the directory."""

    content: bytes
    order: str
    kind: int
    at: int
    size: int
    raw: bytes

    @property
    def value(self) -> Value:
        return Value(self.kind, self.content[self.at : self.at + self.size], self.order)

    @property
    def is_single(self) -> bool:
        return self.size == _BYTES[self.kind]

    @property
    def integer(self) -> int | None:
        """The first of the values, where they are integers without a sign."""
        if self.kind not in _INTEGERS:
            return None
        code = self.order + _INTEGERS[self.kind]
        return int(struct.unpack_from(code, self.content, self.at)[0])


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory of a file: ``next`` is where the following one is, 0 for none; ``next_at`` is
    where that stands."""

    entries: dict[int, Entry]
    next: int
    next_at: int

    def integer(self, tag: int) -> int | None:
        """The first value of a tag, where it is an integer."""
        return self.entries[tag].integer if tag in self.entries else None


@dataclass(frozen=True, slots=True)
class Structure:
    """A TIFF file or EXIF data, in memory; ``first`` is where its first directory is."""

    content: bytes
    order: str
    big: bool
    first: int

    @classmethod
    def of(cls, content: bytes) -> Self | None:
        """The structure, None for what is no TIFF."""
        order = {b"II": "<", b"MM": ">"}.get(content[:2])
        if order is None or len(content) < 8:
            return None
        (version,) = struct.unpack(order + "H", content[2:4])
        if version == 42:
            return cls(content, order, False, *struct.unpack(order + "I", content[4:8]))
        if version == 43 and len(content) >= 16:
            return cls(content, order, True, *struct.unpack(order + "Q", content[8:16]))
        return None

    def directory(self, at: int) -> Directory:
        """Read a directory; values that lie outside the file are left out. Raises ValueError."""
        big, order = self.big, self.order
        try:
            (count,) = struct.unpack_from(order + ("Q" if big else "H"), self.content, at)
            at += 8 if big else 2
            if count > MOST_TAGS:
                raise ValueError(f"a directory of {count} tags")
            length, inside = (20, 8) if big else (12, 4)
            entries: dict[int, Entry] = {}
            for start in range(at, at + count * length, length):
                raw = self.content[start : start + length]
                tag, kind, values = struct.unpack_from(order + ("HHQ" if big else "HHI"), raw)
                size = values * _BYTES.get(kind, 0)
                place = start + length - inside
                if size > inside:
                    (place,) = struct.unpack(order + ("Q" if big else "I"), raw[-inside:])
                if size and place + size <= len(self.content) and tag not in entries:
                    entries[tag] = Entry(self.content, order, kind, place, size, raw)
            end = at + count * length
            (following,) = struct.unpack_from(order + ("Q" if big else "I"), self.content, end)
        except struct.error as error:
            raise ValueError("cut off") from error
        return Directory(entries, following, end)

    def directories(self) -> Iterator[Directory]:
        """Its directories in their order, up to a damaged one or one that came before."""
        at = self.first
        seen: set[int] = set()
        while at and at not in seen and len(seen) < MOST_PAGES:
            seen.add(at)
            try:
                directory = self.directory(at)
            except ValueError:
                return
            yield directory
            at = directory.next

    def pointed(self, directory: Directory, tag: int) -> Directory | None:
        """The directory that a tag points to; None where there is none, or a damaged one."""
        at = directory.integer(tag)
        try:
            return None if at is None else self.directory(at)
        except ValueError:
            return None


def pages(structure: Structure) -> Iterator[tuple[int, Directory]]:
    """Where the directories of a TIFF file's pictures are, and these; without its small copies of
    them and masks."""
    at = structure.first
    for directory in structure.directories():
        if not (directory.integer(SUBFILE) or 0) & 5 and directory.integer(WIDTH):
            yield at, directory
        at = directory.next


def directory_at(
    tags: Tags, at: int, order: str, *, more: Mapping[int, bytes] | None = None
) -> bytes:
    """Write a directory that will stand at this offset, with the values it points to.

    more  entries that are kept as they are, by their tags: what they point to lies elsewhere
    """
    kept = {tag: raw for tag, raw in (more or {}).items() if tag not in tags}
    head = bytearray(struct.pack(order + "H", len(tags) + len(kept)))
    body_at = at + 2 + 12 * (len(tags) + len(kept)) + 4
    body = bytearray()
    for tag in sorted([*tags, *kept]):
        if tag in kept:
            head += kept[tag]
            continue
        value = tags[tag]
        place = body_at + len(body)
        if not isinstance(value, Value):
            head += struct.pack(order + "HHII", tag, LONG, 1, place)
            body += directory_at(value, place, order)
        else:
            data = value.ordered(order)
            head += struct.pack(order + "HHI", tag, value.kind, value.count)
            if len(data) > 4:
                head += struct.pack(order + "I", place)
                body += data
            else:
                head += data.ljust(4, b"\0")
        body += bytes(len(body) % 2)
    return bytes(head + bytes(4) + body)


def with_tags(structure: Structure, tags: Tags) -> bytes:
    """Set tags of the first directory. A new one is appended; nothing of the old moves.

    Raises ValueError for what cannot be written so: BigTIFF, more than 4 GB, a damaged directory.
    """
    content = structure.content
    at = len(content) + len(content) % 2
    old = {tag: entry.raw for tag, entry in structure.directory(structure.first).entries.items()}
    added = directory_at(tags, at, structure.order, more=old)
    if structure.big or at + len(added) >= 1 << 32:
        raise ValueError("too large for a TIFF file")
    pointer = struct.pack(structure.order + "I", at)
    return content[:4] + pointer + content[8:] + bytes(at - len(content)) + added


def copied(directory: Directory, only: frozenset[int] | None = None) -> dict[int, Value]:
    """The values of a directory, or of these tags of it. Raises ValueError for such as lie over one
    another, of which a small file could claim gigabytes."""
    found = {tag: entry for tag, entry in directory.entries.items() if only is None or tag in only}
    if found and sum(e.size for e in found.values()) > len(next(iter(found.values())).content):
        raise ValueError("values that overlap")
    return {tag: entry.value for tag, entry in found.items()}
