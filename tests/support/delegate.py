"""A delegate library, as an NPU's maker would deliver it, built from delegate.c."""

import subprocess
from pathlib import Path


def build(target: Path, mode: str = "nothing", *, mark: Path | None = None) -> Path:
    """Build it with this mode by default; loading it leaves a file at ``mark``. Needs gcc."""
    source = Path(__file__).with_name("delegate.c")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f'-DMODE="{mode}"']
    if mark is not None:
        flags.append(f'-DMARK="{mark}"')
    subprocess.run(["gcc", *flags, "-o", target, source], check=True)
    return target
