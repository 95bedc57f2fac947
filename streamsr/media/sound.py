"""The sound of a live source: packets on the clock of its pictures, and how an output takes them.

Packets are copied where the output's container holds their codec, else encoded in AAC.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from numpy.typing import NDArray

from streamsr.errors import SourceError
from streamsr.media.containers import fits
from streamsr.media.packets import PACKET_ERRORS

TAKEN = {
    # Enhanced FLV names more codecs, which few servers know.
    "flv": frozenset({"aac", "mp3"}),
    "hls": frozenset({"aac", "mp3"}),  # that browsers play
    # There is no file whose header could be tried: what FFmpeg's sdp.c describes.
    "rtsp": frozenset({"aac", "ac3", "mp2", "mp3", "opus", "pcm_alaw", "pcm_mulaw"}),
}
"""Codecs of sound by container, where trying is not enough."""

ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
"""Samples a second by their index in AAC's header (ISO/IEC 14496-3, table 1.18)."""

BITS = 96_000
"""Bits a second for each channel that is encoded."""

GAP_S = Fraction(1, 200)
"""Decoded sound whose time differs by more from where the sound before it ends is moved there: by
silence, or by leaving samples out."""

LONGEST_SILENCE_S = 10
"""A longer hole stays one."""


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """A packet of coded sound and its place in time.

    time_s, duration_s  on the clock of the source's frames; a duration of 0 is unknown
    """

    data: bytes
    time_s: Fraction
    duration_s: Fraction = Fraction(0)


class SoundFormat:
    """How the packets of a stream are coded. Needs nothing of the container that they come from,
    which may be closed.

    stream    of an opened container
    first     its first packet, where it is there: AAC in a transport stream says only in its
              packets how it is coded. Without one, what FFmpeg found out must do
    template  a stream like it, for outputs that copy its packets
    copyable  whether they can
    key       what another stream must have alike so that its packets may follow

    Raises SourceError for a codec that this FFmpeg does not know.
    """

    def __init__(self, stream: AudioStream, first: bytes | None = None) -> None:
        context = stream.codec_context
        if context is None:
            raise SourceError("its codec is unknown to this build of FFmpeg")
        self.codec: str = context.codec.canonical_name
        self.rate = context.sample_rate
        self.channels = context.layout.nb_channels
        headers = bytes(context.extradata or b"")
        is_adts = self.codec == "aac" and not headers
        if is_adts:
            headers = _config(first or _adts(context))
        self.copyable = bool(headers) or not is_adts
        self.key = self.codec, self.rate, self.channels, headers
        self._headers = headers
        self._input = _without_packets(stream, headers)
        self.template = self._input.streams.audio[0]

    def __str__(self) -> str:
        return f"{self.codec} {self.rate} Hz"

    def payload(self, data: bytes) -> bytes:
        """The packet as `template` says that it is coded."""
        if self.codec == "aac" and self._headers and _is_adts(data):
            return data[7 if data[1] & 1 else 9 :]
        return data

    def decoder(self) -> InputContainer:
        """A container whose one stream decodes such packets. For one thread, which closes it."""
        return _without_packets(self.template, self._headers)


def _is_adts(data: bytes) -> bool:
    return len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0


def _adts(context: AudioCodecContext) -> bytes:
    """The beginning of a packet of AAC as FFmpeg describes it; empty for more than the plain kind,
    of which a packet says less."""
    channels = context.layout.nb_channels
    if context.profile != "LC" or context.sample_rate not in ADTS_RATES or not 1 <= channels <= 6:
        return b""
    rate = ADTS_RATES.index(context.sample_rate)
    header = 0xFFF1 << 40 | 1 << 38 | rate << 34 | channels << 30
    return header.to_bytes(7) + bytes(1)


def _config(data: bytes) -> bytes:
    """The AudioSpecificConfig of a packet with an ADTS header (ISO/IEC 14496-3, 1.A.3); empty for
    one that it cannot describe: several blocks in one packet, channels named within."""
    if not _is_adts(data):
        return b""
    kind, rate = (data[2] >> 6) + 1, data[2] >> 2 & 15
    channels = (data[2] & 1) << 2 | data[3] >> 6
    if data[6] & 3 or not channels or rate >= len(ADTS_RATES):
        return b""
    return (kind << 11 | rate << 7 | channels << 3).to_bytes(2)


def _without_packets(stream: AudioStream, headers: bytes) -> InputContainer:
    """An input with one stream like this, of which no packet is read."""
    content = io.BytesIO()
    with av.open(content, "w", format="nut") as output:
        copy = output.add_stream_from_template(stream)
        assert copy.codec_context is not None
        if headers:
            copy.codec_context.extradata = headers
        packet: Packet[Any] = Packet(bytes(8))  # FFmpeg opens no NUT without a packet
        packet.stream = copy
        packet.pts = packet.dts = 0
        packet.time_base = Fraction(1, 1000)
        output.mux(packet)
    options = {"probesize": "32", "analyzeduration": "0"}  # the header says all
    return av.open(io.BytesIO(content.getvalue()), "r", format="nut", options=options)


@dataclass(frozen=True, slots=True)
class SoundPlan:
    """What an output makes of a source's sound: copies its packets, or encodes AAC."""

    format: SoundFormat
    copied: bool

    def __str__(self) -> str:
        return f"{self.format} {'copied' if self.copied else 'as aac'}"


def planned(container: str, sound: SoundFormat) -> SoundPlan:
    """What an output in this container, by FFmpeg's name, does with the sound."""
    if container in TAKEN:
        held = sound.codec in TAKEN[container]
    else:
        held = fits(container, sound.template)
    return SoundPlan(sound, copied=held and sound.copyable)


class SoundTrack:
    """Adds a stream of sound to an output and muxes packets into it. For one thread, which closes
    it."""

    def __init__(self, output: OutputContainer, plan: SoundPlan) -> None:
        self._output = output
        self._encoder = None if plan.copied else _Encoder(output, plan.format)
        if self._encoder is None:
            self._stream: Any = output.add_stream_from_template(plan.format.template)
        else:
            self._stream = self._encoder.stream
        self._last = -1

    def mux(self, packet: SoundPacket, begin_s: Fraction) -> bool:
        """Mux a packet; ``begin_s`` is the output's zero on the packet's clock. Returns False for
        one that begins before it or that the output cannot take. Raises PyAV's other errors."""
        time_s = packet.time_s - begin_s
        if time_s < 0:
            return False
        try:
            if self._encoder is not None:
                for encoded in self._encoder.encoded(packet.data, time_s):
                    self._put(encoded)
                return True
            base = self._stream.time_base
            copy: Packet[Any] = Packet(packet.data)
            copy.time_base = base
            copy.pts = copy.dts = round(time_s / base)
            copy.duration = round(packet.duration_s / base)
            copy.is_keyframe = True
            self._put(copy)
        except PACKET_ERRORS:
            return False
        return True

    def _put(self, packet: "Packet[Any]") -> None:
        """Mux at the packet's time, or at the next free tick: muxers refuse one that runs back."""
        base = self._stream.time_base
        assert packet.pts is not None
        ticks = max(round(packet.pts * packet.time_base / base), self._last + 1)
        self._last = ticks
        packet.stream = self._stream
        packet.time_base = base
        packet.pts = packet.dts = ticks
        self._output.mux(packet)

    def finish(self) -> None:
        """Mux what the encoder holds. Raises PyAV's errors."""
        if self._encoder is not None:
            for packet in self._encoder.rest():
                self._put(packet)

    def close(self) -> None:
        """Let go of the decoder. Harmless twice."""
        if self._encoder is not None:
            self._encoder.close()


class _Encoder:
    """Decodes packets and encodes their samples in AAC, each at its own time."""

    def __init__(self, output: OutputContainer, sound: SoundFormat) -> None:
        self._source = sound.decoder()
        context = self._source.streams.audio[0].codec_context
        assert context is not None
        self._decoder = context
        self._rate = sound.rate if sound.rate in ADTS_RATES else 48000
        self._layout = "mono" if sound.channels == 1 else "stereo"
        self._resampler = AudioResampler("fltp", self._layout, self._rate)
        channels = 1 if sound.channels == 1 else 2
        self.stream = output.add_stream(
            "aac", rate=self._rate, layout=self._layout, bit_rate=BITS * channels
        )
        self.stream.time_base = Fraction(1, self._rate)
        self._none: NDArray[np.float32] = np.empty((channels, 0), np.float32)
        self._samples = self._none
        self._next: int | None = None  # where in time, in samples, the first of them stands

    def close(self) -> None:
        self._source.close()

    def encoded(self, data: bytes, time_s: Fraction) -> "Iterator[Packet[Any]]":
        """The packets that are full with these samples, which begin at this time."""
        packet: Packet[Any] = Packet(data)
        packet.time_base = Fraction(1, self._rate)
        packet.pts = packet.dts = round(time_s * self._rate)
        try:
            decoded = self._decoder.decode(packet)
        except FFmpegError:  # damaged: its samples are missing, which the next ones show
            return
        for heard in decoded:
            heard.time_base = packet.time_base
            for frame in self._resampler.resample(heard):
                yield from self._take(frame)

    def _take(self, frame: AudioFrame) -> "Iterator[Packet[Any]]":
        samples = frame.to_ndarray()
        if self._next is None:
            self._next = frame.pts or 0
        end = self._next + self._samples.shape[1]
        late = 0 if frame.pts is None or not frame.time_base else frame.pts - end
        if late > LONGEST_SILENCE_S * self._rate:
            yield from self._rest_of_block()
            self._next = end + late
        elif late > GAP_S * self._rate:
            silence = np.zeros((len(samples), late), np.float32)
            samples = np.concatenate((silence, samples), axis=1)
        elif late < -GAP_S * self._rate:
            samples = samples[:, -late:]
        self._samples = np.concatenate((self._samples, samples), axis=1)
        yield from self._blocks()

    def _blocks(self) -> "Iterator[Packet[Any]]":
        length = self.stream.codec_context.frame_size or 1024
        assert self._next is not None
        while self._samples.shape[1] >= length:
            block = np.ascontiguousarray(self._samples[:, :length])
            self._samples = self._samples[:, length:]
            frame = AudioFrame.from_ndarray(block, "fltp", self._layout)
            frame.sample_rate = self._rate
            frame.time_base = Fraction(1, self._rate)
            frame.pts = self._next
            self._next += length
            yield from self._of_sound(self.stream.encode(frame))

    def _rest_of_block(self) -> "Iterator[Packet[Any]]":
        """Fill the last block with silence."""
        length = self.stream.codec_context.frame_size or 1024
        missing = -self._samples.shape[1] % length
        silence = np.zeros((len(self._none), missing), np.float32)
        self._samples = np.concatenate((self._samples, silence), axis=1)
        if self._next is not None:
            yield from self._blocks()

    def rest(self) -> "Iterator[Packet[Any]]":
        yield from self._rest_of_block()
        if self._next is not None:
            yield from self._of_sound(self.stream.encode(None))

    @staticmethod
    def _of_sound(packets: "list[Packet[Any]]") -> "Iterator[Packet[Any]]":
        """Without the encoder's first packet, which is before zero: it holds silence."""
        for packet in packets:
            if packet.pts is not None and packet.pts >= 0:
                yield packet
