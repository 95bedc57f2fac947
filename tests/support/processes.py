"""Other programs, started so that none outlives the tests; a failure shows what they said."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import pytest

from tests.support.until import PATIENCE_S, until

Value = TypeVar("Value")

LEASH = Path(__file__).with_name("leash.py")

GRACE_S = 5.0
"""For a program that is told to end, before it is killed."""

_TIED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"
)


def tied(words: Sequence[object], *, tree: bool = False) -> list[str]:
    """The command line that runs this one and is killed when we die, even by SIGKILL.

    With ``tree``, so are all processes that come of it (it then is not its own process but the
    child of a `leash`, and SIGKILL is no way to end it). Not by ``preexec_fn``, which Python 3.12
    warns of where there are threads.
    """
    command = [str(word) for word in words]
    if tree:
        return [sys.executable, "-I", "-S", str(LEASH), *command]
    if setpriv := shutil.which("setpriv"):
        return [setpriv, "--pdeathsig", "KILL", "--", *command]
    return [sys.executable, "-I", "-S", "-c", _TIED, *command]


def limited(
    words: Sequence[object], *, file_bytes: int | None = None, memory_bytes: int | None = None
) -> list[object]:
    """The command line that runs this one with files, or address space, of at most so many bytes
    (whole KiB)."""
    limits = [f"ulimit -f {file_bytes // 1024}; "] if file_bytes is not None else []
    limits += [f"ulimit -v {memory_bytes // 1024}; "] if memory_bytes is not None else []
    return ["bash", "-c", "".join(limits) + 'exec "$@"', "bash", *words]


class Helper:
    """A running program. Standard error goes to a file: nobody has to read it, and any failure can
    show it."""

    def __init__(self, process: "subprocess.Popen[Any]", errors: IO[bytes], name: str) -> None:
        self.process, self._errors, self._name = process, errors, name
        self.pid, self.stdin, self.stdout = process.pid, process.stdin, process.stdout

    @property
    def returncode(self) -> int | None:
        """Its exit status, or minus the signal that ended it; None while it runs."""
        return self.process.poll()

    @property
    def running(self) -> bool:
        return self.returncode is None

    def said(self) -> str:
        """All of its standard error so far."""
        return self.errors().decode(errors="backslashreplace")

    def errors(self) -> bytes:
        """The same as bytes. Read at a place, for the program goes on to write where the file
        stands."""
        return os.pread(self._errors.fileno(), os.fstat(self._errors.fileno()).st_size, 0)

    def until(
        self,
        condition: Callable[[], Value],
        *,
        timeout_s: float = PATIENCE_S,
        seen: Callable[[], object] = lambda: "",
    ) -> Value:
        """`until`, for what this program is to do: also an AssertionError when it ends before."""

        def so_far() -> Value:
            running = self.running
            value = condition()
            assert value or running, (
                f"{self._name} ended with {self.returncode} before; {self.told()}"
            )
            return value

        return until(so_far, timeout_s=timeout_s, seen=lambda: f"{seen()}; {self.told()}")

    def says(self, pattern: str, *, timeout_s: float = PATIENCE_S) -> "re.Match[str]":
        """The match of a regular expression in its standard error, once it has said that."""
        return self.until(lambda: re.search(pattern, self.said(), re.M), timeout_s=timeout_s)  # type: ignore[return-value]

    def ended(self, *, timeout_s: float = PATIENCE_S) -> int:
        """Its exit status once it has ended."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self._name} did not end within {timeout_s:g} s; {self.told()}"
            ) from None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """By SIGKILL, and wait for it."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def told(self) -> str:
        return f"{self._name} said: {self.said()[-4000:].strip() or '(nothing)'}"

    def end(self) -> None:
        """Terminate, then kill, and reap. Harmless when it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(
                    BrokenPipeError
                ):  # what was not yet written to a program that has gone
                    stream.close()


@contextmanager
def running(
    words: Sequence[object],
    *,
    tree: bool = False,
    stdin: Any = subprocess.DEVNULL,
    stdout: Any = subprocess.DEVNULL,
    **how: Any,
) -> Iterator[Helper]:
    """This program for as long as the block lasts, and not longer; what fails in the block shows
    what it said.

    ``how`` is `subprocess.Popen`'s; see `tied` for ``tree``.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            tied(words, tree=tree), stdin=stdin, stdout=stdout, stderr=errors, **how
        )
        helper = Helper(process, errors, _name(words))
        try:
            yield helper
        except BaseException as error:
            if helper._name not in str(error) and not isinstance(error, pytest.skip.Exception):
                error.add_note(helper.told())
            raise
        finally:
            helper.end()


def run(
    words: Sequence[object],
    *,
    timeout_s: float = PATIENCE_S,
    input: bytes | str = b"",
    text: bool = True,
    check: bool = False,
    **how: Any,
) -> "subprocess.CompletedProcess[Any]":
    """This program's status and output, once it has ended; with ``check`` the status must be 0.

    Through files, not pipes, which a program started by it might hold open for ever. ``how`` is
    `running`'s.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out:
        given.write(input.encode() if isinstance(input, str) else input)
        given.seek(0)
        with running(words, stdin=given, stdout=out, **how) as helper:
            status = helper.ended(timeout_s=timeout_s)
            out.seek(0)
            output, errors = out.read(), helper.errors()
            assert not check or status == 0, f"{helper._name} ended with {status}; {helper.told()}"
    if not text:
        return subprocess.CompletedProcess(list(words), status, output, errors)
    return subprocess.CompletedProcess(
        list(words), status, output.decode(), errors.decode(errors="backslashreplace")
    )


def _name(words: Sequence[object]) -> str:
    return " ".join(str(word) for word in words if str(word) != sys.executable)[:200]
