"""The walk over the rows: bytes to planes, the stages one row behind another, planes to bytes.

Row ``t`` of the picture is read while stage ``k`` works on row ``t - k``, so that what a stage made
is still in the cache when the next one reads it. Rows outside the picture are filled with the zero
point, as are the pixels left and right of each row: together they are the "same" padding of every
convolution.
"""

from streamsr.engines.fused.codegen import layout
from streamsr.engines.fused.codegen.convolution import kinds, name
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import Rings, Shape
from streamsr.engines.fused.codegen.pixels import write
from streamsr.engines.fused.codegen.rows import WORD, ceil, fill, flags_of, get, row_of, runs
from streamsr.native.ir import Function
from streamsr.region import CELL

_OP = {word: 8 * k for k, word in enumerate(layout.OP)}
_SEGMENT = {word: 8 * k for k, word in enumerate(layout.SEGMENT)}


def walk(isa: Isa, shape: Shape) -> str:
    """IR of ``run(ptr call)``, which computes one strip, and of the functions it uses."""
    rings = Rings.of(shape, len(isa.head_order(shape.scale)) // 4)
    parts = [
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n",
        _slot(shape),
        fill(),
        _stage(isa, shape),
        _span(isa, shape),
        write(isa, shape, rings.head),
        _read(shape, rings),
        _corner(isa, shape, rings),
        _run(shape),
    ]
    return "\n".join(parts)


def _slot(shape: Shape) -> str:
    """The same as row_of for the ring whose words stand at ``%ring``; the result is stored at
    ``%result``."""
    f = Function("slot", "ptr %call, ptr %ring, i64 %row, ptr %result")
    first, rows, planes = (f.load("i64", "%ring", 8 * k) for k in range(3))
    line = f.add(f.mul(f(f"urem i64 {f.add('%row', shape.before)}, {rows}"), planes), first)
    at = f.add(f.mul(line, get(f, "line")), layout.HEAD)
    f.store("ptr", f.at(f.load("ptr", "%call", WORD["arena"]), at), "%result")
    return f.text()


def _stage(isa: Isa, shape: Shape) -> str:
    """Operations ``%op``.. on one row: pixels ``%offset``.. of its inputs give ``%columns`` pixels
    from 0 on.

    Where only some cells are wanted, what lies within ``%margin`` pixels and rows of them.
    """
    params = (
        "ptr %call, ptr %op, i64 %count, i64 %row, i64 %offset, i64 %columns, i32 %pixel, i1 %pad, "
        "i64 %margin"
    )
    f = Function("stage", params)
    scratch, size, lanes = f("alloca ptr"), f.mul("%columns", 4), isa.lanes
    inside, vectors = f(f"icmp ult i64 %row, {get(f, 'height')}"), ceil(f, "%columns", lanes)
    dense = f(f"icmp eq i64 {get(f, 'cells')}, 0")

    def span(first: str, number: str) -> None:
        f.do(
            f"call void @span(ptr %call, ptr %op, i64 %count, i64 %row, i64 %offset, i64 {first}, "
            f"i64 {number})"
        )

    with f.when(f(f"and i1 {inside}, {dense}")):
        span("0", vectors)
    with f.when(f(f"and i1 {inside}, {f(f'xor i1 {dense}, true')}")):
        cells = ceil(f, "%columns", CELL)
        top, bottom = f("sub i64 %row, %margin"), ""
        rows = [flags_of(f, shape, top, cells)]
        for between in range(CELL, 2 * (shape.reach - 1), CELL):
            bottom = bottom or f.add("%row", "%margin")
            rows.append(flags_of(f, shape, f.least(f.add(top, between), bottom), cells))
        rows.append(flags_of(f, shape, bottom or f.add("%row", "%margin"), cells))
        with runs(f, rows, cells) as (begin, end):
            first = f.most(f(f"sub i64 {f.mul(begin, CELL)}, %margin"), "0")
            last = f.least(f.add(f.mul(end, CELL), "%margin"), "%columns")
            number = ceil(f, f(f"sub i64 {last}, {first}"), lanes)
            # Vectors run over the end of the run, but not over that of the line.
            span(f.least(first, f.mul(f(f"sub i64 {vectors}, {number}"), lanes)), number)
    with f.when("%pad"):
        line = get(f, "line")
        last = f.at("%op", f.mul(f.add("%count", -1), 8 * layout.OP_WORDS))
        f.do(f"call void @slot(ptr %call, ptr {f.at(last, _OP['first'])}, i64 %row, ptr {scratch})")
        out, planes = f.load("ptr", scratch), f.load("i64", last, _OP["planes"])
        whole = f(f"select i1 {inside}, i64 0, i64 {size}")
        for first, end in (("-4", whole), (size, f.add(size, 4))):
            f.do(
                f"call void @fill(ptr {out}, i64 {planes}, i64 {line}, i64 {first}, i64 {end}, i32 "
                f"%pixel)"
            )
    return f.text()


def _span(isa: Isa, shape: Shape) -> str:
    """The operations on ``%vectors`` vectors of the row from pixel ``%first`` on."""
    f = Function(
        "span", "ptr %call, ptr %op, i64 %count, i64 %row, i64 %offset, i64 %first, i64 %vectors"
    )
    line, table, block = get(f, "line"), f.load("ptr", "%call", WORD["scratch"]), 4 * isa.lanes
    scratch, begin = f("alloca ptr"), f.mul("%first", 4)
    start = f.add(f.mul("%offset", 4), begin)
    tiles = f(f"sdiv i64 %vectors, {isa.vectors}")
    done = f.mul(tiles, isa.vectors)
    rest = f(f"sub i64 %vectors, {done}")
    with f.loop(0, "%count") as k:
        op = f.at("%op", f.mul(k, 8 * layout.OP_WORDS))
        kind, groups, step, weights, params = (
            f.load("i64", op, _OP[word]) for word in layout.OP[:5]
        )
        f.do(f"call void @slot(ptr %call, ptr {f.at(op, _OP['first'])}, i64 %row, ptr {scratch})")
        out = f.at(f.load("ptr", scratch), begin)
        with f.carry(0, f.load("i64", op, _OP["segments"]), 1, ["i64"], ["0"]) as (s, total):
            segment = f.at(op, f.add(f.mul(s, 8 * len(layout.SEGMENT)), 8 * len(layout.OP)))
            row = f.add("%row", f.load("i64", segment, _SEGMENT["dy"]))
            planes = f.load("i64", segment, _SEGMENT["count"])
            f.do(f"call void @slot(ptr %call, ptr {segment}, i64 {row}, ptr {scratch})")
            pixel = f.load("ptr", scratch)
            with f.loop(0, planes) as plane:
                f.store(
                    "ptr", f.at(pixel, f.mul(plane, line)), table, f.mul(f.add(total[0], plane), 8)
                )
            total[0] = f.add(total[0], planes)
        for number, (channels, taps) in enumerate(kinds(isa, shape)):
            with f.when(f(f"icmp eq i64 {kind}, {number}")):
                for width in range(isa.vectors, 0, -1):
                    full = width == isa.vectors
                    count, x = (tiles, "0") if full else ("1", f.mul(done, block))
                    with f.when("true" if full else f(f"icmp eq i64 {rest}, {width}")):
                        f.do(
                            f"call void @{name(width, channels, taps)}(ptr {table}, i64 "
                            f"{total[0]}, "
                            f"ptr {f.pointer(weights)}, ptr {f.pointer(params)}, i64 "
                            f"{f.add(start, x)}, i64 {step}, "
                            f"ptr {f.at(out, x)}, i64 {line}, i64 {groups}, i64 {count})"
                        )
    return f.text()


def _read(shape: Shape, rings: Rings) -> str:
    """RGB bytes to three planes: the nine bytes of pixels x-1, x, x+1 in dwords at 0, 4 and 8 of
    the window."""
    f = Function("read", "ptr %call, i64 %row, i32 %pixel")
    line, arena, width = get(f, "line"), f.load("ptr", "%call", WORD["arena"]), get(f, "width")
    planes = row_of(f, shape, rings.window, "%row", line, arena)
    inside = f(f"icmp ult i64 %row, {get(f, 'height')}")
    with f.when(inside):
        lr, size = f.load("ptr", "%call", WORD["lr"]), f.mul(width, 3)
        staging = row_of(f, shape, rings.staging, "0", line, arena)
        f.store("i32", "%pixel", staging, -4)
        source = f.at(lr, f.mul("%row", get(f, "lr_stride")))
        f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {staging}, ptr {source}, i64 {size}, i1 false)")
        f.store("i32", "%pixel", staging, size)
        mask = [3 * (k // 4) + k % 4 for k in range(16)]
        with f.loop(0, width, 4) as x:
            for plane in range(3):
                window = f.load("<16 x i8>", staging, f.add(f.mul(x, 3), 4 * plane - 3))
                target = f.add(f.mul(line, plane), f.mul(x, 4))
                f.store("<16 x i8>", f.shuffle(16, window, "poison", mask), planes, target)
    with f.when(f(f"xor i1 {inside}, true")):
        f.do(
            f"call void @fill(ptr {planes}, i64 3, i64 {line}, i64 0, i64 {f.mul(width, 4)}, i32 "
            f"%pixel)"
        )
    return f.text()


def _corner(isa: Isa, shape: Shape, rings: Rings) -> str:
    """The ninth byte of the window of three rows, in one plane: 27 inputs fit 7 planes, not 9."""
    f = Function("corner", "ptr %call, i64 %row")
    line, arena, width = get(f, "line"), f.load("ptr", "%call", WORD["arena"]), get(f, "width")
    kind = f"<{isa.lanes} x i32>"
    rows = [row_of(f, shape, rings.window, f.add("%row", dy), line, arena) for dy in (-1, 0, 1)]
    rows = [f.at(row, f.mul(line, 2)) for row in rows]
    out = row_of(f, shape, rings.corner, "0", line, arena)
    with f.loop(0, f.mul(width, 4), 4 * isa.lanes) as x:
        bytes_ = [f(f"and {kind} {f.load(kind, row, x)}, splat (i32 255)") for row in rows]
        for k in (1, 2):
            bytes_[k] = f(f"shl {kind} {bytes_[k]}, splat (i32 {8 * k})")
        f.store(
            kind, f(f"or {kind} {bytes_[0]}, {f(f'or {kind} {bytes_[1]}, {bytes_[2]}')}"), out, x
        )
    return f.text()


def _run(shape: Shape) -> str:
    """One strip from its first input row to its last output row."""
    f = Function("run", "ptr %call", linkage="")
    ops, zero_points = (f.load("ptr", "%call", WORD[word]) for word in ("ops", "zero_points"))
    width, columns, offset, top = (get(f, word) for word in ("width", "columns", "offset", "top"))
    stages = shape.stages
    first = f.add(top, -shape.reach)
    pixels = [f.load("i32", zero_points, 4 * k) for k in range(len(stages) + 1)]
    with f.loop(first, f.add(get(f, "bottom"), shape.reach)) as t:
        f.do(f"call void @read(ptr %call, i64 {t}, i32 {pixels[0]})")
        for stage, (begin, end) in enumerate(stages, 1):
            row, head = f.add(t, -stage), stage == len(stages)
            with f.when(f(f"icmp sge i64 {row}, {f.add(first, stage)}")):
                if stage == 1:
                    f.do(f"call void @corner(ptr %call, i64 {row})")
                f.do(
                    f"call void @stage(ptr %call, ptr {f.at(ops, 8 * layout.OP_WORDS * begin)}, "
                    f"i64 {end - begin}, "
                    f"i64 {row}, i64 {offset if head else 0}, i64 {columns if head else width}, "
                    f"i32 {pixels[stage]}, i1 {'false' if head else 'true'}, i64 "
                    f"{len(stages) - stage})"
                )
                if head:
                    f.do(f"call void @write(ptr %call, i64 {row})")
    return f.text()
