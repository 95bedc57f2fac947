"""The source contract: what the pipeline asks of everything that gives frames."""

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from streamsr.frame import Frame, StreamInfo


class Source(Protocol):
    """Gives frames in order of presentation. A context manager and an iterator.

    They have the size that ``info`` says, or say by their ``fit`` how they are shown in it.

    ``info`` is known once it is entered. Entering raises SourceError when there is nothing to read,
    iterating raises it when reading fails later. One thread enters, another may iterate; it is left
    after the iteration has stopped. Leaving twice is harmless.
    """

    @property
    def info(self) -> StreamInfo: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]: ...


@runtime_checkable
class Stoppable(Protocol):
    """A source whose iteration may wait: for the time of a frame, a connection, another thread."""

    def stop(self) -> None:
        """End the wait and the iteration. Any thread may call it, more than once."""
