"""Names and containers of output files."""

import logging
import os
from pathlib import Path

from streamsr.errors import SinkError, SourceError
from streamsr.jobs.options import FileOptions
from streamsr.media.containers import FORMATS, better_in_matroska
from streamsr.media.encode import Encoder
from streamsr.media.input import open_input
from streamsr.options import MAX_PIXELS
from streamsr.picture.files import is_image, is_picture, read_content
from streamsr.picture.pages import pictures_in
from streamsr.segments.ledger import Ledger

log = logging.getLogger("streamsr")


def output_name(source: Path) -> str:
    """The name of a file's output in a directory: its own, or with .mkv where we cannot write that
    kind or it holds several pictures, .png for a picture."""
    if is_picture(source):
        if _holds_several(source):
            return source.with_suffix(".mkv").name
        return source.name if is_image(source) else source.with_suffix(".png").name
    return source.name if source.suffix.lower() in FORMATS else source.with_suffix(".mkv").name


def _holds_several(source: Path) -> bool:
    """Whether a picture file becomes a film. One that cannot be read does not; the job will say
    why."""
    try:
        content = read_content(source, MAX_PIXELS)
        return pictures_in(source, content, MAX_PIXELS) > 1
    except SourceError:
        return False


def container_of(target: Path) -> str:
    """FFmpeg's name of the output's container."""
    return FORMATS.get(target.suffix.lower(), "matroska")


def output_for(source: Path, target: Path, options: FileOptions) -> Path:
    """The path of the output: ``target``, or a .mkv beside it when only that holds all of the film.

    The latter is logged in one line, or raises SinkError with ``strict``. A file under the new
    name, which nobody said to replace, is never replaced: SinkError.
    """
    container = container_of(target)
    if is_picture(source) or is_image(target) or container == "matroska":
        return target
    encoder = Encoder(options.encoding).name
    with open_input(source) as film:
        missing = ", ".join(better_in_matroska(container, film, encoder).values())
    if not missing:
        return target
    better = target.with_suffix(".mkv")
    if options.strict:
        raise SinkError(
            f"{target}: {container} cannot hold {missing}; a .mkv output would; refused by --strict"
        )
    if os.path.lexists(better) and not (options.resume and Ledger.begun(better)):
        raise SinkError(
            f"{target}: {container} cannot hold {missing}, and {better} exists already; "
            "name a .mkv output"
        )
    log.warning("%s cannot hold %s: all goes into %s", container, missing, better)
    return better
