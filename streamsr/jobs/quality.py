"""Chooses the rung of the family on which a file is upscaled, by what this machine has time for."""

from collections.abc import Callable, Sequence

from streamsr.engines.family import macs
from streamsr.errors import ModelError
from streamsr.frame import StreamInfo
from streamsr.jobs.pace import encoder_s, moving, network_s
from streamsr.live.capacity import SPARE
from streamsr.options import Encoding
from streamsr.upscaler import Upscaler
from xlsr_model.weights import DEFAULT_RUNG

UNKNOWN_FPS = 25.0
"""Real time, of a film that does not say its rate."""

STILL_FPS = 1.0
"""A picture has a second, as a page of a file of several has in a film."""

FAR = 1.5
"""A rung is not measured that would take so many times too long by its multiply-adds."""

Speed = tuple[str, float]
"""A rung, and how many frames a second the whole job makes on it."""


def best(speeds: Sequence[Speed], wanted_fps: float, *, asked: bool) -> tuple[str, str]:
    """The highest rung that makes ``wanted_fps``, and a line that says so and what the next would
    cost. A pure function.

    speeds  rising by rung
    asked   the user has said the rate: ModelError where none makes it. Else XLSR's rung is taken
            then, or the highest there is below it, as there is no time to be kept
    """
    fits = [rung for rung, fps in speeds if fps >= wanted_fps]
    if fits:
        place = max(i for i, (rung, _) in enumerate(speeds) if rung in fits)
        line = f"{speeds[place][0]}, about {_rounded(speeds[place][1])} fps"
        if place + 1 < len(speeds):
            line += f"; {speeds[place + 1][0]} would make it about {_rounded(speeds[place + 1][1])}"
        return speeds[place][0], line
    known = ", ".join(f"{rung} about {_rounded(fps)}" for rung, fps in speeds)
    if asked:
        raise ModelError(
            f"no quality makes {wanted_fps:.4g} fps here ({known}); --quality takes one all the "
            "same"
        )
    names = [rung for rung, _ in speeds]
    rung = DEFAULT_RUNG if DEFAULT_RUNG in names else names[0]
    return rung, f"{rung}, since none makes {wanted_fps:.4g} fps here ({known})"


def _rounded(fps: float) -> str:
    return f"{fps:.0f}" if fps >= 9.95 else f"{fps:.2g}"


class Speeds:
    """How fast a job is on each rung. What is measured is kept for its other files.

    encoding  of its films
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._encoder_s: float | None = None
        self._network_s: dict[Upscaler, float] = {}

    def of(
        self,
        rungs: Sequence[str],
        opened: Callable[[str], Upscaler],
        info: StreamInfo,
        wanted_fps: float,
        *,
        encoded: bool,
    ) -> list[Speed]:
        """The speed on each of these rungs, rising, for pictures of this size.

        Those that are far too slow for ``wanted_fps`` are not opened and measured but estimated.
        ``encoded``: the result is a film. Raises ModelError.
        """
        speeds: list[Speed] = []
        pixels, pace, known, scale = info.width * info.height, 0.0, "", 0
        for rung in rungs:
            if known:
                pace *= macs(rung, scale) / macs(known, scale)
            if not known or self._fps(pixels, pace, scale, encoded=encoded) * FAR > wanted_fps:
                upscaler = opened(rung)
                scale, pace = upscaler.scale, self._pace(upscaler)
            known = rung
            speeds.append((rung, self._fps(pixels, pace, scale, encoded=encoded)))
        return speeds

    def _pace(self, upscaler: Upscaler) -> float:
        if upscaler not in self._network_s:
            self._network_s[upscaler] = network_s(upscaler)
        return self._network_s[upscaler]

    def _fps(self, pixels: int, pace: float, scale: int, *, encoded: bool) -> float:
        encoder_pace = self._encoder() * scale**2 if encoded else 0.0
        return 1 / (pixels * (pace + encoder_pace) * SPARE)

    def _encoder(self) -> float:
        if self._encoder_s is None:
            self._encoder_s = encoder_s(self._encoding, moving())
        return self._encoder_s
