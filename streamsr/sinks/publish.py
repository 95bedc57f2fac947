"""Sends encoded video to a network address, and connects again when the receiver is lost."""

import contextlib
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from streamsr.channel import Channel, ReaderGone
from streamsr.errors import SinkError
from streamsr.frame import Frame, StreamInfo
from streamsr.interrupt import Pause, Waits, wait_before
from streamsr.media.errors import sink_errors
from streamsr.media.sound import SoundPacket, SoundPlan
from streamsr.media.url import PUBLISHED_AS, packing_of, scheme_of, without_secrets
from streamsr.sinks import check_size, outside
from streamsr.sinks.recording import StreamSink
from streamsr.sinks.relay import ADDRESS, TIMEOUT_S
from streamsr.stats import Event, Recorder, Stage
from xlsr_model import system

log = logging.getLogger("streamsr")

WAITING = 2
"""Frames that may wait to be encoded. Of a live source, a newer one replaces the oldest."""

WAITING_SOUND = 512
"""Packets of sound that may wait while nobody receives: 10 s of AAC. A newer one replaces the
oldest."""

STILL_S = 0.5
"""While no frame comes for so long, sound goes on without."""

PATIENCE_S = 5.0
"""Longest wait, on leaving, for the receiver to take the last frames."""


class PublishSink:
    """Publishes H.264 at an address. See `streamsr.sinks.Sink` for the contract.

    address  ``rtmp://``, ``rtsp://``, ``udp://``, ``tcp://``, ``srt://``; or a file that ends in
             .m3u8, an HLS playlist, beside which its pieces come, in a folder that is made where
             there is none
    info     of the source: time base, rate, pixel aspect
    size     (width, height) of the frames
    sound    what to do with the sound that `write_sound` is given, None where there is none
    record   where frames sent and reconnections are counted
    overwrite  replace a playlist that is there
    pause    the wait between connections; another one in tests

    It differs from other sinks: `write` does not wait for the receiver of a live stream, but leaves
    frames out; and a lost receiver is connected to again, after growing waits, until it is back.
    When the first connection fails, ``write`` or ``commit`` raises SinkError.
    """

    def __init__(
        self,
        address: str,
        info: StreamInfo,
        size: tuple[int, int],
        *,
        sound: SoundPlan | None = None,
        overwrite: bool = False,
        record: Recorder | None = None,
        pause: Waits | None = None,
    ) -> None:
        self.name = without_secrets(address)
        packing = packing_of(address)
        if packing is None:
            known = ", ".join(sorted(PUBLISHED_AS))
            what = scheme_of(address) or "this"
            raise SinkError(
                f"{self.name}: cannot publish to {what}; known: {known}, and files.m3u8"
            )
        if packing == "hls":
            address = _playlist(Path(address), overwrite=overwrite)
        self.state = "connecting"
        """``connecting``, ``live``, or why nobody receives; see `streamsr.preview`."""
        self.connections = 0
        self._address = address
        self._info = info
        self._size = size
        self._record = record or Recorder()
        self._pause = pause or Pause()
        self._frames: Channel[Frame] = Channel(WAITING, newest=info.live)
        self._plan = sound
        self._sound: Channel[SoundPacket] = Channel(WAITING_SOUND, newest=True)
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._error: BaseException | None = None
        self._taking = self._leaving = False

    def __enter__(self) -> Self:
        if self._thread is None:
            self._thread = threading.Thread(target=self._publish, name="streamsr-publish")
            self._thread.start()
            self._taking = True
        return self

    def write(self, frame: Frame) -> None:
        if not self._taking:
            raise outside("write()")
        check_size(frame, self._size)
        try:
            self._frames.put(frame)
        except ReaderGone:
            self._raise()

    def write_sound(self, packet: SoundPacket) -> bool:
        """See `streamsr.sinks.SoundSink`. It waits for the receiver as frames do."""
        if self._plan is None:
            return False
        try:
            self._sound.put(packet)
        except ReaderGone:
            self._raise()
        return True

    def commit(self) -> None:
        if not self._taking:
            raise outside("commit()")
        self._end(PATIENCE_S if self.connections else PATIENCE_S + TIMEOUT_S)
        self._raise()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(PATIENCE_S)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _end(self, patience_s: float) -> None:
        """Say that no frame follows, and give the receiver this long to take the last ones."""
        self._taking = False
        self._frames.end()
        self._pause.end()
        if self._thread is not None:
            self._thread.join(patience_s)
            self._leaving = True
            process = self._process
            if process is not None:
                process.kill()  # ends whatever the thread waits for
            self._thread.join()

    # All that follows runs in the sink's own thread.

    def _publish(self) -> None:
        """Run sessions until no frame follows."""
        attempt = 0
        try:
            while True:
                before = self.connections
                try:
                    self._session()
                    return
                except SinkError as error:
                    if self._leaving:
                        return
                    if not self.connections:
                        self._error = error
                        return
                    if self.connections > before:
                        log.warning("%s; connecting again", error)
                        attempt = 0
                    wait_s = wait_before(attempt)
                    attempt += 1
                    self.state = f"not publishing: {error}; next try in {wait_s:.1f} s"
                if self._pause.wait(wait_s):
                    return
                self.state = "connecting"
        except BaseException as error:  # noqa: BLE001 - the thread wrapper: it surfaces in the caller's thread
            self._error = error
        finally:
            self._frames.leave()
            self._sound.leave()

    def _session(self) -> None:
        """Connect and publish until no frame follows. Raises SinkError when the connection fails or
        breaks."""
        with _relay(self._address) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            self._process = process
            broken = False
            stream = StreamSink(process.stdin, self._info, self._size, sound=self._plan)
            try:
                with stream:
                    while True:
                        try:
                            frame = self._frames.get(STILL_S)
                        except TimeoutError:
                            self._send_sound(stream)
                            continue
                        except EOFError:
                            break
                        with self._record.stage(Stage.PUBLISH):
                            stream.write(frame)
                        self._record.count(Event.PUBLISHED)
                        self._send_sound(stream)
                        if self.state != "live" and _said(process.stdout):
                            self._connected()
                    self._send_sound(stream)
                    stream.commit()
            except SinkError:
                broken = True
            finally:
                with contextlib.suppress(OSError):
                    process.stdin.close()
                reason = process.stderr.read().decode(errors="replace").strip()
                status = process.wait()
                if _said(process.stdout):
                    self._connected()
                self._process = None
        if stream.frames and (broken or status):
            reason = reason.splitlines()[-1] if reason else f"no answer for {TIMEOUT_S:g} s"
            raise SinkError(f"{self.name}: {reason}")

    def _send_sound(self, stream: StreamSink) -> None:
        """Pass the sound on that waits: what `write_sound` gets is due with the frames that
        `write` gets."""
        for _ in range(self._sound.waiting):
            if stream.write_sound(self._sound.get(0.0)):
                self._record.count(Event.SOUND_PUBLISHED)

    def _connected(self) -> None:
        self.connections += 1
        self.state = "live"
        if self.connections > 1:
            self._record.count(Event.PUBLISH_RECONNECT)
            log.warning("%s: connected again", self.name)


def _said(pipe: IO[bytes]) -> bool:
    """Whether the child has said that it is connected; without waiting for that."""
    return system.has_bytes(pipe.fileno()) and bool(pipe.read(1))


def _playlist(path: Path, *, overwrite: bool) -> str:
    """The path of a playlist that can be made, absolute: FFmpeg takes what is before a colon for a
    protocol. Raises SinkError."""
    if os.path.lexists(path) and not overwrite:
        raise SinkError(f"{path}: exists already; --overwrite replaces it")
    with sink_errors(path):
        path.parent.mkdir(exist_ok=True)
    return str(path.absolute())


def _relay(address: str) -> "subprocess.Popen[bytes]":
    """Start `streamsr.sinks.relay`. The address is in its environment: other users of the machine
    see a command's arguments. -P keeps modules of the working directory out. Raises SinkError."""
    here = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    with sink_errors("the process that publishes"):  # too many files or processes for now
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "streamsr.sinks.relay"],
            env=os.environ | {ADDRESS: address, "PYTHONPATH": paths},
            bufsize=0,  # each frame leaves at once
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to handle
            creationflags=system.APART,
        )
