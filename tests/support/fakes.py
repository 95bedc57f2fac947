"""Stand-ins for what is not there, or cannot be waited for: time."""


class Clock:
    """Virtual seconds, and the pause that moves them: a `streamsr.interrupt.Waits`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ended = False
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += max(seconds, 0.0)
        return self.ended

    def end(self) -> None:
        self.ended = True
