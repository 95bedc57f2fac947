"""Ctrl-C: at every moment it ends a command, and leaves no thread and no file behind."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.media import make_video
from tests.support.processes import running


@pytest.mark.parametrize(
    ("what", "every"), [("pipeline", 1), ("stack", 1), ("live", 1), ("film", 41)]
)
def test_it_may_strike_anywhere(tmp_path: Path, what: str, every: int) -> None:
    make_video(tmp_path / "in.mkv", size=(16, 12), pts=range(6))
    words = [sys.executable, "-m", "tests.support.strikes", tmp_path, what, every]
    with running(words, stdout=subprocess.PIPE) as strikes:
        assert strikes.ended() == 0, strikes.told()
        assert strikes.stdout is not None
        tried = int(strikes.stdout.read().split()[0])
    assert tried > 20


ENTERING = """
import sys, time
from streamsr.cli import info
class Slow:
    def __enter__(self):
        print("entering", file=sys.stderr, flush=True)
        sys.stdin.readline()
        print("entered", file=sys.stderr, flush=True)
        return self
    def __exit__(self, *_):
        print("left", file=sys.stderr, flush=True)
def describe(what):
    with Slow():
        time.sleep(1000)
    yield "done"
info.describe = describe
sys.argv = ["streamsr", "info"]
from streamsr.cli import main
main()
"""


def test_what_is_being_entered_is_entered_and_then_left() -> None:
    words = [sys.executable, "-c", ENTERING]
    with running(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        helper.says("^entering$")
        helper.send(signal.SIGINT)
        assert helper.stdin is not None
        helper.stdin.write(b"\n")
        helper.stdin.flush()
        assert helper.ended() == 130, helper.told()
        assert helper.said().splitlines()[:3] == ["entering", "entered", "left"]


WAITING = """
import sys
from streamsr.cli import info
from streamsr.channel import Channel
def describe(what):
    print("waiting", file=sys.stderr, flush=True)
    yield Channel(1).get()
info.describe = describe
sys.argv = ["streamsr", "info"]
from streamsr.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_wait_for_what_never_comes_is_ended(number: signal.Signals) -> None:
    with running([sys.executable, "-c", WAITING], stdout=subprocess.PIPE) as helper:
        helper.says("^waiting$")
        helper.send(number)
        assert helper.ended() == 130, helper.told()


ENDED = """
import signal, sys
from streamsr.cli import commands as cli
flushed = cli.flushed
def interrupted(status):
    signal.raise_signal(signal.SIGINT)
    return flushed(status)
cli.flushed = interrupted
sys.argv = ["streamsr", "--version"]
cli.main()
"""


def test_it_changes_nothing_once_the_command_has_ended() -> None:
    with running([sys.executable, "-c", ENDED], stdout=subprocess.PIPE) as helper:
        assert helper.ended() == 0, helper.told()
        assert helper.said() == ""


FAILING = """
import errno, os, signal, sys
from streamsr.cli import info
class Cut:
    def __enter__(self):
        signal.raise_signal(signal.SIGINT)
        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
    def __exit__(self, *_): ...
def describe(what):
    with Cut():
        yield "done"
info.describe = describe
sys.argv = ["streamsr", "info"]
from streamsr.cli import main
main()
"""


def test_what_it_makes_fail_is_no_failure() -> None:
    """A library may pass on that the signal cut a call of the system short."""
    with running([sys.executable, "-c", FAILING], stdout=subprocess.PIPE) as helper:
        assert helper.ended() == 130, helper.told()
        assert "Interrupted system call" not in helper.said()
