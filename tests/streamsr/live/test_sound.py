"""Sound goes to the sinks in step with the pictures, and all of it is accounted for."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Self

import pytest

from streamsr.frame import Frame
from streamsr.live.sound import LEAD_S, SoundRoute
from streamsr.media.sound import SoundFormat, SoundPacket
from streamsr.stats import Event, Recorder
from tests.support.fakes import Clock
from tests.support.media import picture


class Tenths:
    """Sound with a packet each tenth of a second, for a minute: a `streamsr.sources.Sound`."""

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._next = 0
        self.left = False

    @property
    def format(self) -> SoundFormat:
        raise NotImplementedError

    def until(self, time_s: Fraction | None) -> Iterator[SoundPacket]:
        while self._next < 600 and (time_s is None or self._next <= 10 * time_s):
            self._record.count(Event.SOUND_IN)
            self._next += 1
            yield SoundPacket(b"", Fraction(self._next - 1, 10))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._record.count(Event.SOUND_IN, 5)  # that came and was never asked for
        self.left = True


class Taking:
    """A `streamsr.sinks.SoundSink` that takes sound from some time on."""

    def __init__(self, from_s: float = 0.0) -> None:
        self.got: list[float] = []
        self._from_s = from_s

    def write_sound(self, packet: SoundPacket) -> bool:
        if packet.time_s < self._from_s:
            return False
        self.got.append(float(packet.time_s))
        return True


def frame(time_s: float) -> Frame:
    return Frame(picture(0, 8, 8), round(1000 * time_s), Fraction(1, 1000))


@pytest.fixture
def record() -> Recorder:
    return Recorder()


def test_sound_comes_with_its_picture(record: Recorder) -> None:
    sinks = Taking(), Taking()
    with SoundRoute(Tenths(record), sinks, record, clock=Clock()) as route:
        route.idle()
        assert sinks[0].got == []
        route.shown(frame(0.0))
        route.shown(frame(0.35))
        assert float(LEAD_S) == 0.1
        assert sinks[0].got == sinks[1].got == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_sound_goes_on_while_no_picture_comes(record: Recorder) -> None:
    sink, clock = Taking(), Clock()
    with SoundRoute(Tenths(record), [sink], record, clock=clock) as route:
        route.shown(frame(1.0))
        clock.now += 2.0
        route.idle()
        assert sink.got[-1] == 3.0
        route.shown(frame(3.5))
        assert sink.got[-1] == 3.6


def test_sound_behind_the_last_picture_of_a_source_is_kept(record: Recorder) -> None:
    sink = Taking()
    with SoundRoute(Tenths(record), [sink], record, clock=Clock()) as route:
        route.shown(frame(1.0))
        route.rest()
    assert sink.got[-1] == 59.9


def test_every_packet_is_accounted_for(record: Recorder) -> None:
    sound = Tenths(record)
    with SoundRoute(sound, [Taking(0.25), Taking(0.5)], record, clock=Clock()) as route:
        route.shown(frame(0.9))
    assert sound.left
    assert record.sound == {"in": 16, "written": 8, "dropped": 8}
