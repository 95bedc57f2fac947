"""Converts audio to PCM where no container here holds its codec, as in old phones' files."""

from collections.abc import Iterator
from typing import Any

import av
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container.output import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

CONTAINERS = frozenset({"matroska", "mp4", "mov"})
"""Containers that hold PCM of each of CODECS."""

PCM = {"u8": "s16", "s16": "s16", "s32": "s32", "flt": "flt", "dbl": "flt"}
"""Sample format written for each one that a decoder gives, in FFmpeg's names without the p of
planar formats."""

CODECS = {"s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le"}


class Samples:
    """Decodes an audio stream into packed samples, as exact as the decoder gives them."""

    def __init__(self, source: AudioStream) -> None:
        context = source.codec_context
        self.format = PCM[context.format.name.removesuffix("p")]
        self._resampler = AudioResampler(self.format, context.layout, context.sample_rate)

    def of(self, packet: "Packet[Any]") -> "Iterator[av.AudioFrame]":
        """The packet's samples. None for a damaged packet, which a player leaves out too."""
        try:
            frames = packet.decode()
        except FFmpegError:
            return
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            yield from self._resampler.resample(frame)


class SoundConverter:
    """Adds a PCM stream to ``output`` and converts the packets of ``source`` for it.

    codec   FFmpeg's name of the PCM codec
    stream  the stream of ``output``
    """

    def __init__(self, output: OutputContainer, source: AudioStream) -> None:
        context = source.codec_context
        self._samples = Samples(source)
        self.codec = CODECS[self._samples.format]
        self.stream: Any = output.add_stream(
            self.codec, rate=context.sample_rate, layout=context.layout.name
        )

    def converted(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        """The packet's samples as packets of the output."""
        for frame in self._samples.of(packet):
            yield from self.stream.encode(frame)


def can_be_samples(container: str, stream: Stream) -> bool:
    """Whether this FFmpeg decodes the stream to samples that this container holds."""
    if (
        container not in CONTAINERS
        or not isinstance(stream, AudioStream)
        or stream.codec_context is None
    ):
        return False
    kind = stream.codec_context.format
    return (
        kind is not None
        and kind.name.removesuffix("p") in PCM
        and stream.codec_context.sample_rate > 0
    )
