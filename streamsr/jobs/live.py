"""Live upscaling: what was asked for becomes source, upscaler and sinks."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2  # noqa: F401 - before PyAV: the other order can hang OpenCV's windows (its issue 29195)

from streamsr import interrupt
from streamsr.errors import ModelError, SinkError, SourceError
from streamsr.frame import StreamInfo
from streamsr.jobs.options import UpscaleOptions
from streamsr.pipeline import Pipeline
from streamsr.preview.preview import Preview, state_of
from streamsr.sinks import Sink
from streamsr.sinks.publish import PublishSink
from streamsr.sinks.recording import StreamSink
from streamsr.sources import Source
from streamsr.sources.feed import FeedSource
from streamsr.sources.y4m import Y4mSource
from streamsr.stats import Point, Recorder
from streamsr.upscaler import Upscaler

if TYPE_CHECKING:
    from streamsr.preview.web.sink import WebSink

IDLE_S = 0.1
"""A preview stays awake while no frame comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions(UpscaleOptions):
    """What the command line or a pipeline file asks for; see ``streamsr live --help``.

    source      a camera (``0``, ``/dev/video0``), an address, a file, ``test:``, ``browser:`` or
                ``-`` (y4m)
    realtime    a file comes at its own rate, as if it were live; otherwise as fast as it is shown,
                all of it in full
    size, rate  wishes to a camera
    """

    source: str
    realtime: bool = False
    size: tuple[int, int] | None = None
    rate: float | None = None
    budget_s: float = 0.1
    duration_s: float | None = None
    preview: str = "none"
    port: int = 8000
    host: str = "127.0.0.1"
    record: Path | None = None
    publish: str | None = None
    overwrite: bool = False


def run_live(
    options: LiveOptions,
    *,
    record: Recorder,
    begun: Callable[[Upscaler], None],
    opened: Callable[[str], None],
) -> None:
    """Upscale until the source ends, the time is over, or a preview is closed. Raises
    StreamsrError.

    ``begun(upscaler)`` is called once all is known and open, ``opened(url)`` once a web page can be
    visited.
    """
    o = options
    with ExitStack() as stack:
        previews: list[Preview] = []
        ends: list[object] = []  # the source, and who receives
        if o.source == "browser:":
            feed = FeedSource(lossy=True)  # the page sends JPEG
            previews.append(stack.enter_context(_web(o, record, opened, ends, feed=feed)))
            if not feed.wait(o.duration_s):
                return
            source: Source = feed
        else:
            source = open_source(o, record)
            if isinstance(source, Y4mSource) and not source.wait(o.duration_s):
                return
        stack.enter_context(source)
        info = source.info
        if info.live and o.verify_reuse:
            raise ModelError(
                "--verify-reuse computes every picture twice, for which a latency budget leaves no "
                "time"
            )
        upscaler = o.open(
            scale=o.scale, lossy=info.lossy, picture=(info.width, info.height), record=record
        )
        stack.enter_context(upscaler)
        size = upscaler.size or (info.width * upscaler.scale, info.height * upscaler.scale)
        sinks: list[Sink] = []
        # Checked first, so that nothing is opened in vain; made last, when nothing else can fail.
        recording = (
            None
            if o.record is None
            else StreamSink(o.record, info, size, overwrite=o.overwrite, record=record)
        )
        if o.publish is not None:
            sinks.append(stack.enter_context(_published(o.publish, info, size, record)))
        ends += [source, *sinks]
        previews += [stack.enter_context(preview) for preview in _previews(o, record, opened, ends)]
        sinks += previews
        if recording is not None:
            sinks.insert(0, stack.enter_context(recording))
        pipeline = stack.enter_context(
            Pipeline(source, upscaler, budget_s=o.budget_s if info.live else None)
        )
        begun(upscaler)
        end_s = math.inf if o.duration_s is None else time.monotonic() + o.duration_s
        while time.monotonic() < end_s and not any(preview.closed for preview in previews):
            interrupt.check()
            try:
                frame = pipeline.get(IDLE_S)
            except TimeoutError:
                for preview in previews:
                    preview.idle()
                continue
            if frame is None:
                break
            for sink in sinks:
                sink.write(frame)
            record.latency(time.monotonic() - frame.arrival_s, Point.SHOWN)
        for sink in sinks:
            sink.commit()


def _published(address: str, info: StreamInfo, size: tuple[int, int], record: Recorder) -> Sink:
    if address == "camera:":
        from streamsr.sinks.virtual_camera import VirtualCameraSink

        return VirtualCameraSink(info, size)
    return PublishSink(address, info, size, record=record)


def _previews(
    o: LiveOptions, record: Recorder, opened: Callable[[str], None], ends: Sequence[object]
) -> list[Preview]:
    if o.preview == "window":
        from streamsr.preview.window import WindowSink

        return [WindowSink(record, state=lambda: state_of(ends))]
    if o.preview == "web" and o.source != "browser:":
        return [_web(o, record, opened, ends)]
    return []


def _web(
    o: LiveOptions,
    record: Recorder,
    opened: Callable[[str], None],
    ends: Sequence[object],
    *,
    feed: FeedSource | None = None,
) -> "WebSink":
    try:
        from streamsr.preview.web.sink import WebSink
    except ModuleNotFoundError as error:
        raise SinkError(f"the web page needs {error.name}: pip install 'streamsr[web]'") from None
    return WebSink(
        record, host=o.host, port=o.port, feed=feed, state=lambda: state_of(ends), opened=opened
    )


def open_source(o: LiveOptions, record: Recorder) -> Source:
    """The source that the options name; heavy libraries are imported only for who uses them."""
    from streamsr.sources.camera import camera, is_camera
    from streamsr.sources.network import is_network, network
    from streamsr.sources.pattern import PatternSource

    if o.source.startswith("test:"):
        return PatternSource(o.source)
    if is_camera(o.source):
        return camera(o.source, size=o.size, rate=o.rate, record=record)
    if is_network(o.source):
        return network(o.source, record=record)
    if o.source == "-":
        if sys.stdin is None:
            raise SourceError("standard input: is closed")
        return Y4mSource(
            getattr(sys.stdin.buffer, "raw", sys.stdin.buffer), live=True, record=record
        )
    from streamsr.sources.file import FileSource
    from streamsr.sources.paced import PacedSource

    film = FileSource(o.source, record=record)
    return PacedSource(film) if o.realtime else film
