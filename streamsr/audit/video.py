"""The main video of two files, decoded side by side: times, shape, colours."""

from array import array
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
from av.video.frame import VideoFrame

from streamsr.audit.check import KEPT, LOST, NOTE, Check, ms
from streamsr.audit.reader import Contents
from streamsr.color import FULL, UNSPECIFIED, ColorTags
from streamsr.media.decode import display_matrix
from streamsr.media.frames import FrameReader, depth_of, has_alpha, tags_of

PICTURE_EVERY = 12
"""Every so many frames the colours are compared; timestamps on every frame."""

COLOUR_LIMIT = 2.0
"""Of 255, per channel, averaged over a film: wrong matrix or range is 5 and more, coding noise
below 0.5."""

ASPECT_LIMIT = 0.01
"""Relative change of the picture's shape: sides are rounded to whole, sometimes even, pixels."""


class Film:
    """The main video of both files, compared frame by frame."""

    def __init__(self, before: Contents, after: Contents, begin: Fraction) -> None:
        self._before, self._after, self._begin = before, after, begin
        self._seen, self._got = array("q"), array("q")
        self._untimed = 0
        self._sum = np.zeros(3)
        self._pictures = 0
        # In WebM opacity is a picture of its own, which this decoder does not give.
        self._transparent = before.main.metadata.get("alpha_mode") == "1"
        self._first: tuple[VideoFrame, VideoFrame] | None = None
        self.shift = Fraction(0)

    def add(self, seen: VideoFrame | None, got: VideoFrame | None) -> None:
        if seen is not None:
            pts = seen.pts
            # Two frames at one time cannot be shown; as for the source, the next tick keeps order
            # and count.
            if pts is None or (self._seen and pts <= self._seen[-1]):
                self._untimed += 1
                pts = self._seen[-1] + 1 if self._seen else 0
            self._seen.append(pts)
        if got is not None:
            self._got.append(
                got.pts if got.pts is not None else (self._got[-1] + 1 if self._got else 0)
            )
        if seen is None or got is None:
            return
        if self._first is None:
            self._first = seen, got
            self._readers = [
                FrameReader(tags_of(f).resolved(f.width, f.height), codec=c.main.codec_context.name)
                for f, c in ((seen, self._before), (got, self._after))
            ]
        if (len(self._seen) - 1) % PICTURE_EVERY == 0:
            self._compare(seen, got)

    def _compare(self, seen: VideoFrame, got: VideoFrame) -> None:
        pictures = []
        for reader, frame in zip(self._readers, (seen, got), strict=True):
            rgb = np.empty((frame.height, frame.width, 3), np.uint8)
            reader.read(frame, rgb)
            # Means over a coarse grid: blind to sharpness, sharp for colour.
            pictures.append(
                cv2.resize(rgb.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA)
            )
        if has_alpha(seen.format.name):
            alpha = self._readers[0].alpha(seen)
            self._transparent |= bool(alpha.min() < np.iinfo(alpha.dtype).max)
        self._sum += (pictures[1] - pictures[0]).mean(axis=(0, 1))
        self._pictures += 1

    def checks(self) -> Iterator[Check]:
        a, b = self._seen, self._got
        damaged = (
            f"; {self._before.damaged} damaged packets in the input" if self._before.damaged else ""
        )
        yield Check(
            "frames",
            KEPT if len(a) == len(b) and b else LOST,
            f"{len(a)} in, {len(b)} out{damaged}",
        )
        if self._first is None:
            return
        yield from self._times()
        seen, got = self._first
        yield from _shape(seen, got, self._before, self._after)
        yield from _colours(seen, got)
        mean = self._sum / max(self._pictures, 1)
        worst = float(np.abs(mean).max())
        detail = (
            f"mean difference {', '.join(f'{m:+.2f}' for m in mean)} of 255 in R, G, B "
            f"({self._pictures} frames)"
        )
        yield Check("colour", KEPT if worst <= COLOUR_LIMIT else LOST, detail)
        if self._transparent:
            kept = has_alpha(got.format.name)
            yield Check(
                "opacity", KEPT if kept else LOST, "kept" if kept else f"{got.format.name} has none"
            )

    def _times(self) -> Iterator[Check]:
        base_in, base_out = self._before.main.time_base, self._after.main.time_base
        assert base_in is not None
        assert base_out is not None
        moved = [
            g * base_out - (s * base_in - self._begin)
            for s, g in zip(self._seen, self._got, strict=False)
        ]
        tick = f"one tick is {ms(base_out)}"
        half = base_out / 2
        repaired = f"; {self._untimed} frames had no time of their own" if self._untimed else ""
        if all(abs(d) <= half for d in moved):
            exact = (
                "equal" if all(d == 0 for d in moved) else f"equal to the output's tick ({tick})"
            )
            yield Check("timestamps", KEPT, f"{len(moved)} {exact}{repaired}")
            return
        self.shift = moved[0]
        wrong = [i for i, d in enumerate(moved) if abs(d - self.shift) > base_out]
        if wrong:
            i = wrong[0]
            yield Check(
                "timestamps",
                LOST,
                f"{len(wrong)} of {len(moved)} differ, first frame {i} by {ms(moved[i])}",
            )
        else:
            yield Check(
                "timestamps", KEPT, f"{len(moved)} equal after the shift ({tick}){repaired}"
            )
        yield Check("clock", NOTE, f"the whole file is shifted by {ms(self.shift)}")


def _shape(seen: VideoFrame, got: VideoFrame, before: Contents, after: Contents) -> Iterator[Check]:
    sars = [c.main.sample_aspect_ratio or Fraction(1) for c in (before, after)]
    shapes = [
        f.width * (s if s > 0 else Fraction(1)) / f.height
        for f, s in zip((seen, got), sars, strict=True)
    ]
    off = abs(float(shapes[1] / shapes[0]) - 1)
    size = (
        f"{seen.width}x{seen.height} -> {got.width}x{got.height}, pixel aspect {sars[0]} -> "
        f"{sars[1]}"
    )
    yield Check("shape", KEPT if off <= ASPECT_LIMIT else LOST, size)
    turned = [_turn(frame) for frame in (seen, got)]
    said = "none" if turned[0] == _UPRIGHT else f"matrix {', '.join(f'{n:.3g}' for n in turned[0])}"
    same = max(abs(a - b) for a, b in zip(*turned, strict=True)) < ASPECT_LIMIT
    yield Check("rotation", KEPT if same else LOST, said if same else f"{said} -> {turned[1]}")


_UPRIGHT = (1.0, 0.0, 0.0, 1.0)


def _turn(frame: VideoFrame) -> tuple[float, ...]:
    """The four numbers that turn and mirror; the others move the picture, and every player centres
    it anyway."""
    matrix = display_matrix(frame)
    return _UPRIGHT if matrix is None else tuple(matrix[i] / 65536 for i in (0, 1, 3, 4))


def _colours(seen: VideoFrame, got: VideoFrame) -> Iterator[Check]:
    # What a player takes each of them for: an output without tags is right where the player's guess
    # is.
    wanted, tags = (
        tags_of(seen).resolved(seen.width, seen.height),
        tags_of(got).resolved(got.width, got.height),
    )
    rgb = seen.format.is_rgb or seen.format.name == "pal8"
    if rgb:  # RGB has no matrix; what the output's encoder took is right by the colour check
        wanted = ColorTags(tags.matrix, wanted.primaries, wanted.transfer, tags.range)
    same = (tags.luma, tags.primaries, tags.transfer) == (
        wanted.luma,
        wanted.primaries,
        wanted.transfer,
    )
    same = same and tags.range == wanted.range
    said = "untagged, taken as " if tags_of(seen).matrix == UNSPECIFIED and not rgb else ""
    names = f"matrix {tags.matrix}, primaries {tags.primaries}, transfer {tags.transfer}"
    names += ", full range" if tags.range == FULL else ""
    detail = said + names if same else f"expected {wanted}, got {tags}"
    yield Check("colour tags", KEPT if same else LOST, detail)
    depths = [depth_of(frame.format.name) for frame in (seen, got)]
    yield Check(
        "depth", KEPT if depths[1] >= depths[0] else LOST, f"{depths[0]} bits -> {depths[1]} bits"
    )
