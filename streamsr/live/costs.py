"""Learns what the kinds of work of a live frame cost on this machine, from frame to frame."""

DECAY = 0.8
"""Weight of a measurement relative to the one after it: about the last five decide."""

DOUBT = 0.95
"""Factor by which an expected cost falls with each frame that does not measure it: work that was
too slow is tried again after a second."""

CLOCK_S = 1e-7
"""Shortest time that is measured: a clock's resolution."""

SURPRISE = 3.0
"""A measurement counts as at most this many times the prediction: one outlier is not a trend."""

BLAMED = 0.25
"""Of an error, in the logarithm, what the rung is blamed for that was just changed to; the rest is
the machine's."""

ALIKE = 1.5
"""How many times as much work still is as much."""


class Costs:
    """Learns the cost of one kind of work on this machine: seconds = fixed + rate x pixels. For one
    thread.

    A weighted least-squares fit in which recent measurements count most. While all are of one
    size, the fixed part keeps its proportion.
    """

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self._fixed_pixels = 0.0
        self._rate = 0.0
        self._deviation = 0.1

    def predict(self, pixels: float) -> float:
        """Expected seconds for this many pixels; 0 for none, and before the first measurement."""
        return self._rate * (pixels + self._fixed_pixels) if pixels else 0.0

    @property
    def margin(self) -> float:
        """Factor by which few measurements exceed the prediction."""
        return min(1.05 + 2 * self._deviation, 2.0)

    def learn(self, pixels: float, seconds: float) -> None:
        """Take a measurement in: these pixels took these seconds."""
        expected = self.predict(pixels)
        seconds = max(seconds, CLOCK_S)
        if expected:
            seconds = min(seconds, expected * SURPRISE)
            self._deviation += (1 - DECAY) * (
                min(abs(seconds / expected - 1), 1.0) - self._deviation
            )
        self._n = self._n * DECAY + 1
        self._x = self._x * DECAY + pixels
        self._y = self._y * DECAY + seconds
        self._xx = self._xx * DECAY + pixels * pixels
        self._xy = self._xy * DECAY + pixels * seconds
        x, y = self._x / self._n, self._y / self._n
        variance = self._xx / self._n - x * x
        if variance > (0.1 * x) ** 2:
            slope = (self._xy / self._n - x * y) / variance
            slope = min(max(slope, 0.2 * y / x), y / x)  # a fixed part of 0 to 80 %
            self._fixed_pixels = y / slope - x
        self._rate = y / (x + self._fixed_pixels)

    def doubt(self) -> None:
        """Lower the expected cost, after a frame without a measurement."""
        self._rate *= DOUBT
        self._y *= DOUBT
        self._xy *= DOUBT


class RungCosts:
    """What the network costs on each rung: so many times what it costs on the lowest. For one
    thread.

    The machine is busy with something else, or free of it, on all of them alike; only a change of
    rung says something of their proportions.
    """

    def __init__(self, rungs: int) -> None:
        self._lowest = Costs()
        self._times = [1.0] * rungs
        self._last: tuple[int, float] | None = None  # rung and pixels

    def predict(self, rung: int, pixels: float) -> float:
        """As `Costs.predict`."""
        return self._times[rung] * self._lowest.predict(pixels)

    @property
    def margin(self) -> float:
        """As `Costs.margin`."""
        return self._lowest.margin

    def begin(self, rung: int, pixels: float, seconds: float) -> None:
        """Take in what this work takes before any other is done, from the lowest rung up."""
        if rung:
            self._times[rung] = seconds / self._lowest.predict(pixels)
        else:
            self._lowest.learn(pixels, seconds)

    def learn(self, rung: int, pixels: float, seconds: float) -> None:
        """As `Costs.learn`."""
        expected = self.predict(rung, pixels)
        last, self._last = self._last, (rung, pixels)
        # Less or more work than before says something of large and small work, not of the rung.
        if last and rung != last[0] and rung and expected and ALIKE > pixels / last[1] > 1 / ALIKE:
            wrong = min(max(seconds / expected, 1 / SURPRISE), SURPRISE)
            self._times[rung] *= wrong**BLAMED
        self._lowest.learn(pixels, seconds / self._times[rung])

    def doubt(self) -> None:
        """As `Costs.doubt`."""
        self._lowest.doubt()
