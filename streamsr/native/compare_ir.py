"""The loop over two pictures that tells in which cells of 8 x 8 pixels they differ, as LLVM IR."""

from streamsr.native.rows import RowFunction

POINTERS = ["a", "b", "flags"]
SIZES = ["height", "row_bytes", "columns"]
"""int64 words of a call: addresses of two dense pictures and of the flags, then sizes; ``columns``
counts cells."""

LEFT, RIGHT, TOP, BOTTOM, TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = (
    1 << i for i in range(8)
)
"""Where in a cell two pictures differ: in the five columns, rows or corner nearest to that
neighbour. Every pixel is in the left or the right five columns, so that 0 means no difference."""

CELL_BYTES = 24
"""Of one row of a cell: 8 pixels of R, G and B, three words of 64 bits."""


def compare() -> str:
    """Emit ``compare``: set the flags of each cell in which two dense RGB pictures differ.

    Twin: `reference.compare`. A row of a cell is compared as three 64-bit words: pixels 0 to 4 are
    bytes 0 to 14, pixels 3 to 7 bytes 9 to 23 (the first byte is the lowest). The right edge's
    cell, where it is cut off, goes byte by byte. The middle of the loop over whole cells, where
    %v45, %v52 and %v59 are the words' differences and %v31 and %v35 the flags of this line::

        %v60 = and i64 %v52, 72057594037927935
        %v61 = or i64 %v45, %v60
        %v62 = and i64 %v52, -256
        %v63 = or i64 %v59, %v62
        %v64 = icmp ne i64 %v61, 0
        %v65 = select i1 %v64, i8 %v31, i8 0
        %v66 = icmp ne i64 %v63, 0
        %v67 = select i1 %v66, i8 %v35, i8 0
        %v68 = or i8 %v65, %v67
        %v69 = getelementptr i8, ptr %v24, i64 %i37
        %v70 = load i8, ptr %v69, align 1
        %v71 = or i8 %v68, %v70
    """
    f = RowFunction("compare", "ptr %call", linkage="")
    w = f.words(POINTERS, SIZES)
    whole = f(f"udiv i64 {w['row_bytes']}, {CELL_BYTES}")
    with f.loop(0, w["height"]) as y:
        start = f.mul(y, w["row_bytes"])
        a = f.at(w["a"], start)
        b = f.at(w["b"], start)
        cells = f.at(w["flags"], f.mul(f(f"lshr i64 {y}, 3"), w["columns"]))
        on_left, on_right = _flags_of_line(f, f(f"and i64 {y}, 7"))
        on_both = f(f"or i8 {on_left}, {on_right}")
        with f.loop(0, whole) as cell:
            first, middle, last = (_difference(f, a, b, cell, word) for word in range(3))
            left = f(f"or i64 {first}, {f(f'and i64 {middle}, {(1 << 56) - 1}')}")
            right = f(f"or i64 {last}, {f(f'and i64 {middle}, -256')}")
            flag = f(f"select i1 {f.is_nonzero(left)}, i8 {on_left}, i8 0")
            other = f(f"select i1 {f.is_nonzero(right)}, i8 {on_right}, i8 0")
            _mark(f, f(f"or i8 {flag}, {other}"), cells, cell)
        with f.loop(f.mul(whole, CELL_BYTES), w["row_bytes"]) as x:
            differs = f(f"icmp ne i8 {f.load('i8', a, x)}, {f.load('i8', b, x)}")
            _mark(f, f(f"select i1 {differs}, i8 {on_both}, i8 0"), cells, whole)
    return f.text()


def _flags_of_line(f: RowFunction, line: str) -> tuple[str, str]:
    """The flags for a difference in the left and in the right columns of this line of a cell.

    The five rows nearest to the cell above are 0 to 4, those nearest to the one below 3 to 7.
    """
    near_top = f(f"icmp ule i64 {line}, 4")
    near_bottom = f(f"icmp uge i64 {line}, 3")
    flags = []
    for side, above, below in ((LEFT, TOP_LEFT, BOTTOM_LEFT), (RIGHT, TOP_RIGHT, BOTTOM_RIGHT)):
        upper = f(f"select i1 {near_top}, i8 {above | TOP}, i8 0")
        lower = f(f"select i1 {near_bottom}, i8 {below | BOTTOM}, i8 0")
        flags.append(f(f"or i8 {side}, {f(f'or i8 {upper}, {lower}')}"))
    left, right = flags
    return left, right


def _difference(f: RowFunction, a: str, b: str, cell: str, word: int) -> str:
    """``a ^ b`` of one of the three words of a cell's row."""
    at = f.add(f.mul(cell, CELL_BYTES), 8 * word)
    return f(f"xor i64 {f.load('i64', a, at)}, {f.load('i64', b, at)}")


def _mark(f: RowFunction, flags: str, cells: str, cell: str) -> None:
    """``cells[cell] |= flags``"""
    f.store("i8", f(f"or i8 {flags}, {f.load('i8', cells, cell)}"), cells, cell)
