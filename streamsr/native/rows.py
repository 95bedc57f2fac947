"""Words for IR over rows of pixels: samples of 8 or 16 bits, float32 rows and the words of a call.

Plain scalar loops on pointers that are said not to overlap; LLVM vectorises them for the machine at
hand. What each word emits stands in its docstring, with ``%v1`` for any numbered value.
"""

import struct
from collections.abc import Sequence

from streamsr.native.ir import Function

FAST = "nnan nsz"
"""No NaN comes in and zeros have no sign that matters. Nothing that could change a result: every
machine of a farm must give the same bytes, so multiplications do not fuse with additions where the
processor could."""

LANES = 32
"""Pixels that one turn of packing takes."""

PLANES_AND_PIXELS = "ptr noalias %r, ptr noalias %g, ptr noalias %b, ptr noalias %rgb, i64 %width"
"""Parameters of what packs rows of R, G and B into pixels, or unpacks them."""


class RowFunction(Function):
    """A function over rows: offsets are counted in samples or floats here, in bytes in the IR."""

    def words(self, pointers: Sequence[str], sizes: Sequence[str]) -> dict[str, str]:
        """Load the int64 words of a call from ``%call``, by name: addresses, then numbers."""
        values = [self.load("i64", "%call", 8 * i) for i in range(len(pointers) + len(sizes))]
        addresses = [self.pointer(value) for value in values[: len(pointers)]]
        return dict(zip([*pointers, *sizes], [*addresses, *values[len(pointers) :]], strict=True))

    def constants(self, names: Sequence[str], *wanted: str) -> list[str]:
        """Load the ``wanted`` of the float32 constants at ``%k``, which are in the order of
        ``names``."""
        return [self.load("float", "%k", 4 * names.index(name)) for name in wanted]

    def op(self, kind: str, a: str, b: str) -> str:
        """``fmul nnan nsz float %a, %b`` for ``mul``; likewise ``add`` and ``sub``."""
        return self(f"f{kind} {FAST} float {a}, {b}")

    def multiply_add(self, total: str, a: str, b: str) -> str:
        """``total + a * b``, each rounded: two instructions."""
        return self.op("add", total, self.op("mul", a, b))

    def load_float(self, row: str, x: str | int) -> str:
        """``row[x]`` of float32."""
        return self.load("float", row, x * 4 if isinstance(x, int) else self.mul(x, 4))

    def store_float(self, value: str, row: str, x: str | int) -> None:
        """``row[x] = value`` of float32."""
        self.store("float", value, row, x * 4 if isinstance(x, int) else self.mul(x, 4))

    def load_sample(self, bits: int, row: str, x: str) -> str:
        """``float32(row[x])`` of unsigned samples: a load and ``uitofp i8 %v1 to float``."""
        return self(f"uitofp i{bits} {self.load(f'i{bits}', row, self.mul(x, bits // 8))} to float")

    def store_sample(self, bits: int, value: str, top: str, row: str, x: str) -> None:
        """``row[x] = clip(int32(value), 0, top)``: cut towards zero, both limits as `llvm.smin` and
        `llvm.smax`, then ``trunc i32 %v1 to i8``."""
        whole = self(f"fptosi float {value} to i32")
        limit = self(f"fptosi float {top} to i32")
        whole = self(f"call i32 @llvm.smin.i32(i32 {whole}, i32 {limit})")
        whole = self(f"call i32 @llvm.smax.i32(i32 {whole}, i32 0)")
        self.store(f"i{bits}", self(f"trunc i32 {whole} to i{bits}"), row, self.mul(x, bits // 8))

    def pick(self, lanes: int, one: str, a: str, b: str, picks: Sequence[int]) -> str:
        """Elements ``picks`` of ``a`` (0 to lanes - 1) and ``b`` (from lanes on), vectors of type
        ``one``: a ``shufflevector``."""
        vector = f"<{lanes} x {one}>"
        mask = ", ".join(f"i32 {i}" for i in picks)
        return self(f"shufflevector {vector} {a}, {vector} {b}, <{len(picks)} x i32> <{mask}>")

    def clamp(self, value: str, high: str) -> str:
        """``max(min(value, high), 0)`` of i64."""
        value = self(f"call i64 @llvm.smin.i64(i64 {value}, i64 {high})")
        return self(f"call i64 @llvm.smax.i64(i64 {value}, i64 0)")

    def is_nonzero(self, value: str) -> str:
        """``icmp ne i64 %value, 0``"""
        return self(f"icmp ne i64 {value}, 0")

    def negated(self, condition: str) -> str:
        """``xor i1 %condition, true``"""
        return self(f"xor i1 {condition}, true")

    def select(self, condition: str, a: str, b: str) -> str:
        """``select i1 %condition, i64 %a, i64 %b``"""
        return self(f"select i1 {condition}, i64 {a}, i64 {b}")


def number(value: float) -> str:
    """A float32 literal, as the bits of the double of that value, which is what LLVM reads: 0.5 is
    ``0x3FE0000000000000``."""
    (single,) = struct.unpack("<f", struct.pack("<f", value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"
