"""What every preview shows beside the picture, and what the caller's loop asks of it."""

import os
from collections import deque
from collections.abc import Callable
from typing import Protocol

from streamsr.sinks import Sink
from streamsr.stats import Recorder

RECENT = 60
"""Frames whose ages the overlay speaks of."""


class Preview(Sink, Protocol):
    """A sink somebody looks at. ``idle`` is called while no frame comes; ``closed`` once nobody
    wants to look."""

    @property
    def closed(self) -> bool: ...

    def idle(self) -> None: ...


class Overlay:
    """Lines about the run: rate, age against the budget, fates, and what the source says. For one
    thread.

    state  of the source: ``live``, or why nothing comes
    """

    def __init__(self, record: Recorder, state: Callable[[], str]) -> None:
        self._record, self._state = record, state
        self._ages: deque[float] = deque(maxlen=RECENT)
        self._times: deque[float] = deque(maxlen=RECENT)

    def saw(self, now: float, age_s: float) -> None:
        self._times.append(now)
        self._ages.append(age_s)

    def lines(self) -> list[str]:
        record = self._record
        frames = record.frames
        rate = (
            (len(self._times) - 1) / (self._times[-1] - self._times[0])
            if len(self._times) > 1
            else 0.0
        )
        budget = f" of {record.budget_s * 1e3:.0f}" if record.budget_s else ""
        worst = f"{max(self._ages) * 1e3:.0f}{budget} ms" if self._ages else "-"
        fates = "  ".join(
            f"{fate} {frames[fate]}"
            for fate in ("network", "reused", "partial", "resized", "dropped")
        )
        lines = [f"{rate:.1f} fps   latency {worst}   {record.engine}", fates]
        state = self._state()
        return lines if state == "live" else [state, *lines]


def has_display() -> bool:
    """Whether X11, which OpenCV's windows need, can be reached: Qt would end the process where it
    cannot."""
    import re
    import socket

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
