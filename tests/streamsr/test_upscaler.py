"""The upscaler's own doings: one engine for pictures of several sizes, and what may not change."""

import os
import signal
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamsr import Frame, ModelError, Upscaler
from streamsr.engines import Tile
from streamsr.frame import Image
from streamsr.native import loops
from streamsr.options import EngineChoice, Look
from streamsr.picture.high_depth import enlarge_16
from streamsr.stats import Recorder
from tests.support.engine import EXACT, EXACT_ENGINES
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


def pictures() -> list[Image]:
    """A picture, a part of which changes; another one; that one again."""
    first = noise(96, 64)
    changed = first.copy()
    changed[20:30, 40:44] ^= 255
    other = noise(96, 64, seed=1)
    return [first, changed, changed, first, other, other]


@pytest.mark.parametrize(
    "look", [{}, {"consistency": False}, {"sharpen": 0.5}, {"strength": 0.25, "consistency": True}]
)
@pytest.mark.parametrize("engine", EXACT_ENGINES)
def test_what_is_done_to_a_picture_is_the_same_with_reuse_and_without(
    model: Path, engine: str, look: dict[str, Any]
) -> None:
    with Upscaler(model, engine=engine, threads=2, verify_reuse=True, **look) as upscaler:
        shown = [upscaler.frames([frame(lr, i)])[0].rgb for i, lr in enumerate(pictures())]
        kept = [rgb.copy() for rgb in shown]
        for lr, rgb, then in zip(pictures(), shown, kept, strict=True):
            assert np.array_equal(upscaler(lr), rgb)
            assert np.array_equal(rgb, then), "later frames leave it as it was"
        assert upscaler.record.frames["partial"] == upscaler.record.frames["reused"] == 2
    with Upscaler(model, engine=engine, threads=1, reuse=False, **look) as upscaler:
        group = upscaler.frames([frame(lr, i) for i, lr in enumerate(pictures())])
        for rgb, one in zip(kept, group, strict=True):
            assert np.array_equal(one.rgb, rgb)


def test_shipped_models_are_consistent_unless_that_is_switched_off(model: Path) -> None:
    lr = noise(40, 30)
    with Upscaler(model, engine=EXACT, threads=1, consistency=False) as upscaler:
        raw = upscaler(lr)
        expected = np.empty_like(raw)
        loops.consistent(lr, raw, expected, 0, 30)
        assert not upscaler.look.consistent
    near = Path(os.path.relpath(model))
    for what in (model, near, "clean", "xlsr_x3_u8"):
        with Upscaler(what, engine=EXACT, threads=1) as upscaler:
            assert upscaler.look == Look(consistent=True)
            assert np.array_equal(upscaler(lr), expected)
    assert not np.array_equal(raw, expected)


@pytest.mark.parametrize(
    ("card", "consistent"),
    [
        (None, False),
        ("{}", False),
        ('{"consistent": true}', True),
        ('{"consistent": false}', False),
        ('{"consistent": 1}', False),
        ("[true", False),
        ("[true]", False),
        ("[" * 100_000, False),
    ],
)
def test_a_model_of_ones_own_is_what_its_card_says(
    model: Path, tmp_path: Path, card: str | None, consistent: bool
) -> None:
    mine = tmp_path / "xlsr_x3_u8.tflite"  # the name of a shipped one makes it none
    mine.write_bytes(model.read_bytes())
    if card is not None:
        mine.with_suffix(".json").write_text(card)
    for asked, expected in ((None, consistent), (True, True), (False, False)):
        with Upscaler(mine, engine="litert", threads=1, consistency=asked) as upscaler:
            assert upscaler.look.consistent == expected


@pytest.mark.parametrize("values", [{"sharpen": 2.0}, {"strength": -0.1}])
def test_amounts_out_of_range_are_refused(model: Path, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1, got"):
        Upscaler(model, engine="litert", threads=1, **values)


def test_after_an_engine_failed_half_way_nothing_of_its_picture_is_reused(model: Path) -> None:
    first, changed, *_ = pictures()
    with Upscaler(model, engine="litert", threads=1) as upscaler:
        upscaler.frames([frame(first)])
        right = upscaler.engine.run

        def failing(tiles: Sequence[Tile]) -> None:
            for tile in tiles:
                tile.hr[:] = 3
            raise ModelError("the device is gone")

        upscaler.engine.run = failing  # type: ignore[method-assign]  # a device that fails
        with pytest.raises(ModelError, match="gone"):
            upscaler.frames([frame(changed, 1)])
        upscaler.engine.run = right  # type: ignore[method-assign]
        (after,) = upscaler.frames([frame(first, 2)])
        assert np.array_equal(after.rgb, upscaler(first))


class WrongColour:
    """An engine that repeats each pixel, nine levels off."""

    name, scale, halo, region_cost, sparse, threads, batch = "wrong colour", 3, 0, 100, False, 1, 1

    def run(self, tiles: Sequence[Tile]) -> None:
        for lr, hr, region, _ in tiles:
            off = np.where(lr > 99, lr - 9, lr + 9)
            hr[region.scaled(3).slices] = off[region.slices].repeat(3, 0).repeat(3, 1)

    def close(self) -> None:
        pass

    def __enter__(self) -> "WrongColour":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("level", [0, 300, 32768, 40000, 65535])
@pytest.mark.parametrize("look", [{}, {"sharpen": 1.0}, {"strength": 0.3}])
def test_a_flat_picture_of_many_bits_stays_exactly_flat(look: dict[str, Any], level: int) -> None:
    """Though the network has its colour wrong, by more than what is taken for rounding."""
    deep = np.full((12, 20, 3), level, np.uint16)
    rgb = np.full((12, 20, 3), round(level / 257), np.uint8)
    source = Frame(rgb, 0, Fraction(1, 25), deep=deep)
    with Upscaler(engine=lambda _: WrongColour(), **look) as upscaler:
        (shown,) = upscaler.frames([source])
    assert shown.deep is not None
    assert (shown.deep == level).all()
    with Upscaler(engine=lambda _: WrongColour(), consistency=False) as upscaler:
        (shown,) = upscaler.frames([source])
    assert shown.deep is not None
    assert (shown.deep != level).all()


def test_without_strength_a_picture_of_many_bits_is_interpolated_at_its_full_depth(
    model: Path,
) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (12, 20, 3), np.uint16)
    rgb = (deep.astype(np.uint32) * 255 + 32767 >> 16).astype(np.uint8)
    with Upscaler(model, engine=EXACT, threads=1, strength=0.0) as upscaler:
        (shown,) = upscaler.frames([Frame(rgb, 0, Fraction(1, 25), deep=deep)])
    assert shown.deep is not None
    np.testing.assert_array_equal(shown.deep, enlarge_16(deep, (60, 36)))


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
