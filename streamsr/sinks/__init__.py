"""The sink contract."""

from types import TracebackType
from typing import Protocol, Self

from streamsr.frame import Frame


class Sink(Protocol):
    """A context manager that takes frames, all of one size, in order.

    ``commit()`` makes the result final; leaving without it leaves nothing behind under the final
    name. Everything raises SinkError when the output cannot be created or written. One thread uses
    it. Leaving twice is harmless.
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
