"""The machine's cores, processor, memory and package versions, for defaults and reports.

Read from /proc by hand: psutil gives neither the peak memory nor the processor's name on Linux.
"""

import os
import platform
from importlib.metadata import PackageNotFoundError, version


def usable_cores() -> int:
    """Number of cores this process may run on: under taskset fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mib() -> float | None:
    """Peak resident memory of this process in MiB; None where the system does not tell.

    Not ``ru_maxrss``: that starts with the parent's memory at the time of the fork.
    """
    kib = _field("/proc/self/status", "VmHWM")
    return round(int(kib.split()[0]) / 1024, 1) if kib else None


def processor_name() -> str:
    """The processor's model name, for reports."""
    return _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def has_avx512() -> bool:
    """Whether the processor has 512-bit registers."""
    return "avx512f" in (_field("/proc/cpuinfo", "flags") or "").split()


def versions() -> dict[str, str]:
    """Versions of the packages that decide the result, for reports."""
    found = {"python": platform.python_version()}
    for name in ("streamsr", "av", "ai-edge-litert", "llvmlite", "numpy", "opencv-python"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree
            found[name] = "not installed"
    return found


def _field(path: str, name: str) -> str | None:
    """The first value of this name in one of Linux's files of ``name: value`` lines."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(name):
                    return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return None
