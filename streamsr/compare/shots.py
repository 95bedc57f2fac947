"""Chooses what of a film is shown: frames of different scenes, and the part of each that has the
most detail."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamsr import interrupt
from streamsr.compare.subject import Subject
from streamsr.errors import SourceError
from streamsr.frame import Frame, Image
from streamsr.media.input import clock
from streamsr.native.loops import detail
from streamsr.region import Region

SHOTS = 3
"""Shown where the user names no times."""

CANDIDATES = 9
"""Frames that are looked at for them: 0.1 s each at 720p."""

BLOCK = 16
"""Pixels along a side of the squares in which detail is measured."""

THUMBNAIL = 8
"""Squares along a side of what scenes are told apart by."""

OTHER_SCENE = 12.0
"""Mean difference of two scenes' thumbnails, of 255: a pan changes them by less."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A part of one frame.

    frame   in the size of its stream
    time_s  from the film's first frame on; None for a picture
    region  of the frame, in its pixels
    """

    frame: Frame
    time_s: float | None
    region: Region


def shots_at(subject: Subject, times: list[float], size: tuple[int, int]) -> list[Shot]:
    """The frames at these times, the part of (width, height) with the most detail of each.
    Raises SourceError where there is none."""
    shots = []
    for time_s in times:
        frame = subject.frame_at(time_s)
        if frame is None:
            length = subject.duration_s
            long = "" if length is None else f"; it is {clock(length)} long"
            raise SourceError(f"{subject.name}: no frame could be decoded at {time_s:g} s{long}")
        shots.append(_shot(subject, frame, windows(subject.shown(frame).rgb, size)[0][1]))
    return shots


def chosen_shots(subject: Subject, size: tuple[int, int]) -> list[Shot]:
    """The SHOTS parts that show most: of different scenes where there are, else of different places
    in one frame, in the film's order. Raises SourceError where nothing can be decoded."""
    candidates: list[tuple[float, Frame, Image]] = []
    for time_s in _times(subject):
        interrupt.check()
        frame = subject.frame_at(time_s)
        if frame is not None:
            rgb = subject.shown(frame).rgb
            candidates.append((windows(rgb, size)[0][0], frame, _thumbnail(rgb)))
    if not candidates:
        raise SourceError(f"{subject.name}: no frame could be decoded")
    candidates.sort(key=lambda candidate: -candidate[0])
    taken: list[tuple[float, Frame, Image]] = []
    for candidate in candidates:
        near = [np.abs(candidate[2].astype(int) - other).mean() for _, _, other in taken]
        if len(taken) < SHOTS and all(difference > OTHER_SCENE for difference in near):
            taken.append(candidate)
    shots = [
        _shot(subject, frame, region)
        for number, (_, frame, _) in enumerate(taken)
        for _, region in windows(subject.shown(frame).rgb, size)[
            : 1 if number else SHOTS - len(taken) + 1
        ]
    ]
    return sorted(shots, key=lambda shot: (shot.time_s or 0.0, shot.region.y, shot.region.x))


def _times(subject: Subject) -> list[float]:
    """Where to look, in seconds: at key frames, which are decoded at once; of a film that has few
    at SHOTS places all the same."""
    if subject.picture is not None:
        return [0.0]
    times = subject.key_times(CANDIDATES)
    if len(times) <= SHOTS:
        length = subject.duration_s or 0.0
        times += [length * (2 * n + 1) / (2 * SHOTS) for n in range(SHOTS)]
    return sorted({*times, 0.0})


def _shot(subject: Subject, frame: Frame, region: Region) -> Shot:
    return Shot(frame, None if subject.picture else subject.seconds_of(frame), region)


def windows(rgb: Image, size: tuple[int, int]) -> list[tuple[float, Region]]:
    """Parts of a picture [H, W, 3] uint8 and their mean detail, the most detailed first: it and
    those that share no pixel with the ones before.

    size  (width, height) of each; less where the picture is smaller
    """
    height, width = rgb.shape[:2]
    w, h = min(size[0], width), min(size[1], height)
    sums = np.zeros((-(-height // BLOCK), -(-width // BLOCK), 2), np.int64)
    detail(rgb, rgb, BLOCK, sums)
    rows, columns = max(h // BLOCK, 1), max(w // BLOCK, 1)
    whole = np.pad(sums[..., 0].cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    score: NDArray[np.float64] = (
        whole[rows:, columns:]
        - whole[:-rows, columns:]
        - whole[rows:, :-columns]
        + whole[:-rows, :-columns]
    ) / (rows * columns * BLOCK**2)
    found = []
    while score.size and score.max() >= 0:
        y, x = np.unravel_index(int(score.argmax()), score.shape)
        best = float(score[y, x])
        region = Region(min(int(x) * BLOCK, width - w), min(int(y) * BLOCK, height - h), w, h)
        found.append((best, region))
        # Blocks from which a window would reach into this one.
        top, left = region.y - h, region.x - w
        ys, xs = (BLOCK * np.arange(length) for length in score.shape)
        ys, xs = np.minimum(ys, height - h), np.minimum(xs, width - w)
        near = np.outer((ys > top) & (ys < region.y + h), (xs > left) & (xs < region.x + w))
        score[near] = -1.0
    return found


def _thumbnail(rgb: Image) -> Image:
    """THUMBNAIL x THUMBNAIL pixels of the picture: enough to tell scenes apart."""
    rows, columns = (np.linspace(0, side - 1, THUMBNAIL * 4).astype(int) for side in rgb.shape[:2])
    some = rgb[rows][:, columns].reshape(THUMBNAIL, 4, THUMBNAIL, 4, 3)
    return np.asarray(some.mean(axis=(1, 3)), np.uint8)
