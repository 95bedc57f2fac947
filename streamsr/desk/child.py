"""A job's process: the command itself, so that a crash or a want of memory costs a job only."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamsr.errors import shortened
from xlsr_model import system

LONGEST_LINE = 1 << 16
"""Bytes of a line from the command, which may name two files."""

LINES_KEPT, LONGEST_SAID = 20, 1000
GRACE_S = 15.0
"""For a command that is told to stop, before it is killed."""

STREAMSR = (sys.executable, "-m", "streamsr")


@dataclass
class Ended:
    """How a command ended. Empty ``error``: well."""

    error: str = ""
    said: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))


@contextlib.asynccontextmanager
async def command(
    words: Sequence[str], *, program: Sequence[str] = STREAMSR, inherited: Sequence[int] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program with these words, in a session of its own: Ctrl-C in the terminal is for us. It
    is stopped when the block is left, and it stops by itself when we die, as nobody reads what it
    says any more. Raises OSError."""
    process = await asyncio.create_subprocess_exec(
        *program,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
        pass_fds=system.inherited(inherited),
        start_new_session=True,
        creationflags=system.APART,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        await asyncio.shield(stopped(process))


async def stopped(process: asyncio.subprocess.Process) -> None:
    """Have a process end: by SIGTERM, after GRACE_S by SIGKILL. Harmless when it has."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), GRACE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def followed(
    process: asyncio.subprocess.Process,
    *,
    told: Callable[[dict[str, Any]], None],  # Any: JSON
    said: Callable[[str], None],
) -> Ended:
    """Read what a command says until it ends.

    told  takes the lines of ``--progress-json``
    said  takes the lines for people
    """
    ended = Ended()
    failed: list[str] = []

    def tell(line: str) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return
        if isinstance(entry, dict):
            if isinstance(entry.get("failed"), str):
                failed.append(entry["failed"])
            told(entry)

    def say(line: str) -> None:
        ended.said.append(shortened(line, LONGEST_SAID))
        said(line)

    assert process.stdout is not None
    assert process.stderr is not None
    await asyncio.gather(_lines(process.stdout, tell), _lines(process.stderr, say))
    status = await process.wait()
    if status != 0:
        ended.error = failed[-1] if failed else _why(status, ended.said)
    return ended


async def _lines(stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
    """Give each line; one that is too long is left out."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # asyncio's word for it; what was read is dropped
            continue
        if not line:
            return
        if text := line.decode(errors="replace").rstrip("\n"):
            take(text)


def _why(status: int, said: Sequence[str]) -> str:
    """Why a command failed: its last line, or the signal that ended it."""
    ours = [line for line in said if line.startswith(("streamsr: ", "Error: "))]
    if status > 0:
        return ours[-1] if ours else (said[-1] if said else f"streamsr: ended with status {status}")
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if name == "SIGKILL":
        return "streamsr: was killed (SIGKILL): perhaps there was not enough memory"
    return f"streamsr: crashed ({name}); what is finished is kept"
