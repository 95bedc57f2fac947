"""Real-time video upscaling with XLSR.

Upscaler     pictures in, larger pictures out; no threads of its own line
FileSource   frames of a video file
FeedSource   pictures that your program puts in
FileSink     an encoded video file
Pipeline     source and upscaler run together: ``for frame in Pipeline(source, upscaler): ...``
Frame, StreamInfo, Stats   what comes out
StreamsrError and its kin  what goes wrong, see `streamsr.errors`
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamsr.errors import Cancelled, ModelError, SinkError, SourceError, StreamsrError
    from streamsr.frame import Frame, StreamInfo
    from streamsr.pipeline import Pipeline
    from streamsr.sinks.file import FileSink
    from streamsr.sources.feed import FeedSource
    from streamsr.sources.file import FileSource
    from streamsr.stats import Stats
    from streamsr.upscaler import Upscaler

__version__ = "1.0.0"

__all__ = [
    "Cancelled",
    "FeedSource",
    "FileSink",
    "FileSource",
    "Frame",
    "ModelError",
    "Pipeline",
    "SinkError",
    "SourceError",
    "Stats",
    "StreamInfo",
    "StreamsrError",
    "Upscaler",
]

_HOMES = {
    "FeedSource": "sources.feed",
    "FileSink": "sinks.file",
    "FileSource": "sources.file",
    "Frame": "frame",
    "Pipeline": "pipeline",
    "Stats": "stats",
    "StreamInfo": "frame",
    "Upscaler": "upscaler",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that ``streamsr --help`` does not wait for FFmpeg and numpy."""
    if name not in __all__:
        raise AttributeError(f"module 'streamsr' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"streamsr.{_HOMES.get(name, 'errors')}"), name)
