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


LONGEST_QUOTE = 60
"""Characters of somebody else's text in a message: more hides what is said about it."""


def quoted(value: object) -> str:
    """A value from outside as a message shows it: on one line, without control characters, cut in
    the middle."""
    try:
        return shortened(repr(value) if isinstance(value, str) else str(value))
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"


def shortened(text: str, longest: int = LONGEST_QUOTE) -> str:
    """The text, without its middle where it is long."""
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]}...{text[-half:]}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def reason_of(error: BaseException) -> str:
    """The system's or FFmpeg's words for an error (``strerror``), else the first line of it."""
    return getattr(error, "strerror", None) or first_line(error)


def one_line(text: str) -> str:
    """A message on one line: what is not to be printed (a line end or an escape code in a file's
    name) is escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
