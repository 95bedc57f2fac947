"""One connection to a network stream: opened, joined at a key frame, decoded."""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.error import ArgumentError, FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsr.errors import SourceError, reason_of
from streamsr.frame import StreamInfo
from streamsr.media.coded import Look, export_quantisers
from streamsr.media.decode import Damage, bounded, display_matrix
from streamsr.media.deinterlace import progressive
from streamsr.media.frames import FrameReader, tags_of
from streamsr.media.input import main_video
from streamsr.media.url import reason, scheme_of
from streamsr.media.video import sar_of
from streamsr.options import MAX_PIXELS
from streamsr.picture.buffers import BufferPool
from streamsr.sources.live_sound import LiveSound
from streamsr.sources.read_ahead import Arrived, ReadAhead
from streamsr.sources.reconnect import TIME_BASE, Picture
from streamsr.sources.shown import PLAYLISTS, REPEATED_S, Shown, is_at_end, is_torn
from streamsr.stats import Recorder

log = logging.getLogger("streamsr")

PROTOCOLS = "crypto,http,https,httpproxy,rtmp,rtmps,rtmpt,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp"
"""Protocols that a stream may use: a playlist from the network must not name local files."""

FORMATS = (
    "aac,ac3,asf,av1,avi,dash,dv,eac3,flac,flv,gxf,h261,h263,h264,hevc,hls,ivf,live_flv,m4v,"
    "matroska,mjpeg,mov,mp3,mpeg,mpegts,mpegtsraw,mpegvideo,mpjpeg,mxf,nut,obu,ogg,rm,rtp,rtsp,sdp,"
    "vc1,vvc,wav,webm,webvtt,wtv,yuv4mpegpipe"
)
"""FFmpeg's formats that a stream, or a piece of a playlist, may have. Not text, which FFmpeg draws,
nor lists of files to join, nor single pictures."""

OPTIONS = {
    "": {
        "protocol_whitelist": PROTOCOLS,
        "format_whitelist": FORMATS,
        "probesize": "1000000",
        "analyzeduration": "1000000",
        "merge_pmt_versions": "1",  # an encoder that begins again may number its streams anew
    },
    "rtsp": {"rtsp_transport": "tcp"},  # through firewalls, and without torn pictures
}

CAMERA = "mpjpeg"
"""A camera's pictures have no end, whatever length it claims for its answer."""

NO_TIMESTAMPS = 0x80
"""FFmpeg's AVFMT_NOTIMESTAMPS: the times that such a container gives are counted, not read."""

WAITING = "waiting for a key frame"
SAID_AFTER_S = 1.0
"""A viewer that waits for so long is told what for."""

NO_PICTURES = "no pictures come"

MOST_LOST = 3
"""Connections that cannot be closed, because their sender goes on with what is not read: each keeps
a thread."""

DEFAULT_RATE = 25
"""Of bare pictures that do not say theirs, as FFmpeg takes it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is the same for all connections to an address.

    name     the address as messages have it
    say      takes a line for the viewer
    stopped  whether the run is to end
    end      ends the run
    """

    url: str
    name: str
    timeout_s: float
    interlaced: str
    record: Recorder
    sound: LiveSound
    say: Callable[[str], None]
    stopped: Callable[[], bool]
    end: Callable[[], None]


class Connection:
    """A connection; see `streamsr.sources.reconnect.Session` for the contract.

    shown    what the connections before it have shown; kept up to date
    film     it is of known length
    fetched  it comes as fast as we ask for it
    """

    def __init__(self, asked: Asked, shown: Shown) -> None:
        self._asked = asked
        self._shown = shown
        self._name = asked.name
        self._pool = BufferPool()
        self._read_ahead: ReadAhead | None = None
        self._index = 0
        self._read_to = -1  # bytes of a film
        self._key_bytes: int | None = None  # of the first key frame
        begun_s = time.monotonic()
        self._container = self._opened()
        try:
            kind = self._container.format.name
            sized = kind not in (*PLAYLISTS, CAMERA) and self._container.size > 0
            self.film = bool(self._container.duration) or sized
            self.fetched = self.film or kind in PLAYLISTS
            self._timed = not self._container.format.flags & NO_TIMESTAMPS
            self._stream = self._main_video()
            self._after_s = shown.time_s if self.fetched else None
            self._frames: Iterator[VideoFrame] = iter(())
            self._first: VideoFrame | None = None
            if shown.info is not None and shown.is_all(
                self._container, film=self.film, name=self._name
            ):
                self.info = shown.info
                return
            if self.film and self._after_s is not None:
                self._seek(self._after_s)
            heard = self._heard()  # of the container that is read: seeking may open it again
            asked.sound.begin(heard)
            streams = [self._stream] if heard is None else [self._stream, heard]
            self._read_ahead = ReadAhead(
                _demuxed(self._container),
                taken={stream.index for stream in streams},
                stopped=asked.stopped,
                patience_s=2 * asked.timeout_s,
                # What is fetched goes by its times and our clock alone.
                begun_s=math.inf if self._timed and self.fetched else begun_s,
                timed=self._timed,
            )
            decoded = self._decode(self._read_ahead, begun_s)
            fields = progressive(decoded, asked.interlaced, name=self._name)
            self._frames = self._not_shown(fields)
            self._first = next(self._frames, None)
            if self._first is not None:
                self.info = self._info(self._first)
            elif shown.info is not None and self.film:
                self.info = shown.info  # nothing is left
            else:
                raise SourceError(f"{self._name}: ended before the first picture")
            if shown.info is None:
                shown.info, shown.film = self.info, self.film
        except BaseException:
            self.close()
            raise

    def _opened(self) -> InputContainer:
        url, timeout_s = self._asked.url, self._asked.timeout_s
        options = OPTIONS[""] | OPTIONS.get((scheme_of(url) or "").removesuffix("s"), {})
        try:
            return av.open(url, "r", options=options, timeout=timeout_s, metadata_errors="replace")
        except ArgumentError as error:  # FFmpeg's word for a format that is not on the list
            raise SourceError(f"{self._name}: {reason_of(error)}, or no stream") from error
        except (FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{self._name}: {reason(error, url, timeout_s)}") from error

    def _seek(self, time_s: float) -> None:
        """Go to a key frame before this time; where that cannot be, to the beginning."""
        try:
            self._container.seek(int(time_s * av.time_base))
        except (FFmpegError, OSError):  # its server or its container knows no places
            self._container.close()
            self._container = self._opened()
            self._stream = self._main_video()

    def _main_video(self) -> VideoStream:
        """The stream to decode. Raises SourceError when there is none, or when it is too large."""
        stream = main_video(self._container)
        codec = stream.codec_context if stream is not None else None
        if stream is None or codec is None:
            raise SourceError(f"{self._name}: carries no video")
        self._check_size(codec.width, codec.height)
        bounded(codec, MAX_PIXELS)
        stream.thread_type = "SLICE"  # threads by frame would hold frames back
        export_quantisers(stream)
        return stream

    def _heard(self) -> AudioStream | None:
        """The sound that goes with the pictures."""
        heard = self._container.streams.best("audio", related=self._stream)
        return heard if isinstance(heard, AudioStream) else None

    def _info(self, first: VideoFrame) -> StreamInfo:
        stream = self._stream
        look = Look()
        look.add(first, self._key_bytes)
        return StreamInfo(
            first.width,
            first.height,
            TIME_BASE,
            rate=stream.average_rate or stream.guessed_rate,
            sar=sar_of(stream),
            color=tags_of(first).resolved(first.width, first.height),
            pixel_format=first.format.name,
            display_matrix=display_matrix(first),
            live=True,
            lossy=stream.codec_context.codec.lossy,
            coded=look.coded(stream),
        )

    def pictures(self) -> Iterator[Picture]:
        first, self._first = self._first, None
        reader = FrameReader(self.info.color, codec=self._stream.codec_context.name)
        for frame in chain([first] if first is not None else [], self._frames):
            self._check_size(frame.width, frame.height)
            rgb = self._pool.take((frame.height, frame.width, 3))
            reader.read(frame, rgb)
            rgb.flags.writeable = False
            time_s = self._time_of(frame)
            self._index += 1
            if time_s is not None:
                self._shown.time_s = time_s
            self._shown.tries = 0
            came_s = self._arrived.sent_s if self._timed else self._arrived.at_s
            yield Picture(rgb, time_s, came_s)

    def _time_of(self, frame: VideoFrame) -> float | None:
        """On the sender's clock, in seconds. Containers without times have at most a rate, which is
        often made up: then it is when the frame came."""
        if self._timed:
            return frame.time
        if self.film:
            return float(self._index / (self._stream.average_rate or DEFAULT_RATE))
        return self._arrived.sent_s

    def _not_shown(self, frames: Iterator[VideoFrame]) -> Generator[VideoFrame]:
        """The frames behind those that the connection before has shown."""
        after_s = self._after_s
        for frame in frames:
            time_s = self._time_of(frame)
            if after_s is None or time_s is None:
                yield frame
            elif time_s > after_s or (not self.film and time_s < after_s - REPEATED_S):
                after_s = None
                yield frame
            else:
                self._index += 1

    def _decode(self, read_ahead: ReadAhead, begun_s: float) -> Generator[VideoFrame]:
        """All frames from the first key frame on. Raises SourceError when the connection breaks."""
        # A film's holes come again with each connection; it goes on behind them.
        damage = Damage(self._name, self._asked.record, whole=not self.film, joined=True)
        for arrived in self._from_key_frame(self._packets(read_ahead), begun_s):
            self._arrived = arrived
            if self._key_bytes is None:
                self._key_bytes = arrived.packet.size
            if arrived.packet.pos is not None and arrived.packet.size:
                self._read_to = arrived.packet.pos + arrived.packet.size
            try:
                frames = self._stream.decode(arrived.packet)
            except FFmpegError as error:
                codec = self._stream.codec_context
                self._check_size(codec.width, codec.height)
                damage.failed(error)
                continue
            for frame in frames:
                damage.decoded(frame)
                yield frame
        if self._asked.stopped():
            return
        if not self.film or is_torn(self._container, self._shown.time_s, read_to=self._read_to):
            raise SourceError(f"{self._name}: broke off")

    def _packets(self, read_ahead: ReadAhead) -> Iterator[Arrived]:
        packets = self._without_sound(iter(read_ahead))
        try:
            yield from _whole(packets) if self.film else packets
        except TimeoutError as error:
            raise SourceError(f"{self._name}: sends nothing that is shown") from error
        except FFmpegError as error:
            if self.film and is_at_end(self._container, self._shown.time_s):
                return
            asked = self._asked
            raise SourceError(
                f"{self._name}: {reason(error, asked.url, asked.timeout_s)}"
            ) from error

    def _without_sound(self, packets: Iterator[Arrived]) -> Iterator[Arrived]:
        """The packets of the pictures; those of the sound go their own way."""
        last_s, said = time.monotonic(), False
        for arrived in packets:
            packet = arrived.packet
            if packet.stream.index == self._stream.index:
                last_s = arrived.at_s
                yield arrived
                continue
            if packet.size:
                self._asked.sound.put(packet)
            if not said and arrived.at_s - last_s > self._asked.timeout_s:
                said = True
                self._asked.say(NO_PICTURES)
                log.warning("%s: %s", self._name, NO_PICTURES)

    def _from_key_frame(self, packets: Iterator[Arrived], begun_s: float) -> Iterator[Arrived]:
        """The packets without those before the first key frame, which need what was sent before
        we came."""
        said = False
        for arrived in packets:
            packet = arrived.packet
            ours = packet.stream_index == self._stream.index
            if ours and (packet.is_keyframe or not packet.size):
                yield arrived
                break
            if not said and arrived.at_s - begun_s > SAID_AFTER_S:
                said = True
                self._asked.say(WAITING)
                log.warning("%s: %s", self._name, WAITING)
        yield from packets

    def _check_size(self, width: int, height: int) -> None:
        """Raise SourceError for a picture that is too large. A size of 0 is unknown."""
        if width * height > MAX_PIXELS:
            raise SourceError(f"{self._name}: a picture of {width}x{height} is too large")

    def close(self) -> None:
        # First: the thread reads from the container.
        if self._read_ahead is None or self._read_ahead.close(2 * self._asked.timeout_s):
            self._container.close()
        else:
            self._shown.lost += 1
            if self._shown.lost >= MOST_LOST:
                log.warning("%s: cannot be hung up on; no more connections", self._name)
                self._asked.end()


def _demuxed(container: InputContainer) -> "Iterator[Packet[Any]]":
    """The packets of all streams: a sender of others than those shown is not silent."""
    try:
        yield from container.demux()
    except IndexError:  # PyAV's, at the end, where streams came later than the first packet
        return


def _whole(packets: Iterator[Arrived]) -> Iterator[Arrived]:
    """The packets of a film, without the one that a break tears: it comes again behind that."""
    torn: Arrived | None = None
    for arrived in packets:
        if torn is not None:
            yield torn
        torn = arrived if arrived.packet.is_corrupt else None
        if torn is None:
            yield arrived
    if torn is not None:
        yield torn
