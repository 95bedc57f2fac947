"""The work of a cluster's node: checks that it matches the driver's machine, and makes one
segment."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from streamsr.cluster.tasks import RemoteWork, SegmentResult, SegmentTask
from streamsr.cluster.transfer import BLOCK, RemoteFile, sampled_digest
from streamsr.errors import ModelError, SourceError, StreamsrError
from streamsr.frame import Frame
from streamsr.machine import peak_memory_mib
from streamsr.model import find_model
from streamsr.segments.ledger import file_digest
from streamsr.segments.segment import upscale_segment
from streamsr.segments.settings import engine_class, library_versions
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

REPORT_S = 1.0
"""Between two reports of how far a segment is."""


def make(remote: RemoteWork, task: SegmentTask, server: Any) -> SegmentResult:
    """Make a segment and put it into the film's folder, through the ``server`` (a Ray actor) when
    this node does not see the folder.

    Raises a StreamsrError when this node cannot make the bytes that the driver's machine would.
    """
    _check_versions(remote)
    work = remote.work
    record = Recorder()
    opened = _upscaler(remote)
    multiple = opened.output_size(work.info.width, work.info.height)
    upscaler = opened.for_size(None if work.size == multiple else work.size, record=record)
    reader = None if _sees(remote) else _reader(remote, server)

    def upscale(target: Path) -> None:
        upscale_segment(
            work,
            task.span,
            target,
            upscaler=upscaler,
            record=record,
            reader=reader,
            progress=_reporting(task, server),
        )

    server.report.remote(task.name, 0)
    target = remote.folder / task.name
    if (remote.folder / remote.beacon).exists():
        upscale(target)
        digest = file_digest(target)
        size = target.stat().st_size
    else:
        with tempfile.TemporaryDirectory(prefix="streamsr-") as scratch:
            local = Path(scratch) / task.name
            upscale(local)
            digest = file_digest(local)
            size = local.stat().st_size
            _send(local, str(remote.folder_there / task.name), server)
    return SegmentResult(
        digest, record.frames, record.seconds, record.pixel_counts, size, peak_memory_mib()
    )


def _check_versions(remote: RemoteWork) -> None:
    """Raise StreamsrError when libraries here would give other bytes than the driver's."""
    here = library_versions()
    there = remote.versions
    if here != there:
        seen = ", ".join(f"{n} {here.get(n)}" for n in here if here.get(n) != there.get(n))
        wanted = ", ".join(
            f"{n} {version}" for n, version in there.items() if here.get(n) != version
        )
        raise StreamsrError(f"has {seen}, the driver {wanted}")


def _reporting(task: SegmentTask, server: Any) -> Callable[[Frame], None]:
    """Make a callback that counts frames and reports them to the server once a second."""
    done = 0
    told = time.monotonic()

    def after(_frame: Frame) -> None:
        nonlocal done, told
        done += 1
        if time.monotonic() - told > REPORT_S:
            told = time.monotonic()
            server.report.remote(task.name, done)

    return after


def _reader(remote: RemoteWork, server: Any) -> Callable[[], BinaryIO]:
    """Make a function that opens the source through the server."""
    import ray  # only where a node does not see the file

    def fetch(block: int) -> bytes:
        try:
            content: bytes = ray.get(server.read.remote(str(remote.source_there), block))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # the OSError itself
        return content

    # A BinaryIO by all that is asked of it.
    name = str(remote.work.source)
    return lambda: cast(BinaryIO, RemoteFile(name, remote.source_bytes, fetch))


def _sees(remote: RemoteWork) -> bool:
    """Whether this node sees the input under its path. Raises SourceError when another file is
    there."""
    source = remote.work.source
    try:
        same = sampled_digest(source) == remote.source_sample
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise SourceError(f"{source}: {error.strerror}") from error
    if not same:
        raise SourceError(f"{source}: is a different file on this node")
    return True


def _send(local: Path, target: str, server: Any) -> None:
    """Copy a file to the driver's machine, one block after the other."""
    import ray  # only where a node does not see the folder

    with open(local, "rb") as file:
        for block, content in enumerate(iter(lambda: file.read(BLOCK), b"")):
            ray.get(server.write.remote(target, block, content))


_upscalers: dict[tuple[object, ...], Upscaler] = {}
"""Kept by this process, which makes many segments: opening an engine takes a third of a second. One
for each model; a run has at most one model for each scale."""


def _upscaler(remote: RemoteWork) -> Upscaler:
    options = remote.options
    key = (
        remote.model.sha256,
        remote.engine,
        str(options.choice),
        (remote.model.consistent, options.consistency, options.sharpen, options.strength),
        options.reuse,
        options.verify_reuse,
    )
    if key not in _upscalers:
        _check_model(remote)
        _upscalers[key] = _opened(remote)
    return _upscalers[key]


def _check_model(remote: RemoteWork) -> None:
    """Raise ModelError when this node has a different model under that name or path."""
    model = remote.model
    if not remote.shipped and not model.path.exists():
        return
    here = find_model(model.name if remote.shipped else model.path)
    if here.sha256 != model.sha256:
        raise ModelError(
            f"its model {here.path} differs from the driver's ({here.sha256[:12]}, "
            f"{model.sha256[:12]})"
        )


def _opened(remote: RemoteWork) -> Upscaler:
    """Open an upscaler with an engine of the right class, the fastest one here where several
    are."""
    options = remote.options
    engines = [options.choice.engine]
    if engines == ["auto"] and remote.engine == "exact":
        engines = ["fused", "litert"]
    for engine in engines:
        try:
            upscaler = Upscaler(
                remote.model,
                engine=replace(options.choice, engine=engine),
                consistency=options.consistency,
                sharpen=options.sharpen,
                strength=options.strength,
                reuse=options.reuse,
                verify_reuse=options.verify_reuse,
            )
        except ModelError:
            if engine == engines[-1]:
                raise
            continue
        if engine_class(upscaler.engine.name) != remote.engine:
            upscaler.close()
            raise ModelError(f"runs the {upscaler.engine.name} engine, the driver {remote.engine}")
        return upscaler
    raise AssertionError("engines is not empty")
