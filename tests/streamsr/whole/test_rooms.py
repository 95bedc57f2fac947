"""Which room of streamsr may import from which: down a list of rooms, and never in a circle.

Imports inside functions count: a circle that is put off until a call is one.
"""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "streamsr"

FLOORS = (
    "errors", "options", "machine", "color", "frame", "region",
    "interrupt", "channel", "gate", "model", "ages", "stats",
    "native",
    "picture",
    "engines",
    "tiling",
    "media",
    "sources",
    "upscaler",
    "sinks",
    "web",
    "preview",
    "live",
    "pipeline",
    "audit",
    "segments",
    "jobs",
    "cluster",
    "bench",
    "compare",
    "desk",
    "cli",
)  # fmt: skip
"""Folders and flat modules from the ground up; each imports from itself and what stands before."""

ENTRANCES = {"__init__", "__main__", "gstreamer", "vapoursynth"}
"""What others start the package by; nothing in it imports them."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room(module: str) -> str:
    """The folder or flat module of streamsr that a module belongs to."""
    return [*module.split("."), "__init__"][1]


@cache
def imported(module: str) -> frozenset[str]:
    """The modules of streamsr that this one imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in whole]
        else:
            continue
        found |= {name for name in names if name in MODULES}
    return frozenset(found - {module})


def test_no_module_imports_itself_through_others() -> None:
    TopologicalSorter({name: imported(name) for name in MODULES}).prepare()  # CycleError names them


def test_imports_run_down_the_floors() -> None:
    floor = {name: number for number, name in enumerate(FLOORS)}
    assert {room(name) for name in MODULES} == {*FLOORS, *ENTRANCES}
    up = [
        f"{name} imports {other}"
        for name in MODULES
        if room(name) not in ENTRANCES
        for other in imported(name)
        if other != "streamsr"  # its version and name
        if floor.get(room(other), len(FLOORS)) > floor[room(name)]
    ]
    assert not up, "\n".join(up)
