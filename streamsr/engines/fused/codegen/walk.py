"""The walk over the rows: bytes to planes, the five stages one row behind another, planes to bytes.

Row ``t`` of the picture is read while stage ``k`` works on row ``t - k``, so that what a stage made
is still in the cache when the next one reads it. Rows outside the picture are filled with the zero
point, as are the pixels left and right of each row: together they are the "same" padding of every
convolution.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from streamsr.engines.fused.codegen import layout
from streamsr.engines.fused.codegen.convolution import kinds, name
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import Ring, Rings
from streamsr.native.ir import Function
from streamsr.region import CELL

_WORD = {word: 8 * k for k, word in enumerate(layout.CALL)}
_OP = {word: 8 * k for k, word in enumerate(layout.OP)}
_SEGMENT = {word: 8 * k for k, word in enumerate(layout.SEGMENT)}


def walk(isa: Isa, scale: int) -> str:
    """IR of ``run(ptr call)``, which computes one strip, and of the functions it uses."""
    rings = Rings.of(head_planes(isa, scale))
    parts = [
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n",
        _slot(),
        _fill(),
        _stage(isa),
        _span(isa, scale),
        *(_put(isa, scale, pixels) for pixels in sorted({min(CELL, isa.lanes), isa.lanes})),
        _write_run(isa, scale, rings),
        _read(rings),
        _corner(isa, rings),
        _write(),
        _run(),
    ]
    return "\n".join(parts)


def head_planes(isa: Isa, scale: int) -> int:
    """Planes of the head's output: each of its groups of channels is padded to whole planes."""
    subpixels = isa.subpixels(scale)
    return scale * scale // subpixels * (-(-3 * subpixels // 4))


def _ceil(f: Function, value: str, unit: int) -> str:
    """``value`` in whole units, the last of which may not be full."""
    return f(f"sdiv i64 {f.add(value, unit - 1)}, {unit}")


def _get(f: Function, word: str) -> str:
    return f.load("i64", "%call", _WORD[word])


def _row(f: Function, ring: Ring, row: str, line: str, arena: str) -> str:
    """Pixel 0 of plane 0 of a row, which is at least -REACH."""
    slot = f(f"urem i64 {f.add(row, layout.REACH + 1)}, {ring.rows}") if ring.rows > 1 else "0"
    first = f.add(f.mul(slot, ring.planes), ring.first)
    return f.at(arena, f.add(f.mul(first, line), layout.HEAD))


def _slot() -> str:
    """The same as _row for the ring whose words stand at ``%ring``; the result is stored at
    ``%result``."""
    f = Function("slot", "ptr %call, ptr %ring, i64 %row, ptr %result")
    first, rows, planes = (f.load("i64", "%ring", 8 * k) for k in range(3))
    line = f.add(f.mul(f(f"urem i64 {f.add('%row', layout.REACH + 1)}, {rows}"), planes), first)
    at = f.add(f.mul(line, _get(f, "line")), layout.HEAD)
    f.store("ptr", f.at(f.load("ptr", "%call", _WORD["arena"]), at), "%result")
    return f.text()


def _fill() -> str:
    """Set pixels ``%from`` (byte offset) to ``%end`` of ``%planes`` planes to the zero point."""
    f = Function("fill", "ptr %row, i64 %planes, i64 %line, i64 %from, i64 %end, i32 %pixel")
    with f.loop(0, "%planes") as plane:
        start = f.at("%row", f.mul(plane, "%line"))
        with f.loop("%from", "%end", 4) as x:
            f.store("i32", "%pixel", start, x)
    return f.text()


@contextmanager
def _runs(f: Function, rows: tuple[str, str], cells: str) -> Iterator[tuple[str, str]]:
    """The body for each run of cells, from one up to before another, set in either of two rows of
    flags."""
    # A run is done when it has ended, at the latest one beyond the last cell.
    with f.carry(0, f.add(cells, 1), 1, ["i64"], ["-1"]) as (c, begun):
        beyond = f(f"icmp eq i64 {c}, {cells}")
        at = f(f"select i1 {beyond}, i64 0, i64 {c}")
        flags = f(f"or i8 {f.load('i8', rows[0], at)}, {f.load('i8', rows[1], at)}")
        wanted = f(f"and i1 {f(f'icmp ne i8 {flags}, 0')}, {f(f'xor i1 {beyond}, true')}")
        idle = f(f"icmp slt i64 {begun[0]}, 0")
        since = f(f"select i1 {idle}, i64 {c}, i64 {begun[0]}")
        with f.when(f(f"and i1 {f(f'xor i1 {wanted}, true')}, {f(f'xor i1 {idle}, true')}")):
            yield begun[0], c
        begun[0] = f(f"select i1 {wanted}, i64 {since}, i64 -1")


def _flags(f: Function, row: str, cells: str) -> str:
    """The row of flags for a picture row, which is at least -CELL."""
    return f.at(
        f.load("ptr", "%call", _WORD["cells"]), f.mul(f(f"lshr i64 {f.add(row, CELL)}, 3"), cells)
    )


def _stage(isa: Isa) -> str:
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
    inside, vectors = f(f"icmp ult i64 %row, {_get(f, 'height')}"), _ceil(f, "%columns", lanes)
    dense = f(f"icmp eq i64 {_get(f, 'cells')}, 0")

    def span(first: str, number: str) -> None:
        f.do(
            f"call void @span(ptr %call, ptr %op, i64 %count, i64 %row, i64 %offset, i64 {first}, "
            f"i64 {number})"
        )

    with f.when(f(f"and i1 {inside}, {dense}")):
        span("0", vectors)
    with f.when(f(f"and i1 {inside}, {f(f'xor i1 {dense}, true')}")):
        cells = _ceil(f, "%columns", CELL)
        rows = (
            _flags(f, f("sub i64 %row, %margin"), cells),
            _flags(f, f.add("%row", "%margin"), cells),
        )
        with _runs(f, rows, cells) as (begin, end):
            first = f.most(f(f"sub i64 {f.mul(begin, CELL)}, %margin"), "0")
            last = f.least(f.add(f.mul(end, CELL), "%margin"), "%columns")
            number = _ceil(f, f(f"sub i64 {last}, {first}"), lanes)
            # Vectors run over the end of the run, but not over that of the line.
            span(f.least(first, f.mul(f(f"sub i64 {vectors}, {number}"), lanes)), number)
    with f.when("%pad"):
        line = _get(f, "line")
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


def _span(isa: Isa, scale: int) -> str:
    """The operations on ``%vectors`` vectors of the row from pixel ``%first`` on."""
    f = Function(
        "span", "ptr %call, ptr %op, i64 %count, i64 %row, i64 %offset, i64 %first, i64 %vectors"
    )
    line, table, block = _get(f, "line"), f.load("ptr", "%call", _WORD["table"]), 4 * isa.lanes
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
        for number, (channels, taps) in enumerate(kinds(isa, scale)):
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


def _read(rings: Rings) -> str:
    """RGB bytes to three planes: the nine bytes of pixels x-1, x, x+1 in dwords at 0, 4 and 8 of
    the window."""
    f = Function("read", "ptr %call, i64 %row, i32 %pixel")
    line, arena, width = _get(f, "line"), f.load("ptr", "%call", _WORD["arena"]), _get(f, "width")
    planes = _row(f, rings.window, "%row", line, arena)
    inside = f(f"icmp ult i64 %row, {_get(f, 'height')}")
    with f.when(inside):
        lr, size = f.load("ptr", "%call", _WORD["lr"]), f.mul(width, 3)
        staging = _row(f, rings.staging, "0", line, arena)
        f.store("i32", "%pixel", staging, -4)
        source = f.at(lr, f.mul("%row", _get(f, "lr_stride")))
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


def _corner(isa: Isa, rings: Rings) -> str:
    """The ninth byte of the window of three rows, in one plane: 27 inputs fit 7 planes, not 9."""
    f = Function("corner", "ptr %call, i64 %row")
    line, arena, width = _get(f, "line"), f.load("ptr", "%call", _WORD["arena"]), _get(f, "width")
    kind = f"<{isa.lanes} x i32>"
    rows = [_row(f, rings.window, f.add("%row", dy), line, arena) for dy in (-1, 0, 1)]
    rows = [f.at(row, f.mul(line, 2)) for row in rows]
    out = _row(f, rings.corner, "0", line, arena)
    with f.loop(0, f.mul(width, 4), 4 * isa.lanes) as x:
        bytes_ = [f(f"and {kind} {f.load(kind, row, x)}, splat (i32 255)") for row in rows]
        for k in (1, 2):
            bytes_[k] = f(f"shl {kind} {bytes_[k]}, splat (i32 {8 * k})")
        f.store(
            kind, f(f"or {kind} {bytes_[0]}, {f(f'or {kind} {bytes_[1]}, {bytes_[2]}')}"), out, x
        )
    return f.text()


def _write() -> str:
    """Depth to space: what is wanted of the head's planes to ``scale`` rows of RGB."""
    f = Function("write", "ptr %call, i64 %row")
    columns = _get(f, "columns")
    dense = f(f"icmp eq i64 {_get(f, 'cells')}, 0")
    with f.when(dense):
        f.do(f"call void @write_run(ptr %call, i64 %row, i64 0, i64 {columns})")
    with f.when(f(f"xor i1 {dense}, true")):
        cells = _ceil(f, columns, CELL)
        flags = _flags(f, "%row", cells)
        with _runs(f, (flags, flags), cells) as (begin, end):
            last = f.least(f.mul(end, CELL), columns)
            f.do(f"call void @write_run(ptr %call, i64 %row, i64 {f.mul(begin, CELL)}, i64 {last})")
    return f.text()


def _write_run(isa: Isa, scale: int, rings: Rings) -> str:
    """Pixels ``%begin`` to ``%end``. A last vector that is not full is moved left, or half of it is
    written."""
    f = Function("write_run", "ptr %call, i64 %row, i64 %begin, i64 %end")
    line, arena, lanes = _get(f, "line"), f.load("ptr", "%call", _WORD["arena"]), isa.lanes
    planes = _row(f, rings.head, "0", line, arena)
    first = f.mul(f(f"sub i64 %row, {_get(f, 'top')}"), scale)
    hr, hr_stride = f.load("ptr", "%call", _WORD["hr"]), _get(f, "hr_stride")
    out, end = f.at(hr, f.mul(first, hr_stride)), f.add(_get(f, "columns"), -lanes)
    with f.loop("%begin", "%end", lanes) as x:
        half = f(f"icmp eq i64 {f(f'sub i64 %end, {x}')}, {CELL}") if lanes > CELL else "false"
        for wanted, pixels, at in (
            (half, CELL, x),
            (f(f"xor i1 {half}, true"), lanes, f.least(x, end)),
        ):
            if pixels <= lanes:
                with f.when(wanted):
                    start, target = f.at(planes, f.mul(at, 4)), f.at(out, f.mul(at, 3 * scale))
                    f.do(
                        f"call void @put_{pixels}(ptr {start}, i64 {line}, ptr {target}, i64 "
                        f"{hr_stride})"
                    )
    return f.text()


def _put(isa: Isa, scale: int, pixels: int) -> str:
    """Write the first ``pixels`` of a vector, ``scale`` times ``scale`` output pixels each."""
    f = Function(f"put_{pixels}", "ptr %planes, i64 %line, ptr %out, i64 %stride")
    width = 3 * isa.subpixels(scale)
    quads, block = -(-width // 4), 4 * isa.lanes
    count = quads * scale // isa.subpixels(scale)
    for dy in range(scale):
        row, start = f.at("%out", f.mul("%stride", dy)), f.at("%planes", f.mul("%line", dy * count))
        vectors = [f.load(f"<{block} x i8>", start, f.mul("%line", k)) for k in range(count)]
        for chunk in range(0, 3 * scale * pixels, block):
            size = min(block, 3 * scale * pixels - chunk)
            places = [divmod(chunk + k, 3 * scale) for k in range(size)]
            sources = [
                ((c // width) * quads + c % width // 4, 4 * p + c % width % 4) for p, c in places
            ]
            f.store(f"<{size} x i8>", _gather(f, block, vectors, sources), row, chunk)
    return f.text()


def _gather(f: Function, block: int, vectors: list[str], sources: list[tuple[int, int]]) -> str:
    """One vector of the bytes at ``sources``, (which vector, which byte)."""
    result = vectors[0]
    for k in range(1, len(vectors)):
        keep = range(block) if k > 1 else [byte if plane == 0 else 0 for plane, byte in sources]
        mask = [block + byte if plane == k else keep[i] for i, (plane, byte) in enumerate(sources)]
        mask += [0] * (block - len(mask)) if k + 1 < len(vectors) else []
        result = f.shuffle(block, result, vectors[k], mask)
    return result


def _run() -> str:
    """One strip from its first input row to its last output row."""
    f = Function("run", "ptr %call", linkage="")
    ops, zero_points = (f.load("ptr", "%call", _WORD[word]) for word in ("ops", "zero_points"))
    width, columns, offset, top = (_get(f, word) for word in ("width", "columns", "offset", "top"))
    first, pixels = f.add(top, -layout.REACH), [f.load("i32", zero_points, 4 * k) for k in range(6)]
    with f.loop(first, f.add(_get(f, "bottom"), layout.REACH)) as t:
        f.do(f"call void @read(ptr %call, i64 {t}, i32 {pixels[0]})")
        for stage, (begin, end) in enumerate(layout.STAGES, 1):
            row, head = f.add(t, -stage), stage == len(layout.STAGES)
            with f.when(f(f"icmp sge i64 {row}, {f.add(first, stage)}")):
                if stage == 1:
                    f.do(f"call void @corner(ptr %call, i64 {row})")
                f.do(
                    f"call void @stage(ptr %call, ptr {f.at(ops, 8 * layout.OP_WORDS * begin)}, "
                    f"i64 {end - begin}, "
                    f"i64 {row}, i64 {offset if head else 0}, i64 {columns if head else width}, "
                    f"i32 {pixels[stage]}, i1 {'false' if head else 'true'}, i64 "
                    f"{len(layout.STAGES) - stage})"
                )
                if head:
                    f.do(f"call void @write(ptr %call, i64 {row})")
    return f.text()
