"""Counts what happens to every frame, and where the time goes."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from streamsr.ages import Ages
from streamsr.machine import peak_memory_mib, versions


class Fate(StrEnum):
    """The one thing that happens to each frame read: the counts add up to those of Event.IN.

    NETWORK  computed by the network as a whole
    REUSED   copied as a whole from the previous output
    PARTIAL  computed in part; the rest is copied or resized
    RESIZED  interpolated, without the network
    DROPPED  left out
    """

    NETWORK = "network"
    REUSED = "reused"
    PARTIAL = "partial"
    RESIZED = "resized"
    DROPPED = "dropped"


class Event(StrEnum):
    """What is counted besides.

    IN, OUT            frames read, and frames that left the pipeline
    DAMAGED            frames that the decoder called damaged
    PUBLISHED          frames encoded for the receiver of a stream
    LATE               frames that left the upscaler older than the budget, shown or not
    SHARP              frames shown that are the network's work in every pixel, computed now or
                       before
    RECONNECT          times that the source was connected to again
    PUBLISH_RECONNECT  times that the receiver was connected to again
    RESTART            segments of a cluster begun again because their worker was lost
    SOUND_IN           packets of sound read; each is written or dropped
    SOUND_WRITTEN      packets of sound that a sink took
    SOUND_DROPPED      packets of sound that no sink got or took: before the first frame, after the
                       last one, twice in time, damaged, or too many at once
    SOUND_PUBLISHED    packets of sound that were sent on to the receiver of a stream
    """

    IN = "in"
    OUT = "out"
    DAMAGED = "damaged"
    PUBLISHED = "published"
    LATE = "late"
    SHARP = "sharp"
    RECONNECT = "reconnect"
    PUBLISH_RECONNECT = "publish_reconnect"
    RESTART = "restart"
    SOUND_IN = "sound_in"
    SOUND_WRITTEN = "sound_written"
    SOUND_DROPPED = "sound_dropped"
    SOUND_PUBLISHED = "sound_published"


class Stage(StrEnum):
    """Work whose wall time is measured."""

    DECODE = "decode"
    CONVERT = "convert"
    COMPARE = "compare"
    COPY = "copy"
    NETWORK = "network"
    FINISH = "finish"
    RESIZE = "resize"
    DEEP = "deep"
    ENCODE = "encode"
    WRITE = "write"
    PUBLISH = "publish"


class Point(StrEnum):
    """Where a frame's age is taken.

    START     taken from the queue to be upscaled
    UPSCALED  upscaled under a budget
    OUT       left the pipeline
    SHOWN     all sinks have it
    """

    START = "start"
    UPSCALED = "upscaled"
    OUT = "out"
    SHOWN = "shown"


@dataclass(frozen=True)
class Stats:
    """What a run did so far. ``json()`` is the object that ``--stats-json`` writes.

    frames       counts by fate, and those read (``in``), given out and damaged
    latency_ms   age of the frames that left the pipeline: p50, p95, p99, max; None before the first
    seconds      wall time by stage, and of the whole run (``wall``)
    fps          frames out a second of the whole run
    reuse_share  share of all pixels that were taken from the frame before
    model_reason  which kind of model ``auto`` chose and why; empty where it did not choose
    quality      the rung of the family, live the one that is kept to now; empty for other networks
    quality_reason  which rung ``auto`` chose and why; empty where it did not choose
    live         None where there is no latency budget
    sound        packets of sound read (``in``), ``written``, ``dropped`` and, where there is a
                 receiver, ``published``; None where no sound was kept
    sound_state  a line for people: what becomes of the source's sound, or why there is none; empty
                 for what is not live
    """

    frames: dict[str, int]
    latency_ms: dict[str, float | None]
    seconds: dict[str, float]
    fps: float
    engine: str
    model: str
    threads: int
    reuse_share: float = 0.0
    model_reason: str = ""
    quality: str = ""
    quality_reason: str = ""
    live: "Live | None" = None
    sound: dict[str, int] | None = None
    sound_state: str = ""
    peak_memory_mib: float | None = field(default_factory=peak_memory_mib)
    versions: dict[str, str] = field(default_factory=versions)

    def json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Live:
    """What only a run with a latency budget has. For the counts see `Event`.

    pixel_share  of the pixels of all frames upscaled: by network, taken from the frame before,
                 resized
    stages_ms    age of the frames at each `Point`: p50, p95, p99, max
    pace_error_ms     how much later than at their own time frames left the source, which is not
                      part of their age: p50, p95, p99, max; None for a camera, which has no times
    jitter_buffer_ms  how much later than at the earliest frames leave the source, so that those
                      that come late are not
    rungs        frames upscaled by the rung that was kept to
    """

    budget_ms: float
    late: int
    sharp: int
    pixel_share: dict[str, float]
    stages_ms: dict[str, dict[str, float | None]]
    reconnects: int
    publish_reconnects: int
    pace_error_ms: dict[str, float | None]
    jitter_buffer_ms: float
    rungs: dict[str, int] = field(default_factory=dict)


class Recorder:
    """Collects the numbers of one run. Each count and each stage has one writing thread; any thread
    may read."""

    def __init__(self) -> None:
        self.engine = ""
        self.model = ""
        self.model_reason = ""
        self.quality = ""
        self.quality_reason = ""
        self._rungs: Counter[str] = Counter()
        self.threads = 0
        self.budget_s: float | None = None
        self._sound_kept = self._sound_lost = ""
        self._counts: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._ages: defaultdict[str, Ages] = defaultdict(Ages)
        self.pace_errors = Ages()
        self.buffer_s = 0.0
        self._pixels = {"network": 0, "reused": 0, "resized": 0}
        self._start = time.perf_counter()

    def set_engine(self, name: str, *, model: str, threads: int) -> None:
        """Say what the run upscales with."""
        self.engine = name
        self.model = model
        self.threads = threads

    def set_rungs(self, names: Sequence[str], begun_on: str, reason: str) -> None:
        """Say that a budget chooses among these rungs, on which it begins, and why."""
        self.model, self.quality, self.quality_reason = ", ".join(names), begun_on, reason

    def on_rung(self, name: str) -> None:
        """Count a frame upscaled while this rung is kept to."""
        if name:
            self.quality = name
            self._rungs[name] += 1

    @property
    def rungs(self) -> dict[str, int]:
        """The counts of frames upscaled under a budget, by rung."""
        return dict(self._rungs)

    def set_budget(self, budget_s: float) -> None:
        """Say that the run is live, and at which age its frames are late."""
        self.budget_s = budget_s

    def set_sound(self, line: str) -> None:
        """Say what becomes of a live source's sound, or why there is none."""
        self._sound_kept = line

    def set_sound_lost(self, line: str) -> None:
        """Say why its sound is left out at the moment, nothing when it is there."""
        self._sound_lost = line

    @property
    def sound_state(self) -> str:
        """The line that stands in the statistics, the metrics and the previews."""
        return self._sound_lost or self._sound_kept

    def count(self, what: Fate | Event, number: int = 1) -> None:
        self._counts[what] += number

    def counted(self, what: Fate | Event) -> int:
        """The count so far."""
        return self._counts[what]

    def pixels(self, *, total: int, reused: int, resized: int = 0) -> None:
        """Count the pixels of an upscaled frame; the rest of ``total`` was computed."""
        self._pixels["network"] += total - reused - resized
        self._pixels["reused"] += reused
        self._pixels["resized"] += resized

    def add(
        self, frames: Mapping[str, int], seconds: Mapping[str, float], pixels: Mapping[str, int]
    ) -> None:
        """Count in what another Recorder counted: its `frames`, `seconds` and `pixel_counts`."""
        self._counts.update(frames)
        for name, wall in seconds.items():
            self._seconds[name] += wall
        for name, number in pixels.items():
            self._pixels[name] += number

    def latency(self, age_s: float, at: Point = Point.OUT) -> None:
        """Take in the age of a frame at this point."""
        self._ages[at.value].add(age_s)

    def pace(self, error_s: float, *, buffer_s: float = 0.0) -> None:
        """Take in how much later than at its own time a frame left its source, and the jitter
        buffer at that moment."""
        self.pace_errors.add(error_s)
        self.buffer_s = buffer_s

    @property
    def frames(self) -> dict[str, int]:
        """The counts of frames so far, by fate and otherwise."""
        always = (Event.IN, Event.OUT, *Fate, Event.DAMAGED)
        counts = {what.value: self._counts[what] for what in always}
        if self._counts[Event.PUBLISHED]:
            counts[Event.PUBLISHED.value] = self._counts[Event.PUBLISHED]
        return counts

    @property
    def sound(self) -> dict[str, int] | None:
        """The counts of packets of sound so far; None where none is kept."""
        if Event.SOUND_IN not in self._counts:
            return None
        kept = (Event.SOUND_IN, Event.SOUND_WRITTEN, Event.SOUND_DROPPED)
        counts = {what.removeprefix("sound_"): self._counts[what] for what in kept}
        if Event.SOUND_PUBLISHED in self._counts:
            counts["published"] = self._counts[Event.SOUND_PUBLISHED]
        return counts

    @property
    def ages(self) -> dict[str, Ages]:
        """By point, still counting."""
        return dict(self._ages)

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by stage so far."""
        return dict(self._seconds)

    @property
    def pixel_counts(self) -> dict[str, int]:
        """Of the pixels of all frames upscaled, how many by network, taken from the frame before,
        resized."""
        return dict(self._pixels)

    @property
    def pixel_share(self) -> dict[str, float]:
        """The same as shares of all these pixels."""
        total = max(sum(self._pixels.values()), 1)
        return {name: round(count / total, 4) for name, count in self._pixels.items()}

    @property
    def unaccounted(self) -> int:
        """Frames read that have no fate yet."""
        return self._counts[Event.IN] - sum(self._counts[fate] for fate in Fate)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Add the wall time of the block to this stage's seconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage.value] += time.perf_counter() - start

    def snapshot(self) -> Stats:
        """The numbers so far. Any thread may ask."""
        wall = time.perf_counter() - self._start
        return Stats(
            frames=self.frames,
            latency_ms=self._ages.get(Point.OUT.value, Ages()).percentiles_ms(),
            seconds={
                "wall": round(wall, 4),
                **{name: round(s, 4) for name, s in self._seconds.items()},
            },
            fps=round(self._counts[Event.OUT] / wall, 3) if wall else 0.0,
            engine=self.engine,
            model=self.model,
            threads=self.threads,
            reuse_share=self.pixel_share["reused"],
            model_reason=self.model_reason,
            quality=self.quality,
            quality_reason=self.quality_reason,
            live=self._live(),
            sound=self.sound,
            sound_state=self.sound_state,
        )

    def _live(self) -> Live | None:
        if self.budget_s is None:
            return None
        return Live(
            budget_ms=round(self.budget_s * 1e3, 3),
            late=self._counts[Event.LATE],
            sharp=self._counts[Event.SHARP],
            pixel_share=self.pixel_share,
            stages_ms={stage: ages.percentiles_ms() for stage, ages in self.ages.items()},
            reconnects=self._counts[Event.RECONNECT],
            publish_reconnects=self._counts[Event.PUBLISH_RECONNECT],
            pace_error_ms=self.pace_errors.percentiles_ms(),
            jitter_buffer_ms=round(self.buffer_s * 1e3, 3),
            rungs=self.rungs,
        )
