"""The most multiply-adds a second that one core can do with the instruction the engine uses: its
yardstick."""

import ctypes
import time
from types import TracebackType
from typing import Self

import llvmlite.binding as llvm
import numpy as np

from streamsr.engines.fused.codegen.instructions import declarations, dot, pin
from streamsr.engines.fused.codegen.isa import Isa
from streamsr.engines.fused.codegen.library import host_kinds, library
from streamsr.native.ir import Function

CALL_S = 0.0004
"""Length of one measurement: long against a clock reading, short against a turn of the system's
scheduler."""


class Peak:
    """Measures one core: dot products on registers alone, as many chains as the network's kernels
    have.

    kind  of kernels, a name of `isa.KINDS`; default the fastest that this processor should run
    """

    def __init__(self, kind: str = "") -> None:
        isa = host_kinds(kind)[0]
        self._library = library(peak_ir(isa, llvm.llvm_version_info[0]), isa)
        self._run = self._library.function("peak", ctypes.c_int64, ctypes.c_void_p)
        self._memory = np.zeros(64, np.uint8)
        self._macs = 4 * isa.lanes * isa.vectors * isa.channels
        self._turns = max(1, round(1000 * CALL_S / self._seconds(1000)))

    def sample(self) -> float:
        """Multiply-adds a second in one short measurement. Take many: the highest is the core's,
        the rest is noise."""
        return self._macs * self._turns / self._seconds(self._turns)

    def close(self) -> None:
        """Closing twice is harmless."""
        self._library.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _seconds(self, turns: int) -> float:
        start = time.perf_counter()
        self._run(turns, self._memory.ctypes.data)
        return time.perf_counter() - start


def peak_ir(isa: Isa, version: int) -> str:
    """IR of ``peak(i64 turns, ptr memory)``, which reads and writes one vector."""
    f = Function("peak", "i64 %turns, ptr %memory", linkage="")
    kind, count = f"<{isa.lanes} x i32>", isa.vectors * isa.channels
    pixels, weight = f.load(f"<{4 * isa.lanes} x i8>", "%memory"), f.load(kind, "%memory")
    with f.carry(0, "%turns", 1, [kind] * count, ["zeroinitializer"] * count) as (_, sums):
        for k, total in enumerate(sums):
            if isa.by_blocks:  # products that do not hang on the sum are made once, unless pinned
                weight = pin(f, isa, [weight])[0]
            sums[k] = dot(f, isa, version, total, pixels, weight)
    total = sums[0]
    for other in sums[1:]:
        total = f(f"add {kind} {total}, {other}")
    f.store(kind, total, "%memory")
    return declarations(isa, version) + f.text()
