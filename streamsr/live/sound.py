"""Hands the sound of a live source to the sinks, in step with its pictures."""

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Self

from streamsr.frame import Frame
from streamsr.sinks import SoundSink
from streamsr.sources import Sound
from streamsr.stats import Event, Recorder

LEAD_S = Fraction(1, 10)
"""Sound goes to the sinks so much before its picture, if it is there: a muxer that has the next
sound need not keep the picture back to find out which comes first."""


class SoundRoute:
    """Hands packets of sound over when their picture was shown. A context manager, which owns the
    sound; for one thread, that of the sinks.

    sinks   those that take sound
    record  where it is counted what became of the packets: all is accounted for on leaving
    clock   the time; another one in tests
    """

    def __init__(
        self,
        sound: Sound,
        sinks: Sequence[SoundSink],
        record: Recorder,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sound = sound
        self._sinks = sinks
        self._record = record
        self._clock = clock
        self._shown_s: Fraction | None = None
        self._at_s = 0.0
        record.count(Event.SOUND_IN, 0)

    def shown(self, frame: Frame) -> None:
        """Hand over what belongs to this frame, which the sinks have."""
        self._shown_s = frame.pts * frame.time_base
        self._at_s = self._clock()
        self._hand_over(self._shown_s + LEAD_S)

    def idle(self) -> None:
        """Hand over what has become due since the last frame: sound does not wait for pictures that
        do not come."""
        if self._shown_s is not None:
            since_s = Fraction(max(self._clock() - self._at_s, 0.0))
            self._hand_over(self._shown_s + since_s)

    def rest(self) -> None:
        """Hand over what is left, after the last frame of a source that has ended."""
        if self._shown_s is not None:
            self._hand_over(None)

    def _hand_over(self, time_s: Fraction | None) -> None:
        for packet in self._sound.until(time_s):
            taken = [sink.write_sound(packet) for sink in self._sinks]
            self._record.count(Event.SOUND_WRITTEN, any(taken))

    def __enter__(self) -> Self:
        self._sound.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sound.__exit__(kind, error, trace)
        count = self._record.counted
        gone = count(Event.SOUND_IN) - count(Event.SOUND_WRITTEN) - count(Event.SOUND_DROPPED)
        self._record.count(Event.SOUND_DROPPED, gone)
