"""What the driver of a cluster and its nodes send each other: a film's work, a task, its result."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from streamsr.cluster.transfer import sampled_digest
from streamsr.frame import Span
from streamsr.jobs.options import UpscaleOptions
from streamsr.model import ModelFile
from streamsr.segments.film import SegmentedJob
from streamsr.segments.segment import SegmentWork
from streamsr.segments.settings import engine_class, library_versions
from streamsr.upscaler import Upscaler
from xlsr_model import weights


@dataclass(frozen=True, slots=True)
class RemoteWork:
    """A film's work with all that a node needs to do it: what gives the right bytes, and where its
    files are.

    work            the source's path is absolute
    source_bytes, source_sample  the input's size and `sampled_digest`
    shipped         the model is one of the installation's
    engine          the class of engines that gives the right bytes, see `engine_class`
    options         for the upscaler, beside the model; with the cores of a task as its threads
    folder, beacon  where segments go; a file in it by which a node knows that it sees that folder
    source_there, folder_there  paths on the driver's machine, links followed
    """

    work: SegmentWork
    source_bytes: int
    source_sample: str
    model: ModelFile
    shipped: bool
    engine: str
    options: UpscaleOptions
    folder: Path
    beacon: str
    source_there: Path
    folder_there: Path
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """One attempt at a segment. ``name``: of its file in the film's folder, which no other attempt
    has."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """A finished segment: its digest, and the worker's statistics."""

    blake2b: str
    frames: Mapping[str, int]
    seconds: Mapping[str, float]
    pixels: Mapping[str, int]
    bytes: int
    peak_memory_mib: float | None


def remote_work(
    segmented: SegmentedJob, upscaler: Upscaler, options: UpscaleOptions, *, cores: int
) -> RemoteWork:
    """Describe the work of an entered film for nodes. Clears away what workers of an earlier run
    left in its folder."""
    work = segmented.work
    model = upscaler.model
    ledger = segmented.ledger
    folder = ledger.folder.absolute()
    ledger.sweep({ledger.path(number) for number in ledger.finished})
    beacon = f"here-{uuid.uuid4().hex}"
    (folder / beacon).touch()
    return RemoteWork(
        work=replace(work, source=work.source.absolute()),
        source_bytes=work.source.stat().st_size,
        source_sample=sampled_digest(work.source),
        model=model,
        shipped=model.name in weights.names() and model.path == weights.path(model.name),
        engine=engine_class(upscaler.engine.name),
        options=replace(options, choice=replace(options.choice, threads=cores)),
        folder=folder,
        beacon=beacon,
        source_there=work.source.resolve(),
        folder_there=folder.resolve(),
        versions=library_versions(),
    )
