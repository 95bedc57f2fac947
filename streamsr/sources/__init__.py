"""The source contract."""

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from streamsr.frame import Frame, StreamInfo


class Source(Protocol):
    """A context manager and an iterator of frames, in order of presentation. ``info`` is known once
    it is entered.

    Entering raises SourceError when there is nothing to read; iterating raises it when reading
    breaks off. One thread enters, another may iterate; leaving happens after the iteration has
    stopped. Leaving twice is harmless.
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
    """A source that waits: for its time, for a connection, for somebody's picture."""

    def stop(self) -> None:
        """Cut the wait short; the iteration ends soon. Called from any thread, more than once
        perhaps."""
