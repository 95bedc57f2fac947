"""Receives network streams, through PyAV: RTSP, RTMP, HLS, SRT, MPEG-TS over UDP or TCP, HTTP."""

from collections.abc import Generator, Iterator
from itertools import chain

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError

from streamsr.errors import SourceError
from streamsr.frame import Image, StreamInfo
from streamsr.interrupt import Waits
from streamsr.media.decode import DAMAGED_IN_A_ROW, display_matrix
from streamsr.media.frames import FrameReader, tags_of
from streamsr.media.input import main_video
from streamsr.media.url import reason, scheme_of, without_password
from streamsr.options import MAX_PIXELS
from streamsr.picture.buffers import BufferPool
from streamsr.sources.audio import LiveSound
from streamsr.sources.reconnect import TIME_BASE, ReconnectingSource
from streamsr.stats import Event, Recorder

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "rtp", "srt", "tcp")

PROTOCOLS = "crypto,http,https,httpproxy,rtmp,rtmps,rtmpt,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp"
"""Protocols that a stream may use: a playlist from the network must not name local files."""

TIMEOUT_S = 5.0
"""Longest wait for a connection and for a packet."""

OPTIONS = {
    "": {"protocol_whitelist": PROTOCOLS, "probesize": "1000000", "analyzeduration": "1000000"},
    "rtsp": {"rtsp_transport": "tcp"},  # through firewalls, and without torn pictures
}


def is_network(spec: str) -> bool:
    return scheme_of(spec) in SCHEMES


def network(
    url: str,
    *,
    timeout_s: float = TIMEOUT_S,
    record: Recorder | None = None,
    pause: Waits | None = None,
) -> ReconnectingSource:
    """A source for the stream at this URL.

    timeout_s  longest wait for a connection and for a packet

    A stream that breaks off or falls silent is connected to again. One of known length, such as a
    file over HTTP, ends at its end.
    """
    name = without_password(url)
    record = record or Recorder()
    sound = LiveSound(name, record)
    return ReconnectingSource(
        name,
        lambda: _Stream(url, name, timeout_s, record, sound),
        record=record,
        sound=sound,
        pause=pause,
    )


class _Stream:
    """A connection; see `streamsr.sources.reconnect.Session` for the contract."""

    def __init__(
        self, url: str, name: str, timeout_s: float, record: Recorder, sound: LiveSound
    ) -> None:
        self._url = url
        self._name = name
        self._timeout_s = timeout_s
        self._record = record
        self._sound = sound
        options = OPTIONS[""] | OPTIONS.get((scheme_of(url) or "").removesuffix("s"), {})
        try:
            self._container = av.open(
                url, "r", options=options, timeout=timeout_s, metadata_errors="replace"
            )
        except (FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{name}: {reason(error, url, timeout_s)}") from error
        self._pool = BufferPool()
        try:
            self._prepare()
        except BaseException:
            self._container.close()
            raise

    def _prepare(self) -> None:
        """Find the video and decode its first frame."""
        stream = main_video(self._container)
        codec = stream.codec_context if stream is not None else None
        if stream is None or codec is None:
            raise SourceError(f"{self._name}: carries no video")
        stream.thread_type = "SLICE"  # threads by frame would hold frames back
        self._stream = stream
        heard = self._container.streams.best("audio", related=stream)
        self._heard = [heard] if isinstance(heard, AudioStream) else []
        self._sound.begin(self._heard[0] if self._heard else None)
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            raise SourceError(f"{self._name}: ended before the first picture")
        if first.width * first.height > MAX_PIXELS:
            raise SourceError(
                f"{self._name}: a picture of {first.width}x{first.height} is too large"
            )
        self._first: av.VideoFrame | None = first
        tags = tags_of(first).resolved(first.width, first.height)
        self._reader = FrameReader(tags, codec=codec.name)
        self.info = StreamInfo(
            first.width,
            first.height,
            TIME_BASE,
            rate=stream.average_rate or stream.guessed_rate,
            color=tags,
            pixel_format=first.format.name,
            display_matrix=display_matrix(first),
            live=True,
            lossy=codec.codec.lossy,
        )

    def pictures(self) -> Iterator[tuple[Image, float | None]]:
        first, self._first = self._first, None
        for frame in chain([first] if first is not None else [], self._decoded):
            rgb = self._pool.take((frame.height, frame.width, 3))
            self._reader.read(frame, rgb)
            rgb.flags.writeable = False
            yield rgb, frame.time

    def _decode(self) -> Generator[av.VideoFrame]:
        """All frames. Raises SourceError when the connection breaks."""
        damaged = 0
        packets = self._container.demux(self._stream, *self._heard)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                raise SourceError(
                    f"{self._name}: {reason(error, self._url, self._timeout_s)}"
                ) from error
            if packet is None:
                break
            if packet.stream_index != self._stream.index:
                self._sound.put(packet)
                continue
            try:
                frames = self._stream.decode(packet)
            except FFmpegError as error:
                self._record.count(Event.DAMAGED)
                damaged += 1
                if damaged >= DAMAGED_IN_A_ROW:
                    raise SourceError(
                        f"{self._name}: {damaged} frames in a row cannot be decoded"
                    ) from error
                continue
            damaged = 0 if frames else damaged
            yield from frames
        if not self._container.duration:
            raise SourceError(f"{self._name}: broke off")

    def close(self) -> None:
        self._decoded.close()
        self._container.close()
