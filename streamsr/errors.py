"""What can go wrong, by what the caller can do about it.

    StreamsrError
     |- SourceError   the input cannot be opened or read
     |- SinkError     the output cannot be created or written
     |- ModelError    the model file, engine or delegate cannot be used
     '- Cancelled     the caller asked the run to stop

Wrong arguments are ValueError or TypeError and say what was expected and what was seen.
"""


class StreamsrError(Exception):
    """Base of every error streamsr raises on purpose. ``str(error)`` is one line fit for a user."""


class SourceError(StreamsrError):
    """The input cannot be opened or read."""


class SinkError(StreamsrError):
    """The output cannot be created or written."""


class ModelError(StreamsrError):
    """The model file, the engine or the delegate cannot be used."""


class Cancelled(StreamsrError):  # noqa: N818 - it is not a failure
    """The caller asked the run to stop."""
