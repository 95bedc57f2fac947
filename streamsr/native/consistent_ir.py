"""The loop that corrects an enlarged picture until it gives its source when it is made small again,
as LLVM IR.

Rows hold R, G and B of their pixels side by side, as pictures do, in int16: the neighbours of a
sample are three further. Each function here emits one IR function; what all of them compute is
`reference.consistent`. Where pixels are moved from or to every second, third or fourth place, a
pixel is a vector of four int16 of which the last is the next pixel's or nobody's: it is written
over, or stands in the space behind each row.
"""

from streamsr.native.reference import steps
from streamsr.native.rows import RowFunction

POINTERS = ["lr", "raw", "hr", "scratch"]
SIZES = ["width", "height", "first", "last"]
"""int64 words of a call: addresses of three dense pictures and of scratch rows; the size of ``lr``,
and its rows whose part of ``hr`` is to be written."""

SPACE = 8
"""int16 before and behind each scratch row: a pixel of which the edge is a repetition, and what
vectors of four reach further."""

PIXEL = "<4 x i16>"


def scratch_size(width: int, scale: int) -> int:
    """int16 of scratch that a call needs: 8 rows as wide as ``lr`` and ``scale`` more, two as wide
    as ``hr``."""
    small, large = 3 * width + 2 * SPACE, 3 * width * scale + 2 * SPACE
    return (8 + scale) * small + 2 * large


def lost(scale: int) -> str:
    """Emit ``lost_SCALE``: what each block of a row of ``raw`` lacks of its pixel, in eighths.

    The rows of the blocks are added up first, then, pixel by pixel, the columns, and last comes
    the difference, for scales that are powers of two::

        %v57 = getelementptr i8, ptr %sums, i64 %v56
        %v58 = getelementptr i8, ptr %v57, i64 0
        %v59 = load <4 x i16>, ptr %v58, align 1
        %v60 = getelementptr i8, ptr %v57, i64 6
        %v61 = load <4 x i16>, ptr %v60, align 1
        %v62 = add <4 x i16> %v59, %v61
        ...
        %v92 = sub i16 %v88, %v91
        %v93 = add i16 %v92, 1
        %v94 = ashr i16 %v93, 1
    """
    params = "ptr noalias %lr, ptr noalias %raw, ptr noalias %sums, ptr noalias %out, i64 %width"
    f = RowFunction(f"lost_{scale}", params)
    small = f.mul("%width", 3)
    large = f.mul(small, scale)
    rows = [f.at("%raw", f.mul(large, k)) for k in range(scale)]
    with f.loop(0, large) as i:
        total = _byte(f, rows[0], i)
        for row in rows[1:]:
            total = f(f"add i16 {total}, {_byte(f, row, i)}")
        _put(f, total, "%sums", i)
    with f.loop(0, "%width") as x:
        block = f.at("%sums", f.mul(x, 6 * scale))
        total = f.load(PIXEL, block)
        for k in range(1, scale):
            total = f(f"add {PIXEL} {total}, {f.load(PIXEL, block, 6 * k)}")
        f.store(PIXEL, total, "%out", f.mul(x, 6))
    with f.loop(0, small) as i:
        whole = f(f"mul i16 {_byte(f, '%lr', i)}, {scale * scale}")
        lacks = f(f"sub i16 {whole}, {_word(f, '%out', i)}")
        if scale == 2:
            eighths = f(f"shl i16 {lacks}, 1")
        elif scale == 3:
            product = f(f"mul i32 {f(f'sext i16 {lacks} to i32')}, 29127")
            product = f(f"ashr i32 {f(f'add i32 {product}, 16384')}, 15")
            eighths = f(f"trunc i32 {product} to i16")
        else:
            eighths = f(f"ashr i16 {f(f'add i16 {lacks}, 1')}, 1")
        _put(f, eighths, "%out", i)
    _repeat_edges(f, "%out", small)
    return f.text()


def across() -> str:
    """Emit ``across``: sums of each sample's pixel, twice, and its neighbours in the row."""
    f = RowFunction("across", "ptr noalias %row, ptr noalias %out, i64 %count")
    left, right = f.at("%row", -6), f.at("%row", 6)
    with f.loop(0, "%count") as i:
        here = f(f"shl i16 {_word(f, '%row', i)}, 1")
        sides = f(f"add i16 {_word(f, left, i)}, {_word(f, right, i)}")
        _put(f, f(f"add i16 {here}, {sides}"), "%out", i)
    return f.text()


def down() -> str:
    """Emit ``down``: the same over three rows, and a quarter of it, rounded.

    Its loop, where %v5 is ``here[i]``::

        %v6 = shl i16 %v5, 1
        %v7 = mul i64 %i1, 2
        %v8 = getelementptr i8, ptr %above, i64 %v7
        %v9 = load i16, ptr %v8, align 1
        ...
        %v13 = add i16 %v9, %v12
        %v14 = add i16 %v6, %v13
        %v15 = add i16 %v14, 2
        %v16 = ashr i16 %v15, 2
    """
    params = "ptr %above, ptr %here, ptr %below, ptr noalias %out, i64 %count"
    f = RowFunction("down", params)
    with f.loop(0, "%count") as i:
        here = f(f"shl i16 {_word(f, '%here', i)}, 1")
        sides = f(f"add i16 {_word(f, '%above', i)}, {_word(f, '%below', i)}")
        total = f(f"add i16 {f(f'add i16 {here}, {sides}')}, 2")
        _put(f, f(f"ashr i16 {total}, 2"), "%out", i)
    return f.text()


def between() -> str:
    """Emit ``between``: a row between ``here`` and ``other``, for a share of 65536 of the other.

    Its loop, where %v5 is ``here[i]`` and %v8 ``other[i]``: the upper half of the product, and the
    highest bit of the lower, from which LLVM makes the processors' 16-bit multiplications::

        %v9 = sub i16 %v8, %v5
        %v10 = mul i16 %v9, %share
        %v11 = lshr i16 %v10, 15
        %v12 = sext i16 %share to i32
        %v13 = sext i16 %v9 to i32
        %v14 = mul i32 %v13, %v12
        %v15 = ashr i32 %v14, 16
        %v16 = trunc i32 %v15 to i16
        %v17 = add i16 %v16, %v11
        %v18 = add i16 %v5, %v17
    """
    params = "ptr %here, ptr %other, i16 %share, ptr noalias %out, i64 %count"
    f = RowFunction("between", params)
    with f.loop(0, "%count") as i:
        value = _towards(f, _word(f, "%here", i), _word(f, "%other", i), "%share")
        _put(f, value, "%out", i)
    _repeat_edges(f, "%out", "%count")
    return f.text()


def spread(scale: int) -> str:
    """Emit ``spread_SCALE``: a row ``scale`` times as wide, in whole levels, between the pixels."""
    params = "ptr noalias %row, ptr noalias %phases, i64 %stride, ptr noalias %out, i64 %width"
    f = RowFunction(f"spread_{scale}", params)
    count = f.mul("%width", 3)
    phases = [f.at("%phases", f.mul("%stride", k)) for k in range(scale)]
    for phase, (offset, factor) in zip(phases, steps(scale), strict=True):
        side = f.at("%row", 6 * offset)
        with f.loop(0, count) as i:
            value = _word(f, "%row", i)
            if factor:
                value = _towards(f, value, _word(f, side, i), str(2 * factor))
            _put(f, f(f"ashr i16 {f(f'add i16 {value}, 16')}, 5"), phase, i)
    with f.loop(0, "%width") as x:
        start = f.mul(x, 6)
        block = f.at("%out", f.mul(start, scale))
        for k, phase in enumerate(phases):
            f.store(PIXEL, f.load(PIXEL, phase, start), block, 6 * k)
    return f.text()


def add() -> str:
    """Emit ``add``: ``out[i] = clip(raw[i] + change[i], 0, 255)``

    Its loop::

        %v3 = getelementptr i8, ptr %raw, i64 %i1
        %v4 = load i8, ptr %v3, align 1
        %v5 = zext i8 %v4 to i16
        ...
        %v9 = add i16 %v5, %v8
        %v10 = call i16 @llvm.smax.i16(i16 %v9, i16 0)
        %v11 = call i16 @llvm.smin.i16(i16 %v10, i16 255)
        %v12 = trunc i16 %v11 to i8
    """
    params = "ptr noalias %raw, ptr noalias %change, ptr noalias %out, i64 %count"
    f = RowFunction("add", params)
    with f.loop(0, "%count") as i:
        total = f(f"add i16 {_byte(f, '%raw', i)}, {_word(f, '%change', i)}")
        total = f(f"call i16 @llvm.smax.i16(i16 {total}, i16 0)")
        total = f(f"call i16 @llvm.smin.i16(i16 {total}, i16 255)")
        f.store("i8", f(f"trunc i16 {total} to i8"), "%out", i)
    return f.text()


def consistent(scale: int) -> str:
    """Emit ``consistent_SCALE``, which calls the functions above for each row.

    Twin: `reference.consistent`. Turn t of its loop sums up row t of what is lost, outside the
    picture that of its edge; from that and the two turns before comes row t - 1 of the correction,
    and from three of these row t - 2 of the result. Both keep the last three rows: row t has place
    (t + 3) modulo 3.
    """
    f = RowFunction(f"consistent_{scale}", "ptr %call", linkage="")
    w = f.words(POINTERS, SIZES)
    count = f.mul(w["width"], 3)
    large = f.mul(count, scale)
    stride = f.mul(f.add(count, 2 * SPACE), 2)
    places = [f.at(w["scratch"], 2 * SPACE)]
    for _ in range(7 + scale):
        places.append(f.at(places[-1], stride))
    row, between_rows, phases = places[0], places[7], places[8]
    sums = f.at(phases, f.mul(stride, scale))
    change = f.at(sums, f.mul(f.add(large, 2 * SPACE), 2))
    last_row = f.add(w["height"], -1)

    def place(ring: str, t: str) -> str:
        return f.at(ring, f.mul(f(f"urem i64 {f.add(t, 3)}, 3"), stride))

    with f.loop(f.add(w["first"], -2), f.add(w["last"], 2)) as t:
        seen = f.clamp(t, last_row)
        source = f.at(w["lr"], f.mul(seen, count))
        blocks = f.at(w["raw"], f.mul(f.mul(seen, large), scale))
        pointers = ", ".join(f"ptr {p}" for p in (source, blocks, sums, row))
        f.do(f"call void @lost_{scale}({pointers}, i64 {w['width']})")
        f.do(f"call void @across(ptr {row}, ptr {place(places[1], t)}, i64 {count})")
        with f.when(f(f"icmp sge i64 {t}, {w['first']}")):
            three = [place(places[1], f.add(t, k)) for k in (-2, -1, 0)]
            pointers = ", ".join(f"ptr {p}" for p in (*three, place(places[4], f.add(t, -1))))
            f.do(f"call void @down({pointers}, i64 {count})")
        with f.when(f(f"icmp sge i64 {t}, {f.add(w['first'], 2)}")):
            y = f.add(t, -2)
            rows = {k: place(places[4], f.clamp(f.add(y, k), last_row)) for k in (-1, 0, 1)}
            with f.loop(0, scale) as k:
                at = f.mul(f.add(f.mul(y, scale), k), large)
                other, share = f"ptr {rows[-1]}", "i16 0"
                for phase, (offset, factor) in enumerate(steps(scale)):
                    now = f(f"icmp eq i64 {k}, {phase}")
                    other = f"ptr {f(f'select i1 {now}, ptr {rows[offset]}, {other}')}"
                    share = f"i16 {f(f'select i1 {now}, i16 {2 * factor}, {share}')}"
                pair = f"ptr {rows[0]}, {other}, {share}"
                f.do(f"call void @between({pair}, ptr {between_rows}, i64 {count})")
                pointers = f"ptr {between_rows}, ptr {phases}, i64 {stride}, ptr {change}"
                f.do(f"call void @spread_{scale}({pointers}, i64 {w['width']})")
                pointers = f"ptr {f.at(w['raw'], at)}, ptr {change}, ptr {f.at(w['hr'], at)}"
                f.do(f"call void @add({pointers}, i64 {large})")
    return f.text()


def _byte(f: RowFunction, row: str, i: str) -> str:
    """``row[i]`` of uint8, as i16."""
    return f(f"zext i8 {f.load('i8', row, i)} to i16")


def _word(f: RowFunction, row: str, i: str) -> str:
    """``row[i]`` of int16."""
    return f.load("i16", row, f.mul(i, 2))


def _put(f: RowFunction, value: str, row: str, i: str) -> None:
    """``row[i] = value`` of int16."""
    f.store("i16", value, row, f.mul(i, 2))


def _towards(f: RowFunction, here: str, other: str, share: str) -> str:
    """``here + round((other - here) * share / 65536)``, as `between` shows."""
    apart = f(f"sub i16 {other}, {here}")
    lower = f(f"lshr i16 {f(f'mul i16 {apart}, {share}')}, 15")
    wide = share if share.isdigit() else f(f"sext i16 {share} to i32")
    product = f(f"mul i32 {f(f'sext i16 {apart} to i32')}, {wide}")
    upper = f(f"trunc i32 {f(f'ashr i32 {product}, 16')} to i16")
    return f(f"add i16 {here}, {f(f'add i16 {upper}, {lower}')}")


def _repeat_edges(f: RowFunction, row: str, count: str) -> None:
    """Repeat the first and the last pixel outside a row of ``count`` samples."""
    end = f.at(row, f.mul(count, 2))
    for k in range(3):
        f.store("i16", f.load("i16", row, 2 * k), row, 2 * k - 6)
        f.store("i16", f.load("i16", end, 2 * k - 6), end, 2 * k)
