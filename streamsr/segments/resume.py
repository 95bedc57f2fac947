"""``--resume``: upscale a film segment by segment, so that it can be interrupted anywhere."""

import logging
from collections.abc import Callable

from streamsr.errors import Cancelled, SinkError
from streamsr.frame import Frame
from streamsr.interrupt import interruptible
from streamsr.segments.film import KEPT, SegmentedJob
from streamsr.segments.segment import upscale_segment
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

log = logging.getLogger("streamsr")

Begun = Callable[[int | None], Callable[[Frame], None] | None]


def upscale_resumable(
    segmented: SegmentedJob, upscaler: Upscaler, *, record: Recorder, begun: Begun
) -> None:
    """Upscale a film, going on where an earlier run with the same arguments was stopped.

    Ctrl-C once finishes the segment that is being worked on and raises Cancelled; twice raises it
    at once. Whatever is raised, finished segments are kept. Raises SinkError when the earlier run
    had another input, model or setting.

    begun  called with the number of frames that are left once all is open; what it returns is
           called after each frame
    """
    with segmented:
        finished = segmented.ledger.finished
        count = len(segmented.spans)
        if finished:
            log.warning("going on: %d of %d segments are finished", len(finished), count)
        try:
            with interruptible() as stop:
                after = begun(segmented.frames_left) if segmented.spans else None
                progress = _saying(stop, after)
                for number in segmented.left:
                    if stop():
                        raise Cancelled(
                            f"stopped; {len(finished)} of {count} segments done, {KEPT}"
                        )
                    frames = upscale_segment(
                        segmented.work,
                        segmented.spans[number],
                        segmented.ledger.path(number),
                        upscaler=upscaler,
                        record=record,
                        progress=progress,
                    )
                    segmented.finished(number, frames=frames)
                segmented.finish()
        except KeyboardInterrupt:
            raise Cancelled(f"stopped at once; {KEPT}") from None
        except SinkError as error:
            raise SinkError(f"{error}; {KEPT}") from error


def _saying(
    stop: Callable[[], bool], progress: Callable[[Frame], None] | None
) -> Callable[[Frame], None]:
    """Wrap ``progress``; log once after Ctrl-C that the segment is being finished."""
    said = False

    def after(frame: Frame) -> None:
        nonlocal said
        if progress is not None:
            progress(frame)
        if stop() and not said:
            said = True
            log.warning("finishing this segment; Ctrl-C again stops at once")

    return after
