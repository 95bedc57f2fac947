"""Real-time video upscaling with XLSR.

Upscaler       upscales pictures and frames in the caller's thread
FileSource     decodes the frames of a video file
FeedSource     takes the pictures that your program puts in
FileSink       encodes frames into a video file
Pipeline       runs a source and an upscaler: ``for frame in Pipeline(source, upscaler): ...``
Frame          a picture and its time
StreamInfo     what is known of a stream before its first frame
Stats          counts and timings of a run
StreamsrError  base of all errors, see `streamsr.errors`
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `as` says to type checkers that a name is public
    from streamsr.errors import Cancelled as Cancelled
    from streamsr.errors import ModelError as ModelError
    from streamsr.errors import SinkError as SinkError
    from streamsr.errors import SourceError as SourceError
    from streamsr.errors import StreamsrError as StreamsrError
    from streamsr.frame import Frame as Frame
    from streamsr.frame import StreamInfo as StreamInfo
    from streamsr.pipeline import Pipeline as Pipeline
    from streamsr.sinks.file import FileSink as FileSink
    from streamsr.sources.feed import FeedSource as FeedSource
    from streamsr.sources.file import FileSource as FileSource
    from streamsr.stats import Stats as Stats
    from streamsr.upscaler import Upscaler as Upscaler

__version__ = "1.0.0"

_HOMES = {
    "Cancelled": "errors",
    "FeedSource": "sources.feed",
    "FileSink": "sinks.file",
    "FileSource": "sources.file",
    "Frame": "frame",
    "ModelError": "errors",
    "Pipeline": "pipeline",
    "SinkError": "errors",
    "SourceError": "errors",
    "Stats": "stats",
    "StreamInfo": "frame",
    "StreamsrError": "errors",
    "Upscaler": "upscaler",
}
"""The public names, each with the module that defines it."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """Import on first use, so that ``streamsr --help`` does not wait for FFmpeg and numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'streamsr' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"streamsr.{_HOMES[name]}"), name)
