"""Pointwise convolutions with byte products that saturate, in an order in which none does.

vpmaddubsw adds two products of a pixel's uint8 with int8 weights in an int16. Whether that fits is
known from the weights; so is whether several such sums fit together. The weights of each output
channel are packed into groups that do (`schedule`), and one group is

    a load and a product for each four channels of inputs, an addition for each but the first,
    then both int16 of a pixel to one int32 (vpmaddwd with ones), added to the channel's sums

The code is the same for all weights: a run of it for each group length, over all vectors of a
chunk, with the sums in memory that stays in the first cache. After four channels they are
requantised.
"""

from streamsr.engines.fused.codegen.instructions import (
    byte_products,
    pack,
    requantise,
    word_products,
)
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.scratch import PLANE, VECTOR
from streamsr.native.ir import Function

LONGEST = 8
"""Of the groups: their weights stay in registers."""

RUN = 16
"""Bytes of a run's record, int32: number of its kernel, byte offset of the sums, bias, 0."""

ENTRY = 8
"""Bytes of an entry: int32 byte offset of the plane it reads, four int8 weights."""

PARAMS = 20
"""Bytes for four output channels: float32 scales, the output's zero point as int16, 0."""

UNROLLED = 2
"""Vectors in one turn: any chunk has a multiple of 16."""

_BYTES, _I16, _I32 = "<32 x i8>", "<16 x i16>", "<8 x i32>"


def kernels(isa: Isa) -> str:
    """Write ``pointwise`` and the runs it calls."""
    kinds = [(length, more) for more in (False, True) for length in range(1, LONGEST + 1)]
    names = ", ".join(f"ptr @{_name(*kind)}" for kind in kinds)
    table = f"@runs = internal constant [{len(kinds)} x ptr] [{names}]\n"
    return "\n".join([*(_run(*kind) for kind in kinds), table, _pointwise(isa)])


def _name(length: int, more: bool) -> str:
    return f"{'add' if more else 'start'}_{length}"


def _run(length: int, more: bool) -> str:
    """Multiply ``size`` bytes of vectors by one group of ``length`` entries: the first of a channel
    starts from the bias, ``more`` are added to its sums::

        for each vector:
            load, vpmaddubsw | length - 1 times: load, vpmaddubsw, vpaddw
            vpmaddwd with ones, vpaddd with bias or sums, store
    """
    f = Function(_name(length, more), "ptr %planes, ptr %entries, ptr %sums, i64 %size, i32 %bias")
    sources, weights = [], []
    for k in range(length):
        offset = f(f"zext i32 {f.load('i32', '%entries', ENTRY * k)} to i64")
        sources.append(f.at("%planes", offset))
        weight = f.splat(8, "i32", f.load("i32", "%entries", ENTRY * k + 4))
        weights.append(f(f"bitcast {_I32} {weight} to {_BYTES}"))
    bias = f.splat(8, "i32", "%bias")
    with f.loop(0, "%size", UNROLLED * VECTOR) as start:
        for x in range(0, UNROLLED * VECTOR, VECTOR):
            total = ""
            for source, weight in zip(sources, weights, strict=True):
                pixels = f.load(_BYTES, f.at(source, start), x)
                products = byte_products(f, pixels, weight)
                total = f(f"add {_I16} {total}, {products}") if total else products
            wide = word_products(f, total, "splat (i16 1)")
            before = f.load(_I32, f.at("%sums", start), x) if more else bias
            f.store(_I32, f(f"add {_I32} {before}, {wide}"), f.at("%sums", start), x)
    return f.text()


def _pointwise(isa: Isa) -> str:
    """Compute all output channels for ``number`` vectors of ``planes``.

    ``counts`` says of how many ``runs`` each four channels are made; ``entries`` follow each other
    run by run. ``outputs`` holds a pointer for each half vector of the first four channels' result;
    the next four stand ``step`` bytes on.
    """
    f = Function(
        "pointwise",
        "ptr %planes, ptr %counts, ptr %runs, ptr %entries, ptr %params, i64 %quads, ptr %sums, "
        "i64 %number, ptr %outputs, i64 %step",
    )
    size = f.mul("%number", VECTOR)
    with f.carry(0, "%quads", 1, ["ptr", "ptr"], ["%runs", "%entries"]) as (quad, at):
        count = f(f"zext i32 {f.load('i32', '%counts', f.mul(quad, 4))} to i64")
        with f.carry(0, count, 1, ["ptr", "ptr"], at) as (_, now):
            run, entries = now
            kernel = f(f"zext i32 {f.load('i32', run)} to i64")
            sums = f.at("%sums", f(f"zext i32 {f.load('i32', run, 4)} to i64"))
            function = f.load("ptr", "@runs", f.mul(kernel, 8))
            f.do(
                f"call void {function}(ptr %planes, ptr {entries}, ptr {sums}, i64 {size}, "
                f"i32 {f.load('i32', run, 8)})"
            )
            length = f.add(f(f"and i64 {kernel}, {LONGEST - 1}"), 1)
            now[:] = [f.at(run, RUN), f.at(entries, f.mul(length, ENTRY))]
        at[:] = now
        params, shift = f.at("%params", f.mul(quad, PARAMS)), f.mul(quad, "%step")
        zero = f.load("i16", params, 16)
        scales = [f.splat(8, "float", f.load("float", params, 4 * k)) for k in range(4)]
        with f.loop(0, "%number") as v:
            place = f.at("%sums", f.mul(v, VECTOR))
            values = [
                requantise(f, 8, f.load(_I32, place, k * PLANE), scale, None)
                for k, scale in enumerate(scales)
            ]
            pixels = pack(f, isa, values, zero)
            for half in range(2):
                out = f.load("ptr", "%outputs", f.add(f.mul(v, 16), 8 * half))
                f.store("<16 x i8>", f.half(32, pixels, half), f.at(out, shift))
    return f.text()
