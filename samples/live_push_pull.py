"""Pictures of your own, upscaled within 50 ms each: ``python live_push_pull.py``. One thread puts,
another takes."""

import threading
import time

import numpy as np

from streamsr import FeedSource, Pipeline, Upscaler


def produce(feed: FeedSource) -> None:
    for i in range(30):
        picture = np.full((90, 160, 3), 8 * i, np.uint8)  # yours: a simulation, a game, a screen
        feed.put(picture)
        time.sleep(1 / 30)
    feed.end()


def main() -> None:
    feed = FeedSource(size=(160, 90))
    with Upscaler() as upscaler, Pipeline(feed, upscaler, budget_s=0.05) as pipeline:
        producer = threading.Thread(target=produce, args=(feed,))
        producer.start()
        while (frame := pipeline.get()) is not None:
            print(f"{frame.time_s:6.3f} s  {frame.rgb.shape[1]}x{frame.rgb.shape[0]}")
        producer.join()
    counts = upscaler.record.frames
    print(f"{counts['in']} in, {counts['out']} out, {counts['dropped']} dropped")


if __name__ == "__main__":
    main()
