"""The preview contract, and the text that every preview draws over the picture."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from streamsr.sinks import Sink
from streamsr.stats import Recorder

RECENT = 60
"""Frames whose ages the overlay speaks of."""


class Preview(Sink, Protocol):
    """A sink that shows frames to a viewer. Used by one thread, as other sinks are."""

    @property
    def closed(self) -> bool:
        """Whether the viewer has closed it; the caller then ends the run."""

    def idle(self) -> None:
        """Handle the viewer's input. The caller calls it every 0.1 s while no frame comes."""


LIVE = "live"
"""The state of an end that works."""


@runtime_checkable
class Connected(Protocol):
    """A source or a sink that depends on a connection."""

    @property
    def state(self) -> str:
        """LIVE, or a line for the viewer that says why no frames come or go. Any thread may
        ask."""


def state_of(ends: Iterable[object]) -> str:
    """LIVE when every source and sink among ``ends`` works, else the states of those that do
    not."""
    states = [end.state for end in ends if isinstance(end, Connected)]
    return "; ".join(state for state in states if state != LIVE) or LIVE


class Overlay:
    """Lines about the run: frame rate, latency against the budget, fates, and the sound. For one
    thread.

    state  gives the state of the sources and sinks, as `state_of` does
    """

    def __init__(self, record: Recorder, state: Callable[[], str]) -> None:
        self._record = record
        self._state = state
        self._ages: deque[float] = deque(maxlen=RECENT)
        self._times: deque[float] = deque(maxlen=RECENT)

    def add(self, now: float, age_s: float) -> None:
        """Take a frame in that is shown ``now`` (time.monotonic()), at this age."""
        self._times.append(now)
        self._ages.append(age_s)

    @property
    def fps(self) -> float:
        """Frames a second of the last ones; 0 before the second."""
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])

    def lines(self) -> list[str]:
        """The text to draw, with the state in front where something does not work."""
        record = self._record
        frames = record.frames
        budget = f" of {record.budget_s * 1e3:.0f}" if record.budget_s else ""
        worst = f"{max(self._ages) * 1e3:.0f}{budget} ms" if self._ages else "-"
        fates = "  ".join(
            f"{fate} {frames[fate]}"
            for fate in ("network", "reused", "partial", "resized", "dropped")
        )
        engine = f"{record.quality} on {record.engine}" if record.quality else record.engine
        lines = [f"{self.fps:.1f} fps   latency {worst}   {engine}", fates]
        if record.sound_state:
            lines.append(record.sound_state)
        state = self._state()
        return lines if state == LIVE else [state, *lines]


def has_display() -> bool:
    """Whether the X11 server that OpenCV's windows need can be reached: without this check Qt would
    end the process. They need none on Windows and macOS."""
    import re
    import socket

    if sys.platform in ("win32", "darwin"):
        return True

    match = re.fullmatch(r"([^:]*):(\d+)(?:\.\d+)?", os.environ.get("DISPLAY", ""))
    if match is None:
        return False
    host, number = match[1], int(match[2])
    try:
        if host in ("", "unix"):
            with socket.socket(socket.AF_UNIX) as local:
                local.connect(f"/tmp/.X11-unix/X{number}")
        else:
            socket.create_connection((host, 6000 + number), timeout=2).close()
    except OSError:
        return False
    return True
