"""Commands that Ctrl-C strikes at every place where Python would let it: a script.

``python -m tests.support.strikes FOLDER WHAT [EVERY]`` runs WHAT, in FOLDER, once for every place
where its main thread looks for signals (or every EVERY-th of them), with a Ctrl-C there. Tells on
standard output how many places it has tried, and on standard error what went wrong; one run that
does not end ends the script, with the stacks of all threads.

The Ctrl-C is the handler's call and no signal: a trace function sees each instruction, but none
between a signal and its handler.
"""

import dis
import faulthandler
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np

from streamsr import Frame, Pipeline, StreamInfo, interrupt
from streamsr.sinks.file import FileSink
from streamsr.sources.file import FileSource
from streamsr.stats import Recorder

LEASH_S = 20.0
LOOKS = ("CALL", "RESUME", "JUMP_BACKWARD")
"""How the names of the instructions begin after which CPython looks for signals (its ceval.c)."""

Place = tuple[CodeType, int]


class Strikes:
    """Traces one run, and has Ctrl-C pressed when it reaches one place of it."""

    def __init__(self, at: Place | None = None) -> None:
        self._at, self.struck = at, False
        self.places: dict[Place, None] = {}
        self._last: dict[int, str] = {}

    def trace(self, frame: FrameType, event: str, _: object) -> "Callable[..., Any] | None":
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call":
            self._last[id(frame)] = ""
        elif event == "return":
            self._last.pop(id(frame), None)
        elif event == "opcode":
            last, now = self._last.get(id(frame), ""), _names(frame.f_code).get(frame.f_lasti, "")
            self._last[id(frame)] = now
            if last.startswith(LOOKS):
                self._reached(frame)
        return self.trace

    def _reached(self, frame: FrameType) -> None:
        place = frame.f_code, frame.f_lasti
        self.places[place] = None
        if place == self._at or self.struck:  # where it may not strike it does at the next place
            self.struck = True
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):  # it is ignored once the command has ended
                handler(signal.SIGINT, frame)


@cache
def _names(code: CodeType) -> dict[int, str]:
    return {instruction.offset: instruction.opname for instruction in dis.get_instructions(code)}


class EndlessSource:
    """Frames without end: whoever does not tell its thread to stop has it for ever."""

    def __init__(self) -> None:
        self.info = StreamInfo(4, 4, Fraction(1, 25))
        self.entered = 0

    def __enter__(self) -> Self:
        self.entered += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.entered -= 1

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while self.entered:
            yield Frame(np.zeros((4, 4, 3), np.uint8), index, Fraction(1, 25), 1, index)
            index += 1


class Doubling:
    """An upscaler without an engine."""

    def __init__(self) -> None:
        self.engine = SimpleNamespace(batch=1, scale=2)
        self.record = Recorder()

    def frames(self, frames: Sequence[Frame]) -> list[Frame]:
        return [replace(frame, rgb=np.repeat(np.repeat(frame.rgb, 2, 0), 2, 1)) for frame in frames]


def pipeline(_folder: Path) -> None:
    """Three frames of a source that would give more."""
    upscaler: Any = Doubling()
    with Pipeline(EndlessSource(), upscaler) as frames:
        for _ in range(3):
            frames.get()


def stack(_folder: Path) -> None:
    """The same, as the commands do."""
    upscaler: Any = Doubling()
    with ExitStack() as stack:
        frames = stack.enter_context(Pipeline(EndlessSource(), upscaler))
        for _ in range(3):
            frames.get()


def live(folder: Path) -> None:
    """The same, where Ctrl-C is the usual end."""
    begun = ended = False
    try:
        with interrupt.stops_here():
            begun = True
            stack(folder)
        ended = True
    finally:
        assert ended or not begun, "it struck behind the end"


def film(folder: Path) -> None:
    """A film into a file."""
    upscaler: Any = Doubling()
    with ExitStack() as stack:
        source = stack.enter_context(FileSource(folder / "in.mkv"))
        size = 2 * source.info.width, 2 * source.info.height
        sink = FileSink(
            folder / "out.mkv", source.info, size, preset="ultrafast", copy_from=folder / "in.mkv"
        )
        stack.enter_context(sink)
        stack.enter_context(Pipeline(source, upscaler)).run(sink)


def struck(
    folder: Path, command: Callable[[Path], None], at: Place | None, complete: dict[str, int]
) -> tuple[Strikes, dict[str, int]]:
    """One run, and the names and sizes of the files it has made: none, or the ``complete`` ones.

    Raises AssertionError when anything else is left of it, and whatever takes the place of the
    KeyboardInterrupt.
    """
    threads = threading.enumerate()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt.heard()
    strikes = Strikes(at)
    faulthandler.dump_traceback_later(LEASH_S, exit=True)
    ended = False

    def traced() -> None:
        sys.settrace(strikes.trace)
        try:
            command(folder)
        finally:
            sys.settrace(None)

    try:
        interrupt.stoppable(traced)
        ended = True
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    assert ended or strikes.struck
    left = {path.name: path.stat().st_size for path in folder.iterdir() if path.name != "in.mkv"}
    for name in left:
        (folder / name).unlink()
    assert threading.enumerate() == threads, "a thread is left"
    assert at is None or left in ({}, complete), f"files are left: {left}"
    faulthandler.cancel_dump_traceback_later()
    return strikes, left


def main() -> None:
    folder, command = (
        Path(sys.argv[1]),
        {"pipeline": pipeline, "stack": stack, "live": live, "film": film}[sys.argv[2]],
    )
    every = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # the next place is tried instead
    struck(folder, command, None, {})  # loads modules
    undisturbed, complete = struck(folder, command, None, {})
    tried = failed = 0
    for place in list(undisturbed.places)[::every]:
        try:
            tried += struck(folder, command, place, complete)[0].struck
        except BaseException as error:  # noqa: BLE001 - one that is wrong must not hide the others
            failed += 1
            print(
                f"{place[0].co_qualname}+{place[1]}: {type(error).__name__}: {error}",
                file=sys.stderr,
            )
    print(f"{tried} places")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
