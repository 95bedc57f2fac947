"""The ``streamsr`` command as a program of its own, and the engine that it is told to use."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.engine import EXACT
from tests.support.processes import Helper, running
from tests.support.processes import run as run_program


@dataclass(frozen=True)
class Result:
    """What the command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


Command = Callable[..., Result]

STREAMSR = [sys.executable, "-m", "streamsr"]

_UPSCALING = {"upscale", "compare", "live", "pipe", "run"}
_OTHERWISE = {"--engine", "--delegate", "--print-pipeline", "--help"}


def with_engine(words: Sequence[object]) -> list[str]:
    """These arguments with the engine named, so that no verdict hangs on what ``auto`` finds on
    this machine."""
    given = [str(word) for word in words]
    if (
        not given
        or given[0] not in _UPSCALING
        or {word.split("=")[0] for word in given} & _OTHERWISE
    ):
        return given
    return [*given, "--engine", EXACT]


def streamsr(*args: object) -> list[str]:
    """The command line for these arguments."""
    return [*STREAMSR, *with_engine(args)]


@contextmanager
def started(*args: object, **how: Any) -> Iterator[Helper]:
    """The command while the block lasts; ``how`` is `processes.running`'s."""
    with running(streamsr(*args), **how) as helper:
        yield helper


def run(*args: object, **how: Any) -> Any:
    """The command's status and output; ``how`` is `processes.run`'s."""
    return run_program(streamsr(*args), **how)
