"""What this machine offers."""

import os
import platform


def usable_cores() -> int:
    """Cores this process may run on: fewer than the machine has inside a container or under
    taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mib() -> float | None:
    """The most memory this process has had at once; None where the system does not tell.

    Not ``ru_maxrss``: that begins with what the parent had when it started us.
    """
    kib = _field("/proc/self/status", "VmHWM")
    return round(int(kib.split()[0]) / 1024, 1) if kib else None


def processor_name() -> str:
    """The processor's model name, for reports."""
    return _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def has_avx512() -> bool:
    """Whether the processor has 512-bit registers."""
    return "avx512f" in (_field("/proc/cpuinfo", "flags") or "").split()


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
