"""The loop over two pictures that measures detail and change in square blocks, as LLVM IR."""

from streamsr.native.rows import RowFunction

POINTERS = ["before", "now", "sums"]
SIZES = ["width", "height", "side", "columns"]
"""int64 words of a call: addresses of two dense pictures and of the sums, then sizes in pixels;
``columns`` counts blocks."""


def detail() -> str:
    """Emit ``detail``: add up how green varies within and between two dense RGB pictures.

    Twin: `reference.detail`. Every other line is read. Both sums of a block's line are carried
    through the loop over its pixels, in 32 bits. The middle of that loop, where %v43 is the green
    of the pixel, %v47 that of the one on its right::

        %v48 = sub i32 %v43, %v47
        %v49 = call i32 @llvm.abs.i32(i32 %v48, i1 true)
        %v50 = getelementptr i8, ptr %v25, i64 %v40
        %v51 = load i8, ptr %v50, align 1
        %v52 = zext i8 %v51 to i32
        %v53 = sub i32 %v43, %v52
        %v54 = call i32 @llvm.abs.i32(i32 %v53, i1 true)
        %v55 = add i32 %v49, %v54
        %v56 = add i32 %i37.0, %v55
        ...
        %v60 = sub i32 %v43, %v59
        %v61 = call i32 @llvm.abs.i32(i32 %v60, i1 true)
        %v62 = add i32 %i37.1, %v61
    """
    f = RowFunction("detail", "ptr %call", linkage="")
    w = f.words(POINTERS, SIZES)
    row_bytes = f.mul(w["width"], 3)
    last = f.add(w["width"], -1)
    with f.loop(0, f.add(w["height"], -1), 2) as y:
        start = f.mul(y, row_bytes)
        row = f.at(w["now"], start)
        below = f.at(row, row_bytes)
        old = f.at(w["before"], start)
        blocks = f.at(w["sums"], f.mul(f.mul(f(f"udiv i64 {y}, {w['side']}"), w["columns"]), 16))
        with f.loop(0, w["columns"]) as column:
            begin = f.mul(column, w["side"])
            end = f.least(f.add(begin, w["side"]), last)
            with f.carry(begin, end, 1, ["i32", "i32"], ["0", "0"]) as (x, sums):
                at = f.add(f.mul(x, 3), 1)
                here = _green(f, row, at)
                right = _apart(f, here, _green(f, row, f.add(at, 3)))
                down = _apart(f, here, _green(f, below, at))
                steps = f(f"add i32 {right}, {down}")
                sums[0] = f(f"add i32 {sums[0]}, {steps}")
                sums[1] = f(f"add i32 {sums[1]}, {_apart(f, here, _green(f, old, at))}")
            block = f.at(blocks, f.mul(column, 16))
            for i, total in enumerate(sums):
                wide = f(f"zext i32 {total} to i64")
                f.store("i64", f.add(f.load("i64", block, 8 * i), wide), block, 8 * i)
    return f.text()


def _green(f: RowFunction, row: str, at: str) -> str:
    """The byte at this offset, as i32."""
    return f(f"zext i8 {f.load('i8', row, at)} to i32")


def _apart(f: RowFunction, a: str, b: str) -> str:
    """``|a - b|`` of i32."""
    return f(f"call i32 @llvm.abs.i32(i32 {f(f'sub i32 {a}, {b}')}, i1 true)")
