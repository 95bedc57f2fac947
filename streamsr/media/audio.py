"""Sound that no container here takes as it is, as in old phones' and cameras' files: decoded, and
kept as samples."""

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
"""Which take plain samples of every kind below."""

PCM = {"u8": "s16", "s16": "s16", "s32": "s32", "flt": "flt", "dbl": "flt"}
"""The format that is written, by what the decoder gives; FFmpeg's names without the p of planar
ones."""

CODECS = {"s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le"}


class Samples:
    """Decodes one sound stream into packed samples; nothing is lost against the decoder."""

    def __init__(self, source: AudioStream) -> None:
        context = source.codec_context
        self.format = PCM[context.format.name.removesuffix("p")]
        self._resampler = AudioResampler(self.format, context.layout, context.sample_rate)

    def of(self, packet: "Packet[Any]") -> "Iterator[av.AudioFrame]":
        """The packet's samples; those that cannot be decoded are left out, as a player would."""
        try:
            frames = packet.decode()
        except FFmpegError:
            return
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            yield from self._resampler.resample(frame)


class SoundConverter:
    """One sound stream of ``output`` that takes the packets of ``source`` as samples."""

    def __init__(self, output: OutputContainer, source: AudioStream) -> None:
        context = source.codec_context
        self._samples = Samples(source)
        self.codec = CODECS[self._samples.format]
        self.stream: Any = output.add_stream(
            self.codec, rate=context.sample_rate, layout=context.layout.name
        )

    def converted(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        for frame in self._samples.of(packet):
            yield from self.stream.encode(frame)


def can_be_samples(container: str, stream: Stream) -> bool:
    """Whether the stream is sound that this FFmpeg decodes and this container takes as samples."""
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
