"""What travels between the driver of a cluster and its nodes: all of a film's work, an order, what
was made."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsr.cluster.transfer import sampled_digest
from streamsr.frame import Span, StreamInfo
from streamsr.jobs.files import Options
from streamsr.media.encode import Encoding
from streamsr.model import ModelFile
from streamsr.segments.film import SegmentedFilm, engine_class, library_versions
from streamsr.upscaler import Upscaler
from xlsr_model import weights


@dataclass(frozen=True, slots=True)
class FilmWork:
    """All that decides the bytes of a film's segments, and where its files are.

    source, size, sample  the input's path, its bytes and `sampled_digest`
    shipped               the model is one of the installation's
    engine                the class of engines that gives the right bytes, see `engine_class`
    options               for Upscaler, beside the model
    folder, beacon        where segments go; a file in it by which a node knows that it sees that
                          folder
    source_there, folder_there  the same on the driver's machine, links followed
    """

    source: Path
    source_there: Path
    size: int
    sample: str
    info: StreamInfo
    model: ModelFile
    shipped: bool
    engine: str
    options: Mapping[str, Any]
    output: tuple[int, int]
    encoding: Encoding
    container: str
    interlaced: str
    max_pixels: int
    folder: Path
    folder_there: Path
    beacon: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """One attempt at a segment. ``name``: of its file in the film's folder, which no other attempt
    has."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Made:
    """A finished segment: its digest, and what happened on the way."""

    blake2b: str
    frames: Mapping[str, int]
    seconds: Mapping[str, float]
    pixels: Mapping[str, int]
    bytes: int
    peak_memory_mib: float | None


def film_work(film: SegmentedFilm, upscaler: Upscaler, options: Options, *, cores: int) -> FilmWork:
    """What a node must know of an entered film. Clears away what workers of an earlier run left in
    its folder."""
    o, model, folder = options, upscaler.model, film.ledger.folder.absolute()
    film.ledger.sweep({film.ledger.path(number) for number in film.ledger.finished})
    beacon = f"here-{uuid.uuid4().hex}"
    (folder / beacon).touch()
    return FilmWork(
        source=film.source.absolute(),
        source_there=film.source.resolve(),
        size=film.source.stat().st_size,
        sample=sampled_digest(film.source),
        info=film.info,
        model=model,
        shipped=model.name in weights.names() and model.path == weights.path(model.name),
        engine=engine_class(upscaler.engine.name),
        options={
            "engine": o.engine,
            "threads": cores,
            "delegate": o.delegate,
            "delegate_options": dict(o.delegate_options),
            "batch": o.batch,
            "reuse": o.reuse,
            "verify_reuse": o.verify_reuse,
        },
        output=film.size,
        encoding=film.encoding,
        container=film.container,
        interlaced=film.interlaced,
        max_pixels=film.max_pixels,
        folder=folder,
        folder_there=folder.resolve(),
        beacon=beacon,
        versions=library_versions(),
    )
