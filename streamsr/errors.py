"""The exceptions, one class for each thing the caller can mend, and how messages quote text.

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


LONGEST_QUOTE = 60
"""Characters of text from outside in a message: more would hide the message."""


def quoted(value: object) -> str:
    """Format a value from outside for a message: on one line, control characters escaped, shortened
    in the middle."""
    try:
        return shortened(repr(value) if isinstance(value, str) else str(value))
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"


def shortened(text: str, longest: int = LONGEST_QUOTE) -> str:
    """Replace the middle of a long text by three dots."""
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]}...{text[-half:]}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def reason_of(error: BaseException) -> str:
    """The system's or FFmpeg's words for an error (``strerror``), else the first line of it."""
    return getattr(error, "strerror", None) or first_line(error)


def one_line(text: str) -> str:
    """Escape what cannot be printed, such as a line end or an escape code in a file's name."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
