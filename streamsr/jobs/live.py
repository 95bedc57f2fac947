"""Live upscaling: makes source, upscaler and sinks from the options."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import cv2  # noqa: F401 - before PyAV: the other order can hang OpenCV's windows (its issue 29195)

from streamsr import interrupt
from streamsr.errors import ModelError, SinkError, SourceError
from streamsr.frame import StreamInfo
from streamsr.jobs.options import LiveOptions, is_turned
from streamsr.jobs.upscaler import chosen, open_upscaler
from streamsr.live.sound import SoundRoute
from streamsr.media.containers import PLAIN
from streamsr.media.sound import SoundPlan, planned
from streamsr.media.url import packing_of
from streamsr.picture.upright import swaps_sides, upright, upright_info
from streamsr.pipeline import Pipeline
from streamsr.preview.preview import Preview, state_of
from streamsr.sinks import Sink, SoundSink
from streamsr.sinks.publish import PublishSink
from streamsr.sinks.recording import StreamSink, container_of
from streamsr.sources import Sound, Sounding, Source
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
    noted: Callable[[str], None],
) -> None:
    """Upscale until the source ends, the time is over, or a preview is closed. Raises
    StreamsrError.

    ``begun(upscaler)`` is called once all is known and open, also what becomes of the source's
    sound, which ``record`` says. ``opened(url)`` is called once a web page can be visited,
    ``noted(line)`` where this machine is too slow for the source.
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
                microphone=options.microphone,
                interlaced=options.interlaced,
                record=record,
            )
        if isinstance(source, Awaited) and not source.wait(options.duration_s):
            return
        stack.enter_context(source)
        info = source.info
        upscaler = stack.enter_context(_upscaler(options, info, record))
        size = upscaler.output_size(info.width, info.height)
        shown = upright_info(info)
        shown_size = size[::-1] if swaps_sides(info.display_matrix) else size
        sound, why_none = _sound_of(source, options)
        plans = _plans(sound, options)
        sinks: list[Sink] = []
        recording, keeps = None, False
        if options.recording is not None:
            # Checked first, so that nothing is opened in vain; made last, when nothing else can
            # fail.
            keeps = container_of(options.recording) not in PLAIN
            recording = StreamSink(
                options.recording,
                info if keeps else shown,
                size if keeps else shown_size,
                sound=plans.get("record"),
                overwrite=options.overwrite,
                record=record,
            )
        if options.publish is not None:
            published = _published(options, shown, shown_size, plans.get("publish"), record)
            sinks.append(stack.enter_context(published))
        ends += [source, *sinks]
        if options.preview == "window":
            from streamsr.preview.window import WindowSink

            previews.append(stack.enter_context(WindowSink(record, state=lambda: state_of(ends))))
        elif options.preview == "web" and options.source != BROWSER:
            previews.append(stack.enter_context(web()))
        sinks += previews
        if recording is not None:
            sinks.insert(0, stack.enter_context(recording))
        route = None
        if sound is not None and plans:
            takers = [sink for sink in sinks if isinstance(sink, SoundSink)]
            route = stack.enter_context(SoundRoute(sound, takers, record))
        pipeline = stack.enter_context(
            Pipeline(source, upscaler, budget_s=options.budget_s if info.live else None)
        )
        upscaler.quality_reason = record.quality_reason
        record.set_sound(_sound_line(plans, why_none, options))
        begun(upscaler)
        if pipeline.too_large is not None:
            noted(pipeline.too_large)
        as_it_is = recording if keeps else None
        _play(
            pipeline, sinks, previews, route, as_it_is, duration_s=options.duration_s, record=record
        )
        for sink in sinks:
            sink.commit()


def _play(
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    previews: Sequence[Preview],
    route: SoundRoute | None,
    as_it_is: Sink | None,
    *,
    duration_s: float | None,
    record: Recorder,
) -> None:
    """Hand each frame to all sinks until there are no more, the time is over or a preview is
    closed. It is upright for all but ``as_it_is``, which keeps its rotation beside it."""
    matrix = pipeline.info.display_matrix
    end_s = math.inf if duration_s is None else time.monotonic() + duration_s
    while time.monotonic() < end_s and not any(preview.closed for preview in previews):
        interrupt.check()
        try:
            frame = pipeline.get(IDLE_S)
        except TimeoutError:
            for preview in previews:
                preview.idle()
            if route is not None:
                route.idle()
            continue
        if frame is None:
            if route is not None:
                route.rest()
            break
        shown = upright(frame, matrix)
        for sink in sinks:
            sink.write(frame if sink is as_it_is else shown)
        if route is not None:
            route.shown(frame)
        record.latency(time.monotonic() - frame.arrival_s, Point.SHOWN)


def _upscaler(options: LiveOptions, info: StreamInfo, record: Recorder) -> Upscaler:
    if info.live and options.verify_reuse:
        raise ModelError(
            "--verify-reuse computes every picture twice, for which a latency budget leaves no time"
        )
    options, reason = chosen(options, info)
    upscaler = open_upscaler(
        options,
        record=record,
        picture=(info.width, info.height),
        sar=info.sar,
        turned=is_turned(info.display_matrix),
    )
    upscaler.model_reason = record.model_reason = reason
    return upscaler


def _sound_of(source: Source, options: LiveOptions) -> tuple[Sound | None, str]:
    """The source's sound, where it is wanted; else why there is none. Raises SourceError for a
    microphone that was named and cannot be opened."""
    if not options.sound:
        return None, "--no-sound"
    if options.recording is None and options.publish is None:
        return None, "nothing is recorded or published"
    if not isinstance(source, Sounding):
        return None, "the source has none"
    try:
        return source.open_sound(), ""
    except SourceError as error:
        if options.microphone is not None:
            raise
        return None, str(error)


def _plans(sound: Sound | None, options: LiveOptions) -> dict[str, SoundPlan]:
    """What becomes of the sound, by the option that asks for the output."""
    plans: dict[str, SoundPlan] = {}
    if sound is not None and options.recording is not None:
        plans["record"] = planned(container_of(options.recording), sound.format)
    packing = packing_of(options.publish or "")
    if sound is not None and packing is not None:
        plans["publish"] = planned(packing, sound.format)
    return plans


def _sound_line(plans: dict[str, SoundPlan], why_none: str, options: LiveOptions) -> str:
    """What becomes of the sound: the line for whoever runs or watches this."""
    if not plans:
        return f"no sound: {why_none or 'a virtual camera takes none'}"
    made = list(dict.fromkeys(str(plan) for plan in plans.values()))
    heard = "" if options.microphone is None else f"microphone {options.microphone}, "
    line = f"sound: {heard}{made[0]}"
    if len(made) > 1:
        line += f" by --record, {made[1]} by --publish"
    return line


def _published(
    options: LiveOptions,
    info: StreamInfo,
    size: tuple[int, int],
    sound: SoundPlan | None,
    record: Recorder,
) -> Sink:
    assert options.publish is not None
    if options.publish == "camera:":
        from streamsr.sinks.virtual_camera import VirtualCameraSink

        return VirtualCameraSink(info, size)
    return PublishSink(
        options.publish, info, size, sound=sound, overwrite=options.overwrite, record=record
    )


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
