"""A chunk of a block through all operations of its stage, see `scratch` for where it lies.

A chunk's inputs come from rings of rows, through the convolutions in scratch, to the next ring:

    first   window of the picture's bytes; stem and side branch; point
    root    block: Winograd's convolution, pointwise convolution
    join    the last root block, with the side branch beside it, and the join
    head    Winograd's convolution to the head's channels, pixels put back in their order
"""

from streamsr.engines.fused.codegen import layout, scheduled, winograd
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import GROUPS, BlockRings, Ring, Shape
from streamsr.engines.fused.codegen.rows import WORD, get, row_of
from streamsr.engines.fused.codegen.scratch import (
    PAIR,
    PLANE,
    POSITIONS,
    ROWS,
    STRAND,
    TILE,
    VECTOR,
    places,
)
from streamsr.native.ir import Function

_LAYER = {word: 8 * k for k, word in enumerate(layout.LAYER)}
_STEM, _SIDE, _POINT, _ROOT = range(4)
_CALL = "ptr %call, i64 %row, i64 %width"


def chunks(isa: Isa, shape: Shape, rings: BlockRings, planes: int) -> str:
    """Write ``chunk_1`` .. ``(ptr call, i64 row, i64 width)``, one for each stage, and what they
    call.

    A chunk is ``width`` vectors wide; its strands stand in scratch. ``planes`` are the head's.
    """
    parts = [
        scheduled.kernels(isa),
        winograd.kernels(shape.group_planes),
        winograd.kernels(shape.planes),
        winograd.outputs(isa),
        _aim(),
        _window(shape, rings),
        _convolution(shape, "root", GROUPS, shape.group_planes),
        _convolution(shape, "head", 1, shape.planes),
        _fetch(shape),
        _line_up(),
        _first_chunk(shape, rings),
        *(_root_chunk(shape, rings, stage) for stage in range(2, shape.blocks + 1)),
        _join_chunk(shape, rings),
        _head_chunk(shape, rings, planes),
    ]
    return "\n".join(parts)


def part(f: Function, shape: Shape, name: str) -> str:
    """Find where this part of scratch begins."""
    return f.at(f.load("ptr", "%call", WORD["scratch"]), places(shape.width)[name])


def rows_from(f: Function, shape: Shape, ring: Ring, count: int, first: int = 0) -> list[str]:
    """Find line 0 of plane 0 of ``count`` rows from ``%row`` + ``first`` on."""
    line, arena = get(f, "line"), f.load("ptr", "%call", WORD["arena"])
    return [row_of(f, shape, ring, f.add("%row", first + k), line, arena) for k in range(count)]


def _layer(f: Function, number: int | str, word: str) -> str:
    ops = f.load("ptr", "%call", WORD["ops"])
    record = f.at(ops, f.mul(number, 8 * len(layout.LAYER)))
    return f.load("i64" if word in ("kind", "quads") else "ptr", record, _LAYER[word])


def _aim() -> str:
    """Write down where each half vector of a chunk's row goes: ``width`` vectors of four lines,
    ``line`` bytes apart, the strands standing as in the picture."""
    f = Function("aim", "ptr %outputs, ptr %start, i64 %line, ptr %strands, i64 %width")
    number = f.mul("%width", 2)
    with f.loop(0, 4) as phase, f.loop(0, number) as k:
        tile = f.load("i64", "%strands", f.mul(k, 8))
        place = f.at(f.at("%start", f.mul(phase, "%line")), f.mul(tile, 4))
        f.store("ptr", place, "%outputs", f.mul(f.add(f.mul(phase, number), k), 8))
    return f.text()


def _aim_ring(f: Function, shape: Shape, ring: Ring) -> None:
    outputs, line = part(f, shape, "outputs"), get(f, "line")
    strands = part(f, shape, "strands")
    for i, row in enumerate(rows_from(f, shape, ring, ROWS)):
        to = f.at(outputs, f.mul("%width", 2 * 8 * 4 * i))
        f.do(f"call void @aim(ptr {to}, ptr {row}, i64 {line}, ptr {strands}, i64 %width)")


def _aim_scratch(f: Function, shape: Shape, name: str) -> None:
    outputs, start = part(f, shape, "outputs"), part(f, shape, name)
    with f.loop(0, f.mul("%width", 2 * 4 * ROWS)) as k:
        f.store("ptr", f.at(start, f.mul(k, STRAND)), outputs, f.mul(k, 8))


def _pointwise(f: Function, shape: Shape, number: int | str, source: str, step: str | int) -> None:
    quads, params, counts, groups, entries = (
        _layer(f, number, word) for word in ("quads", "params", "counts", "runs", "weights")
    )
    planes, sums = part(f, shape, source), part(f, shape, "sums")
    count, outputs = f.mul("%width", 4 * ROWS), part(f, shape, "outputs")
    f.do(
        f"call void @pointwise(ptr {planes}, ptr {counts}, ptr {groups}, ptr {entries}, "
        f"ptr {params}, i64 {quads}, ptr {sums}, i64 {count}, ptr {outputs}, i64 {step})"
    )


def _to_ring(f: Function, shape: Shape, number: int, source: str, ring: Ring) -> None:
    _aim_ring(f, shape, ring)
    _pointwise(f, shape, number, source, f.mul(get(f, "line"), 4))


def _to_scratch(f: Function, shape: Shape, number: int | str, source: str, target: str) -> None:
    _aim_scratch(f, shape, target)
    _pointwise(f, shape, number, source, PLANE)


def _window(shape: Shape, rings: BlockRings) -> str:
    """Gather the 27 bytes around each pixel in seven planes: eight of each row's nine in two, the
    ninth ones in the last.

    A tile is twelve bytes on from the one before, so that the four bytes that begin at a tile's
    byte b are every third dword of three times four: two blends and a permutation.
    """
    f = Function("window", _CALL)
    line, arena, to = get(f, "line"), f.load("ptr", "%call", WORD["arena"]), part(f, shape, "first")
    strands = part(f, shape, "strands")
    kind = "<8 x i32>"
    with f.loop(0, ROWS) as i:
        rows = [
            row_of(f, shape, rings.staging, f.add(f.add("%row", i), dy), line, arena)
            for dy in (-1, 0, 1)
        ]
        with f.loop(0, "%width") as v:
            tiles = [f.load("i64", strands, f.add(f.mul(v, 16), 8 * half)) for half in range(2)]
            shifts = [f.mul(tile, 3 * TILE) for tile in tiles]
            for phase in range(4):
                index = f.add(f.mul(f.add(f.mul(i, 4), phase), "%width"), v)
                target = f.at(to, f.mul(index, VECTOR))
                corners = []
                for dy, row in enumerate(rows):
                    low, high = (f.at(row, shift) for shift in shifts)
                    three = [
                        f.joined(4, "i32", low, high, STRAND * k + 3 * (phase - 1))
                        for k in range(3)
                    ]
                    for k in range(2):
                        f.store(kind, _thirds(f, three, k), target, (2 * dy + k) * PLANE)
                    corners.append(f(f"and {kind} {_thirds(f, three, 2)}, splat (i32 255)"))
                for k in (1, 2):
                    corners[k] = f(f"shl {kind} {corners[k]}, splat (i32 {8 * k})")
                corner = f(f"or {kind} {f(f'or {kind} {corners[0]}, {corners[1]}')}, {corners[2]}")
                f.store(kind, corner, target, 6 * PLANE)
    return f.text()


def _thirds(f: Function, three: list[str], first: int) -> str:
    """Pick dwords ``first``, ``first`` + 3, ... of three vectors, in both halves: no two stand in
    the same lane."""
    lanes = [(first + 3 * k) % 4 for k in range(4)]
    vectors = [(first + 3 * k) // 4 for k in range(4)]
    owner = [vectors[lanes.index(lane)] for lane in range(4)]
    mixed = three[0]
    for k in (1, 2):
        mask = [lane + 8 * (owner[lane % 4] == k) for lane in range(8)]
        mixed = _shuffle(f, mixed, three[k], mask)
    return _shuffle(f, mixed, "poison", [4 * half + lane for half in range(2) for lane in lanes])


def _shuffle(f: Function, a: str, b: str, mask: list[int]) -> str:
    picks = ", ".join(f"i32 {m}" for m in mask)
    return f(f"shufflevector <8 x i32> {a}, <8 x i32> {b}, <8 x i32> <{picks}>")


def _convolution(shape: Shape, name: str, groups: int, planes: int) -> str:
    """Convolve the rows that stand in scratch by layer ``number``, 3x3, into its first part::

    for each two vectors of the chunk, or a last one:
        for each group: the inputs' transform, and for each four output channels
            the products, then the outputs' transform, narrow or wide
    """
    f = Function(f"convolution_{name}", "ptr %call, i64 %number, i64 %width")
    quads, kind = _layer(f, "%number", "quads"), _layer(f, "%number", "kind")
    weights, params = _layer(f, "%number", "weights"), _layer(f, "%number", "params")
    rows, to, partial = part(f, shape, "rows"), part(f, shape, "first"), part(f, shape, "partial")
    transformed, products = part(f, shape, "transformed"), part(f, shape, "products")
    strands = part(f, shape, "strands")
    line, step = get(f, "line"), f.mul("%width", VECTOR)
    narrows = f(f"icmp eq i64 {kind}, {layout.NARROW}")
    wides = f(f"xor i1 {narrows}, true")

    def body(vectors: int, v: str) -> None:
        with f.loop(0, groups) as group:
            each = f(f"sdiv i64 {quads}, {groups}")
            shift = f.mul(f.mul(group, 4 * planes), line)
            f.do(
                f"call void @{winograd.name('inputs', planes, vectors)}(ptr {rows}, i64 {shift}, "
                f"i64 {line}, ptr {f.at(strands, f.mul(v, 16))}, ptr {partial}, "
                f"ptr {transformed})"
            )
            with f.loop(0, each) as k:
                quad = f.add(f.mul(group, each), k)
                own = f.at(weights, f.mul(quad, POSITIONS * 2 * planes * 16))
                f.do(
                    f"call void @{winograd.name('products', planes, vectors)}(ptr {transformed}, "
                    f"ptr {own}, ptr {products})"
                )
                numbers = f.at(params, f.mul(quad, winograd.PARAMS))
                target = f.at(to, f.add(f.mul(quad, PLANE), f.mul(v, VECTOR)))
                for wide in (False, True):
                    with f.when(wides if wide else narrows):
                        f.do(
                            f"call void @{winograd.last(vectors, wide)}(ptr {products}, "
                            f"ptr {numbers}, ptr {partial}, ptr {target}, i64 {step})"
                        )

    with f.loop(0, "%width", PAIR) as v:
        single = f(f"icmp eq i64 {f(f'sub i64 %width, {v}')}, 1")
        with f.when(single):
            body(1, v)
        with f.when(f(f"xor i1 {single}, true")):
            body(2, v)
    return f.text()


def _convolve(f: Function, shape: Shape, name: str, number: int, ring: Ring) -> None:
    table = part(f, shape, "rows")
    for k, row in enumerate(rows_from(f, shape, ring, ROWS + 2, -1)):
        f.store("ptr", row, table, 8 * k)
    f.do(f"call void @convolution_{name}(ptr %call, i64 {number}, i64 %width)")


def _fetch(shape: Shape) -> str:
    """Copy the side branch's planes of a ring's row to planes of a chunk of ``width`` vectors."""
    f = Function("fetch", "ptr %from, i64 %line, ptr %strands, ptr %to, i64 %width")
    number = f.mul("%width", 2)
    with f.loop(0, shape.side_planes) as plane, f.loop(0, 4) as phase, f.loop(0, number) as k:
        source = f.at("%from", f.mul(f.add(f.mul(plane, 4), phase), "%line"))
        shift = f.mul(f.load("i64", "%strands", f.mul(k, 8)), 4)
        index = f.add(f.mul(phase, number), k)
        target = f.add(f.mul(plane, PLANE), f.mul(index, STRAND))
        f.store("<16 x i8>", f.load("<16 x i8>", source, shift), "%to", target)
    return f.text()


def _line_up() -> str:
    """Put the pixels of one row and plane of a chunk, four lines of ``width`` vectors, in their
    order: in each half of the vectors 4x4 dwords are transposed."""
    f = Function("line_up", "ptr %from, ptr %strands, ptr %to, i64 %width")
    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    first, last = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    with f.loop(0, "%width") as v:
        source = f.at("%from", f.mul(v, VECTOR))
        a, b, c, d = (
            f.load("<8 x i32>", source, f.mul("%width", VECTOR * phase)) for phase in range(4)
        )
        tiles = []
        for mask in (low, high):
            one, other = _shuffle(f, a, b, mask), _shuffle(f, c, d, mask)
            tiles += [_shuffle(f, one, other, pick) for pick in (first, last)]
        for half in range(2):
            tile = f.load("i64", "%strands", f.add(f.mul(v, 16), 8 * half))
            target = f.at("%to", f.mul(tile, 4 * TILE))
            for k, four in enumerate(tiles):
                f.store("<4 x i32>", f.half(8, four, half, "i32"), target, STRAND * k)
    return f.text()


def _first_chunk(shape: Shape, rings: BlockRings) -> str:
    f = Function("chunk_1", _CALL)
    f.do("call void @window(ptr %call, i64 %row, i64 %width)")
    _to_scratch(f, shape, _STEM, "first", "second")
    _to_ring(f, shape, _SIDE, "first", rings.side)
    _to_ring(f, shape, _POINT, "second", rings.features[0])
    return f.text()


def _root_chunk(shape: Shape, rings: BlockRings, stage: int) -> str:
    f = Function(f"chunk_{stage}", _CALL)
    number = _ROOT + 2 * (stage - 2)
    _convolve(f, shape, "root", number, rings.features[stage - 2])
    _to_ring(f, shape, number + 1, "first", rings.features[stage - 1])
    return f.text()


def _join_chunk(shape: Shape, rings: BlockRings) -> str:
    f = Function(f"chunk_{shape.blocks + 1}", _CALL)
    number = _ROOT + 2 * (shape.blocks - 1)
    _convolve(f, shape, "root", number, rings.features[-2])
    _to_scratch(f, shape, number + 1, "first", "second")
    line, side = get(f, "line"), f.at(part(f, shape, "second"), shape.planes * PLANE)
    strands = part(f, shape, "strands")
    for i, row in enumerate(rows_from(f, shape, rings.side, ROWS)):
        target = f.at(side, f.mul("%width", 4 * VECTOR * i))
        f.do(f"call void @fetch(ptr {row}, i64 {line}, ptr {strands}, ptr {target}, i64 %width)")
    _to_ring(f, shape, number + 2, "second", rings.features[-1])
    return f.text()


def _head_chunk(shape: Shape, rings: BlockRings, planes: int) -> str:
    f = Function(f"chunk_{shape.blocks + 2}", _CALL)
    _convolve(f, shape, "head", _ROOT + 2 * shape.blocks + 1, rings.features[-1])
    line, source, strands = get(f, "line"), part(f, shape, "first"), part(f, shape, "strands")
    for i, row in enumerate(rows_from(f, shape, rings.head, ROWS)):
        with f.loop(0, planes) as plane:
            here = f.at(source, f.add(f.mul(plane, PLANE), f.mul("%width", 4 * VECTOR * i)))
            to = f.at(row, f.mul(f.mul(plane, line), 4))
            f.do(f"call void @line_up(ptr {here}, ptr {strands}, ptr {to}, i64 %width)")
    return f.text()
