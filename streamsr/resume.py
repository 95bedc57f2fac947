"""Upscaling a film so that it can be interrupted anywhere: segments and a ledger, then joined."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from streamsr.errors import Cancelled, SinkError
from streamsr.frame import Frame
from streamsr.ledger import Ledger, input_identity
from streamsr.segments import join, plan, upscale_segment
from streamsr.sinks.containers import check_output
from streamsr.sinks.encode import Encoding
from streamsr.sinks.file import FileSink
from streamsr.sources.file import FileSource
from streamsr.stats import Recorder, versions
from streamsr.upscaler import Upscaler

log = logging.getLogger("streamsr")

ENCODER_THREADS = 4
"""The encoder's bytes depend on their number, so it is not the machine's: the work may go on on another one."""

EXACT_ENGINES = frozenset({"litert", "fused"})
"""They give the same bytes, so that work begun with one may go on with the other."""

Begun = Callable[[Upscaler, int | None], Callable[[Frame], None] | None]


def upscale_resumable(
    source: Path,
    target: Path,
    film: FileSource,
    upscaler: Upscaler,
    encoding: Encoding,
    *,
    begin: Fraction | None,
    end: Fraction | None,
    seconds: float,
    overwrite: bool,
    strict: bool = False,
    interlaced: str = "deinterlace",
    record: Recorder,
    begun: Begun,
) -> None:
    """Upscale ``source`` into ``target``, going on where an earlier run with the same arguments was stopped.

    film  the source, entered: what is known of it decides the output

    Ctrl-C once finishes the segment that is being worked on and raises Cancelled; twice raises it at once. Whatever
    is raised, finished segments are kept. Raises SinkError when the earlier run had another input, model or setting.
    """
    if target.exists() and target.samefile(source):
        raise SinkError(f"{target}: is the input")
    info = film.info
    size = upscaler.size or (info.width * upscaler.scale, info.height * upscaler.scale)
    settings = {
        "input": input_identity(source),
        "model": upscaler.model.sha256,
        "engine": "exact" if upscaler.engine.name in EXACT_ENGINES else upscaler.engine.name,
        "size": list(size),
        **{name: getattr(encoding, name) for name in ("codec", "crf", "preset")},
        "encoder threads": encoding.threads,
        "interlaced": interlaced,
        "container": target.suffix.lower(),
        "start": None if begin is None else str(begin),
        "end": None if end is None else str(end),
        "segment seconds": seconds,
        "versions": {name: value for name, value in versions().items() if name != "python"},
    }
    ledger = Ledger(target, settings)
    if not ledger.folder.exists():
        check_output(target, overwrite=overwrite)
    with ledger:
        if ledger.published:
            ledger.clear()
            return
        container = check_output(target, overwrite=overwrite)
        spans = plan(source, begin=begin, end=end, seconds=seconds)

        def new_sink(*, quiet: bool = False) -> FileSink:
            return FileSink(
                ledger.folder / f"joined{target.suffix}",
                info,
                size,
                codec=encoding.codec,
                crf=encoding.crf,
                preset=encoding.preset,
                encoder_threads=encoding.threads,
                overwrite=True,
                strict=strict,
                quiet=quiet,
                copy_from=source,
                begin=begin,
                end=end,
                record=record,
            )

        try:
            with new_sink():
                pass  # what the container cannot hold is said now, not after hours
        except SinkError:
            if not ledger.finished:
                ledger.clear()
            raise
        if ledger.finished:
            log.warning("going on: %d of %d segments are finished", len(ledger.finished), len(spans))
        done = sum(line["frames"] for line in ledger.finished.values())
        kept = "what is finished is kept: run the same command again to go on"
        try:
            with _interruptible() as asked:
                done = sum(line["frames"] for line in ledger.finished.values())
                left = None if info.frames is None else max(info.frames - done, 0)
                progress = _saying(asked, begun(upscaler, left))
                for number, span in enumerate(spans):
                    if number in ledger.finished:
                        continue
                    if asked.is_set():
                        raise Cancelled(f"stopped; {len(ledger.finished)} of {len(spans)} segments done, {kept}")
                    frames = upscale_segment(
                        source,
                        span,
                        ledger.path(number),
                        info=info,
                        upscaler=upscaler,
                        encoding=encoding,
                        container=container,
                        interlaced=interlaced,
                        record=record,
                        progress=progress,
                    )
                    ledger.finish(number, frames=frames)
                with new_sink(quiet=True) as sink:
                    shift = round(sink.zero / info.time_base)
                    join([ledger.path(i) for i in range(len(spans))], sink, time_base=info.time_base, shift=shift)
                    sink.commit()
                ledger.publish(sink.path)
                ledger.clear()
        except KeyboardInterrupt:
            raise Cancelled(f"stopped at once; {kept}") from None
        except SinkError as error:
            raise SinkError(f"{error}; {kept}") from error


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Within it the first Ctrl-C only sets the yielded event; the second is a KeyboardInterrupt."""
    asked = threading.Event()

    def interrupted(_signal: int, _frame: object) -> None:
        # Nothing may be printed here: the interrupted code may be printing.
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _saying(asked: threading.Event, progress: Callable[[Frame], None] | None) -> Callable[[Frame], None]:
    """``progress``, and once a word to who pressed Ctrl-C."""
    said = False

    def after(frame: Frame) -> None:
        nonlocal said
        if progress is not None:
            progress(frame)
        if asked.is_set() and not said:
            said = True
            log.warning("finishing this segment; Ctrl-C again stops at once")

    return after
