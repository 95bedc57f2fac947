"""The walk by blocks of four rows, for kernels that compute four by four pixels at a time.

While rows ``t`` .. ``t + 3`` of the picture are read, stage ``k`` works on rows ``t - k`` ..
``t - k + 3``: each block is a row above what the stage before has just made, so that six rows of
each tensor are kept. A block is computed in chunks (see `scratch`), each through all operations of
its stage; what leaves a stage stands in a ring, the pixels of a row in four lines by x mod 4, so
that half a vector holds one pixel of each of four tiles. Rows and pixels outside the picture are
filled with the zero point, as in the walk by rows.
"""

from streamsr.engines.fused.codegen.chunks import chunks, part, rows_from
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import BlockRings, Shape
from streamsr.engines.fused.codegen.pixels import write
from streamsr.engines.fused.codegen.rows import WORD, ceil, fill, flags_of, get, row_of, runs
from streamsr.engines.fused.codegen.scratch import CHUNK, ROWS, TILE, TILES
from streamsr.native.ir import Function
from streamsr.region import CELL


def walk(isa: Isa, shape: Shape) -> str:
    """Write ``run(ptr call)``, which computes one strip, and the functions it uses."""
    planes = len(isa.head_order(shape.scale)) // 4
    rings = BlockRings.of(shape, planes)
    stages = range(1, len(shape.stages) + 1)
    parts = [
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n",
        fill(),
        _edges(),
        chunks(isa, shape, rings, planes),
        *(_collect(shape, stage) for stage in stages),
        *(_stage(shape, rings, stage) for stage in stages),
        write(isa, shape, rings.head),
        _read(shape, rings),
        _run(shape),
    ]
    return "\n".join(parts)


def _edges() -> str:
    """Set the pixels left and right of a row of ``planes`` to the zero point; outside the picture
    all of it."""
    f = Function("edges", "ptr %call, ptr %start, i64 %row, i64 %planes, i32 %pixel")
    line, width = get(f, "line"), get(f, "width")
    inside = f(f"icmp ult i64 %row, {get(f, 'height')}")
    with f.when(inside):
        right = f.add(f.mul(f(f"and i64 {width}, 3"), line), f.mul(f(f"lshr i64 {width}, 2"), 4))
        left = f.add(f.mul(line, 3), -4)
        with f.loop(0, "%planes") as plane:
            start = f.at("%start", f.mul(f.mul(plane, line), 4))
            f.store("i32", "%pixel", start, left)
            f.store("i32", "%pixel", start, right)
    with f.when(f(f"xor i1 {inside}, true")):
        end = f.add(f.mul(ceil(f, width, TILE), 4), 4)
        lines = f.mul("%planes", 4)
        f.do(f"call void @fill(ptr %start, i64 {lines}, i64 {line}, i64 -4, i64 {end}, i32 %pixel)")
    return f.text()


def _collect(shape: Shape, stage: int) -> str:
    """Cover the tiles from ``first`` to before ``end`` with strands, where those before do not;
    whenever strands fill a chunk, compute it. From -1 on compute what is left."""
    f = Function(f"collect_{stage}", "ptr %call, i64 %row, i64 %first, i64 %end")
    count, strands, covered = (part(f, shape, name) for name in ("count", "strands", "covered"))
    # Strands run over the end, but not over that of the line.
    most = f.mul(f.add(ceil(f, get(f, "width"), TILE * TILES), -1), TILES)
    start = f.most("%first", f.load("i64", covered))
    with f.carry(start, "%end", TILES, ["i64"], [start]) as (tile, after):
        held = f.load("i64", count)
        f.store("i64", f.least(tile, most), strands, f.mul(held, 8))
        held = f.add(held, 1)
        full = f(f"icmp eq i64 {held}, {2 * CHUNK}")
        f.store("i64", f(f"select i1 {full}, i64 0, i64 {held}"), count)
        with f.when(full):
            f.do(f"call void @chunk_{stage}(ptr %call, i64 %row, i64 {CHUNK})")
        after[0] = f.add(tile, TILES)
    f.store("i64", after[0], covered)
    held = f.load("i64", count)
    some = f(f"icmp sgt i64 {held}, 0")
    with f.when(f(f"and i1 {some}, {f('icmp slt i64 %first, 0')}")):
        # An odd one is computed twice.
        last = f.load("i64", strands, f.mul(f.add(held, -1), 8))
        f.store("i64", last, strands, f.mul(held, 8))
        f.do(f"call void @chunk_{stage}(ptr %call, i64 %row, i64 {ceil(f, held, 2)})")
    return f.text()


def _stage(shape: Shape, rings: BlockRings, stage: int) -> str:
    """Compute one block: all tiles, or those around wanted cells; then set its edges."""
    f = Function(f"stage_{stage}", "ptr %call, i64 %row, i32 %pixel")
    margin, head = len(shape.stages) - stage, stage == len(shape.stages)
    height, width, columns = get(f, "height"), get(f, "width"), get(f, "columns")
    for word in ("count", "covered"):
        f.store("i64", "0", part(f, shape, word))

    def cover(first: str, end: str) -> None:
        """Collect from the tile of pixel ``first`` to that before pixel ``end``."""
        tiles = f(f"lshr i64 {first}, 2"), ceil(f, end, TILE)
        f.do(f"call void @collect_{stage}(ptr %call, i64 %row, i64 {tiles[0]}, i64 {tiles[1]})")

    seen = f(f"icmp slt i64 %row, {height}")
    seen = f(f"and i1 {seen}, {f(f'icmp sge i64 %row, {1 - ROWS}')}")
    dense = f(f"icmp eq i64 {get(f, 'cells')}, 0")
    with f.when(f(f"and i1 {seen}, {dense}")):
        offset = get(f, "offset")
        first, end = (offset, f.add(offset, columns)) if head else ("0", width)
        cover(first, f.least(end, width))
    with f.when(f(f"and i1 {seen}, {f(f'xor i1 {dense}, true')}")):
        cells = ceil(f, width, CELL)
        beyond = CELL * shape.cells_before
        top = f.most(f.add("%row", -margin), -beyond)
        bottom = f.least(f.add("%row", ROWS - 1 + margin), f.add(height, beyond - 1))
        span = ROWS - 1 + 2 * margin
        middle = [f.least(f.add(top, k), bottom) for k in range(CELL, max(span, CELL + 1), CELL)]
        flags = [flags_of(f, shape, row, cells) for row in (top, *middle, bottom)]
        with runs(f, flags, cells) as (begin, end):
            first = f.most(f.add(f.mul(begin, CELL), -margin), "0")
            cover(first, f.least(f.add(f.mul(end, CELL), margin), width))
    f.do(f"call void @collect_{stage}(ptr %call, i64 %row, i64 -1, i64 -1)")
    if not head:
        for k, row in enumerate(rows_from(f, shape, rings.features[stage - 1], ROWS)):
            number = f.add("%row", k)
            f.do(
                f"call void @edges(ptr %call, ptr {row}, i64 {number}, i64 {shape.planes}, "
                f"i32 %pixel)"
            )
    return f.text()


def _read(shape: Shape, rings: BlockRings) -> str:
    """Copy the bytes of a row of the picture, and put a pixel before and after."""
    f = Function("read", "ptr %call, i64 %row, i32 %pixel")
    width = get(f, "width")
    staging = row_of(
        f, shape, rings.staging, "%row", get(f, "line"), f.load("ptr", "%call", WORD["arena"])
    )
    inside = f(f"icmp ult i64 %row, {get(f, 'height')}")
    size = f.mul(width, 3)
    with f.when(inside):
        f.store("i32", "%pixel", staging, -4)
        lr = f.load("ptr", "%call", WORD["lr"])
        source = f.at(lr, f.mul("%row", get(f, "lr_stride")))
        f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {staging}, ptr {source}, i64 {size}, i1 false)")
        f.store("i32", "%pixel", staging, size)
    with f.when(f(f"xor i1 {inside}, true")):
        end = f.add(size, 4)
        f.do(f"call void @fill(ptr {staging}, i64 1, i64 0, i64 -4, i64 {end}, i32 %pixel)")
    return f.text()


def _run(shape: Shape) -> str:
    """Compute one strip from its first input row to its last output row: the head's blocks begin
    at its top."""
    f = Function("run", "ptr %call", linkage="")
    zero_points = f.load("ptr", "%call", WORD["zero_points"])
    top, bottom = get(f, "top"), get(f, "bottom")
    reach, stages = shape.reach, len(shape.stages)
    pixels = [f.load("i32", zero_points, 4 * k) for k in range(stages + 1)]
    # The reach above the top, and where the head's blocks begin at it.
    first = reach - ROWS * -(-2 * reach // ROWS)
    with f.loop(f.add(top, first), f.add(bottom, reach), ROWS) as t:
        with f.loop(0, ROWS) as k:
            f.do(f"call void @read(ptr %call, i64 {f.add(t, k)}, i32 {pixels[0]})")
        for stage in range(1, stages + 1):
            row = f.add(t, -stage)
            # The block holds a row that what is wanted depends on.
            begun = f(f"icmp sge i64 {row}, {f.add(top, stage - reach - ROWS + 1)}")
            needed = f(f"icmp slt i64 {row}, {f.add(bottom, reach - stage)}")
            with f.when(f(f"and i1 {begun}, {needed}")):
                f.do(f"call void @stage_{stage}(ptr %call, i64 {row}, i32 {pixels[stage]})")
                if stage == stages:
                    with f.loop(row, f.least(f.add(row, ROWS), bottom)) as each:
                        f.do(f"call void @write(ptr %call, i64 {each})")
    return f.text()
