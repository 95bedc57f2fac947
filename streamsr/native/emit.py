"""The loops over every pixel as LLVM IR: YUV to RGB and back, and which cells of two pictures
differ.

Plain scalar loops on pointers that are said not to overlap; LLVM vectorises them for the machine at
hand.
"""

import struct
from collections.abc import Sequence

from streamsr.native.ir import Function

CALL_TO_RGB = (
    "y",
    "u",
    "v",
    "rgb",
    "scratch",
    "k",
    "y_stride",
    "c_stride",
    "rgb_stride",
    "width",
    "height",
    "half",
    "rows",
    "sub_x",
    "sub_y",
)
CALL_FROM_RGB = (
    "rgb",
    "y",
    "u",
    "v",
    "scratch",
    "k",
    "y_stride",
    "c_stride",
    "rgb_stride",
    "width",
    "height",
    "columns",
    "lines",
    "half",
    "rows",
    "sub_x",
    "sub_y",
)
"""int64 words of one call: addresses of the planes, of scratch rows and of the constants ``k``,
then sizes in samples and strides in bytes; ``sub_x`` and ``sub_y`` are 1 where chroma has half the
samples."""

DECODE = ["ky", "rv", "gu", "gv", "bu", "y_zero", "c_zero", "top", "even", "odd"]
ENCODE = [
    "yr",
    "yg",
    "yb",
    "ur",
    "ug",
    "ub",
    "vr",
    "vg",
    "vb",
    "y_zero",
    "c_zero",
    "top",
    "scale",
    "before",
    "middle",
]
"""float32 constants of a call, see `convert.Converter`; ``top`` is the highest level written."""

LEFT, RIGHT, TOP, BOTTOM, TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = (
    1 << i for i in range(8)
)
"""Where in a cell of 8 x 8 pixels two pictures differ: in the five columns, rows or corner nearest
to that neighbour. Every pixel is in the left or the right five columns, so that 0 means no
difference."""


LANES = 32
"""Pixels that one turn of packing takes."""

_FAST = "nnan nsz"
"""No NaN comes in and zeros have no sign that matters. Nothing that could change a result: every
machine of a farm must give the same bytes, so multiplications do not fuse with additions where the
processor could."""


def module(name: str) -> str:
    """IR of one function and what it calls."""
    kind, *bits = name.rsplit("_", 2) if name != "compare" else (name,)
    read, write = (int(b) for b in bits) if bits else (0, 0)
    parts = [f"declare i{n} @llvm.{m}.i{n}(i{n}, i{n})" for n in (32, 64) for m in ("smin", "smax")]
    if kind == "to_rgb":
        parts += [_widen(read), _mix(read, write), _shuffle("pack", write), _to_rgb(read, write)]
    elif kind == "from_rgb":
        parts += [
            _shuffle("unpack", read),
            _weigh(read, write),
            _add(read),
            _subsample(write),
            _from_rgb(read, write),
        ]
    else:
        parts += [_compare()]
    return "\n".join(parts)


class _Loops(Function):
    """A function over rows of samples and of float32."""

    def constants(self, names: Sequence[str], *wanted: str) -> list[str]:
        return [self.load("float", "%k", 4 * names.index(name)) for name in wanted]

    def op(self, kind: str, a: str, b: str) -> str:
        return self(f"f{kind} {_FAST} float {a}, {b}")

    def fma(self, total: str, a: str, b: str) -> str:
        return self.op("add", total, self.op("mul", a, b))

    def real(self, row: str, x: str | int) -> str:
        return self.load("float", row, x * 4 if isinstance(x, int) else self.mul(x, 4))

    def put(self, value: str, row: str, x: str | int) -> None:
        self.store("float", value, row, x * 4 if isinstance(x, int) else self.mul(x, 4))

    def level(self, bits: int, row: str, x: str) -> str:
        """Sample ``x`` of a row as a float."""
        return self(f"uitofp i{bits} {self.load(f'i{bits}', row, self.mul(x, bits // 8))} to float")

    def put_level(self, bits: int, value: str, top: str, row: str, x: str) -> None:
        """Cut ``value`` to a whole number between 0 and ``top`` and store it as sample ``x``."""
        whole = self(f"fptosi float {value} to i32")
        whole = self(
            f"call i32 @llvm.smin.i32(i32 {whole}, i32 {self(f'fptosi float {top} to i32')})"
        )
        whole = self(f"call i32 @llvm.smax.i32(i32 {whole}, i32 0)")
        self.store(f"i{bits}", self(f"trunc i32 {whole} to i{bits}"), row, self.mul(x, bits // 8))

    def words(self, names: Sequence[str]) -> dict[str, str]:
        found = {name: self.load("i64", "%call", 8 * i) for i, name in enumerate(names)}
        pointers = {"y", "u", "v", "rgb", "scratch", "k"}
        return {
            name: self.pointer(word) if name in pointers else word for name, word in found.items()
        }

    def clamp(self, value: str, high: str) -> str:
        value = self(f"call i64 @llvm.smin.i64(i64 {value}, i64 {high})")
        return self(f"call i64 @llvm.smax.i64(i64 {value}, i64 0)")

    def nonzero(self, value: str) -> str:
        return self(f"icmp ne i64 {value}, 0")

    def choose(self, condition: str, a: str, b: str) -> str:
        return self(f"select i1 {condition}, i64 {a}, i64 {b}")


def _number(value: float) -> str:
    """A float32 literal; LLVM wants its double's bits."""
    (single,) = struct.unpack("<f", struct.pack("<f", value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"


def _widen(bits: int) -> str:
    """One row of chroma at a luma row: three parts of the near row, one of the far one; then as
    wide as luma."""
    params = (
        "ptr noalias %near, ptr noalias %far, ptr noalias %row, ptr noalias %wide, i64 %half, i64 "
        "%sub, ptr %k"
    )
    f = _Loops(f"widen_{bits}", params)
    zero, even, odd = f.constants(DECODE, "c_zero", "even", "odd")
    with f.loop(0, "%half") as x:
        near = f.op("mul", f.level(bits, "%near", x), _number(0.75))
        far = f.op("mul", f.level(bits, "%far", x), _number(0.25))
        f.put(f.op("sub", f.op("add", near, far), zero), "%row", f.add(x, 1))
    f.put(f.real("%row", 1), "%row", 0)
    f.put(f.real("%row", "%half"), "%row", f.add("%half", 1))
    halved = f.nonzero("%sub")
    rest_even, rest_odd = (f.op("sub", _number(1), part) for part in (even, odd))
    with f.when(halved), f.loop(0, "%half") as x:
        at, out = f.at("%row", f.mul(x, 4)), f.at("%wide", f.mul(x, 8))
        left, here, right = (f.real(at, i) for i in range(3))
        f.put(f.fma(f.op("mul", here, even), left, rest_even), out, 0)
        f.put(f.fma(f.op("mul", here, odd), right, rest_odd), out, 1)
    with f.when(f(f"xor i1 {halved}, true")), f.loop(0, "%half") as x:
        f.put(f.real("%row", f.add(x, 1)), "%wide", x)
    return f.text()


def _mix(read: int, write: int) -> str:
    """One row of R, G or B from luma and the two widened rows of chroma."""
    params = (
        "ptr noalias %y, ptr noalias %u, ptr noalias %v, ptr noalias %out, i64 %width, ptr %k, "
        "float %cu, float %cv"
    )
    f = _Loops(f"mix_{read}_{write}", params)
    ky, zero, top = f.constants(DECODE, "ky", "y_zero", "top")
    with f.loop(0, "%width") as x:
        value = f.fma(_number(0.5), f.op("sub", f.level(read, "%y", x), zero), ky)
        value = f.fma(f.fma(value, f.real("%u", x), "%cu"), f.real("%v", x), "%cv")
        f.put_level(write, value, top, "%out", x)
    return f.text()


def _shuffle(kind: str, bits: int) -> str:
    """``pack`` a row of R, G and B into RGB pixels, or ``unpack`` it. LLVM leaves such loops
    scalar, 20x slower."""
    f = _Loops(
        f"{kind}_{bits}",
        "ptr noalias %r, ptr noalias %g, ptr noalias %b, ptr noalias %rgb, i64 %width",
    )
    size, one = bits // 8, f"i{bits}"
    planes = [f"%{plane}" for plane in "rgb"]

    def pick(lanes: int, a: str, b: str, picks: Sequence[int]) -> str:
        mask = ", ".join(f"i32 {i}" for i in picks)
        return f(
            f"shufflevector <{lanes} x {one}> {a}, <{lanes} x {one}> {b}, <{len(picks)} x i32> "
            f"<{mask}>"
        )

    n = LANES
    whole = f(f"and i64 %width, {-n}")
    with f.loop(0, whole, n) as x:
        at, pixel = f.mul(x, size), f.mul(x, 3 * size)
        if kind == "pack":
            r, g, b = (f.load(f"<{n} x {one}>", plane, at) for plane in planes)
            both, third = pick(n, r, g, range(2 * n)), pick(n, b, b, [*range(n), *range(n)])
            rgb = pick(2 * n, both, third, [i // 3 + (0, n, 2 * n)[i % 3] for i in range(3 * n)])
            f.store(f"<{3 * n} x {one}>", rgb, "%rgb", pixel)
        else:
            rgb = f.load(f"<{3 * n} x {one}>", "%rgb", pixel)
            for i, plane in enumerate(planes):
                f.store(f"<{n} x {one}>", pick(3 * n, rgb, rgb, range(i, 3 * n, 3)), plane, at)
    with f.loop(whole, "%width") as x:
        at, pixel = f.mul(x, size), f.mul(x, 3 * size)
        for i, plane in enumerate(planes):
            here, there = (plane, at), ("%rgb", f.add(pixel, i * size))
            source, target = (here, there) if kind == "pack" else (there, here)
            f.store(one, f.load(one, *source), *target)
    return f.text()


def _to_rgb(read: int, write: int) -> str:
    f = _Loops(f"to_rgb_{read}_{write}", "ptr %call", linkage="")
    w = f.words(CALL_TO_RGB)
    f.do(f"%k = getelementptr i8, ptr {w['k']}, i64 0")
    rv, gu, gv, bu = f.constants(DECODE, "rv", "gu", "gv", "bu")
    wide_u = f.at(w["scratch"], f.mul(f.add(w["half"], 2), 4))
    wide_v = f.at(wide_u, f.mul(w["half"], 8))
    row_bytes, last, halved = (
        f.mul(w["width"], write // 8),
        f.add(w["rows"], -1),
        f.nonzero(w["sub_y"]),
    )
    red = f.at(wide_v, f.mul(w["half"], 8))
    planes = [red, f.at(red, row_bytes), f.at(red, f.mul(row_bytes, 2))]
    with f.loop(0, w["height"]) as j:
        # Rows 2c and 2c+1 lie a quarter above and below chroma row c.
        near = f(f"lshr i64 {j}, {w['sub_y']}")
        far = f.add(f.add(near, -1), f.mul(f(f"and i64 {j}, 1"), 2))
        far = f.choose(halved, f.clamp(far, last), near)
        near, far = f.mul(near, w["c_stride"]), f.mul(far, w["c_stride"])
        for chroma, wide in ((w["u"], wide_u), (w["v"], wide_v)):
            rows = (
                f"ptr {f.at(chroma, near)}, ptr {f.at(chroma, far)}, ptr {w['scratch']}, ptr {wide}"
            )
            f.do(f"call void @widen_{read}({rows}, i64 {w['half']}, i64 {w['sub_x']}, ptr %k)")
        luma, target = (
            f.at(w["y"], f.mul(j, w["y_stride"])),
            f.at(w["rgb"], f.mul(j, w["rgb_stride"])),
        )
        for out, (cu, cv) in zip(
            planes, ((_number(0), rv), (gu, gv), (bu, _number(0))), strict=True
        ):
            rows = f"ptr {luma}, ptr {wide_u}, ptr {wide_v}, ptr {out}, i64 {w['width']}"
            f.do(f"call void @mix_{read}_{write}({rows}, ptr %k, float {cu}, float {cv})")
        rows = ", ".join(f"ptr {row}" for row in (*planes, target))
        f.do(f"call void @pack_{write}({rows}, i64 {w['width']})")
    return f.text()


_RGB = "ptr noalias %r, ptr noalias %g, ptr noalias %b, i64 %width, float %cr, float %cg, float %cb"


def _weighted(f: _Loops, bits: int, start: str, x: str) -> str:
    for plane in "rgb":
        start = f.fma(start, f.level(bits, f"%{plane}", x), f"%c{plane}")
    return start


def _weigh(read: int, write: int) -> str:
    """One row of luma; its last sample is repeated up to ``columns``."""
    f = _Loops(
        f"weigh_{read}_{write}", f"{_RGB}, float %zero, float %top, ptr noalias %out, i64 %columns"
    )
    with f.loop(0, "%width") as x:
        f.put_level(write, _weighted(f, read, "%zero", x), "%top", "%out", x)
    size = write // 8
    last = f.load(f"i{write}", "%out", f.mul(f.add("%width", -1), size))
    with f.loop("%width", "%columns") as x:
        f.store(f"i{write}", last, "%out", f.mul(x, size))
    return f.text()


def _add(bits: int) -> str:
    """``row[x + 1] = row[x + 1] * kept + weighted sum``."""
    f = _Loops(f"add_{bits}", f"{_RGB}, float %kept, ptr noalias %row")
    with f.loop(0, "%width") as x:
        before = f.op("mul", f.real("%row", f.add(x, 1)), "%kept")
        f.put(_weighted(f, bits, before, x), "%row", f.add(x, 1))
    return f.text()


def _subsample(bits: int) -> str:
    """One row of chroma from sums at luma's width."""
    f = _Loops(
        f"subsample_{bits}", "ptr noalias %row, ptr noalias %out, i64 %half, i64 %sub, ptr %k"
    )
    zero, top, scale, before, middle = f.constants(
        ENCODE, "c_zero", "top", "scale", "before", "middle"
    )
    halved = f.nonzero("%sub")
    with f.when(halved), f.loop(0, "%half") as x:
        at = f.at("%row", f.mul(x, 8))
        total = f.fma(f.op("mul", f.real(at, 0), before), f.real(at, 1), middle)
        f.put_level(bits, f.fma(zero, f.op("add", total, f.real(at, 2)), scale), top, "%out", x)
    with f.when(f(f"xor i1 {halved}, true")), f.loop(0, "%half") as x:
        f.put_level(bits, f.fma(zero, f.real("%row", f.add(x, 1)), scale), top, "%out", x)
    return f.text()


def _from_rgb(read: int, write: int) -> str:
    f = _Loops(f"from_rgb_{read}_{write}", "ptr %call", linkage="")
    w = f.words(CALL_FROM_RGB)
    f.do(f"%k = getelementptr i8, ptr {w['k']}, i64 0")
    k = dict(zip(ENCODE, f.constants(ENCODE, *ENCODE), strict=True))
    last, together = f.add(w["height"], -1), f.add(w["sub_y"], 1)
    sums = [w["scratch"], f.at(w["scratch"], f.mul(f.add(w["columns"], 4), 4))]
    red, row_bytes = f.at(sums[1], f.mul(f.add(w["columns"], 4), 4)), f.mul(w["width"], read // 8)
    planes = ", ".join(
        f"ptr {p}" for p in (red, f.at(red, row_bytes), f.at(red, f.mul(row_bytes, 2)))
    )

    def weights(output: str) -> str:
        return ", ".join(f"float {k[output + plane]}" for plane in "rgb")

    with f.loop(0, w["rows"]) as c:
        with f.loop(0, together) as n:
            j = f.add(f.mul(c, together), n)
            source = f.at(w["rgb"], f.mul(f.clamp(j, last), w["rgb_stride"]))
            f.do(f"call void @unpack_{read}({planes}, ptr {source}, i64 {w['width']})")
            with f.when(f(f"icmp slt i64 {j}, {w['lines']}")):
                out = f.at(w["y"], f.mul(j, w["y_stride"]))
                numbers = f"{weights('y')}, float {k['y_zero']}, float {k['top']}"
                call = f"{planes}, i64 {w['width']}, {numbers}, ptr {out}, i64 {w['columns']}"
                f.do(f"call void @weigh_{read}_{write}({call})")
            kept = f(f"uitofp i64 {n} to float")  # 0 for the first row, 1 for the second
            for name, row in zip("uv", sums, strict=True):
                f.do(
                    f"call void @add_{read}({planes}, i64 {w['width']}, {weights(name)}, float "
                    f"{kept}, ptr {row})"
                )
        for name, row in zip("uv", sums, strict=True):
            f.put(f.real(row, 1), row, 0)
            end = f.real(row, w["width"])
            with f.loop(f.add(w["width"], 1), f.add(w["columns"], 3)) as x:
                f.put(end, row, x)
            out = f.at(w[name], f.mul(c, w["c_stride"]))
            f.do(
                f"call void @subsample_{write}(ptr {row}, ptr {out}, i64 {w['half']}, i64 "
                f"{w['sub_x']}, ptr %k)"
            )
    return f.text()


def _compare() -> str:
    """Set the flags of each cell of 8 x 8 pixels in which two dense RGB pictures differ."""
    f = _Loops("compare", "ptr %call", linkage="")
    a, b, flags, height, row_bytes, columns = (f.load("i64", "%call", 8 * i) for i in range(6))
    a, b, flags = f.pointer(a), f.pointer(b), f.pointer(flags)
    whole = f(f"udiv i64 {row_bytes}, 24")
    with f.loop(0, height) as y:
        start = f.mul(y, row_bytes)
        left, right = f.at(a, start), f.at(b, start)
        cells = f.at(flags, f.mul(f(f"lshr i64 {y}, 3"), columns))
        # The five rows nearest to the cell above are 0 to 4, those nearest to the one below 3 to 7.
        line = f(f"and i64 {y}, 7")
        top, bottom = f(f"icmp ule i64 {line}, 4"), f(f"icmp uge i64 {line}, 3")

        def bits(side: int, above: int, below: int, top: str = top, bottom: str = bottom) -> str:
            upper = f(f"select i1 {top}, i8 {above | TOP}, i8 0")
            lower = f(f"select i1 {bottom}, i8 {below | BOTTOM}, i8 0")
            return f(f"or i8 {side}, {f(f'or i8 {upper}, {lower}')}")

        on_left, on_right = bits(LEFT, TOP_LEFT, BOTTOM_LEFT), bits(RIGHT, TOP_RIGHT, BOTTOM_RIGHT)
        on_both = f(f"or i8 {on_left}, {on_right}")

        def mark(flag: str, c: str, cells: str = cells) -> None:
            f.store("i8", f(f"or i8 {flag}, {f.load('i8', cells, c)}"), cells, c)

        with f.loop(0, whole) as c:
            first, middle, last = (
                f(f"xor i64 {f.load('i64', left, at)}, {f.load('i64', right, at)}")
                for at in (f.add(f.mul(c, 24), 8 * i) for i in range(3))
            )
            # Pixels 0 to 4 are bytes 0 to 14, pixels 3 to 7 bytes 9 to 23 (the first byte is the
            # lowest).
            leftmost = f(f"or i64 {first}, {f(f'and i64 {middle}, {(1 << 56) - 1}')}")
            rightmost = f(f"or i64 {last}, {f(f'and i64 {middle}, -256')}")
            here = f(f"select i1 {f.nonzero(leftmost)}, i8 {on_left}, i8 0")
            mark(
                f(f"or i8 {here}, {f(f'select i1 {f.nonzero(rightmost)}, i8 {on_right}, i8 0')}"), c
            )
        with f.loop(f.mul(whole, 24), row_bytes) as x:
            different = f(f"icmp ne i8 {f.load('i8', left, x)}, {f.load('i8', right, x)}")
            mark(f(f"select i1 {different}, i8 {on_both}, i8 0"), whole)
    return f.text()
