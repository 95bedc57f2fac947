"""How fast this machine is: every stage of the line, every engine, and the whole command against
its bound.

Compared things take turns within one run, because machines are noisy: what slows one down slows the
others down too.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from streamsr.engines import Engine, Tile
from streamsr.engines.choose import open_engine
from streamsr.engines.difference import NONE, Bound, Difference, bound_of, difference_of
from streamsr.engines.fused.peak import Peak, macs
from streamsr.errors import ModelError
from streamsr.frame import Frame, Image
from streamsr.machine import processor_name, usable_cores
from streamsr.media.frames import FrameWriter
from streamsr.model import ModelFile, find_model
from streamsr.options import ENGINES, EngineChoice
from streamsr.region import Region
from streamsr.sinks.file import FileSink
from streamsr.sources.file import FileSource

FRAMES = 16
"""Different frames of the clip that take turns, so that no stage lives on one frame in the
cache."""

PRESET = "superfast"


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds a frame over the repetitions; CPU milliseconds where other threads work too."""

    name: str
    minimum: float
    median: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Command:
    """The whole command on the clip: best of its runs. ``wall_s`` counts its start, ``steady_s``
    only the frames; ``bound_s`` is what the stages' CPU time would take if spread evenly over the
    cores."""

    frames: int
    wall_s: float
    steady_s: float
    cpu_s: float
    bound_s: float
    peak_mib: float

    @property
    def steady_fps(self) -> float:
        return self.frames / self.steady_s


@dataclass(frozen=True, slots=True)
class Compared:
    """An engine against LiteRT on the clip's frames, or why it is not used here.

    ``psnr_db``, of the worst frame, is None where all ``bytes`` are the same; ``different`` is how
    many are not.
    """

    engine: str
    allowed: str = ""
    levels: int = 0
    psnr_db: float | None = None
    different: int = 0
    bytes: int = 0
    refused: str | None = None

    @classmethod
    def by(cls, engine: str, allowed: Bound, difference: Difference) -> "Compared":
        psnr_db = round(difference.psnr_db, 2) if difference.different else None
        return cls(
            engine, str(allowed), difference.levels, psnr_db, difference.different, difference.size
        )

    def line(self) -> str:
        if self.refused is not None:
            return f"engine {self.engine} is not used here: {self.refused}"
        if not self.different:
            return f"engine {self.engine} against LiteRT: all {self.bytes} bytes the same"
        return (
            f"engine {self.engine} against LiteRT: up to {self.levels} levels, {self.psnr_db:.1f} "
            f"dB, "
            f"{self.different} of {self.bytes} bytes different; allowed {self.allowed}"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, where and on what; `lines` is for people."""

    machine: str
    cores: int
    model: str
    scale: int
    source: str
    result: str
    peak_gmac_s: float | None
    stages: list[Timing]
    engines: list[Compared]
    command: Command

    def json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def lines(self) -> Iterator[str]:
        yield f"{self.machine}; {self.model}; {self.source} -> {self.result}"
        yield f"{'stage':<36} {'min ms':>8} {'median':>8} {'CPU ms':>8} {'fps':>7}"
        for stage in self.stages:
            share = self._share_of_peak(stage)
            note = f"  {share:.0%} of the int8 peak" if share else ""
            fps = 1e3 / stage.median
            yield (
                f"{stage.name:<36} {stage.minimum:8.2f} {stage.median:8.2f} {stage.cpu:8.2f} "
                f"{fps:7.1f}{note}"
            )
        yield from (engine.line() for engine in self.engines)
        if self.peak_gmac_s:
            yield f"int8 peak of one core: {self.peak_gmac_s:.0f} GMAC/s"
        c = self.command
        yield (
            f"streamsr upscale --preset {PRESET} --no-reuse: {c.frames} frames in {c.wall_s:.2f} s "
            f"with its start, "
            f"{c.steady_fps:.1f} fps, {c.steady_s / c.bound_s:.2f} x its bound ({c.bound_s:.2f} "
            f"s), "
            f"{c.peak_mib:.0f} MiB at most"
        )
        for goal in (60, 30, 24):
            if c.steady_fps >= goal:
                break
        answer = "yes" if c.steady_fps >= goal else "no"
        yield (
            f"{self.source} to {self.result} in real time at {goal} fps: {answer}, "
            f"{c.steady_fps:.0f} fps"
        )

    def _share_of_peak(self, stage: Timing) -> float | None:
        if self.peak_gmac_s is None or not stage.name.startswith("network: fused, 1 "):
            return None
        width, height = (int(side) for side in self.source.split("x"))
        return macs(self.scale) * width * height / (stage.minimum * 1e6) / self.peak_gmac_s


def measure(clip: Path | None, *, model: ModelFile | None = None, repetitions: int = 7) -> Report:
    """Run everything on ``clip``, or on a film of moving noise and shapes that is made for it.
    Takes about a minute."""
    model = model or find_model()
    with tempfile.TemporaryDirectory(prefix="streamsr-bench-") as folder, ExitStack() as stack:
        if clip is None:
            clip = Path(folder) / "made.mp4"
            _make_clip(clip)
        stages = _Stages(clip, model, Path(folder), stack)
        peaks: list[float] = []
        sample = _peak_sampler(stack, peaks)
        timings = _interleaved(stages.all, repetitions, sample)
        command = _command(clip, model, Path(folder), timings)
        info = stages.info
        return Report(
            f"{processor_name()}, {usable_cores()} usable cores",
            usable_cores(),
            model.name,
            stages.scale,
            f"{info.width}x{info.height}",
            f"{info.width * stages.scale}x{info.height * stages.scale}",
            round(max(peaks) / 1e9, 1) if peaks else None,
            timings,
            stages.compared,
            command,
        )


class _Stages:
    """Each stage as a function that does one frame's work."""

    def __init__(self, clip: Path, model: ModelFile, folder: Path, stack: ExitStack) -> None:
        source = stack.enter_context(FileSource(clip))
        self.info = info = source.info
        frames = list(itertools.islice(source, FRAMES))
        self.all: dict[str, Callable[[], None]] = {}
        self.all["decode and to RGB"] = _endless(lambda: FileSource(clip), stack)
        turns = itertools.cycle(frames)
        results, engines, self.compared = _compared(model, frames, stack)
        self.scale = scale = results[0].rgb.shape[1] // info.width
        size = info.width * scale, info.height * scale
        hr = np.empty((size[1], size[0], 3), np.uint8)
        for engine in engines:
            name = f"network: {engine.name}, {engine.threads} thread{'s' * (engine.threads > 1)}"
            self.all[name] = lambda engine=engine: engine.run(  # type: ignore[misc]  # bound now
                [Tile(next(turns).rgb, hr, Region.of(info.width, info.height))]
            )
        self.all["bicubic (OpenCV, 1 thread)"] = lambda: _bicubic(next(turns).rgb, size, hr)
        larger = itertools.cycle(results)
        writer = FrameWriter(info.color, "yuv420p", *size)
        self.all["to YUV"] = lambda: _discard(writer.frame(next(larger).rgb))
        sink = stack.enter_context(FileSink(folder / "encoded.mkv", info, size, preset=PRESET))
        numbers = itertools.count()
        step = frames[0].duration or 1

        def encode() -> None:
            sink.write(replace(next(larger), pts=next(numbers) * step))

        self.all[f"to YUV and h264 {PRESET}"] = encode


def _compared(
    model: ModelFile, frames: Sequence[Frame], stack: ExitStack
) -> tuple[list[Frame], list[Engine], list[Compared]]:
    """LiteRT's pictures of the frames, the engines to time, and how each compares: none is timed
    that is wrong."""
    counts = sorted({1, usable_cores()})
    engines: list[Engine] = []
    compared = []
    with open_engine(model, EngineChoice("litert"))[0] as reference:
        results = [replace(frame, rgb=_run(reference, frame.rgb)) for frame in frames]
    for name in ENGINES[1:]:
        try:
            opened = [
                open_engine(model, EngineChoice(name, threads=threads))[0] for threads in counts
            ]
            for engine in opened:
                stack.enter_context(engine)
            difference = NONE
            for engine, (frame, result) in itertools.product(
                opened, zip(frames, results, strict=True)
            ):
                difference = difference.worst(difference_of(_run(engine, frame.rgb), result.rgb))
            bound = bound_of(opened[0])
            if not bound.allows(difference):
                raise ModelError(f"computes otherwise than LiteRT: {difference}; allowed {bound}")
        except ModelError as error:
            compared.append(Compared(name, refused=str(error)))
            continue
        compared.append(Compared.by(opened[0].name, bound, difference))
        engines += opened
    return results, engines, compared


def _run(engine: Engine, lr: Image) -> Image:
    height, width = lr.shape[:2]
    hr = np.empty((height * engine.scale, width * engine.scale, 3), np.uint8)
    engine.run([Tile(lr, hr, Region.of(width, height))])
    return hr


def _endless(source: Callable[[], FileSource], stack: ExitStack) -> Callable[[], None]:
    """Decode the clip over and over, a frame a call."""

    def frames() -> Generator[Frame]:
        while True:
            with source() as film:
                yield from film

    running = frames()
    stack.callback(running.close)
    return lambda: _discard(next(running))


def _bicubic(lr: Image, size: tuple[int, int], hr: Image) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    cv2.resize(lr, size, dst=hr, interpolation=cv2.INTER_CUBIC)
    cv2.setNumThreads(before)


def _discard(_result: object) -> None:
    return


def _interleaved(
    stages: dict[str, Callable[[], None]], repetitions: int, sample: Callable[[], None]
) -> list[Timing]:
    """Time the stages in turn; ``sample`` has its turn before each of them."""
    wall: dict[str, list[float]] = {name: [] for name in stages}
    cpu: dict[str, list[float]] = {name: [] for name in stages}
    for work in stages.values():  # compiles, prepares shapes, fills queues
        for _ in range(4):
            work()
    for _ in range(repetitions):
        for name, work in stages.items():
            sample()
            start, start_cpu = time.perf_counter(), time.process_time()
            for _ in range(FRAMES):
                work()
            wall[name].append((time.perf_counter() - start) / FRAMES * 1e3)
            cpu[name].append((time.process_time() - start_cpu) / FRAMES * 1e3)
    return [
        Timing(
            name,
            round(min(wall[name]), 3),
            round(statistics.median(wall[name]), 3),
            round(min(cpu[name]), 3),
        )
        for name in stages
    ]


def _command(
    clip: Path, model: ModelFile, folder: Path, timings: list[Timing], runs: int = 3
) -> Command:
    """`streamsr upscale` as a user starts it, its start included."""
    best: Command | None = None
    by_name = {timing.name: timing for timing in timings}
    network = min(timing.cpu for name, timing in by_name.items() if name.startswith("network"))
    per_frame = (
        by_name["decode and to RGB"].cpu + network + by_name[f"to YUV and h264 {PRESET}"].cpu
    )
    for run in range(runs):
        output, stats = folder / f"command{run}.mp4", folder / f"command{run}.json"
        arguments = [
            "upscale",
            str(clip),
            "-o",
            str(output),
            "--model",
            str(model.path),
            "--preset",
            PRESET,
        ]
        start = time.perf_counter()
        child = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streamsr",
                *arguments,
                "--no-reuse",
                "--stats-json",
                str(stats),
            ],
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        if child.returncode:
            raise ModelError(f"the command failed with exit status {child.returncode}")
        numbers = json.loads(stats.read_text())
        frames = numbers["frames"]["out"]
        bound = per_frame / 1e3 * frames / usable_cores()
        found = Command(
            frames,
            round(wall, 3),
            round(numbers["seconds"]["wall"], 3),
            round(usage.ru_utime + usage.ru_stime, 3),
            round(bound, 3),
            numbers["peak_memory_mib"] or 0.0,
        )
        best = found if best is None or found.steady_s < best.steady_s else best
    assert best is not None
    return best


def _peak_sampler(stack: ExitStack, peaks: list[float]) -> Callable[[], None]:
    """Appends multiply-adds a second of one core's int8 dot products; nothing where it has no such
    instruction."""
    try:
        peak = stack.enter_context(Peak())
    except ModelError:
        return lambda: None
    return lambda: peaks.extend(peak.sample() for _ in range(10))


def _make_clip(path: Path, seconds: int = 4, size: tuple[int, int] = (640, 360)) -> None:
    """A film without a static part: noise of natural spectrum sliding under moving discs."""
    from fractions import Fraction

    from streamsr.color import ColorTags
    from streamsr.frame import StreamInfo

    rng = np.random.default_rng(0)
    width, height = size
    field = np.zeros((height * 2, width * 2, 3), np.float32)
    for octave in range(1, 7):
        noise = rng.normal(
            0, 2.0 ** (6 - octave), (height * 2 >> 6 - octave, width * 2 >> 6 - octave, 3)
        )
        field += cv2.resize(
            noise.astype(np.float32), (width * 2, height * 2), interpolation=cv2.INTER_CUBIC
        )
    ground = np.clip(field + 128, 0, 255).astype(np.uint8)
    base = Fraction(1, 30)
    info = StreamInfo(
        width, height, base, rate=Fraction(30), color=ColorTags().resolved(width, height)
    )
    with FileSink(path, info, size, preset="ultrafast") as sink:
        for i in range(seconds * 30):
            picture = np.ascontiguousarray(ground[i : i + height, 2 * i : 2 * i + width])
            cv2.circle(picture, (i * 5 % width, height // 2), 40, (230, 180, 40), -1, cv2.LINE_AA)
            sink.write(Frame(picture, i, base, 1, i))
        sink.commit()
