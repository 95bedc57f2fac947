"""The results of a benchmark, for programs and for the user."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from streamsr.engines.difference import Bound, Difference
from streamsr.live.capacity import Pace

PRESET = "superfast"
"""Of the encoder that is timed."""

GOALS_FPS = 60, 30, 24
"""Usual frame rates: the report names the highest that is reached."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds per frame of a stage over the repetitions.

    minimum, median  wall time
    cpu              median CPU time of all threads
    """

    name: str
    minimum: float
    median: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Command:
    """The best run of the whole command on the clip.

    wall_s    wall time with the start of the program
    steady_s  wall time of the frames alone
    cpu_s     CPU time of the process
    bound_s   the CPU time of the stages for all frames, spread evenly over the cores
    peak_mib  peak memory
    """

    frames: int
    wall_s: float
    steady_s: float
    cpu_s: float
    bound_s: float
    peak_mib: float

    @property
    def steady_fps(self) -> float:
        """Frames per second, without the start of the program."""
        return self.frames / self.steady_s


@dataclass(frozen=True, slots=True)
class Compared:
    """How an engine's results differ from LiteRT's on the clip's frames.

    allowed    the bound that the engine promises
    levels     largest difference, of 255
    psnr_db    of the worst frame; None where all bytes are the same
    different  how many of the ``bytes`` differ
    refused    why the engine is not used here; None where it is
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
        """A line for the user."""
        if self.refused is not None:
            return f"engine {self.engine} is not used here: {self.refused}"
        if not self.different:
            return f"engine {self.engine} against LiteRT: all {self.bytes} bytes the same"
        return (
            f"engine {self.engine} against LiteRT: up to {self.levels} levels, "
            f"{self.psnr_db:.1f} dB, {self.different} of {self.bytes} bytes different; "
            f"allowed {self.allowed}"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured, on which machine and which clip.

    source, result  sizes before and after upscaling, such as ``640x360``
    kind            of instructions that the fused engine uses; None where it does not run
    peak_gmac_s     billions of int8 multiply-adds per second of one core; None where it has no such
                    instruction
    macs            multiply-adds of the network for an LR pixel; None where the fused engine does
                    not run
    """

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
    kind: str | None
    pace: Pace
    macs: int | None

    def json(self) -> str:
        """The report for programs."""
        return json.dumps(asdict(self), indent=2)

    def lines(self) -> Iterator[str]:
        """The report for the user."""
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
        command = self.command
        share = command.steady_s / command.bound_s
        yield (
            f"streamsr upscale --preset {PRESET} --no-reuse: {command.frames} frames in "
            f"{command.wall_s:.2f} s with its start, {command.steady_fps:.1f} fps, "
            f"{share:.2f} x its bound ({command.bound_s:.2f} s), {command.peak_mib:.0f} MiB at most"
        )
        fps = command.steady_fps
        goal = next((goal for goal in GOALS_FPS if fps >= goal), GOALS_FPS[-1])
        answer = "yes" if fps >= goal else "no"
        yield (
            f"{self.source} to {self.result} in real time at {goal} fps: {answer}, {fps:.0f} fps"
        )
        kind = f"by {self.kind} instructions" if self.kind else "without the fused engine"
        yield f"in real time {kind}, at {self.pace.line()}"

    def _share_of_peak(self, stage: Timing) -> float | None:
        """What share of the core's peak the fused engine reaches on one thread; None for others."""
        if not self.peak_gmac_s or not self.macs or not stage.name.startswith("network: fused, 1 "):
            return None
        width, height = (int(side) for side in self.source.split("x"))
        return self.macs * width * height / (stage.minimum * 1e6) / self.peak_gmac_s
