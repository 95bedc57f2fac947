"""The upscaler's own doings: one engine for pictures of several sizes, and what may not change."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr import Frame, ModelError, Upscaler
from streamsr.options import EngineChoice
from streamsr.stats import Recorder

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
