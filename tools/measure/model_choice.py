"""Measures how often `--model auto` takes the better of the two kinds of models, on real files.

    python -m tools.measure.model_choice CLIPS... --work DIR [--clean FILE...] [--video FILE...]

Each clip is shrunk, encoded by several codecs at several qualities into a file, and upscaled by
both models; then the rule chooses for each file as the command would. A choice is right where the
other model is not better by more than TIE_DB of luma.

The numbers of `streamsr.media.choice` are found on every second clip of the list: ``--fit`` prints
what they would be. Shares are printed for those clips and for the others, which are held out. Files
and gains are kept in DIR: a second run measures only what is new, such as other models.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image as PillowImage

from streamsr.frame import Coded, Image, StreamInfo
from streamsr.media import choice
from streamsr.media.choice import USUAL_SHARPNESS, choose
from streamsr.model import find_model
from streamsr.picture.files import is_picture, read_image
from streamsr.sources.file import FileSource
from streamsr.upscaler import Upscaler
from xlsr_model.evaluation.metrics import luma
from xlsr_model.weights import KINDS

os.environ.setdefault("SVT_LOG", "1")

TIE_DB = 0.02
"""Of luma PSNR: models that are so close are equally good."""

SKIPPED, FRAMES, MEASURED = 2, 10, (2, 5, 8)
"""Of each clip: frames left out at its start, frames encoded, and those of them compared."""

LOSS_WEIGHT, ROUNDS = 2.0, 4
"""What a dB lost in the mean weighs against the share of right choices, and rounds over all numbers
that are fitted."""

LARGEST = 768, 432
"""Of the truth, in pixels: the middle of larger ones, which keeps the time to minutes."""

SCALES = (2, 3)
KERNELS = ("AREA", "BICUBIC", "LANCZOS", "BILINEAR")

_FIXED = {"qmin": "{q}", "qmax": "{q}", "b": "1000M", "g": "12", "bf": "2"}
"""One quantiser for all: the rate control of so few frames is a lottery."""

CODECS: dict[str, tuple[dict[str, str], tuple[int, ...]]] = {
    "libx264": ({"crf": "{q}", "threads": "1"}, (4, 12, 18, 23, 28, 33)),
    "libx265": (
        {"crf": "{q}", "preset": "fast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
        (6, 14, 20, 25, 30, 35),
    ),
    "libsvtav1": ({"crf": "{q}", "preset": "8", "svtav1-params": "lp=1"}, (8, 18, 26, 36, 45, 54)),
    "libvpx-vp9": (
        {"crf": "{q}", "b": "0", "deadline": "good", "cpu-used": "4", "threads": "1"},
        (6, 15, 24, 33, 42, 51),
    ),
    "mpeg2video": (_FIXED, (2, 3, 5, 9, 16)),
    "mpeg4": (_FIXED, (2, 3, 5, 9, 16)),
    "libvpx": (
        {"crf": "{q}", "b": "100M", "qmin": "{q}", "qmax": "{q}", "cpu-used": "4", "threads": "1"},
        (4, 12, 24, 36, 48),
    ),
    "mjpeg": ({"qmin": "{q}", "qmax": "{q}"}, (2, 3, 5, 9, 16)),
}
"""Options of each encoder, with ``{q}`` for the quality, and the qualities, best first."""

PICTURES = {
    "jpeg": (96, 92, 87, 75, 50),
    "webp": (96, 90, 80, 65, 40),
    "avif": (94, 85, 75, 60, 40),
}
"""Pillow's qualities of single pictures, best first."""


@dataclass(frozen=True)
class Cell:
    """One file of the measurement: a clip, how it was shrunk, and how it was encoded."""

    clip: Path
    scale: int
    kernel: str
    encoder: str
    quality: int

    @property
    def name(self) -> str:
        return f"{self.clip.stem}-x{self.scale}-{self.kernel}-{self.encoder}-{self.quality}"


def cells(clips: Sequence[Path]) -> Iterator[Cell]:
    """All cells, the kernels in turn: the same ones for a clip that is fitted and the next."""
    for number, clip in enumerate(clips):
        for scale in SCALES:
            coders = {name: qualities for name, (_, qualities) in CODECS.items()} | PICTURES
            for encoder, qualities in coders.items():
                for step, quality in enumerate(qualities):
                    kernel = KERNELS[(number // 2 + scale + step) % len(KERNELS)]
                    yield Cell(clip, scale, kernel, encoder, quality)


def truth(clip: Path) -> list[VideoFrame]:
    """The middle of FRAMES frames of a clip, in 8 bits of 4:2:0, both sides multiples of 12."""
    with av.open(str(clip)) as container:
        frames = list(islice(container.decode(video=0), SKIPPED, SKIPPED + FRAMES))
    if len(frames) < FRAMES:
        frames = (frames * FRAMES)[:FRAMES]
    cut = []
    for frame in frames:
        width, height = (
            min(a, b) // 12 * 12 for a, b in zip((frame.width, frame.height), LARGEST, strict=True)
        )
        rows = frame.reformat(format="yuv420p").to_ndarray()
        planes = _planes(rows, frame.width, frame.height)
        x, y = (frame.width - width) // 4 * 2, (frame.height - height) // 4 * 2
        parts = [planes[0][y : y + height, x : x + width]]
        parts += [p[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2] for p in planes[1:]]
        made = np.concatenate([part.reshape(-1) for part in parts]).reshape(-1, width)
        cut.append(VideoFrame.from_ndarray(np.ascontiguousarray(made), format="yuv420p"))
    return cut


def _planes(rows: Any, width: int, height: int) -> list[Any]:  # of NumPy's, of one type
    flat, luma_size = rows.reshape(-1), width * height
    chroma = (height // 2, width // 2)
    size = chroma[0] * chroma[1]
    return [
        flat[:luma_size].reshape(height, width),
        flat[luma_size : luma_size + size].reshape(chroma),
        flat[luma_size + size : luma_size + 2 * size].reshape(chroma),
    ]


def encode(frames: Sequence[VideoFrame], path: Path, encoder: str, options: dict[str, str]) -> None:
    """Write the frames into a file."""
    rate = 25
    with av.open(str(path), "w", format="matroska") as container:
        stream: Any = container.add_stream(encoder, rate=rate, options=options)
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, rate)
            frame.pict_type = 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def made(cell: Cell, folder: Path, truths: list[VideoFrame]) -> Path:
    """The file of a cell, made when it is not there yet."""
    path = folder / f"{cell.name}.{cell.encoder if cell.encoder in PICTURES else 'mkv'}"
    if path.exists():
        return path
    unfinished = path.with_suffix(".part")
    small = [_shrunk(frame, cell) for frame in truths]
    if cell.encoder in PICTURES:
        picture = PillowImage.fromarray(small[MEASURED[0]].to_ndarray(format="rgb24"))
        picture.save(unfinished, format=cell.encoder, quality=cell.quality)
    else:
        options, _ = CODECS[cell.encoder]
        filled = {key: value.replace("{q}", str(cell.quality)) for key, value in options.items()}
        encode(small, unfinished, cell.encoder, filled)
    unfinished.rename(path)
    return path


def _shrunk(frame: VideoFrame, cell: Cell) -> VideoFrame:
    width, height = frame.width // cell.scale, frame.height // cell.scale
    return frame.reformat(width=width, height=height, interpolation=cell.kernel)


def psnr_y(upscaler: Upscaler, pictures: Sequence[Image], truths: Sequence[Image]) -> float:
    """Of the mean error over the pictures, a border of one scale cut, in dB."""
    cut = slice(upscaler.scale, -upscaler.scale)
    errors = [
        np.mean((luma(upscaler(lr))[cut, cut] - luma(hr)[cut, cut]) ** 2)
        for lr, hr in zip(pictures, truths[: len(pictures)], strict=True)
    ]
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-6)))


class Gains:
    """Luma PSNR of each model on each file, kept in ``DIR/gains.json`` by the model's hash and
    whether it is consistent."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gains.json"
        self._known: dict[str, float] = {}
        if self._path.exists():
            self._known = json.loads(self._path.read_text())

    def of(self, cell: Cell, model: Upscaler, file: Path, truths: Sequence[Image]) -> float:
        key = f"{cell.name} {model.model.sha256[:16]} {model.look.consistent}"
        if key not in self._known:
            self._known[key] = psnr_y(model, pictures(file), truths)
        return self._known[key]

    def save(self) -> None:
        self._path.write_text(json.dumps(self._known, indent=0))


def pictures(file: Path) -> list[Image]:
    """The MEASURED pictures of a file, as the command decodes them."""
    if is_picture(file):
        return [read_image(file).rgb]
    with FileSource(file) as source:
        return [frame.rgb for frame in source if frame.index in MEASURED]


def info_of(file: Path) -> StreamInfo:
    """What the command knows of a file before it chooses."""
    if is_picture(file):
        picture = read_image(file)
        height, width = picture.rgb.shape[:2]
        return StreamInfo(width, height, Fraction(1), coded=picture.coded)
    with FileSource(file) as source:
        return source.info


@dataclass(frozen=True)
class Measured:
    """A cell, what is known of its file, and how much better the video model is, in dB."""

    cell: Cell
    held_out: bool
    info: StreamInfo
    video_db: float

    def right(self, kind: str) -> bool:
        return self.lost_db(kind) <= TIE_DB

    def lost_db(self, kind: str) -> float:
        return max(-self.video_db if kind == "video" else self.video_db, 0.0)


def measured(
    clips: Sequence[Path], folder: Path, models: dict[str, dict[int, Upscaler]]
) -> Iterator[Measured]:
    """All cells, one after the other; gains are kept."""
    gains = Gains(folder)
    for number, clip in enumerate(clips):
        truths = truth(clip)
        exact = folder / f"{clip.stem}-truth.mkv"
        if not exact.exists():
            encode(truths, exact, "ffv1", {})
        hr = pictures(exact)
        for cell in cells(clips):
            if cell.clip == clip:
                file = made(cell, folder, truths)
                clean, video = (
                    gains.of(cell, models[kind][cell.scale], file, hr) for kind in KINDS
                )
                yield Measured(cell, bool(number % 2), info_of(file), video - clean)
        gains.save()
        print(f"{clip.stem}: measured", file=sys.stderr, flush=True)


def table(rows: Sequence[Measured]) -> Iterator[str]:
    """Shares of right choices and mean losses in dB, for each codec, kernel, scale, and all."""
    yield "| cells | number | right, of the fitted | held out | lost, dB | always video | clean |"
    yield "|---|---|---|---|---|---|---|"
    groups: dict[str, list[Measured]] = {}
    for row in rows:
        cell = row.cell
        for name in (cell.encoder, cell.kernel.lower(), f"x{cell.scale}", "all"):
            groups.setdefault(name, []).append(row)
    for name, group in groups.items():
        fitted = [row for row in group if not row.held_out]
        others = [row for row in group if row.held_out]
        yield (
            f"| {name} | {len(group)} | {share(fitted):.1%} | {share(others):.1%} | "
            f"{np.mean([row.lost_db(choose(row.info).kind) for row in others]):.3f} | "
            f"{share(others, 'video'):.1%} | {share(others, 'clean'):.1%} |"
        )


def share(rows: Sequence[Measured], kind: str | None = None) -> float:
    """Of cells in which this kind, or the one that is chosen, is right."""
    return float(np.mean([row.right(kind or choose(row.info).kind) for row in rows]))


def fit(rows: Sequence[Measured]) -> Iterator[str]:
    """The numbers of `streamsr.media.choice` by these cells, found one after the other."""
    coded = [row for row in rows if choice.equivalent(row.info.coded or Coded("")) is not None]
    gain = np.array([row.video_db for row in coded])
    codecs = [_scale_of(row.info.coded) for row in coded]
    names = sorted(set(codecs) - {"h264"})
    which = np.array([names.index(codec) if codec in names else -1 for codec in codecs])
    bases = np.array([choice.equivalent(row.info.coded) for row in coded])  # type: ignore[arg-type]
    sharp = np.array([row.info.coded.sharpness or USUAL_SHARPNESS for row in coded])  # type: ignore[union-attr]
    added = np.zeros(len(names) + 1)  # the last one is H.264's

    def worth(added: Any, highest: float, middle: float, slope: float) -> float:  # NumPy's array
        video = bases + added[which] > highest - slope * np.abs(sharp - middle)
        lost = np.maximum(np.where(video, -gain, gain), 0)
        return float(np.mean(lost <= TIE_DB) - LOSS_WEIGHT * np.mean(lost))

    numbers: tuple[float, float, float] = (choice.HIGHEST, choice.MIDDLE, choice.SLOPE)
    best = worth(added, *numbers)
    for _ in range(ROUNDS):
        for tried in product(range(4, 30, 2), np.arange(0.14, 0.24, 0.005), range(0, 500, 20)):
            if (now := worth(added, *tried)) > best:
                best, numbers = now, tried
        for number, more in product(range(len(names)), np.arange(-15, 15.5, 0.5)):
            other = added.copy()
            other[number] = more
            if (now := worth(other, *numbers)) > best:
                best, added = now, other
    yield "HIGHEST, MIDDLE, SLOPE = {:.1f}, {:.3f}, {:.0f}".format(*numbers)
    for name, more in zip(names, added[:-1], strict=True):
        yield f"{name}: {more:+.1f}"


def _scale_of(coded: Coded | None) -> str:
    """Of codecs, those that have one number in `streamsr.media.choice`."""
    assert coded is not None
    mpeg = coded.quantiser is not None and coded.codec not in choice.STEPS
    return "mpeg" if mpeg else coded.codec


def opened(kind: str, files: Sequence[Path]) -> dict[int, Upscaler]:
    """The models of a kind by their scale: these files, else the shipped ones."""
    models = [find_model(file) for file in files]
    models = models or [find_model(kind, scale=scale) for scale in SCALES]
    upscalers = [Upscaler(model, threads=1) for model in models]
    return {upscaler.scale: upscaler for upscaler in upscalers}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for files and gains")
    parser.add_argument("--clean", nargs="*", type=Path, default=[], help="in place of the shipped")
    parser.add_argument("--video", nargs="*", type=Path, default=[], help="in place of the shipped")
    parser.add_argument("--fit", action="store_true", help="print what the numbers would be")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    models = {"clean": opened("clean", asked.clean), "video": opened("video", asked.video)}
    rows = list(measured(asked.clips, asked.work, models))
    if asked.fit:
        print(*fit([row for row in rows if not row.held_out]), sep="\n")
    print(*table(rows), sep="\n")


if __name__ == "__main__":
    main()
