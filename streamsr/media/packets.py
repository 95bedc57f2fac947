"""Reading the packets of a file that may be damaged."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from av.container.input import InputContainer
from av.error import EOFError as EndOfFile
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

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
