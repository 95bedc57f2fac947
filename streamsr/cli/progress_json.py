"""``--progress-json``: the progress of upscaling files for another program, a line of JSON each.

    {"began": {"input": "a.mp4", "output": "b.mp4", "frames": 250, "how": "..."}}
    {"progress": {"frames": 12, "total": 250, "seconds": 1.5}}
    {"done": {"output": "b.mp4", "frames": 250}}
    {"failed": "a.mp4: ..."}

``frames`` and ``total`` are those left to do when the file began, null where unknown.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamsr.cli.errors import line_of, shown
from streamsr.cli.progress import Display, described
from streamsr.jobs.observer import Progress

if TYPE_CHECKING:
    from streamsr.audit.check import Check
    from streamsr.upscaler import Upscaler

EVERY_S = 0.25


class ProgressLines:
    """An observer (`streamsr.jobs.observer.Observer`) that writes lines to standard output, beside
    a display. Whoever reads them and leaves ends the run by BrokenPipeError."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._began_s = self._said_s = 0.0

    def _say(self, **line: Any) -> None:  # Any: JSON
        print(json.dumps(line), flush=True)

    def began(
        self,
        source: Path,
        target: Path,
        upscaler: "Upscaler",
        *,
        frames: int | None,
        segments: int | None = None,
    ) -> None:
        self._display.began(source, target, upscaler, frames=frames, segments=segments)
        self._began_s = self._said_s = time.monotonic()
        how = described(upscaler, segments)
        self._say(began={"input": str(source), "output": str(target), "frames": frames, "how": how})

    def progress(self, progress: Progress) -> None:
        self._display.progress(progress)
        now = time.monotonic()
        if now - self._said_s >= EVERY_S or progress.frames == progress.total:
            self._said_s = now
            seconds = round(now - self._began_s, 3)
            self._say(
                progress={"frames": progress.frames, "total": progress.total, "seconds": seconds}
            )

    def done(self, target: Path, frames: int, checks: "list[Check]") -> None:
        failed = len(self._display.errors)
        self._display.done(target, frames, checks)
        if self._display.errors[failed:]:  # what the audit lost
            self._say(failed=shown(line_of(self._display.errors[-1])))
        else:
            self._say(done={"output": str(target), "frames": frames})

    def failed(self, error: Exception) -> None:
        self._display.failed(error)
        self._say(failed=shown(line_of(error)))
