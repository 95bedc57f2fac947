"""Which container an output gets, and what it can hold of a film."""

import contextlib
import io
import os
from pathlib import Path

import av
from av.container.input import InputContainer
from av.error import FFmpegError
from av.stream import AttachmentStream, Discard, Stream

from streamsr.errors import SinkError
from streamsr.media.audio import can_be_samples
from streamsr.media.encode import canonical_name
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
"""Text subtitles that are more than words: places, colours, fonts."""

PLAIN = frozenset({"mpegts", "avi"})
"""Containers without chapters and without a turn of the picture."""

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
    }
    | {
        "dts",
        "truehd",
        "opus",
        "s302m",
        "pcm_bluray",
        "dvb_subtitle",
        "dvb_teletext",
        "hdmv_pgs_subtitle",
        "klv",
    }
    | {"timed_id3"}
)
"""FFmpeg's muxer takes anything, but nobody can tell what the rest is."""

HEAD_BYTES = 1 << 20
"""Matroska's tracks stand at the beginning, before the pictures."""

Unheld = dict[int | str, str]
"""What a container cannot hold, in words, by the stream's index or another name."""


def check_output(path: Path, *, overwrite: bool) -> str:
    """FFmpeg's name of the container for this output. Raises SinkError when the path cannot become
    one."""
    if path.suffix.lower() not in FORMATS:
        raise SinkError(
            f"{path}: unknown kind of video file {path.suffix!r}; known: {' '.join(FORMATS)}"
        )
    if path.is_dir():
        raise SinkError(f"{path}: is a directory")
    if os.path.lexists(path) and not overwrite:  # a link to nothing is somebody's too
        raise SinkError(f"{path}: exists already; --overwrite replaces it")
    if not path.parent.is_dir():
        raise SinkError(f"{path}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise SinkError(f"{path}: the directory {path.parent} cannot be written")
    return FORMATS[path.suffix.lower()]


def better_in_matroska(container: str, film: InputContainer, encoder: str) -> Unheld:
    """What Matroska holds of the film and this container does not; nothing when Matroska would lose
    something instead.

    encoder  FFmpeg's name, of the new video
    """
    if container == "matroska":
        return {}
    here, there = unheld(container, film, encoder), unheld("matroska", film, encoder)
    return (
        {what: words for what, words in here.items() if what not in there}
        if there.keys() <= here.keys()
        else {}
    )


def unheld(container: str, film: InputContainer, encoder: str) -> Unheld:
    """What an output in this container, upscaled from ``film``, lacks."""
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
        found["times"] = (
            # it has none: pictures come at one rate, sound from zero
            "the times of frames and sound"
        )
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
    """Whether the container has a place for a copy of the stream as it is.

    Muxers say so only when the header is written, and then do not say which stream it was: so each
    one is tried alone.
    """
    if isinstance(stream, AttachmentStream) or (is_cover(stream) and container == "matroska"):
        return container == "matroska"
    if container == "mpegts" and codec_of(stream) not in IN_TRANSPORT_STREAMS:
        return False
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


def becomes_text(container: str, stream: Stream) -> bool:
    """Whether the stream's words can be kept in the container's own kind of subtitle."""
    return container in OWN and codec_of(stream) in TEXT


def becomes_samples(container: str, stream: Stream) -> bool:
    """Whether the stream is sound to be decoded, because not even Matroska takes it as it is."""
    return can_be_samples(container, stream) and not fits("matroska", stream)


def is_carried_otherwise(stream: Stream) -> bool:
    """Whether what a data stream says is read as something else: chapters' titles, or a timecode,
    which is metadata."""
    return stream.type == "data" and (
        stream.discard == Discard.all or "timecode" in stream.metadata
    )


def is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def codec_of(stream: Stream) -> str:
    """FFmpeg's name, empty for none that it knows."""
    if stream.codec_context:
        return stream.codec_context.codec.canonical_name
    return "webvtt" if stream.type == "subtitle" and _has_webvtt(stream.container.name) else ""


def _has_webvtt(path: str) -> bool:
    """Whether a Matroska file names WebVTT as mkvmerge does, which FFmpeg knows only by WebM's
    older name."""
    try:
        with open(path, "rb") as file:
            return b"S_TEXT/WEBVTT" in file.read(HEAD_BYTES)
    except OSError:  # not a file that this machine sees
        return False


def title(stream: Stream) -> str:
    """What the stream is, for people."""
    name = codec_of(stream) or stream.metadata.get("filename", "unknown codec")
    return f"{stream.type} stream {stream.index} ({name})"
