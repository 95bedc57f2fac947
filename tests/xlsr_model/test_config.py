import re
from dataclasses import fields
from pathlib import Path

import pytest

import xlsr_model
from xlsr_model.backend.optimizer import learning_rate
from xlsr_model.config import Config, config_dict, make_config, read_config

CONFIGS = Path(xlsr_model.__file__).parent / "configs"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda file: file.stem)
def test_configurations_of_the_repository_are_valid(file):
    assert read_config(file).scale in (2, 3, 4)


def test_paper_configuration_is_the_recipe_of_the_paper():
    config = read_config(CONFIGS / "paper.toml")
    assert (config.steps, config.batch, config.patch, config.held_out) == (500_000, 16, 32, 8)
    assert (config.epsilon, config.variance_scale, config.intensities) == (
        0.1,
        0.1,
        (1.0, 0.7, 0.5),
    )
    assert not config.average
    rates = [
        learning_rate(config.rate, config.curve, step)
        for step in (0, 2_500, 5_000, 252_500, 500_000)
    ]
    assert rates == pytest.approx([5e-5, 1.275e-3, 2.5e-3, 1.3e-3, 1e-4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('folders = ["a"]\nstepz = 3', "unknown key 'stepz'; known: folders,"),
        ("steps = 3", "the key 'folders' is missing"),
        ('folders = ["a"]\nsteps = "many"', "steps: expected int, got 'many'"),
        ('folders = ["a"]\nclipped = 1', "clipped: expected bool, got 1"),
        ('folders = ["a"]\nsteps = 0', "must be at least 1"),
        ('folders = ["a"]\ncurve = "step"', "curve: expected 'linear' or 'cosine'"),
        ('folders = ["a"]\nrate = [[5, 1e-3], [5, 1e-4]]', "rate: expected"),
        ('folders = ["a"]\nloss = "l1"', "loss: expected 'charbonnier' or 'psnr'"),
        ('folders = ["a"]\nsizes = [0.5, 1]', "sizes: expected factors between 0 and 1"),
        ('folders = ["a"]\nluma = 2', "luma: expected 0 <= luma <= 1"),
        ('folders = ["a"]\nequalise = true', "equalise: is for a quantisation-aware run"),
        ("folders = ", "not TOML"),
    ],
)
def test_bad_configuration_is_named(tmp_path, text, message):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_config(file)
    assert str(file) in str(error.value)


def test_every_setting_is_described_in_order():
    described = re.findall(r"^    (\w+)  +\S", Config.__doc__, re.M)
    assert described == [field.name for field in fields(Config)]


def test_a_base_gives_what_the_file_does_not_set(tmp_path):
    (tmp_path / "base.toml").write_text('folders = ["a"]\nsteps = 3\nbatch = 5\n')
    (tmp_path / "run.toml").write_text('base = "base.toml"\nsteps = 4\n')
    assert read_config(tmp_path / "run.toml") == Config(folders=("a",), steps=4, batch=5)


@pytest.mark.parametrize("name", ["run.toml", "none.toml"])
def test_a_base_that_has_a_base_or_is_missing_is_refused(tmp_path, name):
    (tmp_path / "run.toml").write_text(f'base = "{name}"\nfolders = ["a"]\n')
    with pytest.raises(ValueError, match=r"unknown key 'base'|none\.toml: No such file"):
        read_config(tmp_path / "run.toml")


def test_relative_folders_are_looked_for_in_the_data_folder(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('folders = ["train", "/absolute"]\n')
    assert read_config(file).folders == ("train", "/absolute")
    assert read_config(file, data="../data").folders == ("../data/train", "/absolute")


def test_missing_configuration_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.toml: No such file"):
        read_config(tmp_path / "none.toml")


def test_saved_configuration_reads_back():
    config = read_config(CONFIGS / "paper.toml")
    assert make_config(config_dict(config), "checkpoint") == config


def test_cosine_eases_between_points_and_is_constant_outside():
    points = [(10, 1.0), (20, 0.0)]
    assert [learning_rate(points, "cosine", step) for step in (0, 10, 15, 20, 99)] == pytest.approx(
        [1, 1, 0.5, 0, 0]
    )
    assert learning_rate(points, "cosine", 11) > learning_rate(points, "linear", 11)
