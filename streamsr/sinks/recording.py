"""Encodes live frames into a recording, which can be played while it grows, or into a byte
stream."""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import av
from av.container.output import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from streamsr.errors import SinkError
from streamsr.frame import Frame, StreamInfo
from streamsr.media.containers import PLAIN
from streamsr.media.errors import sink_errors
from streamsr.media.frames import FrameWriter
from streamsr.media.sound import SoundPacket, SoundPlan, SoundTrack
from streamsr.sinks import check_size, outside
from streamsr.stats import Recorder, Stage
from xlsr_model import system
from xlsr_model.files import Output

FILES = {".mkv": "matroska", ".mp4": "mp4", ".ts": "mpegts"}
"""FFmpeg's container by the file's suffix."""

OPTIONS = {
    # A recording can be played however it ended: clusters and fragments of a second, written to the
    # system at once.
    "matroska": {"cluster_time_limit": "1000", "flush_packets": "1"},
    "mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"},
    "mpegts": {"flush_packets": "1"},
    "nut": {"flush_packets": "1", "write_index": "0"},
}

WITH_SOUND = {
    # Pictures and sound that come without the other are written after a second.
    "": {"max_interleave_delta": "1000000"},
    # Sound that does not begin with the first picture keeps its time, and sound alone does not
    # gather in memory.
    "mp4": {
        "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont",
        "frag_duration": "2000000",
    },
}
"""What differs by the container's name, "" for any, where there is sound."""

KEY_FRAME_S = 1
"""Time between key frames: a player that joins later waits for one."""


class StreamSink:
    """Encodes H.264 without delay. See `streamsr.sinks.Sink` for the contract.

    target       a .mkv, .mp4 or .ts file; or a binary stream, which the caller closes and which
                 gets NUT
    info         of the source: time base, rate, pixel aspect, rotation where the container holds it
    size         (width, height) of the frames
    sound        what to do with the sound that `write_sound` is given, None where there is none
    crf, preset  of libx264
    overwrite    replace a file that is there

    It differs from other sinks: a file stays without ``commit``, since live frames do not come
    again. It gets its name with the first frame and can be played from then on, also when this
    process is killed. (After a power cut the last half minute may be missing.) Without a frame
    there is no file, and an old one is kept.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | IO[bytes],
        info: StreamInfo,
        size: tuple[int, int],
        *,
        sound: SoundPlan | None = None,
        crf: int = 20,
        preset: str = "superfast",
        overwrite: bool = False,
        record: Recorder | None = None,
    ) -> None:
        self._target: str | IO[bytes]
        if isinstance(target, str | os.PathLike):
            self._format = _checked(Path(target), overwrite=overwrite)
            self._target = self.name = str(target)
            self._making: Output | None = Output(target, overwrite=overwrite)
        else:
            self._format = "nut"
            self._target = target
            self.name = "stream"
            self._making = None
        self._info = info
        self._size = size
        self._crf = crf
        self._preset = preset
        self._record = record or Recorder()
        self._plan = sound
        self._sound: SoundTrack | None = None
        self._output: OutputContainer | None = None
        self._begin: int | None = None
        self._last = -1
        self.frames = 0

    def __enter__(self) -> Self:
        if self._output is not None:
            return self
        try:
            with sink_errors(self.name):
                if self._making is not None:
                    making = self._making.__enter__()
                    self._target = str(making.path)
                    if system.OPEN_HOLDS_NAME:  # it is renamed while FFmpeg writes
                        self._target = open(making.fd, "wb", buffering=0, closefd=False)
                options = OPTIONS.get(self._format, {})
                if self._plan is not None:
                    options = options | WITH_SOUND[""] | WITH_SOUND.get(self._format, {})
                self._output = av.open(self._target, "w", format=self._format, options=options)
                self._stream = self._add_video(self._output)
                if self._plan is not None:
                    self._sound = SoundTrack(self._output, self._plan)
                self._output.start_encoding()
        except BaseException:
            self._close()
            raise
        return self

    def _add_video(self, output: OutputContainer) -> VideoStream:
        info = self._info
        width, height = (side + side % 2 for side in self._size)
        rate = info.rate.limit_denominator(1001) if info.rate else None
        options = {"crf": str(self._crf), "preset": self._preset, "tune": "zerolatency"}
        stream = output.add_stream("libx264", rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = info.time_base
        stream.codec_context.gop_size = max(round(KEY_FRAME_S * float(info.rate or 25)), 1)
        stream.codec_context.sample_aspect_ratio = info.sar
        if info.display_matrix is not None and self._format not in PLAIN:
            stream.set_display_matrix(info.display_matrix)
        tags = info.color.resolved(*self._size)
        stream.color_range = tags.range
        stream.colorspace = tags.matrix
        stream.color_primaries = tags.primaries
        stream.color_trc = tags.transfer
        self._writer = FrameWriter(tags, "yuv420p", width, height)
        return stream

    def write(self, frame: Frame) -> None:
        if self._output is None:
            raise outside("write()")
        check_size(frame, self._size)
        with self._record.stage(Stage.CONVERT):
            picture = self._writer.frame(frame.rgb)
        if self._begin is None:
            self._begin = frame.pts
        picture.pts = max(frame.pts - self._begin, self._last + 1)
        picture.time_base = frame.time_base
        self._last = picture.pts
        with self._record.stage(Stage.ENCODE), sink_errors(self.name):
            self._output.mux(self._stream.encode(picture))
            if self._making is not None and not self._making.published:
                self._making.publish()
        self.frames += 1

    def write_sound(self, packet: SoundPacket) -> bool:
        """See `streamsr.sinks.SoundSink`."""
        if self._output is None:
            raise outside("write_sound()")
        if self._sound is None or self._begin is None:
            return False
        with self._record.stage(Stage.WRITE), sink_errors(self.name):
            return self._sound.mux(packet, self._begin * self._info.time_base)

    def commit(self) -> None:
        if self._output is None:
            raise outside("commit()")
        with sink_errors(self.name):
            self._finish()
            if self._making is not None:
                os.fsync(self._making.fd)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._output is not None:
            # Another error is raised already, or the reader of the stream has gone.
            with contextlib.suppress(FFmpegError, OSError):
                self._finish()
        self._close()

    def _finish(self) -> None:
        """Flush the encoder and write the container's end."""
        assert self._output is not None
        output = self._output
        if self.frames:
            output.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.finish()
        self._output = None
        output.close()

    def _close(self) -> None:
        output = self._output
        self._output = None
        if self._sound is not None:
            self._sound.close()
        if output is not None:
            with contextlib.suppress(FFmpegError, OSError):
                output.close()
        if self._making is not None:
            with contextlib.suppress(OSError):  # the disk failed: that error is raised already
                self._making.__exit__(None, None, None)


def _checked(path: Path, *, overwrite: bool) -> str:
    """FFmpeg's container of a recording. Raises SinkError when no file can be made there."""
    if path.suffix.lower() not in FILES:
        raise SinkError(
            f"{path}: unknown kind of recording {path.suffix!r}; known: {' '.join(FILES)}"
        )
    if os.path.lexists(path) and not overwrite:
        raise SinkError(f"{path}: exists already; --overwrite replaces it")
    if not path.parent.is_dir():
        raise SinkError(f"{path}: there is no directory {path.parent}")
    return FILES[path.suffix.lower()]


def container_of(path: Path) -> str:
    """FFmpeg's container for a recording of this name, which was `StreamSink`'s to check."""
    return FILES.get(path.suffix.lower(), "matroska")
