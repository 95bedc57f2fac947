"""What a node of a cluster does: checks that it is like the driver's machine, and makes one
segment."""

import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

from streamsr.cluster.tasks import FilmWork, Made, Order
from streamsr.cluster.transfer import BLOCK, DistantFile, sampled_digest
from streamsr.errors import ModelError, SourceError, StreamsrError
from streamsr.frame import Frame
from streamsr.machine import peak_memory_mib
from streamsr.model import find_model
from streamsr.segments.film import engine_class, library_versions
from streamsr.segments.ledger import file_digest
from streamsr.segments.segment import upscale_segment
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

REPORT_S = 1.0
"""Between two words on how far a segment is."""


def make(film: FilmWork, order: Order, desk: Any) -> Made:
    """Make a segment and leave it in the film's folder, through the ``desk`` (a Ray actor) where
    that is not seen here.

    Raises a StreamsrError when this node cannot do what the driver's machine would.
    """
    here = library_versions()
    if here != film.versions:
        seen = ", ".join(
            f"{name} {here.get(name)}" for name in here if here.get(name) != film.versions.get(name)
        )
        wanted = ", ".join(
            f"{n} {value}" for n, value in film.versions.items() if here.get(n) != value
        )
        raise StreamsrError(f"has {seen}, the driver {wanted}")
    upscaler = _upscaler(film)
    upscaler.size = None if film.output == _multiple(film, upscaler) else film.output
    record = upscaler.record = Recorder()
    done, said = 0, time.monotonic()

    def progress(_frame: Frame) -> None:
        nonlocal done, said
        done += 1
        if time.monotonic() - said > REPORT_S:
            said = time.monotonic()
            desk.report.remote(order.name, done)

    def reader() -> BinaryIO:
        import ray  # only where a node does not see the file

        def fetch(block: int) -> bytes:
            try:
                content: bytes = ray.get(desk.read.remote(str(film.source_there), block))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # the OSError itself
            return content

        # A BinaryIO by all that is asked of it.
        return cast(BinaryIO, DistantFile(str(film.source), film.size, fetch))

    def upscale(target: Path) -> None:
        upscale_segment(
            film.source,
            order.span,
            target,
            info=film.info,
            upscaler=upscaler,
            encoding=film.encoding,
            container=film.container,
            interlaced=film.interlaced,
            max_pixels=film.max_pixels,
            reader=None if _sees(film) else reader,
            record=record,
            progress=progress,
        )

    desk.report.remote(order.name, 0)
    target = film.folder / order.name
    if (film.folder / film.beacon).exists():
        upscale(target)
        digest, size = file_digest(target), target.stat().st_size
    else:
        with tempfile.TemporaryDirectory(prefix="streamsr-") as scratch:
            local = Path(scratch) / order.name
            upscale(local)
            digest, size = file_digest(local), local.stat().st_size
            _send(local, str(film.folder_there / order.name), desk)
    return Made(digest, record.frames, record.seconds, record.pixel_counts, size, peak_memory_mib())


def _multiple(film: FilmWork, upscaler: Upscaler) -> tuple[int, int]:
    return film.info.width * upscaler.scale, film.info.height * upscaler.scale


def _sees(film: FilmWork) -> bool:
    """Whether this node has the input under its path. Raises SourceError when something else is
    there."""
    try:
        same = sampled_digest(film.source) == film.sample
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise SourceError(f"{film.source}: {error.strerror}") from error
    if not same:
        raise SourceError(f"{film.source}: is another file there")
    return True


def _send(local: Path, target: str, desk: Any) -> None:
    """Copy a file to the driver's machine, one block after the other."""
    import ray  # only where a node does not see the folder

    with open(local, "rb") as file:
        for block, content in enumerate(iter(lambda: file.read(BLOCK), b"")):
            ray.get(desk.write.remote(target, block, content))


_upscalers: dict[tuple[object, ...], Upscaler] = {}
"""Of this process: it makes many segments, and opening an engine takes a third of a second. One for
each model, and a run has at most one for each scale."""


def _upscaler(film: FilmWork) -> Upscaler:
    key = (film.model.sha256, film.engine, *sorted((k, str(v)) for k, v in film.options.items()))
    if key not in _upscalers:
        _check_model(film)
        _upscalers[key] = _opened(film)
    return _upscalers[key]


def _check_model(film: FilmWork) -> None:
    """Raise ModelError when this node's model of that name or path is another: it is not set up
    like the others."""
    if not film.shipped and not film.model.path.exists():
        return
    here = find_model(film.model.name if film.shipped else film.model.path)
    if here.sha256 != film.model.sha256:
        raise ModelError(
            f"its model {here.path} differs from the driver's ({here.sha256[:12]}, "
            f"{film.model.sha256[:12]})"
        )


def _opened(film: FilmWork) -> Upscaler:
    """An upscaler with an engine of the right class; where any will do, the fastest that this node
    has."""
    engines = [film.options["engine"]]
    if engines == ["auto"] and film.engine == "exact":
        engines = ["fused", "litert"]
    for engine in engines:
        try:
            upscaler = Upscaler(film.model, **{**film.options, "engine": engine})
        except ModelError:
            if engine == engines[-1]:
                raise
            continue
        if engine_class(upscaler.engine.name) != film.engine:
            upscaler.close()
            raise ModelError(f"runs the {upscaler.engine.name} engine, the driver {film.engine}")
        return upscaler
    raise AssertionError("engines is not empty")
