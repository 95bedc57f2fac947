"""The sound of a film."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

from av.audio.stream import AudioStream
from av.packet import Packet

from streamsr.errors import SourceError
from streamsr.media.input import main_video, open_input
from streamsr.media.packets import readable
from streamsr.media.sound import SoundFormat, SoundPacket
from streamsr.media.timeline import TimeLine
from streamsr.stats import Event, Recorder


class FileSound:
    """The main sound of a film. See `streamsr.sources.Sound` for the contract.

    line  the film's clock

    It reads the file a second time, beside the pictures: so it is there when they are, however they
    are interleaved, and nothing waits in memory. Raises SourceError where the film has no sound.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        line: TimeLine | None = None,
        record: Recorder | None = None,
    ) -> None:
        self._record = record or Recorder()
        with ExitStack() as stack:
            container = stack.enter_context(open_input(path))
            stream = container.streams.best("audio", related=main_video(container))
            if not isinstance(stream, AudioStream):
                raise SourceError("the film has none")
            packets = readable(container, [stream])
            first = next(packets)
            self.format = SoundFormat(stream, bytes(first))
            self._packets = (line or TimeLine()).mended(_after(first, packets))
            self._next: SoundPacket | None = None
            self._stack = stack.pop_all()

    def until(self, time_s: Fraction | None) -> Iterator[SoundPacket]:
        while True:
            packet = self._next or self._read()
            self._next = None
            if packet is None:
                return
            if time_s is not None and packet.time_s > time_s:
                self._next = packet
                return
            yield packet

    def _read(self) -> SoundPacket | None:
        """The next packet that has a time; None at the end."""
        for packet in self._packets:
            ticks = packet.pts if packet.pts is not None else packet.dts
            if not packet.size:
                continue
            self._record.count(Event.SOUND_IN)
            if ticks is not None and packet.time_base is not None:
                data = self.format.payload(bytes(packet))
                base = packet.time_base
                return SoundPacket(data, ticks * base, (packet.duration or 0) * base)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _after(first: "Packet[Any]", rest: "Iterator[Packet[Any]]") -> "Iterator[Packet[Any]]":
    yield first
    yield from rest
