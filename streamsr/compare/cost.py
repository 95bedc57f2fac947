"""Measures on short stretches of a film what the whole of it would take on this machine."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from streamsr import interrupt
from streamsr.compare.subject import Subject
from streamsr.frame import Frame
from streamsr.jobs.options import FileOptions
from streamsr.jobs.pictures import upscale_image
from streamsr.media.errors import sink_errors
from streamsr.pipeline import Pipeline
from streamsr.sinks.file import FileSink
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

WORK_S = 10.0
"""About what all choices of a film together are measured for."""

STRETCHES = 2
"""Places of a film that are encoded, a third and two thirds of the way in."""

FIRST_FRAMES = 4
"""Of the run that tells how many frames there is time for."""

LEAST, MOST = 4, 60
"""Frames of a stretch."""

ENOUGH = 12
"""Frames that may be in several stretches; fewer would say little of how they depend on each
other."""

FRAMES_A_KEY = 100
"""A film's shots are some four seconds long, and encoders put a key frame at each, at the latest
after 250 frames. The first frame of a stretch is one, so that short stretches have too many."""

USUAL_RATE = 25.0

PROBE = "stretch.mkv"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a choice takes.

    seconds, size  for ``frames`` frames; size in bytes, of the new video alone
    frames         of the whole film, or of a minute where its length is unknown
    whole          whether they are of the whole
    measured       frames that were upscaled and encoded to tell
    """

    seconds: float
    size: float
    frames: int
    whole: bool
    measured: int


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What one stretch took: seconds from its first frame on, and bytes of its frames."""

    seconds: float
    keys: tuple[int, ...]
    others: tuple[int, ...]

    @property
    def frames(self) -> int:
        return len(self.keys) + len(self.others)


def costs(subject: Subject, runs: Sequence[tuple[Upscaler, FileOptions]]) -> list[Cost]:
    """What each of these takes, all measured on the same frames. Raises SourceError, SinkError."""
    with tempfile.TemporaryDirectory(prefix="streamsr-compare-") as folder:
        if subject.picture is not None:
            return [_of_picture(subject, upscaler, Path(folder)) for upscaler, _ in runs]
        return _of_film(subject, runs, Path(folder))


def _of_picture(subject: Subject, upscaler: Upscaler, folder: Path) -> Cost:
    """What the picture takes: this is no estimate."""
    assert subject.picture is not None
    target = folder / "upscaled.png"
    start = time.perf_counter()
    upscale_image(subject.picture, target, upscaler, overwrite=True)
    return Cost(time.perf_counter() - start, target.stat().st_size, 1, True, 1)


def _of_film(
    subject: Subject, runs: Sequence[tuple[Upscaler, FileOptions]], folder: Path
) -> list[Cost]:
    length = subject.duration_s or 0.0
    rate = float(subject.info.rate or USUAL_RATE)
    # Where frames are: a film's may stand still for long.
    found = [subject.frame_at(length * (n + 1) / (STRETCHES + 1)) for n in range(STRETCHES)]
    places = [subject.seconds_of(frame) for frame in found if frame is not None] or [0.0]
    first = _stretch(subject, *runs[0], places[0], FIRST_FRAMES / rate, folder)
    count = round(WORK_S / len(runs) * first.frames / max(first.seconds, 1e-3))
    if count < ENOUGH:
        places = places[:1]
    seconds = min(max(count // len(places), LEAST), MOST) / rate
    frames = subject.info.frames
    # In turns, so that what slows the machine down for a while slows all of them down.
    rounds = [[_stretch(subject, *run, place, seconds, folder) for run in runs] for place in places]
    return [
        _cost(stretches, frames or round(60 * rate), whole=frames is not None)
        for stretches in zip(*rounds, strict=True)
    ]


def _stretch(
    subject: Subject,
    upscaler: Upscaler,
    options: FileOptions,
    start_s: float,
    seconds: float,
    folder: Path,
) -> _Stretch:
    """Upscale and encode ``seconds`` of the film as `upscale` does."""
    info = subject.info
    target = folder / PROBE
    begun: list[float] = []

    def written(_frame: Frame) -> None:
        interrupt.check()
        begun.append(time.perf_counter())

    sink = FileSink(
        target,
        info,
        upscaler.output_size(info.width, info.height),
        encoding=options.encoding,
        overwrite=True,
        quiet=True,
    )
    fresh = upscaler.for_size(upscaler.size, record=Recorder())  # remembers no other stretch
    with sink, Pipeline(subject.part(start_s, seconds), fresh) as pipeline:
        pipeline.run(sink, progress=written)
        took = time.perf_counter() - begun[0]
    sizes: dict[bool, list[int]] = {True: [], False: []}
    with sink_errors(target), av.open(str(target)) as made:
        for packet in made.demux(video=0):
            if packet.size:
                sizes[packet.is_keyframe].append(packet.size)
    # The clock starts when the first frame is done: so much of it is the others'.
    share = len(begun) / max(len(begun) - 1, 1)
    return _Stretch(took * share, tuple(sizes[True]), tuple(sizes[False]))


def _cost(stretches: Sequence[_Stretch], frames: int, *, whole: bool) -> Cost:
    """What ``frames`` frames take, of which these stretches are examples."""
    keys = [size for stretch in stretches for size in stretch.keys]
    others = [size for stretch in stretches for size in stretch.others]
    measured = sum(stretch.frames for stretch in stretches)
    seconds = sum(stretch.seconds for stretch in stretches) / measured * frames
    share = max(1 / FRAMES_A_KEY, 1 / frames) if others else 1.0
    size = (share * _mean(keys) + (1 - share) * _mean(others)) * frames
    return Cost(seconds, size, frames, whole, measured)


def _mean(sizes: Sequence[int]) -> float:
    return sum(sizes) / len(sizes) if sizes else 0.0
