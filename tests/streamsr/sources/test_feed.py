"""Embedding: pictures put in and taken out, and pipelines in an asyncio program."""

import asyncio
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.errors import SourceError
from streamsr.pipeline import Pipeline
from streamsr.sources.feed import FeedSource
from streamsr.stats import Fate
from streamsr.upscaler import Upscaler
from tests.support.media import picture
from tests.support.until import until

SIZE = 64, 48


@pytest.fixture
def upscaler(model: Path) -> Upscaler:
    return Upscaler(model, engine="litert", threads=1)


def test_what_is_put_in_comes_out_upscaled_with_its_time(upscaler: Upscaler) -> None:
    feed = FeedSource(size=SIZE, time_base=Fraction(1, 1000), live=False)
    with Pipeline(feed, upscaler) as pipeline:
        for i, pts in enumerate((7, 40, 100)):
            assert feed.put(picture(i), pts)
            frame = pipeline.get(30)
            assert frame is not None
            assert (frame.pts, frame.time_base, frame.index) == (pts, Fraction(1, 1000), i)
            np.testing.assert_array_equal(frame.rgb, upscaler(picture(i)))
        with pytest.raises(TimeoutError):
            pipeline.get(0.01)
        feed.end()
        assert pipeline.get(30) is None


def test_a_full_feed_waits_for_its_turn_and_loses_nothing(upscaler: Upscaler) -> None:
    feed = FeedSource(size=SIZE, live=False)

    def produce() -> None:
        for i in range(20):
            feed.put(picture(i), i)
        feed.end()

    producer = threading.Thread(target=produce)
    producer.start()
    assert [frame.pts for frame in Pipeline(feed, upscaler)] == list(range(20))
    producer.join(60)
    assert not producer.is_alive()


def test_a_live_feed_accounts_for_what_it_was_given(upscaler: Upscaler) -> None:
    feed = FeedSource(size=SIZE)
    with Pipeline(feed, upscaler, budget_s=5) as pipeline:
        for i in range(30):
            feed.put(picture(i))
        feed.end()
        while pipeline.get(30) is not None:
            pass
    frames = upscaler.record.frames
    assert frames["in"] == sum(frames[fate] for fate in Fate) > 0


def test_without_a_size_the_first_picture_decides() -> None:
    feed = FeedSource()
    feed.put(picture(1))
    with feed:
        assert (feed.info.width, feed.info.height) == SIZE
        with pytest.raises(ValueError, match="64x48"):
            feed.put(picture(1, 10, 10))
    assert not feed.put(picture(1))


def test_times_that_do_not_rise_are_made_to() -> None:
    feed = FeedSource(size=SIZE, time_base=Fraction(1, 1000))
    with feed:
        given = []
        frames = iter(feed)
        for pts in (5, 5, 3, 40):
            feed.put(picture(1), pts)
            given.append(next(frames).pts)
    assert given == [5, 6, 7, 40]


def test_a_feed_that_ends_before_its_first_picture_is_an_error() -> None:
    feed = FeedSource()
    feed.end()
    with pytest.raises(SourceError, match="no picture"):
        feed.__enter__()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_what_is_no_picture_is_refused(
    image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> None:
    with pytest.raises(ValueError, match="uint8"):
        FeedSource().put(image)


def fed(count: int) -> FeedSource:
    feed = FeedSource(size=SIZE, live=False)
    threading.Thread(
        target=lambda: [feed.put(picture(i), i) for i in range(count)] and feed.end()
    ).start()
    return feed


def test_async_for_gives_every_frame(upscaler: Upscaler) -> None:
    async def main() -> list[int]:
        return [frame.pts async for frame in Pipeline(fed(10), upscaler)]

    assert asyncio.run(main()) == list(range(10))


def threads() -> list[str]:
    """Those of a pipeline."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name in ("streamsr-decode", "streamsr-upscale")]


def test_a_cancelled_task_ends_the_pipeline(upscaler: Upscaler) -> None:
    feed = FeedSource(size=SIZE, live=False)

    async def forever() -> None:
        async for _ in Pipeline(feed, upscaler):
            pass

    async def main() -> None:
        task = asyncio.create_task(forever())
        await asyncio.to_thread(until, threads)  # it waits for a picture
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not threads()
