"""Makes pairs for real video: what people have, shrunk by any kernel, through a lossy codec.

The target is a picture as films are: sharp or soft, squeezed, sharpened too much, deinterlaced
badly, dark, grainy, and often decoded from a codec already. The network is to keep that, and to
take back what shrinking and the second codec did. A clip of a few frames is encoded in which the
picture drifts into place, so that the last frame is predicted from others as most of a film are.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import cv2
import numpy as np

from xlsr_model.config import Config
from xlsr_model.data.codec import CODECS, through_codec, to_rgb, to_yuv
from xlsr_model.data.images import Image, Pair
from xlsr_model.data.imresize import imresize, stretch

FRAMES = 4
WORTH_A_PROCESS = 50  # pictures: a process takes as long to start as for so many
KERNEL_SHARES = {
    "area": 0.28,
    "bicubic": 0.2,
    "swscale": 0.16,
    "lanczos": 0.12,
    "bilinear": 0.1,
    "gaussian": 0.07,
    "mitchell": 0.07,
}
CODEC_SHARES = {
    "": 0.1,
    "libx264": 0.44,
    "libx265": 0.14,
    "libsvtav1": 0.08,
    "libvpx-vp9": 0.08,
    "mpeg4": 0.08,
    "mpeg2video": 0.08,
}
FIRST_CODEC_SHARES = {"": 0.5, "libx264": 0.28, "mpeg4": 0.1, "mpeg2video": 0.07, "libx265": 0.05}
"""What the picture was decoded from before it was shrunk."""


@dataclass(frozen=True)
class Softness:
    """How a film lost its sharpness before it was shrunk.

    blur      standard deviation in pixels of the target; 0: none
    tall      factor that its height was once shrunk by; 1: never
    wide      the same of its width; the two differ in anamorphic recordings
    kernel    it was enlarged again with
    sharpen   share of the detail that was added once more, for halos; 0: none
    fields    every other line was made from its neighbours
    """

    blur: float = 0.0
    tall: float = 1.0
    wide: float = 1.0
    kernel: str = "bicubic"
    sharpen: float = 0.0
    fields: bool = False


@dataclass(frozen=True)
class Degradation:
    """What happens to one picture, in this order.

    softness        of the target
    gain, offset    its light: value * gain + offset, in grey levels
    grain           standard deviation of the noise of the target, in grey levels
    first, first_quality    the codec that the target was decoded from; "": none
    kernel          it is shrunk with
    noise           standard deviation after shrinking, in grey levels
    codec, quality  of the small picture; "": 4:2:0 only
    drift           (dx, dy) small pixels a frame
    """

    softness: Softness = Softness()
    gain: float = 1.0
    offset: float = 0.0
    grain: float = 0.0
    first: str = ""
    first_quality: int = 0
    kernel: str = "bicubic"
    noise: float = 0.0
    codec: str = ""
    quality: int = 0
    drift: tuple[int, int] = (0, 0)


def random_degradation(rng: np.random.Generator) -> Degradation:
    dark = rng.random() < 0.25
    first = _drawn(rng, FIRST_CODEC_SHARES)
    codec = _drawn(rng, CODEC_SHARES)
    return Degradation(
        softness=_random_softness(rng),
        gain=float(rng.uniform(0.1, 0.8)) if dark else 1.0,
        offset=float(rng.uniform(0, 30)) if dark else 0.0,
        grain=float(rng.uniform(0.5, 4)) if rng.random() < 0.15 else 0.0,
        first=first,
        first_quality=_random_quality(rng, first),
        kernel=_drawn(rng, KERNEL_SHARES),
        noise=float(rng.uniform(0, 2.5)) if rng.random() < 0.2 else 0.0,
        codec=codec,
        quality=_random_quality(rng, codec),
        drift=(int(rng.integers(-3, 4)), int(rng.integers(-3, 4))),
    )


def _random_softness(rng: np.random.Generator) -> Softness:
    kind = rng.random()
    sharpen = float(rng.uniform(0.3, 1.2)) if rng.random() < 0.1 else 0.0
    fields = bool(rng.random() < 0.04)
    if kind < 0.65:
        return Softness(sharpen=sharpen, fields=fields)
    if kind < 0.85:
        return Softness(blur=float(rng.uniform(0.3, 1.8)), sharpen=sharpen, fields=fields)
    wide = float(rng.uniform(0.35, 0.9))
    tall = wide if kind < 0.95 else 1.0
    kernel = str(rng.choice(["bicubic", "bilinear", "lanczos"]))
    return Softness(tall=tall, wide=wide, kernel=kernel, sharpen=sharpen, fields=fields)


def _drawn(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _random_quality(rng: np.random.Generator, codec: str) -> int:
    if not codec:
        return 0
    _, best, worst, _ = CODECS[codec]
    return int(rng.integers(best, worst + 1))


def make_pair(name: str, hr: Image, scale: int, how: Degradation, rng: np.random.Generator) -> Pair:
    """Return the target and its small twin; `hr` is a clean picture, `rng` makes the noise.

    RGB uint8 [H, W, 3], H and W multiples of the scale.
    """
    hr = _soften(hr, how.softness)
    changed = hr.astype(np.float32) * how.gain + how.offset
    if how.grain:
        changed += rng.normal(0, how.grain, hr.shape[:2])[..., None]
    hr = _bytes(changed)
    if how.first:
        hr = _drifted(hr, how.drift, 0.0, how.first, how.first_quality, rng)
    lr = imresize(hr, Fraction(1, scale), how.kernel)
    return Pair(name, _drifted(lr, how.drift, how.noise, how.codec, how.quality, rng), hr)


def _soften(image: Image, softness: Softness) -> Image:
    height, width = image.shape[:2]
    if softness.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), softness.blur), np.uint8)
    if softness.tall != 1 or softness.wide != 1:
        small = stretch(image, round(height * softness.tall), round(width * softness.wide))
        image = stretch(small, height, width, softness.kernel)
    if softness.fields:
        between = (image[:-2:2].astype(np.uint16) + image[2::2] + 1) // 2
        image = image.copy()
        image[1:-1:2][: len(between)] = between
    if softness.sharpen:
        blurred = cv2.GaussianBlur(image, (0, 0), 1.2).astype(np.float32)
        image = _bytes(image + softness.sharpen * (image - blurred))
    return image


def _drifted(
    image: Image,
    drift: tuple[int, int],
    noise: float,
    codec: str,
    quality: int,
    rng: np.random.Generator,
) -> Image:
    """Return the decoded last frame of a clip in which the picture drifts into place."""
    if not codec:
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        return to_rgb(to_yuv(_noisy(even, noise, rng)))[:height, :width]
    dx, dy = drift
    clip = [
        _noisy(np.roll(image, (dy * behind, dx * behind), axis=(0, 1)), noise, rng)
        for behind in reversed(range(FRAMES))
    ]
    return through_codec(clip, codec, quality)[-1]


def _noisy(image: Image, noise: float, rng: np.random.Generator) -> Image:
    return _bytes(image + rng.normal(0, noise, image.shape)) if noise else image


def _bytes(values: np.ndarray) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def as_filmed(pairs: list[Pair], config: Config) -> list[Pair]:
    """Replace the pairs by degraded versions, or put some beside them, as the settings say."""
    if config.video:
        return video_pairs(pairs, config.video, config.scale, seed=config.seed)
    return pairs + video_pairs(pairs, config.uncoded, config.scale, seed=config.seed, coded=False)


def video_pairs(
    pairs: Sequence[Pair],
    count: int,
    scale: int,
    *,
    seed: int,
    coded: bool = True,
    workers: int | None = None,
) -> list[Pair]:
    """Return `count` differently degraded versions of each pair's target, without codecs if asked.

    `workers` processes make them; default one for each core, where there is enough to do.
    """
    jobs = [(number, version) for number in range(len(pairs)) for version in range(count)]
    targets = [pairs[number].hr for number, _ in jobs]
    names = [f"{pairs[number].name}#{version}" for number, version in jobs]
    make = partial(_make, scale, seed, coded)
    workers = workers or min(os.cpu_count() or 1, len(jobs) // WORTH_A_PROCESS)
    if workers < 2:
        return list(map(make, jobs, names, targets))
    spawn = multiprocessing.get_context("spawn")  # a forked PyTorch or TensorFlow can hang
    with ProcessPoolExecutor(workers, spawn) as pool:
        return list(pool.map(make, jobs, names, targets, chunksize=16))


def _make(scale: int, seed: int, coded: bool, job: tuple[int, int], name: str, hr: Image) -> Pair:
    rng = np.random.default_rng((seed, *job))
    how = random_degradation(rng)
    if not coded:
        how = replace(how, first="", codec="")
    return make_pair(name, hr, scale, how, rng)
