"""The sink contract: what the pipeline asks of everything that takes frames."""

from types import TracebackType
from typing import Protocol, Self

from streamsr.frame import Frame


class Sink(Protocol):
    """Takes frames of one size, in order. A context manager, for one thread.

    `commit` makes the result final; left without it, there is no file of the final name. All
    methods raise SinkError when the output cannot be created or written. Leaving twice is harmless.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def write(self, frame: Frame) -> None: ...

    def commit(self) -> None: ...
