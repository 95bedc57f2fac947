"""The words of every walk over a picture: those of the call, rows of rings, runs of cells."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streamsr.engines.fused.codegen import layout
from streamsr.engines.fused.codegen.layout import Ring, Shape
from streamsr.native.ir import Function
from streamsr.region import CELL

WORD = {word: 8 * k for k, word in enumerate(layout.CALL)}
"""Byte offsets of the words of a call."""


def ceil(f: Function, value: str, unit: int) -> str:
    """``value`` in whole units, the last of which may not be full."""
    return f(f"sdiv i64 {f.add(value, unit - 1)}, {unit}")


def get(f: Function, word: str) -> str:
    return f.load("i64", "%call", WORD[word])


def row_of(f: Function, shape: Shape, ring: Ring, row: str, line: str, arena: str) -> str:
    """Pixel 0 of plane 0 of a row, which is at least -`Shape.before`."""
    slot = f(f"urem i64 {f.add(row, shape.before)}, {ring.rows}") if ring.rows > 1 else "0"
    first = f.add(f.mul(slot, ring.planes), ring.first)
    return f.at(arena, f.add(f.mul(first, line), layout.HEAD))


def fill() -> str:
    """Set pixels ``%from`` (byte offset) to ``%end`` of ``%planes`` planes to the zero point."""
    f = Function("fill", "ptr %row, i64 %planes, i64 %line, i64 %from, i64 %end, i32 %pixel")
    with f.loop(0, "%planes") as plane:
        start = f.at("%row", f.mul(plane, "%line"))
        with f.loop("%from", "%end", 4) as x:
            f.store("i32", "%pixel", start, x)
    return f.text()


@contextmanager
def runs(f: Function, rows: Sequence[str], cells: str) -> Iterator[tuple[str, str]]:
    """The body for each run of cells, from one up to before another, set in any of these rows of
    flags."""
    # A run is done when it has ended, at the latest one beyond the last cell.
    with f.carry(0, f.add(cells, 1), 1, ["i64"], ["-1"]) as (c, begun):
        beyond = f(f"icmp eq i64 {c}, {cells}")
        at = f(f"select i1 {beyond}, i64 0, i64 {c}")
        flags = f.load("i8", rows[0], at)
        for row in rows[1:]:
            flags = f(f"or i8 {flags}, {f.load('i8', row, at)}")
        wanted = f(f"and i1 {f(f'icmp ne i8 {flags}, 0')}, {f(f'xor i1 {beyond}, true')}")
        idle = f(f"icmp slt i64 {begun[0]}, 0")
        since = f(f"select i1 {idle}, i64 {c}, i64 {begun[0]}")
        with f.when(f(f"and i1 {f(f'xor i1 {wanted}, true')}, {f(f'xor i1 {idle}, true')}")):
            yield begun[0], c
        begun[0] = f(f"select i1 {wanted}, i64 {since}, i64 -1")


def flags_of(f: Function, shape: Shape, row: str, cells: str) -> str:
    """The row of flags for a picture row, which is at least -CELL * `Shape.cells_before`."""
    flags = f.load("ptr", "%call", WORD["cells"])
    return f.at(flags, f.mul(f(f"lshr i64 {f.add(row, CELL * shape.cells_before)}, 3"), cells))
