"""Encoded video that can be played while it is made: a recording, or bytes for another program."""

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
from streamsr.media.errors import sink_errors
from streamsr.media.frames import FrameWriter
from streamsr.stats import Recorder, Stage
from xlsr_model.files import Output

FILES = {".mkv": "matroska", ".mp4": "mp4", ".ts": "mpegts"}

OPTIONS = {
    # What was written can be played, however it ended: clusters and fragments of a second, given to
    # the system at once.
    "matroska": {"cluster_time_limit": "1000", "flush_packets": "1"},
    "mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"},
    "mpegts": {"flush_packets": "1"},
    "nut": {"flush_packets": "1", "write_index": "0"},
}

KEY_FRAME_S = 1
"""Who tunes in waits this long at most."""


class StreamSink:
    """H.264 into a file. See `streamsr.sinks.Sink` for the contract, but for this: a recording
    stays.

    target  a .mkv, .mp4 or .ts file; or a binary stream, which stays the caller's and gets NUT
    info    of the source: time base, rate, pixel aspect; ``size`` (width, height) of the frames
            that will come

    The encoder holds no frame back. A recording gets its name with its first frame, and is playable
    from then on at every moment, also when this process is killed: live pictures do not come again.
    (A power cut may take what the system had not yet written, half a minute usually.) Without a
    frame there is none, and an old one stays.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | IO[bytes],
        info: StreamInfo,
        size: tuple[int, int],
        *,
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
            self._making, self._format, self._target, self.name = None, "nut", target, "stream"
        self._info, self._size = info, size
        self._crf, self._preset = crf, preset
        self._record = record or Recorder()
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
                    self._target = str(self._making.__enter__().path)
                self._output = av.open(
                    self._target, "w", format=self._format, options=OPTIONS.get(self._format, {})
                )
                self._stream = self._add_video(self._output)
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
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = info.time_base
        stream.codec_context.gop_size = max(round(KEY_FRAME_S * float(info.rate or 25)), 1)
        stream.codec_context.sample_aspect_ratio = info.sar
        tags = info.color.resolved(*self._size)
        stream.color_range, stream.colorspace = tags.range, tags.matrix
        stream.color_primaries, stream.color_trc = tags.primaries, tags.transfer
        self._writer = FrameWriter(tags, "yuv420p", width, height)
        return stream

    def write(self, frame: Frame) -> None:
        if self._output is None:
            raise ValueError("write() outside the with block")
        with self._record.stage(Stage.CONVERT):
            picture = self._writer.frame(frame.rgb)
        if self._begin is None:
            self._begin = frame.pts
        picture.pts, picture.time_base = (
            max(frame.pts - self._begin, self._last + 1),
            frame.time_base,
        )
        self._last = picture.pts
        with self._record.stage(Stage.ENCODE), sink_errors(self.name):
            self._output.mux(self._stream.encode(picture))
            if self._making is not None and not self._making.published:
                self._making.publish()
        self.frames += 1

    def commit(self) -> None:
        if self._output is None:
            raise ValueError("commit() outside the with block, or a second time")
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
            with contextlib.suppress(
                FFmpegError, OSError
            ):  # another error is on its way, or the viewer is gone
                self._finish()
        self._close()

    def _finish(self) -> None:
        """Write what the encoder holds, and the container's end."""
        assert self._output is not None
        if self.frames:
            self._output.mux(self._stream.encode(None))
        output, self._output = self._output, None
        output.close()

    def _close(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            with contextlib.suppress(FFmpegError, OSError):
                output.close()
        if self._making is not None:
            with contextlib.suppress(
                OSError
            ):  # a disk that cannot even remove: another error is on its way
                self._making.__exit__(None, None, None)


def _checked(path: Path, *, overwrite: bool) -> str:
    """The format of a recording. Raises SinkError when it cannot be made there."""
    if path.suffix.lower() not in FILES:
        raise SinkError(
            f"{path}: unknown kind of recording {path.suffix!r}; known: {' '.join(FILES)}"
        )
    if os.path.lexists(path) and not overwrite:
        raise SinkError(f"{path}: exists already; --overwrite replaces it")
    if not path.parent.is_dir():
        raise SinkError(f"{path}: there is no directory {path.parent}")
    return FILES[path.suffix.lower()]
