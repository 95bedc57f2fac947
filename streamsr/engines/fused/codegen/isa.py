"""The instruction sets the generator knows, and which of them this machine has.

There are two ways to go through a picture. With a dot product of bytes (VNNI, ARM's dotprod) it
goes row by row, see `walk`. Plain AVX2 has none: its byte products saturate and its 16-bit products
need an addition each, so that multiplying as the others do takes three times as long as AVX-VNNI.
There the 3x3 convolutions are computed in integers with a quarter of the products (`winograd`), the
others with byte products in an order in which nothing saturates (`scheduled`), by blocks of four
rows, see `blocks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Isa:
    """One way to emit the kernels.

    ``lanes`` pixels fill a vector register (4 bytes each), of which there are ``registers``. A 3x3
    kernel keeps ``channels`` x ``vectors`` sums in them. ``needs`` are LLVM's names of the CPU
    features that the code may use: nothing of this kind may run on a CPU that lacks one. ``dot`` is
    LLVM's name of the dot-product instruction, which with ``signed`` takes pixels from -128;
    ``letter`` is its name for a vector register in constraints. Without ``dot`` the kernels work by
    blocks, and the pixels of a row stand in ``phases`` lines, by their x modulo ``phases``.
    ``family`` is LLVM's name of the processors.
    """

    name: str
    family: str
    lanes: int
    registers: int
    vectors: int
    channels: int
    needs: tuple[str, ...]
    dot: str
    letter: str
    signed: bool = False
    phases: int = 1

    @property
    def by_blocks(self) -> bool:
        """Whether the kernels work by blocks of four rows, with what plain AVX2 has."""
        return not self.dot

    @property
    def x86(self) -> bool:
        return self.family == _X86

    def subpixels(self, scale: int) -> int:
        """Output pixels of one row, three channels each, that the head computes together; a divisor
        of ``scale``."""
        most = (self.registers - 4) // (3 * self.vectors)
        return max(n for n in range(1, scale + 1) if scale % n == 0 and n <= most)

    def head_order(self, scale: int) -> list[int]:
        """The head's channels in the order in which they lie in planes of four; -1 for none."""
        channels = list(range(3 * scale * scale))
        if self.by_blocks:
            if scale != 3:
                return channels
            # Eight of each row's nine in two planes, the ninth ones in the last plane.
            return [c for c in channels if c % 9 < 8] + [8, 17, 26, -1]
        width = 3 * self.subpixels(scale)
        groups = [channels[c : c + width] for c in range(0, len(channels), width)]
        return [c for group in groups for c in group + [-1] * (-width % 4)]


_X86 = "x86_64"
_ARM = "aarch64"
_AVX512 = ("avx512f", "avx512bw", "avx512vl", "avx512vnni")

# Of 32 registers 24 hold sums (27 in the head at x3), 3 pixels, the rest weights.
AVX512 = Isa("avx512-vnni", _X86, 16, 32, 3, 8, _AVX512, "avx512.vpdpbusd.512", "v")
AVX = Isa("avx-vnni", _X86, 8, 16, 3, 4, ("avx2", "fma", "avxvnni"), "avx512.vpdpbusd.256", "x")
AVX2 = Isa("avx2", _X86, 8, 16, 2, 4, ("avx2", "fma"), "", "x", phases=4)
ARM_USDOT = Isa("arm-usdot", _ARM, 4, 32, 3, 8, ("neon", "dotprod", "i8mm"), "usdot", "w")
ARM_SDOT = Isa("arm-sdot", _ARM, 4, 32, 3, 8, ("neon", "dotprod"), "sdot", "w", signed=True)


KINDS = AVX512, AVX, AVX2, ARM_USDOT, ARM_SDOT
"""The kinds that are chosen, the fastest of each family first."""


def able(features: Mapping[str, bool]) -> list[Isa]:
    """The kinds that a CPU with these features (LLVM's names) can run, the fastest first."""
    return [isa for isa in KINDS if all(features.get(need) for need in isa.needs)]
