"""Reads the few kinds of FlatBuffers values a .tflite file is made of, with every offset checked.

LiteRT's wheel has generated classes for this, but they take 0.13 s to import and read wherever an
offset points. See https://flatbuffers.dev/internals for the format.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self


class Damaged(Exception):  # noqa: N818 - named for what the file is
    """An offset or a length leads outside the file."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table at offset ``at`` of ``data``. An absent field has its default: 0, or no elements.

    Fields are told by their number in the schema. Every method raises Damaged where an offset or a
    length leads outside the file.
    """

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> Self:
        return cls(data, _read(data, "<I", 0))

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """Read a scalar field; ``kind`` is its struct format."""
        at = self._field(field)
        return default if at is None else _read(self.data, kind, at)

    def table(self, field: int) -> Self:
        at = self._field(field)
        if at is None:
            raise Damaged(f"field {field} is missing")
        return type(self)(self.data, at + _read(self.data, "<I", at))

    def tables(self, field: int) -> "Tables":
        """A vector of tables, each read when it is indexed: many fields may share one long
        vector."""
        return Tables(self.data, *self._vector(field, 4))

    def length(self, field: int, size: int) -> int:
        """Count the elements of a vector, each of ``size`` bytes."""
        return self._vector(field, size)[1]

    def bytes(self, field: int, size: int, most: int) -> bytes:
        """Read the elements of a vector, each of ``size`` bytes. Raises Damaged for more than
        ``most`` of them too."""
        start, count = self._vector(field, size)
        if count > most:
            raise Damaged(f"{count} elements where at most {most} make sense")
        return self.data[start : start + size * count]

    def ints(self, field: int, most: int) -> tuple[int, ...]:
        """Read a vector of at most ``most`` int32."""
        content = self.bytes(field, 4, most)
        return struct.unpack(f"<{len(content) // 4}i", content)

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Where the elements of a vector begin, and how many there are."""
        at = self._field(field)
        if at is None:
            return 0, 0
        at += _read(self.data, "<I", at)
        count = _read(self.data, "<I", at)
        if at + 4 + size * count > len(self.data):
            raise Damaged(f"{count} elements at {at}")
        return at + 4, count

    def _field(self, field: int) -> int | None:
        """Where a field stands; None where it is absent."""
        layout = self.at - _read(self.data, "<i", self.at)
        if 4 + 2 * field + 2 > _read(self.data, "<H", layout):
            return None
        offset = _read(self.data, "<H", layout + 4 + 2 * field)
        return self.at + offset if offset else None


@dataclass(frozen=True, slots=True)
class Tables:
    """A vector of ``size`` tables whose offsets begin at ``start``."""

    data: bytes
    start: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Table]:
        return (self[i] for i in range(self.size))

    def __getitem__(self, index: int) -> Table:
        if not -self.size <= index < self.size:
            raise IndexError(index)
        at = self.start + 4 * (index % self.size)
        return Table(self.data, at + _read(self.data, "<I", at))


def _read(data: bytes, kind: str, at: int) -> int:
    if at < 0 or at + struct.calcsize(kind) > len(data):
        raise Damaged(f"offset {at}")
    value: int = struct.unpack_from(kind, data, at)[0]
    return value
