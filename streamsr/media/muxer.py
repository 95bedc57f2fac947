"""How each container is told to keep times and flags as they are."""

from fractions import Fraction
from math import lcm

from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

EARLIEST_S = -30
"""Matroska's first cluster stands at 0 and a block reaches at most 32.768 s before it."""

MP4_MIN_TICKS = 10_000
"""Coarser video time bases are doubled by movenc.c until they have so many ticks a second."""

MOVIE_TIMESCALE_LIMIT = 1 << 31
"""MP4's movie ticks a second are a signed 32 bit number."""

SAME_BYTES = {"fflags": "+bitexact"}
"""No random identifiers: the same work gives the same file. The plus keeps FFmpeg's other flags,
such as the one that lets it repack a stream for the container."""

_MP4_TAGS = frozenset(
    {
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "description",
    }
    | {
        "synopsis",
        "grouping",
        "lyrics",
        "show",
        "episode_id",
        "network",
        "keywords",
        "encoder",
        "track",
        "disc",
    }
    | {"hd_video", "media_type"}
)
"""What movenc.c writes where players look for it."""


def muxer_options(
    container_format: str, time_base: Fraction, source: InputContainer | None
) -> dict[str, str]:
    """FFmpeg's options for an output of this format beside ``source``, whose streams will be
    copied.

    Matroska: FFmpeg would move the whole film when something begins before zero, as the priming
    samples of AAC do (by 23 ms at 44.1 kHz). Blocks may stand before zero, and are read back there
    exactly, so nothing is moved. MP4: a track that begins late says so in ticks of the movie; a
    thousand a second would round it.
    """
    streams = [] if source is None else list(source.streams)
    if container_format in ("matroska", "webm"):
        starts = [
            s.start_time * s.time_base for s in streams if s.start_time is not None and s.time_base
        ]
        # Without "passthrough" the first stream of each kind would become a default one.
        options = {"default_mode": "passthrough", **SAME_BYTES}
        if min(starts, default=Fraction(0)) >= EARLIEST_S:
            options["avoid_negative_ts"] = "disabled"
        return options
    if container_format not in ("mp4", "mov"):
        return dict(SAME_BYTES)
    scale = 1
    for ticks in [
        _mp4_ticks(time_base),
        *(_mp4_ticks(s.time_base, s) for s in streams if s.time_base is not None),
    ]:
        both = lcm(scale, ticks)
        scale = both if both < MOVIE_TIMESCALE_LIMIT else scale
    options = {"movie_timescale": str(scale), **SAME_BYTES}
    if source is not None and {key.lower() for key in source.metadata} - _MP4_TAGS - OF_MP4_ITSELF:
        options["movflags"] = "use_metadata_tags"
    return options


def _mp4_ticks(time_base: Fraction, stream: Stream | None = None) -> int:
    """Ticks a second that movenc.c gives a track; the movie's must be a multiple for its start to
    be exact."""
    if isinstance(stream, AudioStream):
        return stream.codec_context.sample_rate or 1
    ticks = time_base.denominator
    while ticks < MP4_MIN_TICKS and (stream is None or isinstance(stream, VideoStream)):
        ticks *= 2
    return ticks


OF_MP4_ITSELF = frozenset({"major_brand", "minor_version", "compatible_brands", "creation_time"})
"""What FFmpeg reads from an MP4's own fields as if it were metadata."""
