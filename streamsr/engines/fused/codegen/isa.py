"""The instruction sets the generator knows, and which of them this machine has.

Plain AVX2 is not among them. Its byte products saturate, and the exact way, 16-bit products and a
separate addition, takes 48.6 ms for a 640x360 frame at x3 if nothing but these two instructions ran
(103 G multiply-adds a second on the Zen 5 core where LiteRT takes 47 ms and AVX-VNNI 25).
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
    ``letter`` is its name for a vector register in constraints.
    """

    name: str
    triple: str
    lanes: int
    registers: int
    vectors: int
    channels: int
    needs: tuple[str, ...]
    dot: str
    letter: str
    signed: bool = False

    @property
    def x86(self) -> bool:
        return self.triple.startswith("x86")

    def subpixels(self, scale: int) -> int:
        """Output pixels of one row, three channels each, that the head computes together; a divisor
        of ``scale``."""
        most = (self.registers - 4) // (3 * self.vectors)
        return max(n for n in range(1, scale + 1) if scale % n == 0 and n <= most)


_X86 = "x86_64-unknown-linux-gnu"
_ARM = "aarch64-unknown-linux-gnu"
_AVX512 = ("avx512f", "avx512bw", "avx512vl", "avx512vnni")

# Of 32 registers 24 hold sums (27 in the head at x3), 3 pixels, the rest weights.
AVX512 = Isa("avx512-vnni", _X86, 16, 32, 3, 8, _AVX512, "avx512.vpdpbusd.512", "v")
AVX = Isa("avx-vnni", _X86, 8, 16, 3, 4, ("avx2", "fma", "avxvnni"), "avx512.vpdpbusd.256", "x")
ARM_USDOT = Isa("arm-usdot", _ARM, 4, 32, 3, 8, ("neon", "dotprod", "i8mm"), "usdot", "w")
ARM_SDOT = Isa("arm-sdot", _ARM, 4, 32, 3, 8, ("neon", "dotprod"), "sdot", "w", signed=True)


def detect(features: Mapping[str, bool], name: str = "") -> Isa | None:
    """The fastest kind that a CPU with these features (LLVM's names) can run, None if there is
    none.

    With a ``name`` that kind, if the CPU can run it.

    The ARM kinds are never chosen: emulated, they give the right bytes, but no ARM processor has
    run them yet.
    """
    able = (isa for isa in (AVX512, AVX) if all(features.get(need) for need in isa.needs))
    return next((isa for isa in able if name in ("", isa.name)), None)
