"""Compares the main video of two files while both are decoded: times, shape, colours."""

from array import array
from collections.abc import Iterator, Sequence
from fractions import Fraction

import cv2
import numpy as np
from av.video.frame import VideoFrame

from streamsr.audit.check import KEPT, LOST, NOTE, Check, ms
from streamsr.audit.reader import MediaReader
from streamsr.audit.times import compare
from streamsr.color import FULL, UNSPECIFIED, ColorTags
from streamsr.media.decode import display_matrix
from streamsr.media.frames import FrameReader, depth_of, has_alpha, tags_of

PICTURE_EVERY = 12
"""Colours are compared on every 12th frame, times on each."""

COLOR_LIMIT = 2.0
"""Of 255, per channel, averaged over a film: coding noise is below 0.5."""

NETWORK_COLOR_LIMIT = 4.0
"""Of 255: a network's own error on flat, saturated colours is up to 3; a wrong matrix or range is 5
and more, on such colours 20."""

BLACK = 12
"""Of 255: bars beside a picture are darker."""

MOVED_LIMIT = 24.0
"""Of 255, mean difference on the coarse grid: a picture that is squeezed differs by more, unless it
is flat."""

ASPECT_LIMIT = 0.01
"""Relative change of the picture's shape: sides are rounded to whole, sometimes even, pixels."""


class VideoComparison:
    """Compares the main video of an input with that of an output, frame by frame.

    begin  of the span that is compared, on the input's clock in seconds: the output's zero
    shifts  after `checks`: how many seconds later than that the output's frames are, for each
            stretch in which the input's clock runs evenly
    """

    def __init__(self, before: MediaReader, after: MediaReader, begin: Fraction) -> None:
        self._before = before
        self._after = after
        self._begin = begin
        self._pts_in = array("q")
        self._pts_out = array("q")
        self._difference = np.zeros(3)  # of R, G and B, summed over the pictures compared
        self._pictures = 0
        # FFmpeg's own VP8 and VP9 decoders leave WebM's plane of opacity out.
        self._transparent = before.main.metadata.get("alpha_mode") == "1"
        self._first: tuple[VideoFrame, VideoFrame] | None = None
        self._readers: list[FrameReader] = []
        self._shapes: list[tuple[Fraction, int]] = []  # width in the output's pixels, height
        self._moved = 0.0
        self._compared_later = 0
        self._barred = 0
        self._to_be_barred = 0
        self.shifts: tuple[Fraction, ...] = (Fraction(0),)

    def add(self, frame_in: VideoFrame | None, frame_out: VideoFrame | None) -> None:
        """Take in the next frame of the input and of the output, None where there is none."""
        if frame_in is not None:
            self._pts_in.append(frame_in.pts or 0)
        if frame_out is not None:
            self._pts_out.append(frame_out.pts or 0)
        if frame_in is None or frame_out is None:
            return
        if self._first is None:
            self._first = frame_in, frame_out
            self._readers = [_reader(frame_in, self._before), _reader(frame_out, self._after)]
        shape = frame_in.width * _sar(self._before), frame_in.height
        changed = self._shapes[-1:] != [shape]
        if changed:
            self._shapes.append(shape)
        if changed or (len(self._pts_in) - 1) % PICTURE_EVERY == 0:
            self._compare(frame_in, frame_out)

    def _compare(self, frame_in: VideoFrame, frame_out: VideoFrame) -> None:
        """Add up how the colours differ, where the input's picture is to be in the output's."""
        width, height = self._shapes[-1]
        left, top = _bars(width / height, frame_out, _sar(self._after))
        means = []
        for reader, frame in zip(self._readers, (frame_in, frame_out), strict=True):
            rgb = np.empty((frame.height, frame.width, 3), np.uint8)
            reader.read(frame, rgb)
            if frame is frame_out and (left or top):
                inside = rgb[top : frame.height - top, left : frame.width - left]
                # Two pixels of the edge belong to both: sides are rounded.
                edge = [rgb[: top - 2], rgb[:, : left - 2]][:: 1 if top else -1][0]
                self._barred += bool(edge.size and edge.mean() < BLACK)
                self._to_be_barred += bool(edge.size)
                rgb = np.ascontiguousarray(inside)
            # Means over a coarse grid: blind to sharpness, sharp for colour.
            means.append(cv2.resize(rgb.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA))
        if len(self._shapes) > 1:
            self._moved += float(np.abs(means[1] - means[0]).mean())
            self._compared_later += 1
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
        yield _shape(frame_in, frame_out, self._shapes, self._after)
        if len(self._shapes) > 1:
            yield self._later_shapes()
        yield _rotation(frame_in, frame_out)
        color = self._color()
        yield _color_tags(frame_in, frame_out, same_color=color.verdict == KEPT)
        yield _depth(frame_in, frame_out)
        yield color
        if self._transparent:
            name = frame_out.format.name
            if has_alpha(name):
                yield Check("opacity", KEPT, "kept")
            else:
                yield Check("opacity", LOST, f"{name} has none")

    def _later_shapes(self) -> Check:
        """Whether pictures of another size or shape than the first are shown in their own."""
        moved = self._moved / max(self._compared_later, 1)
        kept = self._barred == self._to_be_barred and moved <= MOVED_LIMIT
        detail = f"{len(self._shapes) - 1} changes on the way, each in its own shape"
        if not kept:
            detail = f"{len(self._shapes) - 1} changes on the way: squeezed, or in another place"
        return Check("later shapes", KEPT if kept else LOST, detail)

    def _color(self) -> Check:
        mean = self._difference / max(self._pictures, 1)
        numbers = ", ".join(f"{channel:+.2f}" for channel in mean)
        detail = f"mean difference {numbers} of 255 in R, G, B ({self._pictures} frames)"
        most = float(np.abs(mean).max())
        if most <= COLOR_LIMIT:
            return Check("colour", KEPT, detail)
        if most <= NETWORK_COLOR_LIMIT:
            return Check("colour", NOTE, f"{detail}: the network's own")
        return Check("colour", LOST, detail)

    def _times(self) -> Iterator[Check]:
        """Rows for the frames' times; sets ``shifts``."""
        base_in = self._before.main.time_base
        base_out = self._after.main.time_base
        assert base_in is not None
        assert base_out is not None
        times = compare(
            self._pts_in,
            self._pts_out,
            base_in,
            base_out,
            slack=base_out,
            jumps=self._before.clock_may_jump,
        )
        moved = [move + self._begin for move in times.moves]
        self.shifts = tuple(shift + self._begin for shift in times.shifts)
        number = len(moved)
        tick = f"one tick is {ms(base_out)}"
        untimed = self._before.untimed + times.own
        repaired = f"; {untimed} frames had no time of their own" if untimed else ""
        if times.wrong:
            first = f"first frame {times.wrong[0]} by {ms(times.first_s)}"
            yield Check("timestamps", LOST, f"{len(times.wrong)} of {number} differ, {first}")
        elif not any(moved):
            yield Check("timestamps", KEPT, f"{number} equal{repaired}")
        elif all(abs(move) <= base_out / 2 for move in moved):
            detail = f"{number} equal to the output's tick ({tick}){repaired}"
            yield Check("timestamps", KEPT, detail)
        else:
            detail = f"{number} equal after the shift ({tick}){repaired}"
            yield Check("timestamps", KEPT, detail)
        if abs(self.shifts[0]) > base_out / 2:
            yield Check("clock", NOTE, f"the whole file is shifted by {ms(self.shifts[0])}")
        if len(self.shifts) > 1:
            jumps = len(self.shifts) - 1
            yield Check("clock", NOTE, f"jumps {jumps} times in the input; the output runs evenly")


def _reader(frame: VideoFrame, file: MediaReader) -> FrameReader:
    tags = tags_of(frame).resolved(frame.width, frame.height)
    return FrameReader(tags, codec=file.main.codec_context.name)


def _sar(file: MediaReader) -> Fraction:
    """Width by height of a pixel of the frame that was decoded last."""
    main = file.main
    sar = main.codec_context.sample_aspect_ratio or main.sample_aspect_ratio or Fraction(1)
    return sar if sar > 0 else Fraction(1)


def _bars(shape: Fraction, frame: VideoFrame, sar: Fraction) -> tuple[int, int]:
    """Pixels left and right, and above and below, of a picture of this shape in the frame."""
    left = frame.width - frame.height * shape / sar
    top = frame.height - frame.width * sar / shape
    return max(round(left / 2), 0) if left > 4 else 0, max(round(top / 2), 0) if top > 4 else 0


def _shape(
    frame_in: VideoFrame,
    frame_out: VideoFrame,
    shapes: Sequence[tuple[Fraction, int]],
    after: MediaReader,
) -> Check:
    """Compares the output's shape with that of the input, or of one of its pictures."""
    sar_in = shapes[0][0] / frame_in.width
    sar_out = after.main.sample_aspect_ratio or Fraction(1)
    shown = _aspect(frame_out, sar_out)
    change = min((float(shown * height / width) for width, height in shapes), key=_off)
    detail = (
        f"{frame_in.width}x{frame_in.height} -> {frame_out.width}x{frame_out.height}, "
        f"pixel aspect {sar_in} -> {sar_out}"
    )
    return Check("shape", KEPT if _off(change) <= ASPECT_LIMIT else LOST, detail)


def _off(factor: float) -> float:
    return abs(factor - 1)


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


def _color_tags(frame_in: VideoFrame, frame_out: VideoFrame, *, same_color: bool) -> Check:
    """Compares what a player takes each of them for: an output without tags is right where the
    player's guess is.

    The primaries and the transfer function say what the colours are; the matrix and the range only
    how they are written, which may be another way when they come out the same.
    """
    wanted = tags_of(frame_in).resolved(frame_in.width, frame_in.height)
    tags = tags_of(frame_out).resolved(frame_out.width, frame_out.height)
    rgb = frame_in.format.is_rgb or frame_in.format.name == "pal8"
    if rgb:  # RGB has no matrix; what the output's encoder took is right by the colour check
        wanted = ColorTags(tags.matrix, wanted.primaries, wanted.transfer, tags.range)
    if frame_out.format.is_rgb:
        tags = ColorTags(wanted.matrix, tags.primaries, tags.transfer, wanted.range)
    if (tags.primaries, tags.transfer) != (wanted.primaries, wanted.transfer):
        meant = f"primaries {wanted.primaries}, transfer {wanted.transfer}"
        return Check(
            "colour tags",
            LOST,
            f"expected {meant}, got primaries {tags.primaries}, transfer {tags.transfer}",
        )
    if (tags.luma, tags.range) != (wanted.luma, wanted.range):
        if same_color:
            return Check("colour tags", NOTE, f"{wanted} is written as {tags}, the same colours")
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
