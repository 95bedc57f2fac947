"""Live upscaling: what was asked for becomes source, upscaler and sinks."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streamsr.errors import ModelError
from streamsr.job import target_size
from streamsr.pipeline import Pipeline
from streamsr.sinks import Sink
from streamsr.sinks.publish import StreamSink
from streamsr.sources import Source, Stoppable
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What the command line or a pipeline file asks for; see ``streamsr live --help``.

    source      a camera (``0``, ``/dev/video0``), an address, a file, ``test:``, ``browser:`` or ``-`` (y4m)
    realtime    a file comes at its own rate, as if it were live; otherwise as fast as it is shown, all of it in full
    size, rate  wishes to a camera
    """

    source: str
    realtime: bool = False
    size: tuple[int, int] | None = None
    rate: float | None = None
    budget_s: float = 0.1
    duration_s: float | None = None
    scale: int | None = None
    to: str | None = None
    model: str | None = None
    engine: str = "auto"
    threads: int | None = None
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    preview: str = "none"
    port: int = 8000
    host: str = "127.0.0.1"
    record: Path | None = None
    publish: str | None = None
    overwrite: bool = False


def run_live(options: LiveOptions, *, record: Recorder, begun: Callable[[Upscaler], None]) -> None:
    """Upscale until the source ends, the time is over, or a preview is closed. Raises StreamsrError.

    ``begun(upscaler)`` is called once all is known and open.
    """
    o = options
    with ExitStack() as stack:
        source = stack.enter_context(open_source(o, record))
        info = source.info
        try:
            size = None if o.to is None else target_size(o.to, info.width, info.height)
            upscaler = Upscaler(
                o.model,
                scale=o.scale,
                size=size,
                engine=o.engine,
                threads=o.threads,
                delegate=o.delegate,
                delegate_options=o.delegate_options,
                batch=o.batch,
                record=record,
            )
        except ValueError as error:  # options that do not go together, such as a model and another scale
            raise ModelError(str(error)) from error
        stack.enter_context(upscaler)
        size = upscaler.size or (info.width * upscaler.scale, info.height * upscaler.scale)
        sinks: list[Sink] = [
            stack.enter_context(StreamSink(target, info, size, overwrite=o.overwrite, record=record))
            for target in (o.record, o.publish)
            if target is not None
        ]
        pipeline = stack.enter_context(Pipeline(source, upscaler, budget_s=o.budget_s if info.live else None))
        stack.enter_context(_stopping(source, o.duration_s))
        begun(upscaler)
        end_s = None if o.duration_s is None else time.monotonic() + o.duration_s
        for frame in pipeline:
            for sink in sinks:
                sink.write(frame)
            record.latency(time.monotonic() - frame.arrival_s, "shown")
            if end_s is not None and time.monotonic() >= end_s:
                break
        for sink in sinks:
            sink.commit()


def open_source(o: LiveOptions, record: Recorder) -> Source:
    """The source that the options name; heavy libraries are imported only for who uses them."""
    from streamsr.sources.camera import camera, is_camera  # OpenCV before PyAV: the other order can hang its windows
    from streamsr.sources.network import is_network, network
    from streamsr.sources.pattern import PatternSource

    if o.source.startswith("test:"):
        return PatternSource(o.source)
    if is_camera(o.source):
        return camera(o.source, size=o.size, rate=o.rate)
    if is_network(o.source):
        return network(o.source, record=record)
    if o.source == "-":
        import sys

        from streamsr.sources.y4m import Y4mSource

        return Y4mSource(sys.stdin.buffer, live=True, record=record)
    from streamsr.sources.file import FileSource
    from streamsr.sources.paced import PacedSource

    film = FileSource(o.source, record=record)
    return PacedSource(film) if o.realtime else film


@contextmanager
def _stopping(source: Source, seconds: float | None) -> Iterator[None]:
    """Stop a source that waits after so long, also when nothing comes from it."""
    if seconds is None or not isinstance(source, Stoppable):
        yield
        return
    timer = threading.Timer(seconds, source.stop)
    timer.name = "streamsr-duration"
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
