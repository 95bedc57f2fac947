"""3x3 convolutions in integers with a quarter of the products: Winograd's F(4x4, 3x3).

Four by four outputs of one channel come from six by six inputs. With the transforms

    B^T d B  of the inputs      int16, at most 17340
    G g G^T  of the weights     int16, made once, see `products.transform`
    A^T m A  of the products, summed over the input channels    int32

whose fractions are all multiplied away, m is 36 numbers instead of 144 products, and the result is
exactly 576 times the sum of products, modulo 2**32. Of most networks that is an int32. Where it
may not be, a multiplication by the inverse of nine makes it 64 times the sum, which always is:
nothing here depends on the weights. (Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", 2015.)

One vector holds the same pixel of eight tiles, two channels in 16 bits each before the products.
"""

import struct

from streamsr.engines.fused.codegen.instructions import halve, quarter, word_products
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.scratch import PAIR, POSITIONS, ROWS, VECTOR
from streamsr.engines.fused.transform import FACTOR, NINTH
from streamsr.native.ir import Function

I16, I32, F32 = "<16 x i16>", "<8 x i32>", "<8 x float>"

PHASES = ((3, -4), (0, 0), (1, 0), (2, 0), (3, 0), (0, 4))
"""Line and byte shift of the six pixels x-1 .. x+4 of a tile: two belong to its neighbours."""

ONES = 7
"""The position whose product is added to all 16 outputs with weight 1: the bias goes there."""

PARAMS = 2 * 16
"""Bytes for four output channels: int32 biases times 576, float32 scales; wide ones by 64."""


def name(step: str, planes: int, vectors: int) -> str:
    return f"winograd_{step}_{planes}_{vectors}"


def kernels(planes: int) -> str:
    """Write the first two steps of a 3x3 convolution of this many planes of inputs."""
    parts = []
    for vectors in range(1, PAIR + 1):
        parts += [_inputs(planes, vectors), _products(planes, vectors)]
    return "\n".join(parts)


def outputs(isa: Isa) -> str:
    """Write the last step, the same for any number of planes, for sums narrow and wide."""
    ways = [(vectors, wide) for vectors in range(1, PAIR + 1) for wide in (False, True)]
    return "\n".join(_outputs(isa, *way) for way in ways)


def last(vectors: int, wide: bool) -> str:
    return f"winograd_outputs_{vectors}{'_wide' if wide else ''}"


def _inputs(planes: int, vectors: int) -> str:
    """Compute B^T d B. ``rows`` holds six pointers to rows, of which the first plane's first line
    stands ``shift`` bytes on; ``strands`` the first tiles of the vectors' halves.

    The result, [36][planes][2][vectors], has channels 0 and 2 of a plane in one vector and 1 and 3
    in another: no shuffle is needed, only `and` and a shift::

        for each plane and vector:
            for each of six rows:
                six loads of two <8 x i16>, two of them 4 bytes beside
                six `and` with 255 | six `lshr` by 8
                of both: 17 additions, subtractions and shifts, six stores to %partial
            for each of six columns:
                of both: six loads, the same 17 operations, six stores to %to
    """
    f = Function(
        name("inputs", planes, vectors),
        "ptr %rows, i64 %shift, i64 %line, ptr %strands, ptr %partial, ptr %to",
    )
    place = 2 * planes * vectors * VECTOR
    with f.loop(0, planes) as plane, f.loop(0, vectors) as v:
        start = f.add(f.mul(plane, f.mul("%line", 4)), "%shift")
        halves = [
            f.add(start, f.mul(f.load("i64", "%strands", f.add(f.mul(v, 16), 8 * half)), 4))
            for half in range(2)
        ]
        to = f.at("%to", f.mul(f.add(f.mul(plane, 2 * vectors), v), VECTOR))
        with f.loop(0, 6) as row:
            pointer = f.load("ptr", "%rows", f.mul(row, 8))
            low, high = (f.at(pointer, half) for half in halves)
            partial = f.at("%partial", f.mul(row, 6 * VECTOR))
            both = []
            for line, shift in PHASES:
                offset = f.add(f.mul("%line", line), shift)
                both.append(f.joined(8, "i16", low, high, offset))
            for half, way in enumerate(("and {} {}, splat (i16 255)", "lshr {} {}, splat (i16 8)")):
                pixels = [f(way.format(I16, pixel)) for pixel in both]
                for k, value in enumerate(_forward(f, pixels)):
                    f.store(I16, value, partial, (36 * half + k) * VECTOR)
        with f.loop(0, 6) as column:
            partial = f.at("%partial", f.mul(column, VECTOR))
            target = f.at(to, f.mul(column, place))
            for half in range(2):
                six = [f.load(I16, partial, (36 * half + 6 * k) * VECTOR) for k in range(6)]
                for k, value in enumerate(_forward(f, six)):
                    f.store(I16, value, target, (12 * planes * k + half) * vectors * VECTOR)
    return f.text()


def _forward(f: Function, d: list[str]) -> list[str]:
    """Compute B^T d in one dimension."""

    def add(a: str, b: str) -> str:
        return f(f"add {I16} {a}, {b}")

    def sub(a: str, b: str) -> str:
        return f(f"sub {I16} {a}, {b}")

    def four(a: str) -> str:
        return f(f"shl {I16} {a}, splat (i16 2)")

    a, b = sub(d[4], four(d[2])), sub(d[3], four(d[1]))
    c, e = sub(d[4], d[2]), sub(d[3], d[1])
    twice = add(e, e)
    return [
        add(c, four(sub(d[0], d[2]))),
        add(a, b),
        sub(a, b),
        add(c, twice),
        sub(c, twice),
        sub(sub(d[5], d[3]), add(twice, twice)),
    ]


def _products(planes: int, vectors: int) -> str:
    """Sum the products over the input channels for four output channels, [4][36][vectors] int32.

    ``weights`` are [36][2 * planes][4] pairs of int16::

        for each of 36 positions:
            for each pair of input channels:
                `vectors` loads, four broadcast loads of weights
                4 * `vectors` times vpmaddwd and, but for the first pair, vpaddd
            4 * `vectors` stores
    """
    f = Function(name("products", planes, vectors), "ptr %from, ptr %weights, ptr %to")
    pairs, count = 2 * planes, 4 * vectors

    def pair(source: str, weights: str, sums: list[str] | None) -> list[str]:
        pixels = [f.load(I16, source, v * VECTOR) for v in range(vectors)]
        result = []
        for channel in range(4):
            weight = f.splat(8, "i32", f.load("i32", weights, 4 * channel))
            weight = f(f"bitcast {I32} {weight} to {I16}")
            for v in range(vectors):
                product = word_products(f, pixels[v], weight)
                if sums is not None:
                    product = f(f"add {I32} {sums[channel * vectors + v]}, {product}")
                result.append(product)
        return result

    with f.loop(0, POSITIONS) as position:
        source = f.at("%from", f.mul(position, pairs * vectors * VECTOR))
        weights = f.at("%weights", f.mul(position, pairs * 16))
        sums = pair(source, weights, None)
        straight = pairs if pairs <= 8 else 4 + pairs % 4
        for k in range(1, straight):
            sums = pair(f.at(source, k * vectors * VECTOR), f.at(weights, 16 * k), sums)
        if pairs > straight:
            with f.carry(straight, pairs, 4, [I32] * count, sums) as (i, sums):
                for k in range(4):
                    one = f.add(i, k)
                    here = f.at(source, f.mul(one, vectors * VECTOR))
                    sums[:] = pair(here, f.at(weights, f.mul(one, 16)), sums)
        to = f.at("%to", f.mul(position, vectors * VECTOR))
        for channel in range(4):
            for v in range(vectors):
                offset = (channel * POSITIONS * vectors + v) * VECTOR
                f.store(I32, sums[channel * vectors + v], to, offset)
    return f.text()


def _outputs(isa: Isa, vectors: int, wide: bool) -> str:
    """Compute A^T m A of four channels and requantise it to pixels.

    ``params`` as in PARAMS. Vector (4 * row + phase) of the result is ``step`` bytes from the one
    before::

        for each vector:
            for each of four channels and six columns:
                six loads of <8 x i32>, 14 operations, four stores to %partial
            for each of four rows:
                for each channel: six loads, 14 operations; of each of the four results
                    cvtdq2ps, times 1/576 (exact), times scale, cvtps2dq; wide ones
                    vpmulld, cvtdq2ps, times scale, cvtps2dq
                    two channels at a time vpackssdw
                of each of four pixels: vpackuswb, vpshufb, a store
    """
    f = Function(
        last(vectors, wide),
        "ptr %from, ptr %params, ptr %partial, ptr %to, i64 %step",
    )
    with f.loop(0, vectors) as v:
        source, to = f.at("%from", f.mul(v, VECTOR)), f.at("%to", f.mul(v, VECTOR))
        with f.loop(0, 4) as channel:
            products = f.at(source, f.mul(channel, POSITIONS * vectors * VECTOR))
            partial = f.at("%partial", f.mul(channel, 24 * VECTOR))
            bias = f.splat(8, "i32", f.load("i32", "%params", f.mul(channel, 4)))
            for column in range(6):
                places = [6 * k + column for k in range(6)]
                six = [f.load(I32, products, place * vectors * VECTOR) for place in places]
                if ONES in places:
                    k = places.index(ONES)
                    six[k] = f(f"add {I32} {six[k]}, {bias}")
                for k, value in enumerate(_backward(f, six)):
                    f.store(I32, value, partial, (6 * k + column) * VECTOR)
        with f.loop(0, ROWS) as row:
            start = f.at("%partial", f.mul(row, 6 * VECTOR))
            end = f.at(to, f.mul(row, f.mul("%step", 4)))
            halves = []
            for pair in range(0, 4, 2):
                one, other = (_results(f, start, channel, wide) for channel in (pair, pair + 1))
                halves.append([halve(f, isa, a, b) for a, b in zip(one, other, strict=True)])
            for phase, (a, b) in enumerate(zip(*halves, strict=True)):
                f.store("<32 x i8>", quarter(f, isa, a, b), end, f.mul("%step", phase))
    return f.text()


def _results(f: Function, start: str, channel: int, wide: bool) -> list[str]:
    """Compute the four pixels of one row and channel, as integers."""
    six = [f.load(I32, start, (24 * channel + k) * VECTOR) for k in range(6)]
    scale = f.splat(8, "float", f.load("float", "%params", 16 + 4 * channel))
    return [_requantise(f, value, scale, wide) for value in _backward(f, six)]


def _backward(f: Function, m: list[str]) -> list[str]:
    """Compute A^T m in one dimension."""

    def add(a: str, b: str) -> str:
        return f(f"add {I32} {a}, {b}")

    def sub(a: str, b: str) -> str:
        return f(f"sub {I32} {a}, {b}")

    def shift(a: str, bits: int) -> str:
        return f(f"shl {I32} {a}, splat (i32 {bits})")

    s, d, u, v = add(m[1], m[2]), sub(m[1], m[2]), add(m[3], m[4]), sub(m[3], m[4])
    return [
        add(add(m[0], s), u),
        add(d, add(v, v)),
        add(s, shift(u, 2)),
        add(add(d, shift(v, 3)), shift(m[5], 2)),
    ]


def _requantise(f: Function, value: str, scale: str, wide: bool) -> str:
    """Requantise 576 times the sum.

    1/576 as a float32 is too large by 2**-27 of it, so that the product with a float32 that is 576
    times a whole number rounds to that number. That rounding is the whole point: the scaled sum
    must be rounded once, as in XNNPACK.
    """
    if wide:
        value = f(f"mul {I32} {value}, splat (i32 {NINTH})")
    real = f(f"sitofp {I32} {value} to {F32}")
    if not wide:
        real = f(f"fmul {F32} {real}, splat (float {_FRACTION})")
    scaled = f(f"fmul {F32} {real}, {scale}")
    return f(f"call {I32} @llvm.lrint.v8i32.v8f32({F32} {scaled})")


def _hexadecimal(value: float) -> str:
    """Write a float32 as LLVM does: by the bits of the double of the same value."""
    single = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"


_FRACTION = _hexadecimal(1 / FACTOR)
