"""Training pictures: any folders, or DIV2K as downloaded, cut into random patches.

Everything is kept in memory as uint8; a batch is a pure function of (seed, step), so a resumed run
sees the same batches.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xlsr_model.data.imresize import imresize

Image = NDArray[np.uint8]
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
Y_FROM_RGB = np.array([65.481, 128.553, 24.966]) / 255
"""Luma of R, G and B in 0..255: BT.601 limited range, MATLAB's rgb2ycbcr, not rounded; add 16."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A picture and its shrunk twin: `lr` [H, W, 3] and `hr` [H*s, W*s, 3], uint8 RGB."""

    name: str
    lr: Image
    hr: Image


def read_image(file: Path) -> Image:
    """Read a picture as RGB uint8 [H, W, 3]; grey becomes RGB, transparency is dropped.

    Raises ValueError if it cannot be decoded.
    """
    data = np.frombuffer(file.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ValueError(f"{file}: not a readable picture")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def find_images(folder: Path) -> list[Path]:
    """List the pictures of a folder at any depth, sorted by path.

    Of a benchmark, with an ``HR`` folder inside, and of DIV2K, with ``DIV2K_train_HR``, only that
    folder is taken. Raises ValueError if there is no picture.
    """
    if not folder.is_dir():
        raise ValueError(f"no such folder: {folder}")
    root = next(
        (folder / name for name in ("DIV2K_train_HR", "HR") if (folder / name).is_dir()), folder
    )
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"no pictures in {folder} (looked for {', '.join(sorted(SUFFIXES))})")
    return files


def low_resolution_file(file: Path, scale: int) -> Path | None:
    """Find the shrunk twin that came with a picture; None if there is none.

    It is in ``LR_bicubic/X3`` beside ``HR``, or ``DIV2K_train_LR_bicubic/X3`` beside
    ``DIV2K_train_HR``.
    """
    parent = file.parent.name
    folder = {"HR": "LR_bicubic"}.get(parent, parent.replace("_HR", "_LR_bicubic"))
    if folder == parent:
        return None
    beside = file.parent.parent / folder / f"X{scale}"
    stems = (f"{file.stem}x{scale}", file.stem, file.stem.replace("HR", f"LRx{scale}"))
    return next(
        (
            beside / (stem + file.suffix)
            for stem in stems
            if (beside / (stem + file.suffix)).is_file()
        ),
        None,
    )


def load_pair(file: Path, scale: int) -> Pair:
    """Load a picture, cut to a multiple of the scale, and its twin from disk or else shrunk."""
    hr = _cut(read_image(file), scale)
    twin = low_resolution_file(file, scale)
    if twin is None:
        return shrunk_pair(file.stem, hr, scale)
    height, width = (size // scale for size in hr.shape[:2])
    lr = read_image(twin)
    if lr.shape != (height, width, 3):
        raise ValueError(
            f"{twin}: expected {width}x{height} pixels beside {file.name}, "
            f"got {lr.shape[1]}x{lr.shape[0]}"
        )
    return Pair(file.stem, lr, hr)


def shrunk_pair(name: str, hr: Image, scale: int) -> Pair:
    """Cut a picture to a multiple of the scale and shrink it as MATLAB's imresize does."""
    hr = _cut(hr, scale)
    return Pair(name, imresize(hr, Fraction(1, scale)), hr)


def _cut(hr: Image, scale: int) -> Image:
    height, width = (size // scale * scale for size in hr.shape[:2])
    return hr[:height, :width]


def load_pairs(files: Iterable[Path], scale: int, *, smallest: int = 1) -> list[Pair]:
    """Load every picture that can be used.

    The others (unreadable, or below `smallest` low-resolution pixels) are named in the log and
    skipped. Raises ValueError if none is left.
    """
    pairs: list[Pair] = []
    for file in files:
        try:
            pair = load_pair(file, scale)
        except ValueError as error:
            log.warning("skipped: %s", error)
            continue
        if min(pair.lr.shape[:2]) < smallest:
            log.warning(
                "skipped: %s: %dx%d is too small, patches need %d low-resolution pixels",
                file,
                *pair.hr.shape[1::-1],
                smallest,
            )
            continue
        pairs.append(pair)
    if not pairs:
        raise ValueError("no usable picture among the training images")
    return pairs


def shrunk_pairs(
    pairs: Iterable[Pair], scale: int, sizes: Sequence[float], *, smallest: int = 1
) -> list[Pair]:
    """Make each picture again at each of `sizes`, factors below 1: more is in every patch.

    Those that would be smaller than `smallest` low-resolution pixels are left out.
    """
    found = []
    for pair in pairs:
        for size in sizes:
            hr = imresize(pair.hr, Fraction(size).limit_denominator(100))
            if min(hr.shape[:2]) // scale >= smallest:
                found.append(shrunk_pair(f"{pair.name}@{size}", hr, scale))
    return found


def split_held_out(folders: Sequence[Path], held_out: int) -> tuple[list[Path], list[Path]]:
    """Return (training files, validation files).

    The last files of each folder in name order are held out, `held_out` in all.
    """
    training: list[Path] = []
    validation: list[Path] = []
    for position, folder in enumerate(folders):
        files = find_images(folder)
        share = held_out // len(folders) + (position < held_out % len(folders))
        if len(files) <= share:
            raise ValueError(
                f"{folder}: {len(files)} pictures are too few to hold {share} out for validation"
            )
        training += files[: len(files) - share]
        validation += files[len(files) - share :]
    return training, validation


@dataclass(frozen=True)
class Patches:
    """Random patches of `size` low-resolution pixels, `count` a batch.

    Each is flipped and turned one of 8 ways and darkened by one of `intensities`.
    """

    pairs: Sequence[Pair]
    scale: int
    count: int
    size: int
    intensities: Sequence[float] = (1.0, 0.7, 0.5)
    seed: int = 0

    def batch(self, step: int) -> tuple[Image, Image, NDArray[np.float32]]:
        """Return lr [N, P, P, 3], packed hr [N, P, P, 3*s*s] and gain [N, 1, 1, 1].

        The bytes times the gain are in 0..1. The same step always gives the same batch. Bytes,
        because turning floats around took a fifth of a step.
        """
        rng = np.random.default_rng((self.seed, step))
        scale, size = self.scale, self.size
        lr = np.empty((self.count, size, size, 3), np.uint8)
        hr = np.empty((self.count, size * scale, size * scale, 3), np.uint8)
        gain = np.empty((self.count, 1, 1, 1), np.float32)
        for n in range(self.count):
            pair = self.pairs[int(rng.integers(len(self.pairs)))]
            y = int(rng.integers(pair.lr.shape[0] - size + 1))
            x = int(rng.integers(pair.lr.shape[1] - size + 1))
            turn = int(rng.integers(8))
            gain[n] = self.intensities[int(rng.integers(len(self.intensities)))] / 255
            lr[n] = _turned(pair.lr[y : y + size, x : x + size], turn)
            hr[n] = _turned(
                pair.hr[y * scale : (y + size) * scale, x * scale : (x + size) * scale], turn
            )
        return lr, pack(hr, scale), gain


def _turned(image: Image, turn: int) -> Image:
    """Return one of the 8 flips and rotations of a square, as a view."""
    if turn & 1:
        image = image[::-1]
    if turn & 2:
        image = image[:, ::-1]
    return image.transpose(1, 0, 2) if turn & 4 else image


def pack(hr: NDArray[Any], scale: int) -> NDArray[Any]:
    """Space to depth: [N, H*s, W*s, 3] to [N, H, W, s*s*3].

    Channels are ordered (row, column, colour), as TensorFlow does.
    """
    count, height, width, _ = hr.shape
    blocks = hr.reshape(count, height // scale, scale, width // scale, scale, 3)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, height // scale, width // scale, -1)


def unpack(packed: NDArray[Any], scale: int) -> NDArray[Any]:
    """Depth to space, the inverse of `pack`."""
    count, height, width, _ = packed.shape
    blocks = packed.reshape(count, height, width, scale, scale, 3)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, height * scale, width * scale, 3)
