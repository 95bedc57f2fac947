"""The interface through which upscaling files reports its progress."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamsr.audit.check import Check
    from streamsr.upscaler import Upscaler


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the file that is upscaled, or on a cluster of all files opened so far.

    frames   done
    total    None when unknown
    workers  segments being made at this moment
    nodes    machines with cores to work on
    """

    frames: int
    total: int | None
    workers: int = 1
    nodes: int = 1


class Observer(Protocol):
    """Receives the progress of upscaling files. Called by one thread."""

    def began(
        self,
        source: Path,
        target: Path,
        upscaler: "Upscaler",
        *,
        frames: int | None,
        segments: int | None = None,
    ) -> None:
        """All of a file is known and open. ``frames`` are those to do, None when unknown;
        ``segments`` those of a film that a cluster upscales."""

    def progress(self, progress: Progress) -> None:
        """Called after each frame; on a cluster a few times each second."""

    def done(self, target: Path, frames: int, checks: "list[Check]") -> None:
        """An output is complete; ``checks`` is what its audit found, empty without one."""

    def failed(self, error: Exception) -> None:
        """One file could not be upscaled; the others go on."""


class Unobserved:
    """The observer that shows nothing."""

    def began(
        self,
        source: Path,
        target: Path,
        upscaler: "Upscaler",
        *,
        frames: int | None,
        segments: int | None = None,
    ) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        pass

    def done(self, target: Path, frames: int, checks: "list[Check]") -> None:
        pass

    def failed(self, error: Exception) -> None:
        pass
