"""The source contract: what the pipeline asks of everything that gives frames."""

from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from streamsr.frame import Frame, StreamInfo

if TYPE_CHECKING:
    from streamsr.media.sound import SoundFormat, SoundPacket


class Source(Protocol):
    """Gives frames in order of presentation. A context manager and an iterator.

    ``info`` is known once it is entered. Every frame has the size that it says, or a ``fit`` into
    that; its time base, and memory of its own. pts, index and arrival rise from frame to frame: a
    picture whose time does not comes one tick later. ``info.color`` is resolved, or empty where
    pictures come as RGB.

    Entering raises SourceError, of one line, when there is nothing to read; iterating raises it
    when reading fails later, after the frames before. After the last frame, and after leaving, an
    iteration gives nothing. One thread enters, another may iterate; it is left after the iteration
    has stopped. Leaving closes all that was opened, also after an error; entering again before that
    and leaving twice are harmless.
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
        """End the wait and the iteration, for good and without an error. Any thread may call it
        once the source is entered, more than once. A network that is silent ends it after its
        time-out only.
        """


class Sound(Protocol):
    """The sound of a source. A context manager; it is entered before the source is iterated, and
    left after that has stopped.

    ``format`` says how its packets are coded. Packets are counted as they come in
    (`streamsr.stats.Event`). What is not fetched waits, within bounds.
    """

    @property
    def format(self) -> "SoundFormat": ...

    def until(self, time_s: Fraction | None) -> "Iterator[SoundPacket]":
        """The packets that are there and begin up to this time on the clock of the source's frames,
        None for all of them, in order. It does not wait for any. For one thread, which need not be
        the one that iterates the source."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class Sounding(Protocol):
    """A source that may have sound."""

    def open_sound(self) -> Sound:
        """Its sound, to be entered. Called once the source is entered, before it is iterated; when
        it is not called, sound costs nothing. Raises SourceError, with the reason, where there is
        none."""
