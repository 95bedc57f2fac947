"""The command line run inside the test's process, which saves a second of imports a call."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamsr.cli import main
from tests.support.command import Command, Result, with_engine


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
        if not {"--codec", "--encoder", "--preset"} & set(given):
            given += ["--preset", "ultrafast"]
        if "--model" not in given:
            given += ["--model", str(model)]
        return streamsr("upscale", source, "-o", target, *given)

    return run
