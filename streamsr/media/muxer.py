"""Options of FFmpeg's muxers that keep times and flags exact."""

from fractions import Fraction
from math import lcm

from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

EARLIEST_S = -30
"""Matroska's first cluster is at 0, and a block at most 32.768 s before its cluster."""

MP4_MIN_TICKS = 10_000
"""movenc.c doubles the ticks per second of a video until it has so many."""

MOVIE_TIMESCALE_LIMIT = 1 << 31
"""MP4's movie ticks per second are a signed 32-bit number."""

SAME_BYTES = {"fflags": "+bitexact"}
"""No random identifiers, so that the same work gives the same file. The plus keeps FFmpeg's default
flags, such as the one for bitstream filters that a container needs."""

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
        "hd_video",
        "media_type",
    }
)
"""Metadata that movenc.c writes by default, where players look for it."""


def muxer_options(
    container_format: str, time_base: Fraction, source: InputContainer | None
) -> dict[str, str]:
    """Options of FFmpeg's muxer for an output in this container.

    time_base  of the video, seconds per tick
    source     the input whose other streams will be copied, None for none

    Matroska: FFmpeg would shift the whole file when a packet is before zero, as the priming samples
    of AAC are (by 23 ms at 44.1 kHz). Matroska can hold such packets exactly, so nothing is
    shifted. MP4: a track's start is stored in ticks of the movie; the default of a thousand per
    second would round it. The index is moved to the front at the end, so that a player on the web
    begins before all is there: 4 GiB took 0.8 s, in the system's memory.
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
    flags = "+faststart"
    if source is not None and {key.lower() for key in source.metadata} - _MP4_TAGS - OF_MP4_ITSELF:
        flags = f"use_metadata_tags{flags}"
    return {"movie_timescale": str(scale), "movflags": flags, **SAME_BYTES}


def _mp4_ticks(time_base: Fraction, stream: Stream | None = None) -> int:
    """Ticks per second that movenc.c gives a track. The movie's must be a multiple of them for the
    track's start to be exact."""
    if isinstance(stream, AudioStream):
        return stream.codec_context.sample_rate or 1
    ticks = time_base.denominator
    while ticks < MP4_MIN_TICKS and (stream is None or isinstance(stream, VideoStream)):
        ticks *= 2
    return ticks


OF_MP4_ITSELF = frozenset({"major_brand", "minor_version", "compatible_brands", "creation_time"})
"""Fields of an MP4 that FFmpeg reads as metadata."""
