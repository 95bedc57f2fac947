"""The sink contract: what the pipeline asks of everything that takes frames."""

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from streamsr.frame import Frame

if TYPE_CHECKING:
    from streamsr.media.sound import SoundPacket


class Sink(Protocol):
    """Takes frames of one size, in order. A context manager, for one thread.

    `commit` makes the result final; left without it, also by an error, there is no file of the
    final name. Outside the ``with`` block, and after `commit`, `write` and `commit` raise
    ValueError; so does a frame of another size than was announced. Where frames are only shown, in
    a window, on a page or by a camera, nothing is made final: `commit` changes nothing.

    All methods, the constructor too, raise SinkError, of one line, when the output cannot be
    created or written, also on a full disk; what has the final name then is as it was. Leaving
    closes all that was opened; leaving twice is harmless.
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


def check_size(frame: Frame, size: tuple[int, int]) -> None:
    """Raise ValueError unless the frame has this size (width, height). Every sink that is told one
    calls this first."""
    height, width = frame.rgb.shape[:2]
    if (width, height) != size:
        raise ValueError(f"expected a frame of {size[0]}x{size[1]}, got {width}x{height}")


def outside(call: str) -> ValueError:
    """What a sink raises that is asked for something when it can take nothing."""
    return ValueError(f"{call} outside the with block, or after commit()")


@runtime_checkable
class SoundSink(Protocol):
    """A sink that takes sound beside its frames, in the thread that writes those."""

    def write_sound(self, packet: "SoundPacket") -> bool:
        """Take a packet, whose time is on the frames' clock; packets come in order, each somewhat
        before or after its frame. Returns False where it was left out: before the first frame, or
        damaged. Raises SinkError as `write` does."""
