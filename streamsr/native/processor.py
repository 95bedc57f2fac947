"""What this processor can do, by LLVM's names of features."""

import contextlib
import ctypes
import platform
import sys

import llvmlite.binding as llvm

AT_HWCAP, AT_HWCAP2 = 16, 26
"""Linux: words of what the processor can do (getauxval(3))."""

ASIMDDP, I8MM = 20, 13
"""The bit of ``dotprod`` in the first of them, of ``i8mm`` in the second (arm64's asm/hwcap.h)."""

SYSCTL = {"dotprod": b"hw.optional.arm.FEAT_DotProd", "i8mm": b"hw.optional.arm.FEAT_I8MM"}
"""macOS: names of numbers that are 1 on a processor with the feature."""


def is_arm() -> bool:
    """Whether this is a 64-bit ARM processor."""
    return platform.machine().lower() in ("aarch64", "arm64")


def features() -> dict[str, bool]:
    """All features that LLVM finds; none where it does not know the system.

    On ARM the system is asked for those that our code uses: LLVM reads /proc/cpuinfo, and does not
    know the name of each.
    """
    found: dict[str, bool] = {}
    with contextlib.suppress(RuntimeError):
        found.update(llvm.get_host_cpu_features())
    if is_arm():
        found.update({"neon": True, "dotprod": False, "i8mm": False})
        with contextlib.suppress(OSError, AttributeError):  # a C library without these functions
            found.update(_told())
    return found


def _told() -> dict[str, bool]:
    """What the kernel says of an ARM processor; nothing but on Linux and macOS."""
    if sys.platform == "linux":
        ask = ctypes.CDLL(None).getauxval
        ask.argtypes, ask.restype = [ctypes.c_ulong], ctypes.c_ulong
        return of_words(ask(AT_HWCAP), ask(AT_HWCAP2))
    if sys.platform == "darwin":
        return {name: _sysctl(key) for name, key in SYSCTL.items()}
    return {}


def of_words(first: int, second: int) -> dict[str, bool]:
    """The features that Linux's AT_HWCAP and AT_HWCAP2 name on ARM."""
    return {"dotprod": bool(first >> ASIMDDP & 1), "i8mm": bool(second >> I8MM & 1)}


def _sysctl(key: bytes) -> bool:
    value, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    ask = ctypes.CDLL(None).sysctlbyname
    asked = ask(key, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return bool(asked == 0 and value.value == 1)
