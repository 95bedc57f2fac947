"""Live upscaling: makes source, upscaler and sinks from the options."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import cv2  # noqa: F401 - before PyAV: the other order can hang OpenCV's windows (its issue 29195)

from streamsr import interrupt
from streamsr.errors import ModelError, SinkError
from streamsr.frame import StreamInfo
from streamsr.jobs.options import LiveOptions, is_turned
from streamsr.jobs.upscaler import open_upscaler
from streamsr.pipeline import Pipeline
from streamsr.preview.preview import Preview, state_of
from streamsr.sinks import Sink
from streamsr.sinks.publish import PublishSink
from streamsr.sinks.recording import StreamSink
from streamsr.sources import Source
from streamsr.sources.feed import FeedSource
from streamsr.sources.open import open_source
from streamsr.stats import Point, Recorder
from streamsr.upscaler import Upscaler

if TYPE_CHECKING:
    from streamsr.preview.web.sink import WebSink

BROWSER = "browser:"
"""The source that is the camera of whoever opens the web page."""

IDLE_S = 0.1
"""A preview stays awake while no frame comes."""


@runtime_checkable
class Awaited(Protocol):
    """A source that is open only once its sender has begun."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return False when nothing has come in time."""


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
    with ExitStack() as stack:
        ends: list[object] = []  # the source, and who receives
        web = partial(_web, options, record, opened, ends)
        previews: list[Preview] = []
        source: Source
        if options.source == BROWSER:
            source = feed = FeedSource(lossy=True)  # the page sends JPEG
            previews.append(stack.enter_context(web(feed=feed)))
        else:
            source = open_source(
                options.source,
                realtime=options.realtime,
                size=options.size,
                rate=options.rate,
                interlaced=options.interlaced,
                record=record,
            )
        if isinstance(source, Awaited) and not source.wait(options.duration_s):
            return
        stack.enter_context(source)
        info = source.info
        upscaler = stack.enter_context(_upscaler(options, info, record))
        size = upscaler.output_size(info.width, info.height)
        sinks: list[Sink] = []
        recording = None
        if options.recording is not None:
            # Checked first, so that nothing is opened in vain; made last, when nothing else can
            # fail.
            recording = StreamSink(
                options.recording, info, size, overwrite=options.overwrite, record=record
            )
        if options.publish is not None:
            sinks.append(stack.enter_context(_published(options.publish, info, size, record)))
        ends += [source, *sinks]
        if options.preview == "window":
            from streamsr.preview.window import WindowSink

            previews.append(stack.enter_context(WindowSink(record, state=lambda: state_of(ends))))
        elif options.preview == "web" and options.source != BROWSER:
            previews.append(stack.enter_context(web()))
        sinks += previews
        if recording is not None:
            sinks.insert(0, stack.enter_context(recording))
        pipeline = stack.enter_context(
            Pipeline(source, upscaler, budget_s=options.budget_s if info.live else None)
        )
        begun(upscaler)
        _play(pipeline, sinks, previews, duration_s=options.duration_s, record=record)
        for sink in sinks:
            sink.commit()


def _play(
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    previews: Sequence[Preview],
    *,
    duration_s: float | None,
    record: Recorder,
) -> None:
    """Hand each frame to all sinks until there are no more, the time is over or a preview is
    closed."""
    end_s = math.inf if duration_s is None else time.monotonic() + duration_s
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


def _upscaler(options: LiveOptions, info: StreamInfo, record: Recorder) -> Upscaler:
    if info.live and options.verify_reuse:
        raise ModelError(
            "--verify-reuse computes every picture twice, for which a latency budget leaves no time"
        )
    return open_upscaler(
        options,
        record=record,
        lossy=info.lossy,
        picture=(info.width, info.height),
        sar=info.sar,
        turned=is_turned(info.display_matrix),
    )


def _published(address: str, info: StreamInfo, size: tuple[int, int], record: Recorder) -> Sink:
    if address == "camera:":
        from streamsr.sinks.virtual_camera import VirtualCameraSink

        return VirtualCameraSink(info, size)
    return PublishSink(address, info, size, record=record)


def _web(
    options: LiveOptions,
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
        record,
        host=options.host,
        port=options.port,
        feed=feed,
        state=lambda: state_of(ends),
        opened=opened,
    )
