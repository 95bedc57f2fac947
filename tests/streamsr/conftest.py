"""The command line run inside the test's process, which saves a second of imports a call."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamsr.cli import main
from tests.support import command as program
from tests.support.command import with_engine


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


@pytest.fixture
def streamsr(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """Run ``streamsr`` with these arguments, and on the exact engine where they name none."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["streamsr", *with_engine(args)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        return Result(int(stopped.value.code or 0), *capfd.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def upscale(streamsr: Command, model: Path) -> Command:
    """Run ``streamsr upscale`` with the test's model and a fast preset."""

    def run(source: Path, target: Path, *args: object) -> Result:
        given = [str(arg) for arg in args]
        if not {"--codec", "--preset"} & set(given):
            given += ["--preset", "ultrafast"]
        if "--model" not in given:
            given += ["--model", str(model)]
        return streamsr("upscale", source, "-o", target, *given)

    return run


def command(*args: object, timeout: float = 120, **how: Any) -> "subprocess.CompletedProcess[str]":
    """Run ``streamsr`` as its own process."""
    done: subprocess.CompletedProcess[str] = program.run(*args, timeout_s=timeout, **how)
    return done


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A disk of this size, in multiples of 4 KiB; `enlarge` gives it more. Skips the test where
    that is forbidden."""
    folder.mkdir(exist_ok=True)
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def enlarge(disk: Path) -> None:
    """Make space on a `small_disk`."""
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
