"""How old frames are, or how late: counted in ranges for the whole run, and percentiles."""

from bisect import bisect_left

import numpy as np

KEPT = 100_000
"""An hour at 28 frames a second; older ones leave the percentiles, so that memory stays flat."""

BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
"""Upper ends of the ranges: fine where budgets lie."""


class Ages:
    """Takes seconds in. One thread adds; any thread may read.

    counts  how many were up to each of BOUNDS_S and above the one before it; the last: above all
    sum_s   the sum of all
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0
        self._added = 0
        self._newest_s = np.empty(KEPT, np.float32)  # the next one takes the oldest one's place

    def add(self, age_s: float) -> None:
        self.counts[bisect_left(BOUNDS_S, age_s)] += 1
        self.sum_s += age_s
        self._newest_s[self._added % KEPT] = age_s
        self._added += 1

    def percentiles_ms(self) -> dict[str, float | None]:
        """p50, p95, p99 and max of the newest in milliseconds; None before the first."""
        values = self._newest_s[: self._added].astype(float)
        names = ("p50", "p95", "p99", "max")
        if not len(values):
            return dict.fromkeys(names)
        found = np.percentile(values, [50, 95, 99, 100]) * 1e3
        return {name: round(float(value), 3) for name, value in zip(names, found, strict=True)}
