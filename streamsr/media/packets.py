"""Reads the packets of a file that may be damaged, and makes them fit for a muxer."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
from av.container.input import InputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.error import EOFError as EndOfFile
from av.packet import Packet
from av.stream import Stream

PACKET_ERRORS = (InvalidDataError, ArgumentError)
"""What a muxer, or a filter in front of it, says of a packet that it cannot take; others concern
the file."""

ERRORS_IN_A_ROW = 16
"""A demuxer that fails this often without a packet in between has come to the end of what it can
read."""


def readable(
    container: InputContainer,
    streams: Sequence[Stream],
    failed: Callable[[FFmpegError], None] = lambda _error: None,
) -> "Iterator[Packet[Any]]":
    """The packets of these streams, in the file's order, whatever lies between them; at the end one
    empty packet for each stream, with which a decoder gives what it holds.

    failed  called with each error of the demuxer, which may go on behind it
    """
    errors = 0
    ended = False
    while errors < ERRORS_IN_A_ROW and not ended:
        try:
            for packet in container.demux(*streams):
                if packet.size:
                    errors = 0
                    yield packet
            ended = True
        except EndOfFile:
            ended = True
        except FFmpegError as error:
            errors += 1
            failed(error)
    for stream in streams:
        last: Packet[Any] = Packet()
        last.stream = stream
        yield last


class PacketOrder:
    """Keeps the decoding times of an output's streams growing.

    mended  by the stream's index, how many packets came before the one before them
    """

    def __init__(self) -> None:
        self.mended: Counter[int] = Counter()
        self._last: dict[int, int] = {}

    def put(self, packet: "Packet[Any]") -> None:
        """Give the packet the next free tick, where its decoding time is not later than the one
        before in the same stream: most muxers refuse it."""
        index = packet.stream.index
        base = packet.stream.time_base
        if packet.dts is None or packet.time_base is None or base is None:
            return
        ticks = _rounded(packet.dts * packet.time_base / base)
        last = self._last.get(index)
        if last is not None and ticks <= last:
            self.mended[index] += ticks < last
            ticks = last + 1
            shown = ticks if packet.pts is None else _rounded(packet.pts * packet.time_base / base)
            packet.time_base = base
            packet.dts = ticks
            packet.pts = max(shown, ticks)
        self._last[index] = ticks


def without_new_headers(packet: "Packet[Any]") -> "Packet[Any]":
    """The packet without the decoder's headers that a joined recording gives again: FFmpeg's
    muxers would write them over the first ones, and over what stands behind them."""
    plain: Packet[Any] = av.Packet(bytes(packet))
    plain.time_base = packet.time_base
    plain.pts = packet.pts
    plain.dts = packet.dts
    plain.duration = packet.duration
    plain.is_keyframe = packet.is_keyframe
    for data in packet.iter_sidedata():
        if data.data_type != "new_extradata":
            plain.set_sidedata(data)
    return plain


def _rounded(value: Fraction) -> int:
    """To the nearest, halves away from zero, as FFmpeg rescales times."""
    return math.floor(value + Fraction(1, 2)) if value >= 0 else -_rounded(-value)
