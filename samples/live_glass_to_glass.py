"""From drawing a picture to having it upscaled: ``python live_glass_to_glass.py [SECONDS]``.

The test pattern carries the time it was drawn at; it is read back from the pixels that a preview
would show.
"""

import sys
import time

import numpy as np

from streamsr import Pipeline, Upscaler
from streamsr.sources.pattern import PatternSource, read_time


def main(seconds: str = "10") -> None:
    source = PatternSource("test:640x360@30")
    delays = []
    begin = time.monotonic()
    with Upscaler() as upscaler:
        for frame in Pipeline(source, upscaler, budget_s=0.05):
            drawn = read_time(frame.rgb)
            if drawn is not None:
                delays.append((time.monotonic() - drawn) * 1e3)
            if time.monotonic() - begin > float(seconds):
                break
    p50, p99 = np.percentile(delays, [50, 99])
    print(f"{len(delays)} frames on {upscaler.engine.name}: {p50:.1f} ms, 99 % within {p99:.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
