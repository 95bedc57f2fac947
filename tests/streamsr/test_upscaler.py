"""The upscaler's own doings: one engine for pictures of several sizes, and what may not change."""

import os
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr import Frame, ModelError, Upscaler
from streamsr.options import EngineChoice
from streamsr.stats import Recorder
from tests.support.engine import EXACT
from tests.support.media import noise

LR = np.random.default_rng(1).integers(0, 256, (18, 32, 3), np.uint8)


def test_one_engine_serves_pictures_of_several_sizes(model: Path) -> None:
    with Upscaler(model, engine="litert", threads=1) as upscaler:
        smaller = upscaler.for_size((64, 36))
        assert smaller.engine is upscaler.engine
        assert (smaller.size, upscaler.size) == ((64, 36), None)
        assert smaller.output_size(32, 18) == (64, 36)
        assert upscaler.output_size(32, 18) == (96, 54)
        assert smaller(LR).shape == (36, 64, 3)
        smaller.close()
        assert upscaler(LR).shape == (54, 96, 3), "the engine is the first one's to close"
    with pytest.raises(ModelError, match="closed"):
        smaller(LR)


def test_an_upscaler_for_another_size_remembers_nothing_and_counts_apart(model: Path) -> None:
    frames = [Frame(LR, 0, Fraction(1, 25))]
    record = Recorder()
    with Upscaler(model, engine="litert", threads=1) as upscaler:
        upscaler.frames(frames)
        other = upscaler.for_size(None, record=record)
        other.frames(frames)
        assert other.record is record
        assert record.frames["network"] == 1
        assert record.model == upscaler.model.name
        assert upscaler.record.frames["network"] == 1
        upscaler.frames(frames)
        assert upscaler.record.frames["reused"] == 1, "what it remembers is its own"


def test_size_and_record_stay_what_they_were_made_with(model: Path) -> None:
    with Upscaler(model, engine="litert", threads=1) as upscaler:
        for name, value in (("size", (8, 8)), ("record", Recorder())):
            with pytest.raises(AttributeError):
                setattr(upscaler, name, value)
        with pytest.raises(ValueError, match="at least 1x1, got 0x8"):
            upscaler.for_size((0, 8))


def test_an_engine_choice_means_the_same_as_its_parts(model: Path) -> None:
    with Upscaler(model, engine=EngineChoice("litert", threads=2)) as upscaler:
        assert (upscaler.engine.name, upscaler.engine.threads) == ("litert", 2)


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
