"""The instruction sets the generator knows, and which of them this machine has."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Isa:
    """One way to emit the kernels.

    ``lanes`` pixels fill a vector register (4 bytes each). A kernel keeps ``channels`` x ``vectors`` sums in
    registers; the head's kernel keeps ``subpixels`` x 3 channels. ``needs`` are LLVM's names of the CPU features;
    nothing of this kind may run on a CPU that lacks one.
    """

    name: str
    triple: str
    lanes: int
    vectors: int
    channels: int
    needs: tuple[str, ...]
    dot: str
    register: str
    signed: bool = False

    def subpixels(self, scale: int) -> int:
        """Output pixels of one row that the head computes together; a divisor of ``scale``."""
        room = self.channels + 1 if self.channels > 4 else 3
        return max(n for n in range(1, scale + 1) if scale % n == 0 and 3 * n <= room)


_X86 = ("x86_64-unknown-linux-gnu",)
_ARM = "aarch64-unknown-linux-gnu"

# 24 of 32 registers hold sums, 3 pixels, the rest weights; the head at x3 keeps 27. VBMI orders the output bytes.
AVX512 = Isa(
    "avx512-vnni",
    *_X86,
    16,
    3,
    8,
    ("avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512vnni"),
    "avx512.vpdpbusd.512",
    "v",
)
# 12 of 16 registers hold sums, so that one remains for the weights.
AVX = Isa("avx-vnni", *_X86, 8, 3, 4, ("avx2", "fma", "avxvnni"), "avx512.vpdpbusd.256", "x")
ARM_USDOT = Isa("arm-usdot", _ARM, 4, 3, 8, ("neon", "dotprod", "i8mm"), "usdot", "w")
ARM_SDOT = Isa("arm-sdot", _ARM, 4, 3, 8, ("neon", "dotprod"), "sdot", "w", signed=True)


def detect(features: Mapping[str, bool]) -> Isa | None:
    """The fastest kind that a CPU with these features (LLVM's names) can run, None if there is none.

    The ARM kinds are never chosen: their code has been read, not yet run.
    """
    return next((isa for isa in (AVX512, AVX) if all(features.get(need) for need in isa.needs)), None)
