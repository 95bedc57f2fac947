"""Upscaled frames in an asyncio program: ``python live_async.py in.mp4``. The event loop is never
blocked."""

import asyncio
import sys

from streamsr import FileSource, Pipeline, Upscaler


async def main(source: str) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    frames = 0
    with Upscaler() as upscaler, Pipeline(FileSource(source, duration_s=1), upscaler) as pipeline:
        async for _frame in pipeline:
            frames += 1
    ticking.cancel()
    print(f"{frames} frames while the event loop ticked {ticks} times")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
