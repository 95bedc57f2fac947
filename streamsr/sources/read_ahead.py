"""Reads a stream's packets in a thread of its own, each with the time when it came."""

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
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
    begun_s     when the connection was made, where a sender sends at its own pace; see `spread`
    timed       the packets' times are the sender's

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
        begun_s: float = math.inf,
        timed: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._packets = packets
        self._taken = taken
        self._stopped = stopped
        self._patience_s = patience_s
        self._begun_s = begun_s
        self._timed = timed
        self._closing = False
        self._clock = clock
        self._channel: Channel[Arrived] = Channel(
            HELD_BYTES, size=lambda arrived: arrived.packet.size + PACKET_BYTES
        )
        self._thread = threading.Thread(target=self._read, name="streamsr-read", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Arrived]:
        for arrived in self._waited_for():
            yield from spread([arrived, *self._at_once(arrived)], self._begun_s, timed=self._timed)
            break
        yield from self._waited_for()

    def _at_once(self, first: Arrived) -> Iterator[Arrived]:
        """What came with the first packet."""
        with suppress(Exception):  # the end, or an error: raised behind these
            for _ in range(MOST_AT_ONCE):
                yield self._channel.get(max(first.at_s + AT_ONCE_S - self._clock(), 0.0))

    def _waited_for(self) -> Iterator[Arrived]:
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


def spread(at_once: Sequence[Arrived], begun_s: float, *, timed: bool) -> Iterator[Arrived]:
    """The same packets. FFmpeg had read them when it gave the first: they were sent one after the
    other since ``begun_s``, when the connection was made, as their times say where they are
    ``timed``, else evenly."""
    times = [_time_s(arrived.packet) for arrived in at_once]
    end_s = max((time_s for time_s in times if time_s is not None), default=0.0)
    for i, (arrived, time_s) in enumerate(zip(at_once, times, strict=True), 1):
        open_s = max(arrived.at_s - begun_s, 0.0)
        if timed:
            ago_s = 0.0 if time_s is None else min(max(end_s - time_s, 0.0), open_s)
        else:
            ago_s = open_s * (len(at_once) - i) / len(at_once)
        yield Arrived(arrived.packet, arrived.at_s, arrived.at_s - ago_s)


def _time_s(packet: "Packet[Any]") -> float | None:
    """When a packet is to be decoded, on the sender's clock."""
    if packet.dts is None or packet.time_base is None:
        return None
    return float(packet.dts * packet.time_base)
