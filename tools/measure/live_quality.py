"""Measures what a viewer of a live stream sees, in VMAF against the truth: with all rungs of the
family that are shipped, and on XLSR's alone.

    python -m tools.measure.live_quality ../shared/data/video/gt [--seconds S] [--json FILE]

Needs the FFmpeg of `imageio-ffmpeg` as the judge and one of the system's as the sender. The truth
is a wall of 16 moving clips, 1920x1080; it is shrunk to 640x360, encoded, and sent over TCP on this
machine at 25 a second. What is judged is what stands on the screen when each picture of the truth
is due: the last one that was shown. ``STREAMSR_FUSED=avx2`` measures as an older processor would,
``--load`` beside other programs that are busy every other two seconds.
"""

import argparse
import itertools
import json
import logging
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streamsr.frame import Frame, Image
from streamsr.machine import processor_name, usable_cores
from streamsr.picture.yuv import Converter
from streamsr.pipeline import Pipeline
from streamsr.sources.network import network
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler
from tools.measure.stream_servers import sender
from xlsr_model.evaluation.clips import find_clips, from_planes, planes, read_clip, shrink
from xlsr_model.evaluation.judge import judged

SIZE, SCALE, RATE = (640, 360), 3, 25
PART = 480, 270
"""(width, height) of each of the 4x4 parts of the wall."""

FRAMES = 10
"""Of each clip, which runs forwards and backwards."""

BUDGET_S = 0.1
CRF = "18"
MARK = 8
"""Pixels along the side of a block by whose mean a picture is known again."""

Rows = NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """A run: its mean scores against the truth, frames shown and captured, and those by rung."""

    quality: str
    load: int
    vmaf: float
    vmaf_neg: float
    psnr_y: float
    shown: int
    captured: int
    rungs: dict[str, int]


def wall(clips: Sequence[Path]) -> list[Rows]:
    """The truth: parts of the clips side by side, as many frames as go there and back."""
    found = [parts(read_clip(clip, SCALE, FRAMES).frames) for clip in clips]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*found))
    chosen = [part for part in rounds if part is not None][:16]
    if len(chosen) < 16:
        raise ValueError(
            f"expected 16 parts of {PART[0]}x{PART[1]} in the clips, got {len(chosen)}"
        )
    pictures = []
    for number in range(FRAMES):
        joined = [
            np.block(
                [[part[plane][number] for part in chosen[row : row + 4]] for row in (0, 4, 8, 12)]
            )
            for plane in range(3)
        ]
        pictures.append(from_planes(*joined))
    return [*pictures, *pictures[-2:0:-1]]


def parts(frames: Rows) -> list[tuple[Rows, Rows, Rows]]:
    """The planes [N, H, W] of each part that a clip has room for, the middle ones."""
    y, u, v = planes(frames)
    found = []
    for top, left in itertools.product(
        range(0, y.shape[1] - PART[1] + 1, PART[1]), range(0, y.shape[2] - PART[0] + 1, PART[0])
    ):
        halves = np.s_[:, top // 2 : (top + PART[1]) // 2, left // 2 : (left + PART[0]) // 2]
        whole = y[:, top : top + PART[1], left : left + PART[0]]
        found.append((whole, u[halves], v[halves]))
    return found


def encode(path: Path, small: Sequence[Rows], seconds: float) -> None:
    """Encode the pictures again and again."""
    with av.open(str(path), "w") as output:
        options = {"preset": "veryfast", "crf": CRF}
        stream = output.add_stream("libx264", rate=RATE, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = RATE
        for number in range(round(seconds * RATE)):
            frame = av.VideoFrame.from_ndarray(small[number % len(small)], format="yuv420p")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def run(
    url: str, quality: str, seconds: float
) -> tuple[list[tuple[float, Frame]], Recorder, Converter]:
    """The frames that leave a live pipeline, and when they were due in seconds of the film."""
    record, shown = Recorder(), []
    with ExitStack() as stack:
        source = stack.enter_context(network(url, record=record))
        upscaler = stack.enter_context(Upscaler("video", quality=quality, record=record))
        pipeline = stack.enter_context(Pipeline(source, upscaler, budget_s=BUDGET_S))
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and (frame := _next(pipeline)) is not None:
            if isinstance(frame, Frame):
                shown.append((float(frame.pts * frame.time_base), frame))
        color = source.info.color.resolved(*SIZE)
    return shown, record, Converter(color)


def _next(pipeline: Pipeline) -> Frame | str | None:
    try:
        return pipeline.get(0.1)
    except TimeoutError:
        return "none yet"


def on_screen(
    shown: Sequence[tuple[float, Frame]],
    truth: Sequence[Rows],
    small: Sequence[Rows],
    back: Converter,
) -> tuple[Rows, Rows]:
    """What stands on the screen for each picture of the truth from the first shown to the last, and
    these pictures: rows uint8 [N, H * 3 / 2, W]."""
    marks = np.stack([_mark(planes(rows)[0]) for rows in small])
    first_s, last_s = shown[0][0], shown[-1][0]
    assert shown[0][1].lr is not None
    # Where the film stands is seen in its first picture; from there its own times count.
    start = int(np.abs(marks - _mark(_luma(shown[0][1].lr, back))).mean(axis=(1, 2)).argmin())
    numbers = [round((due_s - first_s) * RATE) for due_s, _ in shown]
    pictures = {n: _rows(frame.rgb, back) for n, (_, frame) in zip(numbers, shown, strict=True)}
    seen, real, held = [], [], pictures[0]
    for number in range(round((last_s - first_s) * RATE) + 1):
        held = pictures.get(number, held)
        seen.append(held)
        real.append(truth[(start + number) % len(truth)])
    return np.stack(seen), np.stack(real)


def _rows(rgb: Image, back: Converter) -> Rows:
    height, width = rgb.shape[:2]
    y, u, v = (np.empty((height // n, width // n), np.uint8) for n in (1, 2, 2))
    back.from_rgb(rgb, (y, u, v))
    return from_planes(y, u, v)


def _luma(rgb: Image, back: Converter) -> Rows:
    return planes(_rows(rgb, back))[0]


def _mark(luma: Rows) -> NDArray[np.float64]:
    height, width = luma.shape
    return np.asarray(luma.reshape(height // MARK, MARK, width // MARK, MARK).mean(axis=(1, 3)))


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Other programs that keep so many cores busy, each for half of every four seconds."""
    workers = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _burn() -> None:
    while True:
        end_s = time.monotonic() + 2
        while time.monotonic() < end_s:
            pass
        time.sleep(2)


def measured(
    film: Path,
    truth: Sequence[Rows],
    small: Sequence[Rows],
    quality: str,
    load: int,
    seconds: float,
) -> Seen:
    with sender("tcp", "mpegts", listen="query")(film) as url, busy(load):
        shown, record, back = run(url, quality, seconds)
    seen, real = on_screen(shown, truth, small, back)
    scores = judged(seen, real)
    frames, stats = record.frames, record.snapshot()
    assert stats.live is not None
    return Seen(
        quality,
        load,
        vmaf=round(scores["vmaf"], 2),
        vmaf_neg=round(scores["vmaf_neg"], 2),
        psnr_y=round(scores["psnr_y"], 2),
        shown=frames["out"],
        captured=frames["in"],
        rungs=stats.live.rungs,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, help="lossless clips, or folders of them")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--load", type=int, nargs="*", default=[0, 1], help="busy programs beside")
    parser.add_argument("--json", type=Path, help="write the numbers")
    asked = parser.parse_args()
    logging.getLogger("streamsr").setLevel(logging.ERROR)
    fitting = [clip for clip in find_clips(asked.clips) if _size(clip) >= PART]
    truth = wall(fitting)
    small = shrink(truth, SCALE, "area")
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        film = Path(scratch) / "film.ts"
        encode(film, small, asked.seconds + 5)
        for load, quality in itertools.product(asked.load, ("xlsr", "auto")):
            found.append(measured(film, truth, small, quality, load, asked.seconds))
            print(found[-1], file=sys.stderr)
    machine = f"{processor_name()}, {usable_cores()} usable cores"
    said = {"machine": machine, "seconds": asked.seconds, "runs": [asdict(seen) for seen in found]}
    if asked.json is not None:
        asked.json.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _size(clip: Path) -> tuple[int, int]:
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        return (video.width, video.height) if video.height >= PART[1] else (0, 0)


if __name__ == "__main__":
    main()
