"""What programs do that the command line does not: draw on frames, fork, use memory again."""

import os
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr import ModelError, Upscaler
from streamsr.frame import Frame
from tests.support.engine import EXACT
from tests.support.media import noise


def frame(rgb: np.ndarray, index: int = 0) -> Frame:  # type: ignore[type-arg]
    return Frame(rgb, index, Fraction(1, 25), index=index)


def test_nobody_can_draw_into_the_next_frame(model: Path) -> None:
    still = noise(64, 36)
    with Upscaler(model, engine=EXACT, threads=1) as upscaler:
        (first,) = upscaler.frames([frame(still)])
        with pytest.raises(ValueError, match="read-only"):
            first.rgb[:8] = 255
        (second,) = upscaler.frames([frame(still, 1)])
        assert np.array_equal(second.rgb, first.rgb)
        drawn = second.rgb.copy()
        drawn[:8] = 255  # what a copy is for


def test_a_picture_that_its_owner_writes_to_again_is_compared_with_what_it_was(
    model: Path,
) -> None:
    memory = noise(64, 36)
    with Upscaler(model, engine=EXACT, threads=1) as upscaler:
        upscaler.frames([frame(memory)])
        memory[:] = noise(64, 36, seed=1)
        (after,) = upscaler.frames([frame(memory, 1)])
        assert np.array_equal(after.rgb, upscaler(memory))


@pytest.mark.parametrize("way", ["call", "frames"])
def test_a_forked_child_is_told_so_and_does_not_hang(model: Path, way: str) -> None:
    picture = noise(64, 36)
    with Upscaler(model, engine=EXACT, threads=2) as upscaler:
        before = upscaler(picture)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                upscaler(picture) if way == "call" else upscaler.frames([frame(picture)])
                os.write(writing, b"computed")
            except ModelError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as said:
            assert b"before a fork" in said.read()
        assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(upscaler(picture), before)
