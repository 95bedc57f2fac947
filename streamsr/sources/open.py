"""Which source a word means: a camera, an address, a file, a test pattern or standard input."""

import sys

from streamsr.errors import SourceError
from streamsr.media.url import scheme_of, without_secrets
from streamsr.options import INTERLACED
from streamsr.sources import Source
from streamsr.stats import Recorder


def open_source(
    spec: str,
    *,
    realtime: bool = False,
    size: tuple[int, int] | None = None,
    rate: float | None = None,
    microphone: str | None = None,
    interlaced: str = INTERLACED[0],
    record: Recorder,
) -> Source:
    """Make the source that ``spec`` names, to be entered; `Y4mSource` for ``-`` is to be waited for
    first. Raises SourceError.

    realtime    a file comes at its own rate, as if it were live
    size, rate  (width, height) and pictures a second, wishes to a camera
    microphone  the device that a camera's sound comes from
    interlaced  what to do with interlaced frames, see `streamsr.options.INTERLACED`

    Heavy libraries are imported only for the sources that use them.
    """
    from streamsr.sources.camera import camera, is_camera
    from streamsr.sources.network import SCHEMES, is_network, network

    if microphone is not None and not is_camera(spec):
        raise SourceError(f"{spec}: --microphone is for a camera")
    if spec.startswith("test:"):
        from streamsr.sources.pattern import PatternSource

        return PatternSource(spec)
    if is_camera(spec):
        return camera(spec, size=size, rate=rate, microphone=microphone, record=record)
    if is_network(spec):
        return network(spec, interlaced=interlaced, record=record)
    if spec == "-":
        from streamsr.sources.y4m import Y4mSource

        if sys.stdin is None:
            raise SourceError("standard input: is closed")
        stream = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
        return Y4mSource(stream, live=True, interlaced=interlaced, record=record)
    if (scheme := scheme_of(spec)) is not None:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise SourceError(f"{without_secrets(spec)}: {scheme}:// is not one of {known}")
    from streamsr.sources.file import FileSource
    from streamsr.sources.paced import PacedSource

    film = FileSource(spec, interlaced=interlaced, record=record)
    return PacedSource(film, record=record) if realtime else film
