"""The main video of an opened file while it is decoded, and what its first frame says of it."""

import itertools
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container.input import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsr import interrupt
from streamsr.frame import Coded, StreamInfo
from streamsr.media.coded import Look, export_quantisers
from streamsr.media.decode import display_matrix
from streamsr.media.frames import tags_of
from streamsr.media.hdr import hdr_of
from streamsr.media.input import main_video, open_input
from streamsr.media.timeline import TimeLine


class DecodedVideo:
    """A stream and the generator of its frames, decoded up to the first one. Owns ``container``.

    first  the first frame, until `frames` gives it; None where none could be decoded
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, frames: Generator[VideoFrame]
    ) -> None:
        assert stream.time_base is not None
        self.container = container
        self.stream = stream
        self.time_base: Fraction = stream.time_base
        self._frames = frames
        self.first = next(frames, None)

    @property
    def first_s(self) -> Fraction | None:
        """When the first frame is shown, in seconds on the file's clock; None where it does not
        say."""
        if self.first is None or self.first.pts is None:
            return None
        return self.first.pts * self.time_base

    def frames(self) -> Iterator[VideoFrame]:
        """All frames, once."""
        first, self.first = self.first, None
        if first is not None:
            yield first
            del first  # lets go of the decoder's memory while the rest is read
        yield from self._frames

    def close(self) -> None:
        self._frames.close()
        self.first = None
        self.container.close()


def info_of(video: DecodedVideo, *, start_s: float, duration_s: float | None) -> StreamInfo:
    """What the stream and its first frame say. The tags, the size and the rotation are only certain
    on a decoded frame.

    ``frames`` is what is left of the number in the header from ``start_s`` on, for ``duration_s``.
    """
    stream = video.stream
    codec = stream.codec_context
    first = video.first
    assert first is not None
    frames = _frames_in(video)
    if frames and stream.average_rate and start_s:
        frames = max(frames - int(start_s * stream.average_rate), 0)
    if frames is not None and stream.average_rate and duration_s:
        frames = min(frames, round(duration_s * stream.average_rate))
    return StreamInfo(
        first.width,
        first.height,
        video.time_base,
        rate=stream.average_rate or stream.guessed_rate,
        sar=sar_of(stream),
        color=tags_of(first).resolved(first.width, first.height),
        pixel_format=first.format.name,
        display_matrix=display_matrix(first),
        hdr=hdr_of(first),
        frames=frames,
        lossy=codec.codec.lossy,
    )


def sar_of(stream: VideoStream) -> Fraction:
    """Width by height of a pixel of the frame that was decoded last; 1 where nothing is said."""
    sar = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio or Fraction(1)
    return sar if sar > 0 else Fraction(1)


SAMPLES = 8
"""Places of a film at which one picture is looked at: 25 ms of work at 360p, 0.1 s at 720p."""

MOST_PIXELS = SAMPLES * 1920 * 1088
"""After so many, no other place is looked at: of a film in 4K, two are."""

PACKETS_A_SAMPLE = 100
"""From a key frame on; a decoder that gives nothing by then gives nothing there."""


class Shape(NamedTuple):
    """Size and pixel shape of one picture."""

    width: int
    height: int
    sar: Fraction

    @property
    def area(self) -> int:
        return self.width * self.height


class Seen(NamedTuple):
    """What single pictures of a film show: the largest one's shape, and how it was coded."""

    largest: Shape
    coded: Coded


def look_through(path: Path, line: TimeLine) -> Seen | None:
    """Look at a film at SAMPLES places; None where no picture can be decoded.

    A film that begins small, as recordings of calls do, is not to be shown small to its end; nor is
    the first picture, which is often black, to tell how the film was coded.
    """
    shapes: list[Shape] = []
    look = Look()
    with open_input(path) as container:
        stream = main_video(container)
        if stream is None or stream.codec_context is None:
            return None
        export_quantisers(stream)
        places = _places(container, line) or [0]
        for number, place in enumerate([*places[::2], *places[1::2]]):
            interrupt.check()
            if sum(shape.area for shape in shapes) >= MOST_PIXELS:
                break
            try:
                if number == 0:
                    pass  # the first is the beginning, where some files can be read only
                elif line.indexed:
                    container.seek(place)
                else:
                    container.seek(place, unsupported_byte_offset=True)
                shapes.extend(_next_shape(container, stream, look))
            except FFmpegError:
                continue
        if not shapes:
            return None
        return Seen(max(shapes, key=lambda shape: shape.area), look.coded(stream))


def _places(container: InputContainer, line: TimeLine) -> Sequence[int]:
    """Microseconds in a container with an index, else bytes."""
    if line.indexed:
        start = container.start_time or 0
        duration = container.duration or 0
        return [start + duration * number // SAMPLES for number in range(SAMPLES)]
    step = max(len(line.keys) // SAMPLES, 1)
    return [key.position for key in line.keys[::step]][:SAMPLES]


def _next_shape(container: InputContainer, stream: VideoStream, look: Look) -> Iterator[Shape]:
    """The shape of the next picture, which is looked at, if there is one."""
    key_bytes: int | None = None
    for packet in itertools.islice(container.demux(stream), PACKETS_A_SAMPLE):
        if packet.is_keyframe and key_bytes is None:
            key_bytes = packet.size
        for frame in packet.decode():
            look.add(frame, key_bytes)
            yield Shape(frame.width, frame.height, sar_of(stream))
            return


def _frames_in(video: DecodedVideo) -> int | None:
    """How many frames the header says the file has, None where it says neither that nor a length
    and a rate."""
    rate = video.stream.average_rate
    duration = video.container.duration
    if not video.stream.frames and duration and rate:
        return round(duration / av.time_base * rate)
    return video.stream.frames or None
