"""The main video of an opened file while it is decoded, and what its first frame says of it."""

from collections.abc import Generator, Iterator
from fractions import Fraction

import av
from av.container.input import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsr.frame import StreamInfo
from streamsr.media.decode import display_matrix
from streamsr.media.frames import tags_of
from streamsr.media.hdr import hdr_of


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
    sar = codec.sample_aspect_ratio or stream.sample_aspect_ratio or Fraction(1)
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
        sar=sar if sar > 0 else Fraction(1),
        color=tags_of(first).resolved(first.width, first.height),
        pixel_format=first.format.name,
        display_matrix=display_matrix(first),
        hdr=hdr_of(first),
        frames=frames,
        lossy=codec.codec.lossy,
    )


def _frames_in(video: DecodedVideo) -> int | None:
    """How many frames the header says the file has, None where it says neither that nor a length
    and a rate."""
    rate = video.stream.average_rate
    duration = video.container.duration
    if not video.stream.frames and duration and rate:
        return round(duration / av.time_base * rate)
    return video.stream.frames or None
