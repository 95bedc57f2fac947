"""What happened to every frame, and where the time went."""

import platform
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version

import numpy as np

FATES = ("network", "reused", "partial", "resized", "dropped")
"""The one thing that happens to each frame read: computed by the network as a whole; copied whole from the previous
output; part computed and part copied or resized; resized without the network; left out. They add up to frames in."""

LATENCIES_KEPT = 100_000
"""An hour at 28 frames a second; older ones leave the percentiles, so that memory stays flat."""


@dataclass(frozen=True)
class Stats:
    """A snapshot. ``json()`` is the object that ``--stats-json`` writes, the same for every command."""

    frames: dict[str, int]
    latency_ms: dict[str, float | None]
    seconds: dict[str, float]
    fps: float
    engine: str
    model: str
    threads: int
    reuse_share: float = 0.0
    versions: dict[str, str] = field(default_factory=lambda: versions())

    def json(self) -> dict[str, object]:
        return asdict(self)


class Recorder:
    """Collects the numbers of one run. Each count and each stage has one writing thread."""

    def __init__(self) -> None:
        self.engine = self.model = ""
        self.threads = 0
        self._frames: Counter[str] = Counter(dict.fromkeys(("in", "out", *FATES, "damaged"), 0))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._latency_s: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._pixels = self._pixels_reused = 0
        self._start = time.perf_counter()

    def count(self, what: str, number: int = 1) -> None:
        self._frames[what] += number

    def pixels(self, *, total: int, reused: int) -> None:
        self._pixels += total
        self._pixels_reused += reused

    def latency(self, seconds: float) -> None:
        self._latency_s.append(seconds)

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
        latency: dict[str, float | None] = dict.fromkeys(("p50", "p95", "p99", "max"))
        if self._latency_s:
            values = np.percentile(np.array(self._latency_s), [50, 95, 99, 100]) * 1e3
            latency = {key: round(float(value), 3) for key, value in zip(latency, values, strict=True)}
        return Stats(
            frames=dict(self._frames),
            latency_ms=latency,
            seconds={"wall": round(wall, 4), **{name: round(s, 4) for name, s in self._seconds.items()}},
            fps=round(self._frames["out"] / wall, 3) if wall else 0.0,
            engine=self.engine,
            model=self.model,
            threads=self.threads,
            reuse_share=round(self._pixels_reused / self._pixels, 4) if self._pixels else 0.0,
        )


def versions() -> dict[str, str]:
    """Versions of what decides the result, for reports."""
    found = {"python": platform.python_version()}
    for name in ("streamsr", "av", "ai-edge-litert", "llvmlite", "numpy", "opencv-python"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree
            found[name] = "not installed"
    return found
