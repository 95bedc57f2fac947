"""Reads a stream's packets in a thread of its own, each with the time when it came."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from av.packet import Packet

from streamsr.channel import Channel, ReaderGone

HELD_BYTES = 32 << 20
"""Of packets that wait to be decoded: 10 s of a stream of 25 Mbit/s."""

PACKET_BYTES = 500
"""What a packet takes besides its content."""

LOOK_S = 0.1
"""Between two looks, while nothing comes, at whether to stop."""

AT_ONCE_S = 0.02
"""Packets that come within this time of the first one were there before: FFmpeg had read them to
learn what the stream is."""

MOST_AT_ONCE = 500
"""So many are no longer what was read to learn that."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A packet, and when it came on our clock; ``sent_s`` is when it was sent, as far as that is
    known."""

    packet: "Packet[Any]"
    at_s: float
    sent_s: float


class ReadAhead:
    """Gives the packets of ``packets``, which a thread of its own reads meanwhile, so that what
    waits for its time holds up no network.

    stopped  asked while nothing comes; True ends the iteration

    Holds at most HELD_BYTES; then the sender is held up. An error of ``packets`` is raised behind
    the packets that came before.
    """

    def __init__(
        self,
        packets: "Iterator[Packet[Any]]",
        *,
        stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._packets = packets
        self._stopped = stopped
        self._clock = clock
        self._channel: Channel[Arrived] = Channel(
            HELD_BYTES, size=lambda arrived: arrived.packet.size + PACKET_BYTES
        )
        self._thread = threading.Thread(target=self._read, name="streamsr-read")
        self._thread.start()

    def __iter__(self) -> Iterator[Arrived]:
        while not self._stopped():
            try:
                yield self._channel.get(LOOK_S)
            except TimeoutError:
                continue
            except EOFError:
                return

    def close(self) -> None:
        """End the thread, once the wait for its packet has ended."""
        self._channel.leave()
        self._thread.join()

    def _read(self) -> None:
        try:
            for packet in self._packets:
                now_s = self._clock()
                self._channel.put(Arrived(packet, now_s, now_s))
        except ReaderGone:
            pass
        except BaseException as error:  # noqa: BLE001 - the thread wrapper: it surfaces in the reader
            self._channel.end(error)
        finally:
            self._channel.end()


def spread(arrived: Iterator[Arrived], begun_s: float) -> Iterator[Arrived]:
    """The same packets. Those that FFmpeg had read when it gave the first were sent one after the
    other since ``begun_s``, when the connection was made."""
    first: list[Arrived] = []
    for item in arrived:
        first.append(item)
        if item.at_s - first[0].at_s > AT_ONCE_S or len(first) > MOST_AT_ONCE:
            break
    at_once = [item for item in first if item.at_s - first[0].at_s <= AT_ONCE_S]
    for i, item in enumerate(at_once, 1):
        step_s = max(item.at_s - begun_s, 0.0) / len(at_once)
        yield Arrived(item.packet, item.at_s, item.at_s - (len(at_once) - i) * step_s)
    yield from first[len(at_once) :]
    yield from arrived
