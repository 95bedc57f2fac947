"""A cluster's run played through with measured costs, and live streams placed on machines. No
clock, no Ray."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from statistics import mean
from typing import Any, Self

from streamsr.cluster.driver import FILMS_OPEN
from streamsr.cluster.schedule import AHEAD, PendingSegment, urgency

SEGMENT_S = 10.0
LIVE_LOAD = 0.7
"""Share of a machine's cores that live streams may fill: what is left takes the peaks."""

ORDERS: dict[str, Callable[[PendingSegment], Any]] = {
    "in order": lambda segment: (segment.film, segment.number),
    "longest": lambda segment: (-segment.cost, segment.film, segment.number),
    "classes": urgency,
}


@dataclass(frozen=True)
class Costs:
    """Measured, for 640x360 to 1920x1080 at 25 frames a second on one core; seconds, bytes of one
    second of film."""

    segment_s: tuple[float, ...]  # of ten seconds of film each
    send_s: float
    record_s: float
    join_s: float  # of one segment
    open_s: float  # of one second of film
    film_s: float  # of opening any film
    start_s: float
    input_bytes: float
    output_bytes: float

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> Self:
        clip = numbers["segments"]["bbb"]
        made = clip["segments"]
        frames = clip["rate"] * SEGMENT_S
        return cls(
            segment_s=tuple(s["seconds"] / s["frames"] * frames for s in made),
            send_s=numbers["driver"]["task_cpu_s"],
            record_s=numbers["joining"]["record_s"],
            join_s=numbers["joining"]["join_s"],
            open_s=numbers["opening"]["seconds"],
            film_s=clip["open_s"],
            start_s=numbers["start"]["start_s"],
            input_bytes=clip["input_bytes"] / clip["seconds"],
            output_bytes=sum(s["bytes"] for s in made) / clip["seconds"],
        )

    @property
    def cores_a_stream(self) -> float:
        """Cores that keep up with a film's own rate."""
        return mean(self.segment_s) / SEGMENT_S


@dataclass(frozen=True)
class Film:
    """A film by the costs of its segments; ``seconds`` long."""

    seconds: float
    costs: tuple[float, ...]

    @classmethod
    def of(cls, costs: Costs, seconds: float, *, whole: bool = False) -> Self:
        """``whole``: it cannot be cut, as an AVI."""
        each = tuple(
            costs.segment_s[i % len(costs.segment_s)] for i in range(math.ceil(seconds / SEGMENT_S))
        )
        return cls(seconds, (sum(each),) if whole else each)


@dataclass
class Outcome:
    """seconds to the last output; of that all workers' work; time that driver and joiner were busy;
    the most segments of unfinished films that lay on the disk at once, in seconds of film."""

    seconds: float = 0.0
    work_s: float = 0.0
    driver_s: float = 0.0
    joiner_s: float = 0.0
    waiting_s: float = 0.0


@dataclass(order=True)
class _Event:
    when: float
    number: int
    what: Callable[[float], None] = field(compare=False)


def simulate(films: list[Film], costs: Costs, workers: int, *, order: str = "classes") -> Outcome:
    """One opener, one driver and one joiner, each doing one thing at a time, and so many
    workers."""
    out, key, numbers = Outcome(), ORDERS[order], count()
    events: list[_Event] = []
    left = [len(film.costs) for film in films]
    queue: list[tuple[Any, PendingSegment]] = []  # Any: what the order sorts by
    sent: deque[PendingSegment] = deque()
    idle, flying, opened, over, lying = workers, 0, 0, 0, 0.0
    busy = {"opener": False, "driver": 0.0, "joiner": 0.0}

    def at(when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, _Event(when, next(numbers), what))

    def open_next(now: float) -> None:
        nonlocal opened
        if busy["opener"] or opened == len(films) or opened - over >= FILMS_OPEN:
            return
        index, busy["opener"], opened = opened, True, opened + 1

        def done(now: float) -> None:
            busy["opener"] = False
            for number, cost in enumerate(films[index].costs):
                segment = PendingSegment(index, number, cost)
                heapq.heappush(queue, (key(segment), segment))
            send(now)
            open_next(now)

        at(now + costs.film_s + costs.open_s * films[index].seconds, done)

    def drive(now: float, seconds: float) -> float:
        busy["driver"] = max(busy["driver"], now) + seconds
        out.driver_s += seconds
        return busy["driver"]

    def send(now: float) -> None:
        nonlocal flying
        while queue and flying < AHEAD * workers:
            segment = heapq.heappop(queue)[1]
            flying += 1
            at(drive(now, costs.send_s), lambda now, segment=segment: arrive(now, segment))  # type: ignore[misc]

    def arrive(now: float, segment: PendingSegment) -> None:
        sent.append(segment)
        work(now)

    def work(now: float) -> None:
        nonlocal idle
        while sent and idle:
            segment = sent.popleft()
            idle -= 1
            out.work_s += segment.cost
            at(now + segment.cost, lambda now, segment=segment: made(now, segment))  # type: ignore[misc]

    def made(now: float, segment: PendingSegment) -> None:
        nonlocal idle
        idle += 1
        work(now)
        at(drive(now, costs.record_s), lambda now: recorded(now, segment))

    def recorded(now: float, segment: PendingSegment) -> None:
        nonlocal flying, lying
        flying -= 1
        film = films[segment.film]
        lying += film.seconds / len(film.costs)
        out.waiting_s = max(out.waiting_s, lying)
        left[segment.film] -= 1
        if left[segment.film] == 0:
            seconds = costs.join_s * film.seconds / SEGMENT_S
            busy["joiner"] = max(busy["joiner"], now) + seconds
            out.joiner_s += seconds
            at(busy["joiner"], lambda now: joined(now, film))
        send(now)

    def joined(now: float, film: Film) -> None:
        nonlocal over, lying
        over, lying, out.seconds = over + 1, lying - film.seconds, now
        open_next(now)

    at(costs.start_s, open_next)
    while events:
        event = heapq.heappop(events)
        event.what(event.when)
    assert over == len(films)
    return out


@dataclass(frozen=True)
class Stream:
    """A kind of live stream, how many there are, and what one takes: cores, of these the network's,
    bits a second."""

    name: str
    count: int
    cores: float
    network_cores: float
    threads: int
    input_mbit: float
    output_mbit: float


def live_streams(benchmarks: Mapping[str, Any]) -> list[Stream]:
    """A thousand streams of four kinds, by the costs of docs/benchmarks.md, which grow with the
    area."""
    stages = {s["name"]: s["cpu"] / 1e3 for s in benchmarks["reports"]["bbb_640x360"]["stages"]}
    decode, network = stages["decode and to RGB"], stages["network: fused, 1 thread"]
    encode = stages["to YUV and h264 superfast"]
    kinds = (  # name, number, area of 640x360, rate, share of the network's time, Mbit/s in
        ("fixed cameras 640x360 at 15", 500, 1.0, 15, 0.731, 0.5),
        ("cameras 640x360 at 30", 200, 1.0, 30, 1.0, 1.5),
        ("small cameras 320x180 at 30", 200, 0.25, 30, 1.0, 0.5),
        ("channels 1280x720 at 25", 100, 4.0, 25, 1.0, 3.0),
    )
    found = []
    for name, number, area, rate, share, mbit in kinds:
        net = rate * area * network * share
        cores = net + rate * area * (decode + encode)
        threads = math.ceil(net / LIVE_LOAD)
        found.append(Stream(name, number, cores, net, threads, mbit, mbit * 4))
    return found


def packed(streams: list[Stream], load: float, cores: int = 64) -> list[list[Stream]]:
    """Streams on machines, the dearest first, each on the first machine that has room: one process
    a stream."""
    machines: list[tuple[float, list[Stream]]] = []
    for stream in sorted((s for s in streams for _ in range(s.count)), key=lambda s: -s.cores):
        for i, (used, held) in enumerate(machines):
            if used + stream.cores <= load * cores:
                machines[i] = used + stream.cores, [*held, stream]
                break
        else:
            machines.append((stream.cores, [stream]))
    return [held for _, held in machines]
