"""Reads a stream's packets in a thread of its own, each with the time when it came."""

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator
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

    taken       the streams whose packets are given, by index
    stopped     asked while nothing comes; True ends the iteration
    patience_s  without a packet that is given, while others come, after which TimeoutError is
                raised

    Holds at most HELD_BYTES; then the sender is held up. An error of ``packets`` is raised behind
    the packets that came before.
    """

    def __init__(
        self,
        packets: "Iterator[Packet[Any]]",
        *,
        taken: Collection[int],
        stopped: Callable[[], bool] = lambda: False,
        patience_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._packets = packets
        self._taken = taken
        self._stopped = stopped
        self._patience_s = patience_s
        self._closing = False
        self._clock = clock
        self._channel: Channel[Arrived] = Channel(
            HELD_BYTES, size=lambda arrived: arrived.packet.size + PACKET_BYTES
        )
        self._thread = threading.Thread(target=self._read, name="streamsr-read", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Arrived]:
        last_s = self._clock()
        while not self._stopped():
            try:
                arrived = self._channel.get(LOOK_S)
            except TimeoutError:
                if self._clock() - last_s > self._patience_s:
                    raise
                continue
            except EOFError:
                return
            last_s = arrived.at_s
            yield arrived
            last_s = max(last_s, self._clock())  # the time that was taken here

    def close(self, patience_s: float) -> bool:
        """End the thread, once the wait for its packet has ended. False where it has not within
        ``patience_s``: PyAV reads on and on while a sender sends only streams that came later than
        the first packet. The thread then ends when the sender does, or with the process."""
        self._closing = True
        self._channel.leave()
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            for packet in self._packets:
                if self._closing:
                    return
                if packet.stream_index in self._taken:
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
