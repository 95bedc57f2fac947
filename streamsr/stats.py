"""What happened to every frame, and where the time went."""

import platform
import time
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from streamsr.machine import peak_memory_mib

FATES = ("network", "reused", "partial", "resized", "dropped")
"""The one thing that happens to each frame read: computed by the network as a whole; copied whole
from the previous output; part computed and part copied or resized; resized without the network;
left out. They add up to frames in."""

LATENCIES_KEPT = 100_000
"""An hour at 28 frames a second; older ones leave the percentiles, so that memory stays flat."""

AGE_BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
"""Upper ends of the ranges in which ages are counted for the whole run: fine where budgets lie."""


@dataclass(frozen=True)
class Stats:
    """A snapshot. ``json()`` is the object that ``--stats-json`` writes, the same for every
    command."""

    frames: dict[str, int]
    latency_ms: dict[str, float | None]
    seconds: dict[str, float]
    fps: float
    engine: str
    model: str
    threads: int
    reuse_share: float = 0.0
    live: "Live | None" = None
    peak_memory_mib: float | None = field(default_factory=peak_memory_mib)
    versions: dict[str, str] = field(default_factory=lambda: versions())

    def json(self) -> dict[str, object]:
        return asdict(self)


@dataclass
class Ages:
    """Ages of all frames at one stage: how many up to each of AGE_BOUNDS_S (the last: above them),
    and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(AGE_BOUNDS_S) + 1))
    sum_s: float = 0.0


@dataclass(frozen=True)
class Live:
    """What only a live run has.

    late         frames that left the upscaler older than the budget, shown or not
    sharp        frames shown that are the network's work in every pixel, computed now or before
    pixel_share  of the pixels of all frames upscaled: by network, taken from the frame before,
                 resized
    stages_ms    age of the frames at each stage: p50, p95, p99, max
    reconnects   times the source was connected to again; publish_reconnects: the receiver of what
                 is published
    """

    budget_ms: float
    late: int
    sharp: int
    pixel_share: dict[str, float]
    stages_ms: dict[str, dict[str, float | None]]
    reconnects: int
    publish_reconnects: int


class Recorder:
    """Collects the numbers of one run. Each count and each stage has one writing thread."""

    def __init__(self) -> None:
        self.engine = self.model = ""
        self.threads = 0
        self._frames: Counter[str] = Counter(dict.fromkeys(("in", "out", *FATES, "damaged"), 0))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._latency_s: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=LATENCIES_KEPT)
        )
        self._ages: defaultdict[str, Ages] = defaultdict(Ages)
        self._pixels = {"network": 0, "reused": 0, "resized": 0}
        self.budget_s: float | None = None
        self.late = self.sharp = self.reconnects = self.publish_reconnects = self.restarts = 0
        self._start = time.perf_counter()

    def count(self, what: str, number: int = 1) -> None:
        self._frames[what] += number

    def pixels(self, *, total: int, reused: int, resized: int = 0) -> None:
        self._pixels["network"] += total - reused - resized
        self._pixels["reused"] += reused
        self._pixels["resized"] += resized

    def add(
        self, frames: Mapping[str, int], seconds: Mapping[str, float], pixels: Mapping[str, int]
    ) -> None:
        """Count in what another Recorder counted: its `frames`, `seconds` and `pixel_counts`."""
        for name, number in frames.items():
            self._frames[name] += number
        for name, wall in seconds.items():
            self._seconds[name] += wall
        for name, number in pixels.items():
            self._pixels[name] += number

    def latency(self, seconds: float, stage: str = "out") -> None:
        """The age of a frame at this stage; ``out`` is where it leaves the pipeline."""
        self._latency_s[stage].append(seconds)
        ages = self._ages[stage]
        ages.counts[bisect_left(AGE_BOUNDS_S, seconds)] += 1
        ages.sum_s += seconds

    @property
    def frames(self) -> dict[str, int]:
        """The counts so far."""
        return dict(self._frames)

    @property
    def ages(self) -> dict[str, Ages]:
        """By stage, still counting."""
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
    def unaccounted(self) -> int:
        """Frames read that have no fate yet."""
        return self._frames["in"] - sum(self._frames[fate] for fate in FATES)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of the block to this stage's seconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start

    def snapshot(self) -> Stats:
        wall = time.perf_counter() - self._start
        pixels = max(sum(self._pixels.values()), 1)
        return Stats(
            frames=dict(self._frames),
            latency_ms=_percentiles_ms(self._latency_s["out"]),
            seconds={
                "wall": round(wall, 4),
                **{name: round(s, 4) for name, s in self._seconds.items()},
            },
            fps=round(self._frames["out"] / wall, 3) if wall else 0.0,
            engine=self.engine,
            model=self.model,
            threads=self.threads,
            reuse_share=round(self._pixels["reused"] / pixels, 4),
            live=self._live(),
        )

    def _live(self) -> Live | None:
        if self.budget_s is None:
            return None
        pixels = max(sum(self._pixels.values()), 1)
        return Live(
            budget_ms=round(self.budget_s * 1e3, 3),
            late=self.late,
            sharp=self.sharp,
            pixel_share={name: round(count / pixels, 4) for name, count in self._pixels.items()},
            stages_ms={
                stage: _percentiles_ms(ages) for stage, ages in list(self._latency_s.items())
            },
            reconnects=self.reconnects,
            publish_reconnects=self.publish_reconnects,
        )


def _percentiles_ms(seconds: deque[float]) -> dict[str, float | None]:
    """Of a list that another thread may be appending to."""
    values = list(seconds)
    if not values:
        return dict.fromkeys(("p50", "p95", "p99", "max"))
    found = np.percentile(np.array(values), [50, 95, 99, 100]) * 1e3
    return {
        key: round(float(value), 3)
        for key, value in zip(("p50", "p95", "p99", "max"), found, strict=True)
    }


def versions() -> dict[str, str]:
    """Versions of what decides the result, for reports."""
    found = {"python": platform.python_version()}
    for name in ("streamsr", "av", "ai-edge-litert", "llvmlite", "numpy", "opencv-python"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree
            found[name] = "not installed"
    return found
