"""Upscaling a film so that it can be interrupted anywhere: segments and a ledger, then joined."""

import logging
from collections.abc import Callable

from streamsr.errors import Cancelled, SinkError
from streamsr.frame import Frame
from streamsr.interrupt import interruptible
from streamsr.segments.film import KEPT, SegmentedFilm
from streamsr.segments.segment import upscale_segment
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

log = logging.getLogger("streamsr")

Begun = Callable[[Upscaler, int | None], Callable[[Frame], None] | None]


def upscale_resumable(
    film: SegmentedFilm, upscaler: Upscaler, *, record: Recorder, begun: Begun
) -> None:
    """Upscale a film, going on where an earlier run with the same arguments was stopped.

    Ctrl-C once finishes the segment that is being worked on and raises Cancelled; twice raises it
    at once. Whatever is raised, finished segments are kept. Raises SinkError when the earlier run
    had another input, model or setting.
    """
    with film:
        finished = film.ledger.finished
        if finished:
            log.warning("going on: %d of %d segments are finished", len(finished), len(film.spans))
        try:
            with interruptible() as asked:
                progress = _saying(asked, begun(upscaler, film.frames_left) if film.spans else None)
                for number in film.left:
                    if asked():
                        raise Cancelled(
                            f"stopped; {len(finished)} of {len(film.spans)} segments done, {KEPT}"
                        )
                    frames = upscale_segment(
                        film.source,
                        film.spans[number],
                        film.ledger.path(number),
                        info=film.info,
                        upscaler=upscaler,
                        encoding=film.encoding,
                        container=film.container,
                        interlaced=film.interlaced,
                        max_pixels=film.max_pixels,
                        record=record,
                        progress=progress,
                    )
                    film.finished(number, frames=frames)
                film.finish()
        except KeyboardInterrupt:
            raise Cancelled(f"stopped at once; {KEPT}") from None
        except SinkError as error:
            raise SinkError(f"{error}; {KEPT}") from error


def _saying(
    asked: Callable[[], bool], progress: Callable[[Frame], None] | None
) -> Callable[[Frame], None]:
    """``progress``, and once a word to who pressed Ctrl-C."""
    said = False

    def after(frame: Frame) -> None:
        nonlocal said
        if progress is not None:
            progress(frame)
        if asked() and not said:
            said = True
            log.warning("finishing this segment; Ctrl-C again stops at once")

    return after
