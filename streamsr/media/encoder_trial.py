"""Tries an encoder with two black pictures and reads them back, before the work begins.

FFmpeg's encoders do not say which ticks and which colours they can write; some write others than
they are told.
"""

import io
from collections.abc import Iterator
from dataclasses import replace

import av
import av.logging
import numpy as np
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.error import FFmpegError
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from streamsr.color import FULL, LIMITED
from streamsr.errors import SinkError, reason_of
from streamsr.frame import StreamInfo
from streamsr.media.codecs import canonical_name
from streamsr.media.encode import Coded, Encoder, rate_of
from streamsr.media.frames import tags_of
from xlsr_model import system


def tried(encoder: Encoder, info: StreamInfo, size: tuple[int, int], container: str) -> Coded:
    """What this encoder makes of these pictures in this container, with the tags that a player
    will find. Raises SinkError, with the encoder's words, when it makes nothing of them.

    size  (width, height) of the frames

    The encoders of `streamsr.media.encode.CODECS` are known, and tried for options of the user's
    only.
    """
    wanted = encoder.coded(info, size)
    if encoder.codec is not None and not encoder.encoding.encoder_options:
        return wanted
    first: Exception | None = None
    for way in _ways(encoder, wanted):
        try:
            return _read_back(encoder, info, size, container, way)
        except FFmpegError as error:
            first = first or error
        except ValueError as error:
            kind = canonical_name(encoder.name)
            raise SinkError(f"{container} cannot hold {kind} video; use .mkv") from error
    raise SinkError(_words(encoder, info, size, container, wanted)) from first


def _ways(encoder: Encoder, wanted: Coded) -> Iterator[Coded]:
    """What may be given to the encoder, the best first."""
    yield wanted
    if encoder.codec is None:
        yield replace(wanted, counted=True)
        if not VideoFormat(wanted.pixel_format).is_rgb:
            other = LIMITED if wanted.tags.range == FULL else FULL
            yield replace(wanted, tags=replace(wanted.tags, range=other))


def _encoded(
    encoder: Encoder, info: StreamInfo, size: tuple[int, int], container: str, way: Coded
) -> io.BytesIO:
    file = io.BytesIO()
    output: OutputContainer
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(
            encoder.name, rate=rate_of(info), options=encoder.options(info.hdr)
        )
        assert isinstance(stream, VideoStream)
        frames = encoder.prepare(stream.codec_context, info, size, way)
        stream.time_base = info.time_base
        with system.ordinary_threads():
            output.start_encoding()
        black = np.zeros((size[1], size[0], 3), np.uint8)
        step = max(round(1 / rate_of(info) / info.time_base), 1)
        packets = []
        for number in range(2):
            picture = frames.writer.frame(black)
            packets += frames.encode(picture, number * step, info.time_base, step)
        for packet in packets + frames.flush():
            packet.stream = stream
            output.mux_one(packet)
    file.seek(0)
    return file


def _read_back(
    encoder: Encoder, info: StreamInfo, size: tuple[int, int], container: str, way: Coded
) -> Coded:
    file = _encoded(encoder, info, size, container, way)
    if VideoFormat(way.pixel_format).is_rgb:
        return way
    film: InputContainer
    try:
        with av.open(file, "r") as film:
            frame = next(film.decode(video=0))
    except (FFmpegError, ValueError, StopIteration, IndexError):
        return way  # there is no decoder here: the encoder is taken at its word
    tags = tags_of(frame).resolved(*size)
    return replace(way, tags=tags)


def _words(
    encoder: Encoder, info: StreamInfo, size: tuple[int, int], container: str, way: Coded
) -> str:
    """What the encoder says of pictures that it refuses."""
    level, skipping = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # what it said before, it says again
    try:
        with av.logging.Capture(local=False) as said:
            _encoded(encoder, info, size, container, way)
    except (FFmpegError, ValueError) as error:
        line = next((words.strip() for *_, words in said if words.strip()), reason_of(error))
        return f"{encoder.name}: {line}"
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skipping)
    return f"{encoder.name}: takes no such pictures"
