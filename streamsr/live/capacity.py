"""Which of the usual sizes a machine upscales in real time, by the time it takes for a pixel.

Pure functions of numbers: who measures the times decides how well they hold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamsr.frame import StreamInfo

SIZES = (320, 180), (480, 270), (640, 360), (854, 480), (960, 540), (1280, 720)
"""(width, height) of the pictures that people have, before upscaling."""

RATES = 25, 30
"""Frames per second."""

SPARE = 1.2
"""What a frame takes over the time of its largest parts: decoding, comparison, copies, waiting."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds for each pixel of a source: ``live`` upscaled in full for a preview, ``encoded``
    decoded, upscaled and encoded."""

    live: float
    encoded: float

    def line(self) -> str:
        """What fits, for the user."""
        return "; ".join(self._at(fps) for fps in RATES)

    def _at(self, fps: int) -> str:
        live, encoded = (named(largest(pace, 1 / fps)) for pace in (self.live, self.encoded))
        return f"{fps} fps: {live} live, {encoded} with encoding"


def fitting(pace: float, frame_s: float) -> Iterator[tuple[int, int]]:
    """The usual sizes of which a frame takes at most ``frame_s``, at ``pace`` seconds a pixel."""
    return (size for size in SIZES if size[0] * size[1] * pace <= frame_s)


def largest(pace: float, frame_s: float) -> tuple[int, int] | None:
    """The largest of them; None where none fits."""
    return max(fitting(pace, frame_s), default=None)


def named(size: tuple[int, int] | None) -> str:
    """A size, or that there is none, for the user."""
    return "no usual size" if size is None else f"{size[0]}x{size[1]}"


def room_s(info: StreamInfo, budget_s: float) -> float:
    """Seconds that there are for a frame of a live source."""
    return min(budget_s, float(1 / info.rate)) if info.rate else budget_s


def starting_rung(whole_s: Sequence[float], room: float) -> int:
    """The highest rung on which a whole picture, that takes ``whole_s`` by rung, rising, fits into
    the ``room`` for a frame; else the lowest."""
    return max((rung for rung, cost_s in enumerate(whole_s) if cost_s * SPARE <= room), default=0)


def rung_line(whole_s: Sequence[float], names: Sequence[str], rung: int, room: float) -> str:
    """What to tell the user of the rung that was chosen, and what the next would take."""
    line = f"{names[rung]} to begin with, of {', '.join(names)}"
    if rung + 1 == len(names):
        return line
    next_ms = whole_s[rung + 1] * SPARE * 1e3
    return f"{line}; {names[rung + 1]} takes about {next_ms:.0f} of {room * 1e3:.0f} ms"


def too_large(
    info: StreamInfo, pace: float, budget_s: float, names: Sequence[str] = ()
) -> str | None:
    """What to tell the user of a live source that the network cannot upscale in full; None of one
    that it can.

    pace      seconds that the network takes for each pixel of a whole picture
    budget_s  as in `LiveStage`
    names     of the rungs that there are, rising, where ``pace`` is the lowest one's
    """
    rate = None if info.rate is None else float(info.rate)
    room = room_s(info, budget_s)
    frame_s = info.width * info.height * pace * SPARE
    if frame_s <= room:
        return None
    wanted = f"{info.width}x{info.height}" + (f" at {rate:.4g} fps" if rate else "")
    fits = largest(pace * SPARE, room)
    advice = "none of the usual sizes would fit" if fits is None else f"{named(fits)} would fit"
    on = f" on {names[0]}, the fastest of {', '.join(names)}" if len(names) > 1 else ""
    return (
        f"{wanted} is too large to be upscaled in full here: about {frame_s * 1e3:.0f} ms a frame"
        f"{on}, {room * 1e3:.0f} ms are there; the rest is interpolated. {advice}"
    )
