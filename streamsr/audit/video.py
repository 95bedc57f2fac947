"""Compares the main video of two files while both are decoded: times, shape, colours."""

from array import array
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
from av.video.frame import VideoFrame

from streamsr.audit.check import KEPT, LOST, NOTE, Check, ms
from streamsr.audit.reader import MediaReader
from streamsr.color import FULL, UNSPECIFIED, ColorTags
from streamsr.media.decode import display_matrix
from streamsr.media.frames import FrameReader, depth_of, has_alpha, tags_of

PICTURE_EVERY = 12
"""Colours are compared on every 12th frame, times on each."""

COLOR_LIMIT = 2.0
"""Of 255, per channel, averaged over a film: wrong matrix or range is 5 and more, coding noise
below 0.5."""

ASPECT_LIMIT = 0.01
"""Relative change of the picture's shape: sides are rounded to whole, sometimes even, pixels."""


class VideoComparison:
    """Compares the main video of an input with that of an output, frame by frame.

    begin  of the span that is compared, on the input's clock in seconds: the output's zero
    shift  after `checks`: how many seconds later than that the output's frames are
    """

    def __init__(self, before: MediaReader, after: MediaReader, begin: Fraction) -> None:
        self._before = before
        self._after = after
        self._begin = begin
        self._pts_in = array("q")
        self._pts_out = array("q")
        self._untimed = 0
        self._difference = np.zeros(3)  # of R, G and B, summed over the pictures compared
        self._pictures = 0
        # FFmpeg's own VP8 and VP9 decoders leave WebM's plane of opacity out.
        self._transparent = before.main.metadata.get("alpha_mode") == "1"
        self._first: tuple[VideoFrame, VideoFrame] | None = None
        self._readers: list[FrameReader] = []
        self.shift = Fraction(0)

    def add(self, frame_in: VideoFrame | None, frame_out: VideoFrame | None) -> None:
        """Take in the next frame of the input and of the output, None where there is none."""
        if frame_in is not None:
            pts = frame_in.pts
            # Two frames at one time cannot be shown; as for the source, the next tick keeps order
            # and count.
            if pts is None or (self._pts_in and pts <= self._pts_in[-1]):
                self._untimed += 1
                pts = _next_tick(self._pts_in)
            self._pts_in.append(pts)
        if frame_out is not None:
            pts = frame_out.pts
            self._pts_out.append(_next_tick(self._pts_out) if pts is None else pts)
        if frame_in is None or frame_out is None:
            return
        if self._first is None:
            self._first = frame_in, frame_out
            self._readers = [_reader(frame_in, self._before), _reader(frame_out, self._after)]
        if (len(self._pts_in) - 1) % PICTURE_EVERY == 0:
            self._compare(frame_in, frame_out)

    def _compare(self, frame_in: VideoFrame, frame_out: VideoFrame) -> None:
        """Add up how the colours differ."""
        means = []
        for reader, frame in zip(self._readers, (frame_in, frame_out), strict=True):
            rgb = np.empty((frame.height, frame.width, 3), np.uint8)
            reader.read(frame, rgb)
            # Means over a coarse grid: blind to sharpness, sharp for colour.
            means.append(cv2.resize(rgb.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA))
        if has_alpha(frame_in.format.name):
            alpha = self._readers[0].alpha(frame_in)
            self._transparent |= bool(alpha.min() < np.iinfo(alpha.dtype).max)
        self._difference += (means[1] - means[0]).mean(axis=(0, 1))
        self._pictures += 1

    def checks(self) -> Iterator[Check]:
        """Rows for what was compared, after the last frame."""
        count_in = len(self._pts_in)
        count_out = len(self._pts_out)
        damaged = ""
        if self._before.damaged:
            damaged = f"; {self._before.damaged} damaged packets in the input"
        kept = count_in == count_out > 0
        yield Check("frames", KEPT if kept else LOST, f"{count_in} in, {count_out} out{damaged}")
        if self._first is None:
            return
        yield from self._times()
        frame_in, frame_out = self._first
        yield _shape(frame_in, frame_out, self._before, self._after)
        yield _rotation(frame_in, frame_out)
        yield _color_tags(frame_in, frame_out)
        yield _depth(frame_in, frame_out)
        yield self._color()
        if self._transparent:
            name = frame_out.format.name
            if has_alpha(name):
                yield Check("opacity", KEPT, "kept")
            else:
                yield Check("opacity", LOST, f"{name} has none")

    def _color(self) -> Check:
        mean = self._difference / max(self._pictures, 1)
        numbers = ", ".join(f"{channel:+.2f}" for channel in mean)
        detail = f"mean difference {numbers} of 255 in R, G, B ({self._pictures} frames)"
        same = float(np.abs(mean).max()) <= COLOR_LIMIT
        return Check("colour", KEPT if same else LOST, detail)

    def _times(self) -> Iterator[Check]:
        """Rows for the frames' times; sets ``shift``."""
        base_in = self._before.main.time_base
        base_out = self._after.main.time_base
        assert base_in is not None
        assert base_out is not None
        moved = [
            pts_out * base_out - (pts_in * base_in - self._begin)
            for pts_in, pts_out in zip(self._pts_in, self._pts_out, strict=False)
        ]
        tick = f"one tick is {ms(base_out)}"
        repaired = f"; {self._untimed} frames had no time of their own" if self._untimed else ""
        if all(abs(move) <= base_out / 2 for move in moved):
            exact = "equal" if not any(moved) else f"equal to the output's tick ({tick})"
            yield Check("timestamps", KEPT, f"{len(moved)} {exact}{repaired}")
            return
        self.shift = moved[0]
        wrong = [i for i, move in enumerate(moved) if abs(move - self.shift) > base_out]
        if wrong:
            first = f"first frame {wrong[0]} by {ms(moved[wrong[0]])}"
            yield Check("timestamps", LOST, f"{len(wrong)} of {len(moved)} differ, {first}")
        else:
            detail = f"{len(moved)} equal after the shift ({tick}){repaired}"
            yield Check("timestamps", KEPT, detail)
        yield Check("clock", NOTE, f"the whole file is shifted by {ms(self.shift)}")


def _next_tick(pts: "array[int]") -> int:
    """The time of a frame that has none of its own."""
    return pts[-1] + 1 if pts else 0


def _reader(frame: VideoFrame, file: MediaReader) -> FrameReader:
    tags = tags_of(frame).resolved(frame.width, frame.height)
    return FrameReader(tags, codec=file.main.codec_context.name)


def _shape(
    frame_in: VideoFrame, frame_out: VideoFrame, before: MediaReader, after: MediaReader
) -> Check:
    sar_in = before.main.sample_aspect_ratio or Fraction(1)
    sar_out = after.main.sample_aspect_ratio or Fraction(1)
    change = float(_aspect(frame_out, sar_out) / _aspect(frame_in, sar_in))
    detail = (
        f"{frame_in.width}x{frame_in.height} -> {frame_out.width}x{frame_out.height}, "
        f"pixel aspect {sar_in} -> {sar_out}"
    )
    return Check("shape", KEPT if abs(change - 1) <= ASPECT_LIMIT else LOST, detail)


def _aspect(frame: VideoFrame, sar: Fraction) -> Fraction:
    """Width by height as the picture is shown."""
    return frame.width * (sar if sar > 0 else Fraction(1)) / frame.height


def _rotation(frame_in: VideoFrame, frame_out: VideoFrame) -> Check:
    turn_in = _turn(frame_in)
    turn_out = _turn(frame_out)
    name = "none"
    if turn_in != _UPRIGHT:
        name = f"matrix {', '.join(f'{number:.3g}' for number in turn_in)}"
    if max(abs(a - b) for a, b in zip(turn_in, turn_out, strict=True)) < ASPECT_LIMIT:
        return Check("rotation", KEPT, name)
    return Check("rotation", LOST, f"{name} -> {turn_out}")


_UPRIGHT = (1.0, 0.0, 0.0, 1.0)


def _turn(frame: VideoFrame) -> tuple[float, ...]:
    """The four numbers that turn and mirror; the others move the picture, and every player centres
    it anyway."""
    matrix = display_matrix(frame)
    return _UPRIGHT if matrix is None else tuple(matrix[i] / 65536 for i in (0, 1, 3, 4))


def _color_tags(frame_in: VideoFrame, frame_out: VideoFrame) -> Check:
    """Compares what a player takes each of them for: an output without tags is right where the
    player's guess is."""
    wanted = tags_of(frame_in).resolved(frame_in.width, frame_in.height)
    tags = tags_of(frame_out).resolved(frame_out.width, frame_out.height)
    rgb = frame_in.format.is_rgb or frame_in.format.name == "pal8"
    if rgb:  # RGB has no matrix; what the output's encoder took is right by the colour check
        wanted = ColorTags(tags.matrix, wanted.primaries, wanted.transfer, tags.range)
    found = tags.luma, tags.primaries, tags.transfer, tags.range
    if found != (wanted.luma, wanted.primaries, wanted.transfer, wanted.range):
        return Check("colour tags", LOST, f"expected {wanted}, got {tags}")
    guessed = "untagged, taken as " if tags_of(frame_in).matrix == UNSPECIFIED and not rgb else ""
    names = f"matrix {tags.matrix}, primaries {tags.primaries}, transfer {tags.transfer}"
    names += ", full range" if tags.range == FULL else ""
    return Check("colour tags", KEPT, guessed + names)


def _depth(frame_in: VideoFrame, frame_out: VideoFrame) -> Check:
    depth_in = depth_of(frame_in.format.name)
    depth_out = depth_of(frame_out.format.name)
    kept = depth_out >= depth_in
    return Check("depth", KEPT if kept else LOST, f"{depth_in} bits -> {depth_out} bits")
