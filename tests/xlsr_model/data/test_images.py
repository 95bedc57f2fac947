from fractions import Fraction

import cv2
import numpy as np
import pytest

from xlsr_model.data.images import (
    Pair,
    Patches,
    find_images,
    load_pair,
    load_pairs,
    pack,
    shrunk_pairs,
    split_held_out,
    unpack,
)
from xlsr_model.data.imresize import imresize


def nearest_pair(seed: int) -> Pair:
    """A pair in which every high-resolution pixel repeats its low-resolution one, so that patches
    can be checked.
    """
    lr = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    return Pair(str(seed), lr, lr.repeat(3, 0).repeat(3, 1))


def test_patches_are_cut_and_turned_alike():
    lr, hr, gain = Patches([nearest_pair(1), nearest_pair(2)], 3, 16, 8).batch(0)
    assert lr.shape == (16, 8, 8, 3)
    assert hr.shape == (16, 8, 8, 27)
    assert gain.shape == (16, 1, 1, 1)
    assert np.array_equal(unpack(hr, 3), lr.repeat(3, 1).repeat(3, 2))


def test_a_batch_depends_on_seed_and_step_alone():
    patches = Patches([nearest_pair(1)], 3, 4, 8, seed=7)
    first, again, other = patches.batch(5), patches.batch(5), patches.batch(6)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_all_eight_turns_and_all_intensities_occur():
    ramp = np.arange(36, dtype=np.uint8).reshape(6, 6, 1).repeat(3, 2)
    patches = Patches([Pair("ramp", ramp, ramp.repeat(2, 0).repeat(2, 1))], 2, 300, 6)
    lr, _, gain = patches.batch(0)
    assert len({patch.tobytes() for patch in lr}) == 8
    assert {round(float(value) * 255, 2) for value in gain.flat} == {1.0, 0.7, 0.5}


def test_pack_and_unpack_are_inverse():
    hr = np.random.default_rng(0).random((2, 12, 18, 3), np.float32)
    assert np.array_equal(unpack(pack(hr, 3), 3), hr)
    assert pack(hr, 3)[0, 0, 0, 3 * 4].tolist() == hr[0, 1, 1, 0].tolist()


def test_picture_is_cut_to_a_multiple_and_shrunk_as_matlab_does(pictures):
    file = find_images(pictures)[0]
    cv2.imwrite(str(file), cv2.imread(str(file))[:71, :95])
    pair = load_pair(file, 3)
    assert pair.hr.shape == (69, 93, 3)
    assert np.array_equal(pair.lr, imresize(pair.hr, Fraction(1, 3)))


def test_pictures_are_shrunk_again_unless_they_become_too_small(pictures):
    pairs = load_pairs(find_images(pictures), 3)
    side = min(pairs[0].lr.shape[:2])
    shrunk = shrunk_pairs(pairs[:1], 3, (0.8, 0.5), smallest=side * 7 // 10)
    assert [pair.name for pair in shrunk] == [f"{pairs[0].name}@0.8"]
    assert min(shrunk[0].lr.shape[:2]) == pytest.approx(side * 0.8, abs=1)
    assert shrunk[0].hr.shape[:2] == tuple(size * 3 for size in shrunk[0].lr.shape[:2])
    assert np.array_equal(shrunk[0].lr, imresize(shrunk[0].hr, Fraction(1, 3)))


def test_div2k_folders_are_found_with_their_low_resolution_twins(tmp_path):
    hr, lr = tmp_path / "DIV2K_train_HR", tmp_path / "DIV2K_train_LR_bicubic" / "X3"
    hr.mkdir()
    lr.mkdir(parents=True)
    (tmp_path / "DIV2K_valid_HR").mkdir()
    cv2.imwrite(str(hr / "0001.png"), np.full((9, 9, 3), 10, np.uint8))
    cv2.imwrite(str(lr / "0001x3.png"), np.full((3, 3, 3), 200, np.uint8))
    (pair,) = load_pairs(find_images(tmp_path), 3)
    assert (pair.lr == 200).all()


def test_unreadable_and_too_small_pictures_are_skipped_and_named(pictures, caplog):
    (pictures / "broken.png").write_bytes(b"not a picture")
    (pictures / "empty.png").write_bytes(b"")
    cv2.imwrite(str(pictures / "tiny.png"), np.zeros((5, 5, 3), np.uint8))
    assert len(load_pairs(find_images(pictures), 3, smallest=16)) == 6
    assert [name for name in ("broken", "empty", "tiny") if f"{name}.png" in caplog.text] == [
        "broken",
        "empty",
        "tiny",
    ]


def test_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no pictures in"):
        find_images(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        find_images(tmp_path / "missing")


def test_only_unusable_pictures_are_an_error(pictures):
    with pytest.raises(ValueError, match="no usable picture"):
        load_pairs(find_images(pictures), 3, smallest=100)


def test_the_last_pictures_of_each_folder_are_held_out(pictures):
    training, validation = split_held_out([pictures, pictures], 3)
    assert [file.name for file in validation] == ["4.png", "5.png", "5.png"]
    assert len(training) == 9
    with pytest.raises(ValueError, match="too few"):
        split_held_out([pictures], 6)
