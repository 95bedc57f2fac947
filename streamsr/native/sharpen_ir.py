"""The loops that sharpen a picture and that blend two, as LLVM IR.

Each function here emits one IR function; the twins are `reference.sharpen` and `reference.blend`.
"""

from streamsr.native.reference import LUMA, PEAK
from streamsr.native.rows import FAST, RowFunction, number

BLEND_POINTERS = ["hr", "other"]
BLEND_SIZES = ["count", "share"]
"""int64 words of a call: addresses of ``count`` bytes each, and the share of ``hr``, of 256."""

POINTERS = ["soft", "out", "scratch"]
SIZES = ["width", "height", "first", "last", "share"]
"""int64 words of a call: addresses of two dense pictures and of scratch rows; their size, the rows
that are to be written, and how much they are sharpened, of 256."""

ROW_BYTES = 4
"""Scratch rows that each of three picture rows has: R, G, B and luma."""

SPACE = 64
"""Bytes before and behind each scratch row, of which the next one repeats the edge."""


def scratch_size(width: int) -> int:
    """Bytes of scratch that a call needs: twelve rows, three of the result, one of 16 bits."""
    return (3 * ROW_BYTES + 3 + 2) * (width + 2 * SPACE)


def blend() -> str:
    """Emit ``blend``: ``hr[i] = (hr[i] * share + other[i] * (256 - share)) / 256``, halves to the
    even one: where ``share`` is half, every second sum is one, and rounded up all of them would
    make a picture lighter by a quarter of a level."""
    f = RowFunction("blend", "ptr %call", linkage="")
    w = f.words(BLEND_POINTERS, BLEND_SIZES)
    rest = f(f"sub i64 256, {w['share']}")
    shares = [f(f"trunc i64 {value} to i16") for value in (w["share"], rest)]
    pointers = ", ".join(f"ptr {w[name]}" for name in BLEND_POINTERS)
    f.do(f"call void @mix({pointers}, i64 {w['count']}, i16 {shares[0]}, i16 {shares[1]})")
    g = RowFunction("mix", "ptr noalias %hr, ptr noalias %other, i64 %count, i16 %x, i16 %y")
    with g.loop(0, "%count") as i:
        parts = [
            g(f"mul i16 {_byte(g, row, i, 16)}, {share}")
            for row, share in (("%hr", "%x"), ("%other", "%y"))
        ]
        total = g(f"add i16 {parts[0]}, {parts[1]}")
        odd = g(f"and i16 {g(f'lshr i16 {total}, 8')}, 1")
        total = g(f"add i16 {g(f'add i16 {total}, 127')}, {odd}")
        g.store("i8", g(f"trunc i16 {g(f'lshr i16 {total}, 8')} to i8"), "%hr", i)
    return g.text() + f.text()


def luma() -> str:
    """Emit ``luma`` of rows of R, G and B, all of uint8, and repeat the edges of all four."""
    rows = "ptr noalias %r, ptr noalias %g, ptr noalias %b, ptr noalias %out, i64 %width"
    f = RowFunction("luma", rows)
    with f.loop(0, "%width") as x:
        total = "128"
        for plane, weight in zip("rgb", LUMA.tolist(), strict=True):
            sample = _byte(f, f"%{plane}", x)
            total = f(f"add i32 {total}, {f(f'mul i32 {sample}, {weight}')}")
        f.store("i8", f(f"trunc i32 {f(f'lshr i32 {total}, 8')} to i8"), "%out", x)
    for row in ("%r", "%g", "%b", "%out"):
        f.store("i8", f.load("i8", row), row, -1)
        end = f.at(row, "%width")
        f.store("i8", f.load("i8", end, -1), end)
    return f.text()


def change() -> str:
    """Emit ``change``: what is added to the luma of a row, of int16.

    The middle of its loop, where %v73 and %v74 are the least and the greatest luma around, and
    %v104 is four times the pixel's less its four neighbours'::

        %v75 = sub i32 255, %v74
        %v76 = call i32 @llvm.smin.i32(i32 %v73, i32 %v75)
        %v77 = call i32 @llvm.smax.i32(i32 %v74, i32 1)
        %v78 = sitofp i32 %v76 to float
        %v79 = sitofp i32 %v77 to float
        %v80 = fdiv nnan nsz float %v78, %v79
        %v81 = call float @llvm.sqrt.f32(float %v80)
        %v82 = fmul nnan nsz float %v81, %most
        ...
        %v105 = sitofp i32 %v104 to float
        %v106 = fmul nnan nsz float %v105, %v82
        %v107 = fmul nnan nsz float 0x4010000000000000, %v82
        %v108 = fsub nnan nsz float 0x3FF0000000000000, %v107
        %v109 = fdiv nnan nsz float %v106, %v108
    """
    params = "ptr %above, ptr %here, ptr %below, ptr noalias %out, i64 %width, float %most"
    f = RowFunction("change", params)
    with f.loop(0, "%width") as x:
        low, high = (_around(f, x, which) for which in ("umin", "umax"))
        least, most = (f(f"zext i8 {value} to i32") for value in (low, high))
        room = _least(f, least, f(f"sub i32 255, {most}"))
        floor = f(f"call i32 @llvm.smax.i32(i32 {most}, i32 1)")
        share = f(f"fdiv {FAST} float {_float(f, room)}, {_float(f, floor)}")
        root = f(f"call float @llvm.sqrt.f32(float {share})")
        peak = f.op("mul", root, "%most")
        sides = [
            _byte(f, row, at)
            for row, at in (
                ("%above", x),
                ("%below", x),
                ("%here", f.add(x, -1)),
                ("%here", f.add(x, 1)),
            )
        ]
        edge = f(f"shl i32 {_byte(f, '%here', x)}, 2")
        for side in sides:
            edge = f(f"sub i32 {edge}, {side}")
        top = f.op("mul", _float(f, edge), peak)
        bottom = f.op("sub", number(1), f.op("mul", number(4), peak))
        added = f(f"fdiv {FAST} float {top}, {bottom}")
        whole = f(f"fptosi float {f.op('add', added, number(2048.5))} to i32")
        value = f(f"trunc i32 {f(f'sub i32 {whole}, 2048')} to i16")
        f.store("i16", value, "%out", f.mul(x, 2))
    return f.text()


def limited() -> str:
    """Emit ``limited``: a row of one colour and its change, within the 3 x 3 values around.

    The end of its loop, where %v73 and %v74 are the least and the greatest of these::

        %v75 = getelementptr i8, ptr %here, i64 %i1
        %v76 = load i8, ptr %v75, align 1
        %v77 = zext i8 %v76 to i16
        ...
        %v81 = add i16 %v77, %v80
        %v82 = call i16 @llvm.smax.i16(i16 %v81, i16 %v73)
        %v83 = call i16 @llvm.smin.i16(i16 %v82, i16 %v74)
        %v84 = trunc i16 %v83 to i8
    """
    params = "ptr %above, ptr %here, ptr %below, ptr noalias %change, ptr noalias %out, i64 %width"
    f = RowFunction("limited", params)
    with f.loop(0, "%width") as x:
        low, high = (_around(f, x, which) for which in ("umin", "umax"))
        least, most = (f(f"zext i8 {value} to i16") for value in (low, high))
        value = _byte(f, "%here", x, 16)
        value = f(f"add i16 {value}, {f.load('i16', '%change', f.mul(x, 2))}")
        value = f(f"call i16 @llvm.smax.i16(i16 {value}, i16 {least})")
        value = f(f"call i16 @llvm.smin.i16(i16 {value}, i16 {most})")
        f.store("i8", f(f"trunc i16 {value} to i8"), "%out", x)
    return f.text()


def sharpen() -> str:
    """Emit ``sharpen``, which calls the functions above for each row.

    Twin: `reference.sharpen`. Turn t of its loop unpacks row t, outside the picture that of its
    edge; from that and the two turns before comes row t - 1 of the result. The last three rows are
    kept: row t has place (t + 3) modulo 3.
    """
    f = RowFunction("sharpen", "ptr %call", linkage="")
    w = f.words(POINTERS, SIZES)
    row_bytes = f.mul(w["width"], 3)
    stride = f.add(w["width"], 2 * SPACE)
    ring = f.at(w["scratch"], SPACE)
    result = [f.at(ring, f.mul(stride, 3 * ROW_BYTES + k)) for k in range(4)]
    most = f.op("mul", f(f"sitofp i64 {w['share']} to float"), number(PEAK))
    last_row = f.add(w["height"], -1)

    def rows(t: str) -> list[str]:
        place = f.mul(f(f"urem i64 {f.add(t, 3)}, 3"), ROW_BYTES)
        start = f.at(ring, f.mul(place, stride))
        return [f.at(start, f.mul(stride, k)) for k in range(ROW_BYTES)]

    with f.loop(f.add(w["first"], -1), f.add(w["last"], 1)) as t:
        planes = rows(t)
        pointers = ", ".join(f"ptr {plane}" for plane in planes[:3])
        source = f.at(w["soft"], f.mul(f.clamp(t, last_row), row_bytes))
        f.do(f"call void @unpack_8({pointers}, ptr {source}, i64 {w['width']})")
        f.do(f"call void @luma({pointers}, ptr {planes[3]}, i64 {w['width']})")
        with f.when(f(f"icmp sgt i64 {t}, {w['first']}")):
            three = list(zip(*(rows(f.add(t, k)) for k in (-2, -1, 0)), strict=True))
            pointers = ", ".join(f"ptr {row}" for row in (*three[3], result[3]))
            f.do(f"call void @change({pointers}, i64 {w['width']}, float {most})")
            for seen, out in zip(three, result[:3], strict=False):
                pointers = ", ".join(f"ptr {row}" for row in (*seen, result[3], out))
                f.do(f"call void @limited({pointers}, i64 {w['width']})")
            target = f.at(w["out"], f.mul(f.add(t, -1), row_bytes))
            pointers = ", ".join(f"ptr {row}" for row in (*result[:3], target))
            f.do(f"call void @pack_8({pointers}, i64 {w['width']})")
    return f.text()


def _around(f: RowFunction, x: str, which: str) -> str:
    """The least or the greatest of the 3 x 3 values around one."""
    value = ""
    for row in ("%above", "%here", "%below"):
        for step in (-1, 0, 1):
            sample = f.load("i8", row, f.add(x, step))
            value = f(f"call i8 @llvm.{which}.i8(i8 {value}, i8 {sample})") if value else sample
    return value


def _byte(f: RowFunction, row: str, x: str, bits: int = 32) -> str:
    """``row[x]`` of uint8, as an integer of so many bits."""
    return f(f"zext i8 {f.load('i8', row, x)} to i{bits}")


def _least(f: RowFunction, a: str, b: str) -> str:
    return f(f"call i32 @llvm.smin.i32(i32 {a}, i32 {b})")


def _float(f: RowFunction, value: str) -> str:
    return f(f"sitofp i32 {value} to float")
