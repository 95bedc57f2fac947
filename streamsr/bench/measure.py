"""Times every stage of the pipeline, every engine, and the whole command against its bound.

What is compared takes turns within one run: what slows a noisy machine down then slows all of it
down.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from streamsr.bench.clip import make_clip
from streamsr.bench.report import PRESET, Command, Compared, Report, Timing
from streamsr.engines import Engine, Tile
from streamsr.engines.choose import open_engine
from streamsr.engines.difference import NONE, bound_of, difference_of
from streamsr.engines.fused import FusedEngine
from streamsr.engines.fused.codegen.library import host_kinds
from streamsr.engines.fused.peak import Peak
from streamsr.errors import ModelError
from streamsr.frame import Frame, Image
from streamsr.live.capacity import SPARE, Pace
from streamsr.machine import processor_name, usable_cores
from streamsr.media.frames import FrameWriter
from streamsr.model import ModelFile, find_model
from streamsr.native.loops import consistent
from streamsr.options import ENGINES, EngineChoice
from streamsr.region import Region
from streamsr.sinks.file import FileSink
from streamsr.sources.file import FileSource
from streamsr.upscaler import Upscaler
from xlsr_model import system

FRAMES = 16
"""Frames of the clip that take turns, so that no stage works on a frame that is in the cache."""

CONSISTENCY = "consistency, 1 thread"
"""The stage that the command has where it is the model's default."""


def measure(clip: Path | None, *, model: ModelFile | None = None, repetitions: int = 7) -> Report:
    """Measure on ``clip``, or on one that is made for it. Takes about a minute.

    repetitions  how often each stage's turn comes
    """
    model = model or find_model()
    with tempfile.TemporaryDirectory(prefix="streamsr-bench-") as folder, ExitStack() as stack:
        if clip is None:
            clip = Path(folder) / "made.mp4"
            make_clip(clip)
        stages = _Stages(clip, model, Path(folder), stack)
        peaks: list[float] = []
        sample = _peak_sampler(stages.kind, stack, peaks)
        timings = _interleaved(stages, repetitions, sample)
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
            stages.kind,
            _pace(timings, command, info.width * info.height),
            stages.macs,
        )


class _Stages:
    """The stages that are timed, on FRAMES frames of the clip; `go_on` takes the next ones.

    all       by name, each a function that does one frame's work
    compared  how the engines differ from LiteRT
    kind      of instructions that the fused engine uses, None where it does not run
    macs      multiply-adds of the network for an LR pixel, None likewise
    """

    def __init__(self, clip: Path, model: ModelFile, folder: Path, stack: ExitStack) -> None:
        self._film = _endless(lambda: FileSource(clip), stack)
        source = stack.enter_context(FileSource(clip))
        self.info = source.info
        info = self.info
        frames = list(itertools.islice(source, FRAMES))
        self.all: dict[str, Callable[[], None]] = {}
        decoded = _endless(lambda: FileSource(clip), stack)
        self.all["decode and to RGB"] = lambda: _discard(next(decoded))
        results, engines, self.compared = _compared(model, frames, stack)
        fused = next((e for e in engines if isinstance(e, FusedEngine)), None)
        self.kind = fused.kind if fused else None
        self.macs = fused.macs if fused else None
        others = _other_kinds(self.kind, model, stack)
        self.scale = results[0].rgb.shape[1] // info.width
        size = info.width * self.scale, info.height * self.scale
        hr = np.empty((size[1], size[0], 3), np.uint8)
        self._upscaler = stack.enter_context(Upscaler(model, reuse=False))
        self._shown: deque[Frame] = deque()
        self.go_on()
        turns = itertools.cycle(frames)
        timed = [(engine.name, engine) for engine in engines]
        timed += [(f"fused as {engine.kind}", engine) for engine in others]
        for label, engine in timed:
            name = f"network: {label}, {engine.threads} thread{'s' * (engine.threads > 1)}"
            self.all[name] = lambda engine=engine: engine.run(  # type: ignore[misc]  # bound now
                [Tile(next(turns).rgb, hr, Region.of(info.width, info.height))]
            )
        self.all["bicubic (OpenCV, 1 thread)"] = lambda: _bicubic(next(turns).rgb, size, hr)
        if model.consistent:
            shown = np.empty_like(hr)
            pairs = itertools.cycle(zip(frames, results, strict=True))
            self.all[CONSISTENCY] = lambda: _made_consistent(*next(pairs), shown)
        larger = itertools.cycle(results)
        writer = FrameWriter(info.color, "yuv420p", *size)
        self.all["to YUV"] = lambda: _discard(writer.frame(next(larger).rgb))
        sink = stack.enter_context(FileSink(folder / "encoded.mkv", info, size, preset=PRESET))
        numbers = itertools.count()
        step = frames[0].duration or 1

        def encode() -> None:
            sink.write(replace(self._shown.popleft(), pts=next(numbers) * step))

        self.all[f"to YUV and h264 {PRESET}"] = encode

    def go_on(self) -> None:
        """Upscale the next frames of the clip for the encoder, which works as hard as pictures
        differ from those before."""
        while len(self._shown) < FRAMES:
            self._shown += self._upscaler.frames([next(self._film)])


def _compared(
    model: ModelFile, frames: Sequence[Frame], stack: ExitStack
) -> tuple[list[Frame], list[Engine], list[Compared]]:
    """LiteRT's results for the frames, the engines to time, and how each compares with LiteRT. An
    engine beyond its bound is not timed."""
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


def _other_kinds(taken: str | None, model: ModelFile, stack: ExitStack) -> list[FusedEngine]:
    """The fused engine by all other kinds of instructions that run here, on one thread, where it
    runs at all."""
    engines = []
    for isa in host_kinds() if taken else ():
        with suppress(ModelError):
            if isa.name != taken:
                engine = FusedEngine(model, threads=1, kind=isa.name)
                engines.append(stack.enter_context(engine))
    return engines


def _run(engine: Engine, lr: Image) -> Image:
    height, width = lr.shape[:2]
    hr = np.empty((height * engine.scale, width * engine.scale, 3), np.uint8)
    engine.run([Tile(lr, hr, Region.of(width, height))])
    return hr


def _endless(source: Callable[[], FileSource], stack: ExitStack) -> Iterator[Frame]:
    """The frames of a clip, which begins again at its end."""

    def frames() -> Generator[Frame]:
        while True:
            with source() as clip:
                yield from clip

    running = frames()
    stack.callback(running.close)
    return running


def _bicubic(lr: Image, size: tuple[int, int], hr: Image) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    cv2.resize(lr, size, dst=hr, interpolation=cv2.INTER_CUBIC)
    cv2.setNumThreads(before)


def _made_consistent(source: Frame, result: Frame, shown: Image) -> None:
    consistent(source.rgb, result.rgb, shown, 0, source.rgb.shape[0])


def _discard(_result: object) -> None:
    return


def _interleaved(stages: _Stages, repetitions: int, sample: Callable[[], None]) -> list[Timing]:
    """Time the stages in turn, with a call of ``sample`` before each."""
    wall: dict[str, list[float]] = {name: [] for name in stages.all}
    cpu: dict[str, list[float]] = {name: [] for name in stages.all}
    for work in stages.all.values():  # compiles, prepares shapes, fills queues
        for _ in range(4):
            work()
    for _ in range(repetitions):
        stages.go_on()
        for name, work in stages.all.items():
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
            round(statistics.median(cpu[name]), 3),
        )
        for name in stages.all
    ]


def _command(
    clip: Path, model: ModelFile, folder: Path, timings: list[Timing], runs: int = 3
) -> Command:
    """The best of several runs of `streamsr upscale`, set against the CPU time of its stages."""
    cpu = {timing.name: timing.cpu for timing in timings}
    network = min(ms for name, ms in cpu.items() if name.startswith("network"))
    frame_ms = cpu["decode and to RGB"] + network + cpu[f"to YUV and h264 {PRESET}"]
    frame_ms += cpu.get(CONSISTENCY, 0.0)
    found = [_run_command(clip, model, folder, frame_ms) for _ in range(runs)]
    return min(found, key=lambda command: command.steady_s)


def _run_command(clip: Path, model: ModelFile, folder: Path, frame_ms: float) -> Command:
    """Run `streamsr upscale` as a user starts it. ``frame_ms``: CPU time of a frame's stages."""
    output = folder / "command.mp4"
    stats = folder / "command.json"
    words = [sys.executable, "-m", "streamsr", "upscale", str(clip), "-o", str(output)]
    words += ["--model", str(model.path), "--preset", PRESET, "--no-reuse", "--overwrite"]
    words += ["--stats-json", str(stats)]
    start = time.perf_counter()
    child = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    cpu_s = system.cpu_of(child)
    wall_s = time.perf_counter() - start
    if child.returncode:
        raise ModelError(f"the command failed with exit status {child.returncode}")
    numbers = json.loads(stats.read_text())
    frames = numbers["frames"]["out"]
    return Command(
        frames,
        round(wall_s, 3),
        round(numbers["seconds"]["wall"], 3),
        round(cpu_s, 3),
        round(frame_ms / 1e3 * frames / usable_cores(), 3),
        numbers["peak_memory_mib"] or 0.0,
    )


def _pace(timings: list[Timing], command: Command, pixels: int) -> Pace:
    """Seconds for a pixel of the clip: the network's, on as many threads as are fastest, and
    decoding beside it; and those of the whole command."""
    ms = {timing.name: timing for timing in timings}
    network = min(timing.median for name, timing in ms.items() if name.startswith("network"))
    decode = ms["decode and to RGB"].cpu / usable_cores()
    return Pace(
        (network + decode) / 1e3 / pixels * SPARE, command.steady_s / command.frames / pixels
    )


def _peak_sampler(kind: str | None, stack: ExitStack, peaks: list[float]) -> Callable[[], None]:
    """A function that appends int8 multiply-adds per second of one core to ``peaks``, with the
    instructions of this kind; it does nothing without one."""
    if kind is None:
        return lambda: None
    peak = stack.enter_context(Peak(kind))
    return lambda: peaks.extend(peak.sample() for _ in range(10))
