"""Gives frames to an opened encoder so that every one keeps its exact time."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from streamsr.media.frames import FrameWriter


class FrameEncoder:
    """Encodes frames with their exact times and durations. For one thread.

    context  of the encoder, opened before the first frame
    writer   makes its frames
    counted  the encoder gets the numbers of the frames as times: it takes no ticks but one a frame
    """

    def __init__(
        self, context: VideoCodecContext, writer: FrameWriter, *, counted: bool = False
    ) -> None:
        self.context = context
        self.writer = writer
        self._counted = counted
        self._number = 0
        self._durations: dict[int, int] = {}
        self._times: dict[int, int] = {}
        self._time_base = Fraction(1)
        self._first = 0
        self._step = 1

    def encode(
        self, picture: VideoFrame, pts: int, time_base: Fraction, duration: int
    ) -> "list[Packet[Any]]":
        """The packets that are ready after this picture of `writer`, in ticks of ``time_base``.

        duration  in ticks, 0 for unknown
        """
        self._time_base = time_base
        if duration:
            self._durations[pts] = duration
        if self._counted:
            if self._number == 0:
                self._first = pts
            elif self._number == 1:
                self._step = max(pts - self._first, 1)
            self._times[self._number] = pts
            picture.pts, picture.time_base = self._number, self.context.time_base
        else:
            picture.pts, picture.time_base = pts, time_base
        self._number += 1
        return self._timed(self.context.encode(picture))

    def flush(self) -> "list[Packet[Any]]":
        """The packets that are left; the encoder takes no picture any more."""
        return self._timed(self.context.encode(None))

    def _timed(self, packets: "Sequence[Packet[Any]]") -> "list[Packet[Any]]":
        for packet in packets:
            assert packet.pts is not None
            if self._counted:
                self._give_times(packet)
            packet.duration = self._durations.pop(packet.pts, 0)
        return list(packets)

    def _give_times(self, packet: "Packet[Any]") -> None:
        """The times of the frames in place of their numbers. A decoding time that is a later
        picture's number is that picture's time: so both rise alike."""
        assert packet.pts is not None
        number = packet.pts if packet.dts is None else packet.dts
        packet.pts = self._times[packet.pts]
        packet.dts = self._times[number] if number >= 0 else self._first + number * self._step
        packet.time_base = self._time_base
        for old in [known for known in self._times if known < number]:
            del self._times[old]
