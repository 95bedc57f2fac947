"""Which container a file name means, and what of an input each container can hold."""

import contextlib
import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container.input import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import AttachmentStream, Discard, Stream

from streamsr.errors import SinkError
from streamsr.media.audio import can_be_samples
from streamsr.media.codecs import canonical_name
from streamsr.media.input import main_video
from streamsr.media.subtitles import OWN, TEXT

FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".avi": "avi",
}

STYLED = frozenset({"ass", "ssa"})
"""Text subtitles with positions, colours and fonts."""

PLAIN = frozenset({"mpegts", "avi"})
"""Containers that hold neither chapters nor a rotation."""

IN_TRANSPORT_STREAMS = frozenset(
    {
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "h264",
        "hevc",
        "vvc",
        "mp1",
        "mp2",
        "mp3",
        "aac",
        "aac_latm",
        "ac3",
        "eac3",
        "dts",
        "truehd",
        "opus",
        "s302m",
        "pcm_bluray",
        "dvb_subtitle",
        "dvb_teletext",
        "hdmv_pgs_subtitle",
        "klv",
        "timed_id3",
    }
)
"""Codecs that a transport stream can name. FFmpeg's muxer takes others too, but no player then
knows what they are."""

HEAD_BYTES = 1 << 20
"""Bytes to search for Matroska's list of tracks, which comes before the packets."""

Unheld = dict[int | str, str]
"""What a container cannot hold, in words, by the index of the stream or by a name such as
``chapters``."""


def check_output(path: Path, *, overwrite: bool) -> str:
    """FFmpeg's name of the container for this file name. Raises SinkError when no file can be made
    there."""
    if path.suffix.lower() not in FORMATS:
        raise SinkError(
            f"{path}: unknown kind of video file {path.suffix!r}; known: {' '.join(FORMATS)}"
        )
    if path.is_dir():
        raise SinkError(f"{path}: is a directory")
    if os.path.lexists(path) and not overwrite:  # also a dangling link
        raise SinkError(f"{path}: exists already; --overwrite replaces it")
    if not path.parent.is_dir():
        raise SinkError(f"{path}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise SinkError(f"{path}: the directory {path.parent} cannot be written")
    return FORMATS[path.suffix.lower()]


def better_in_matroska(container: str, film: InputContainer, encoder: str) -> Unheld:
    """What of the input this container cannot hold and Matroska can; empty when Matroska in turn
    cannot hold something that this container can.

    encoder  FFmpeg's name of the encoder of the new video
    """
    if container == "matroska":
        return {}
    here = unheld(container, film, encoder)
    there = unheld("matroska", film, encoder)
    if not there.keys() <= here.keys():
        return {}
    return {what: words for what, words in here.items() if what not in there}


def unheld(container: str, film: InputContainer, encoder: str) -> Unheld:
    """What of the input, with its video encoded anew, this container cannot hold."""
    found: Unheld = {}
    main = main_video(film)
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream(encoder)
        held = container != "mpegts" or canonical_name(encoder) in IN_TRANSPORT_STREAMS
    except (FFmpegError, ValueError):
        held = False
    if not held:
        found["codec"] = f"{canonical_name(encoder)} video"
    if container == "avi" and film.format.name != "avi":
        # It has one frame rate, and sound starts at zero.
        found["times"] = "the times of frames and sound"
    if container in PLAIN and film.chapters():
        found["chapters"] = "chapters"
    for stream in film.streams:
        if (main is not None and stream.index == main.index) or is_carried_otherwise(stream):
            continue
        if fits(container, stream):
            continue
        as_text = becomes_text(container, stream)
        styled = as_text and codec_of(stream) in STYLED
        if styled or not (as_text or becomes_samples(container, stream)):
            found[stream.index] = ("the styles of " if styled else "") + title(stream)
    return found


def fits(container: str, stream: Stream) -> bool:
    """Whether the container can hold a copy of the stream.

    A muxer tells only when it writes the header, and not which stream is at fault: so each stream
    is tried alone.
    """
    if isinstance(stream, AttachmentStream) or (is_cover(stream) and container == "matroska"):
        return container == "matroska"
    if container == "mpegts" and codec_of(stream) not in IN_TRANSPORT_STREAMS:
        return False
    if is_cover(stream):
        return _holds_cover(container, stream)
    trial = av.open(io.BytesIO(), "w", format=container)
    try:
        trial.add_stream_from_template(stream)
        trial.start_encoding()
    except (FFmpegError, ValueError, TypeError):
        return False
    finally:
        with contextlib.suppress(FFmpegError, ValueError):  # a header alone makes no valid file
            trial.close()
    return True


def _holds_cover(container: str, cover: Stream) -> bool:
    """Whether a cover is one still when it is read back: MOV's muxer drops it, and AVI's makes a
    film of it, without an error."""
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container) as trial:
            copied = trial.add_stream_from_template(cover)
            copied.disposition = cover.disposition
            picture: Packet[Any] = av.Packet(b"\xff\xd8\xff\xd9")
            picture.stream = copied
            picture.pts = picture.dts = 0
            picture.time_base = Fraction(1, 1000)
            trial.mux(picture)
        file.seek(0)
        with av.open(file, "r") as read:
            return any(is_cover(stream) for stream in read.streams)
    except (FFmpegError, ValueError, TypeError):
        return False


def becomes_text(container: str, stream: Stream) -> bool:
    """Whether the stream is text that the container can hold in its own subtitle format."""
    return container in OWN and codec_of(stream) in TEXT


def becomes_samples(container: str, stream: Stream) -> bool:
    """Whether this audio must be decoded to PCM: no container holds its codec."""
    return can_be_samples(container, stream) and not fits("matroska", stream)


def is_carried_otherwise(stream: Stream) -> bool:
    """Whether this data stream is carried as something else: chapters' titles as chapters, a
    timecode as metadata."""
    return stream.type == "data" and (
        stream.discard == Discard.all or "timecode" in stream.metadata
    )


def is_cover(stream: Stream) -> bool:
    """Whether the stream is a cover picture, not a video."""
    return bool(stream.disposition & stream.disposition.attached_pic)


def codec_of(stream: Stream) -> str:
    """FFmpeg's name of the codec, empty for one that it does not know."""
    if stream.codec_context:
        return stream.codec_context.codec.canonical_name
    return "webvtt" if stream.type == "subtitle" and _has_webvtt(stream.container.name) else ""


def _has_webvtt(path: str) -> bool:
    """Whether a Matroska file has WebVTT by mkvmerge's name; FFmpeg knows WebM's older one only."""
    try:
        with open(path, "rb") as file:
            return b"S_TEXT/WEBVTT" in file.read(HEAD_BYTES)
    except OSError:  # on another machine
        return False


def title(stream: Stream) -> str:
    """Name the stream in a message: kind, index, codec."""
    name = codec_of(stream) or stream.metadata.get("filename", "unknown codec")
    return f"{stream.type} stream {stream.index} ({name})"
