"""Depth to space: from the head's planes to rows of RGB."""

from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.layout import Ring, Shape
from streamsr.engines.fused.codegen.rows import WORD, ceil, flags_of, get, row_of, runs
from streamsr.native.ir import Function
from streamsr.region import CELL


def write(isa: Isa, shape: Shape, head: Ring) -> str:
    """IR of ``write(ptr call, i64 row)`` and what it calls. The head's planes lie in ``head``, each
    in ``isa.phases`` lines together, from the strip's first pixel on or, by blocks, the seen
    part's."""
    wholes = sorted({min(CELL, isa.lanes), isa.lanes})
    puts = [_put(isa, shape.scale, pixels) for pixels in wholes]
    return "\n".join([*puts, _write_run(isa, shape, head), _write(shape)])


def _write(shape: Shape) -> str:
    """Depth to space: what is wanted of the head's planes to ``scale`` rows of RGB."""
    f = Function("write", "ptr %call, i64 %row")
    columns = get(f, "columns")
    dense = f(f"icmp eq i64 {get(f, 'cells')}, 0")
    with f.when(dense):
        f.do(f"call void @write_run(ptr %call, i64 %row, i64 0, i64 {columns})")
    with f.when(f(f"xor i1 {dense}, true")):
        cells = ceil(f, columns, CELL)
        flags = flags_of(f, shape, "%row", cells)
        with runs(f, (flags, flags), cells) as (begin, end):
            last = f.least(f.mul(end, CELL), columns)
            f.do(f"call void @write_run(ptr %call, i64 %row, i64 {f.mul(begin, CELL)}, i64 {last})")
    return f.text()


def _write_run(isa: Isa, shape: Shape, head: Ring) -> str:
    """Pixels ``%begin`` to ``%end``. A last vector that is not full is moved left, or half of it is
    written."""
    f = Function("write_run", "ptr %call, i64 %row, i64 %begin, i64 %end")
    line, arena, lanes = get(f, "line"), f.load("ptr", "%call", WORD["arena"]), isa.lanes
    scale, planes = shape.scale, row_of(f, shape, head, "%row", line, arena)
    if isa.by_blocks:
        planes, line = f.at(planes, f.mul(get(f, "offset"), 4)), f.mul(line, isa.phases)
    first = f.mul(f(f"sub i64 %row, {get(f, 'top')}"), scale)
    hr, hr_stride = f.load("ptr", "%call", WORD["hr"]), get(f, "hr_stride")
    out, end = f.at(hr, f.mul(first, hr_stride)), f.add(get(f, "columns"), -lanes)
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
    order, block, width = isa.head_order(scale), 4 * isa.lanes, 3 * scale
    for dy in range(scale):
        row = f.at("%out", f.mul("%stride", dy))
        places = [divmod(order.index(dy * width + c), 4) for c in range(width)]
        used = sorted({plane for plane, _ in places})
        vectors = [f.load(f"<{block} x i8>", "%planes", f.mul("%line", plane)) for plane in used]
        for chunk in range(0, width * pixels, block):
            size = min(block, width * pixels - chunk)
            sources = []
            for k in range(chunk, chunk + size):
                plane, byte = places[k % width]
                sources.append((used.index(plane), 4 * (k // width) + byte))
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
