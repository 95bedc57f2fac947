"""The first run of machine code on a processor, in a process of its own.

What the processor says of itself may be wrong: emulators and virtual machines name features that
they do not have, and one illegal instruction ends a program. So code that has not run here before
is first run by a child. What came of it is kept for this code on this processor.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence

import llvmlite.binding as llvm

from streamsr.machine import processor_name
from streamsr.native import cache
from xlsr_model import system

SECONDS = 60
"""For a child that takes half a second, on a machine with much else to do."""

RUNS = b"runs"
KEPT = RUNS, b"SIGILL"
"""Answers that the next start can rely on."""

_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from xlsr_model import system
system.crash_quietly()
"""


def death(
    key: str,
    program: str,
    *words: str,
    given: bytes = b"",
    also: Callable[[], Sequence[str]] = tuple,
) -> str | None:
    """The signal of which code with this ``key`` of `jit.Library` dies on this processor.

    None if it runs, and if there is no telling: a child that cannot be started, or ends by itself,
    is no answer; then all is as without it.

    program  what the child executes, with ``words`` from sys.argv[2] on and ``given`` to read
    also     keys of other code that the same child runs
    """
    answer = cache.load(_name(key))
    if answer is None:
        answer = _answer(program, words, given)
        if answer in KEPT:
            for one in (key, *also()):
                cache.store(_name(one), answer)
    return None if answer in (RUNS, b"") else answer.decode()


def _name(key: str) -> str:
    code = f"{processor_name()} {llvm.get_host_cpu_name()} {key}"
    return f"first-run-{hashlib.sha256(code.encode()).hexdigest()[:32]}"


def _answer(program: str, words: Sequence[str], given: bytes) -> bytes:
    """RUNS, or the name of the signal the child died of; nothing where there is no telling."""
    path = json.dumps([str(place) for place in sys.path])
    command = [sys.executable or "python3", "-c", _START + program, path, *words]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    if done.returncode == 0:
        return RUNS
    return (system.death_of(done.returncode) or "").encode()
