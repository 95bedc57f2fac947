"""The sound of a source that is connected to again and again."""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

from av.audio.stream import AudioStream
from av.packet import Packet

from streamsr.channel import Channel, ReaderGone
from streamsr.errors import SourceError
from streamsr.media.sound import SoundFormat, SoundPacket
from streamsr.media.timeline import BACKWARD_S, FORWARD_S
from streamsr.stats import Event, Recorder

log = logging.getLogger("streamsr")

WAITING = 1024
"""Packets that may wait for their pictures: 20 s of AAC, longer than the parts of playlists."""

MAX_PACKET_BYTES = 1 << 18
"""Of a packet that is taken; uncompressed sound in eight channels comes in half of that."""

SAME_PLACE_S = Fraction(1, 200)
"""Sound keeps its place while that of the pictures moves by less, which nobody hears."""

OVERLAP_S = Fraction(1, 500)
"""By how much packets may overlap at a place where sound was moved, or by half of one: a player
hears less of that than of a packet that is missing."""


class LiveSound:
    """The sound of a source that is connected to again and again. See `streamsr.sources.Sound` for
    the contract.

    name    for messages
    record  where packets are counted

    One thread writes and another reads. A packet waits until a picture of its connection has said
    where the connection's clock stands on that of the frames (`place`), then for its picture's
    turn. At most WAITING packets do either; the oldest are dropped. After an interruption the sound
    goes on where the pictures do, and what would overlap with the sound before is dropped.
    """

    def __init__(self, name: str, record: Recorder | None = None) -> None:
        self._name = name
        self._record = record or Recorder()
        self._format: SoundFormat | None = None
        self._stream: AudioStream | None = None
        self._follows = False
        self._early: deque[SoundPacket] = deque(maxlen=WAITING)  # on the connection's clock
        self._due_s: Fraction | None = None  # of the next packet, on the same
        self._place_s: Fraction | None = None
        self._end_s: Fraction | None = None  # of all sound so far, on the frames' clock
        self._not_before_s: Fraction | None = None
        self._ready: Channel[SoundPacket] = Channel(WAITING, newest=True)
        self._next: SoundPacket | None = None
        self._is_open = False

    def open(self) -> Self:
        """Begin to collect. Called before pictures are taken, after the first connection has begun.
        Raises SourceError where it has no sound."""
        if self._stream is None:
            raise SourceError("the source has none")
        if self._format is None:
            first = self._early[0].data if self._early else None
            self._format = SoundFormat(self._stream, first)
            self._follows = True
            self._record.count(Event.SOUND_IN, len(self._early))
            self._is_open = True
        return self

    @property
    def format(self) -> SoundFormat:
        """How it is coded, once open."""
        assert self._format is not None
        return self._format

    def begin(self, stream: AudioStream | None) -> None:
        """Say that a connection begins, and which stream of sound it has."""
        if self._is_open and stream is None:
            self._record.set_sound_lost("no sound: the source has none now")
        self._stream = stream
        self._follows = False
        self._place_s = None
        self._due_s = None
        self._early.clear()

    def put(self, packet: "Packet[Any]") -> None:
        """Take a packet of the connection's stream."""
        base = packet.time_base
        ticks = packet.pts if packet.pts is not None else packet.dts
        time_s = self._due_s if ticks is None or base is None else ticks * base
        if packet.size and time_s is not None:
            duration_s = (packet.duration or 0) * (base or Fraction(0))
            self.add(bytes(packet), time_s, duration_s)

    def add(self, data: bytes, time_s: Fraction, duration_s: Fraction) -> None:
        """Take the bytes of a packet; ``time_s`` is on the connection's clock."""
        if self._is_open:
            self._record.count(Event.SOUND_IN)
            if not self._can_follow(data):
                return
        if len(data) > MAX_PACKET_BYTES:
            return
        if self._due_s is not None and not -BACKWARD_S < time_s - self._due_s < FORWARD_S:
            self._place_s = None  # a new clock, which the next picture places
        self._due_s = time_s + duration_s
        self._early.append(SoundPacket(data, time_s, duration_s))
        place_s = self._place_s
        while place_s is not None and self._early:
            self._pass_on(self._early.popleft(), place_s)

    def _can_follow(self, data: bytes) -> bool:
        """Whether the connection's packets are coded as those of the first one."""
        if not self._follows and self._stream is not None:
            stream, self._stream = self._stream, None
            now = SoundFormat(stream, data if self.format.copyable else None)
            self._follows = now.key == self.format.key
            if not self._follows:
                log.warning(
                    "%s: its sound is %s now, not %s: left out", self._name, now, self.format
                )
            self._record.set_sound_lost(
                "" if self._follows else f"sound left out: it is {now} now, not {self.format}"
            )
        return self._follows

    def _pass_on(self, early: SoundPacket, place_s: Fraction) -> None:
        time_s = early.time_s + place_s
        if not self._is_open or (
            self._not_before_s is not None
            and time_s < self._not_before_s - max(OVERLAP_S, early.duration_s / 2)
        ):
            return
        end_s = time_s + early.duration_s
        self._end_s = end_s if self._end_s is None else max(end_s, self._end_s)
        with suppress(ReaderGone):
            self._ready.put(SoundPacket(self.format.payload(early.data), time_s, early.duration_s))

    def place(self, place_s: Fraction) -> None:
        """Say how much later a picture is on the frames' clock than on its connection's."""
        before_s = self._place_s
        if before_s is None or abs(place_s - before_s) > SAME_PLACE_S:
            self._not_before_s = self._end_s
            self._place_s = place_s

    def until(self, time_s: Fraction | None) -> Iterator[SoundPacket]:
        while True:
            if self._next is None:
                try:
                    self._next = self._ready.get(0.0)
                except (TimeoutError, EOFError):
                    return
            if time_s is not None and self._next.time_s > time_s:
                return
            packet, self._next = self._next, None
            yield packet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ready.leave()
        self._next = None
