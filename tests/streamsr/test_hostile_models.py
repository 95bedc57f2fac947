"""Model files are untrusted: a broken one is an error in words or works, and never takes the process with it."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from streamsr.engines import probe
from streamsr.engines.flatbuffer import Table
from streamsr.engines.select import EngineChoice, open_engine
from streamsr.errors import ModelError
from streamsr.model import ModelFile, find_model

MEMORY_BYTES = 6 << 30
"""Address space, of which engines reserve far more than they use."""

FLIPS = """
import json, random, sys
from pathlib import Path
import numpy as np
from streamsr.engines import Tile
from streamsr.engines.select import EngineChoice, open_engine
from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.region import Region

good, count, chance = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), random.Random(int(sys.argv[3]))
ended = {"works": 0, "refused": 0}
lr = np.random.default_rng(0).integers(0, 256, (31, 47, 3), np.uint8)
for i in range(count):
    content = bytearray(good)
    for _ in range(chance.choice((1, 1, 2, 8))):
        # The weights stand in the first two thirds, and may be anything.
        content[chance.randrange(len(good) * 2 // 3, len(good))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.1:
        del content[chance.randrange(len(content)) :]
    model = ModelFile(str(i), Path(f"{i}.tflite"), bytes(content))
    engine = None
    try:
        engine, _ = open_engine(model, EngineChoice(chance.choice(("auto", "litert")), threads=1))
    except ModelError as error:
        assert "\\n" not in str(error), error
        ended["refused"] += 1
        continue
    with engine:
        hr = np.empty((31 * engine.scale, 47 * engine.scale, 3), np.uint8)
        engine.run([Tile(lr, hr, Region.of(47, 31))])
    ended["works"] += 1
print(json.dumps(ended))
"""


def flipped(model: Path, count: int, chance: int, seconds: int) -> dict[str, int]:
    """How so many damaged copies ended, all in one process that must survive them."""
    done = subprocess.run(
        [sys.executable, "-c", FLIPS, str(model), str(count), str(chance)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"
    ended: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return ended


def test_flipped_bits_never_kill_the_process(model: Path) -> None:
    ended = flipped(model, 8, 1, 200)
    assert sum(ended.values()) == 8
    assert min(ended.values()) > 0, "damage that shows and damage that does not are both among them"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_flipped_bits_never_kill_the_process(model: Path) -> None:
    print(flipped(model, 600, 2, 3000))


def deadly(model: Path) -> bytes:
    """A copy whose output has the scale 0: LiteRT divides by it and follows the result."""
    content = model.read_bytes()
    scale = Table.root(content).tables(2)[0].tables(0)[-1].table(4).bytes(2, 4, 1)
    return content.replace(scale, bytes(4))


def test_a_model_that_litert_dies_of_is_refused_in_words(model: Path) -> None:
    with pytest.raises(ModelError, match=r"bad\.tflite: damaged: LiteRT dies of it"):
        open_engine(ModelFile("bad", Path("bad.tflite"), deadly(model)), EngineChoice("litert", threads=1))


def test_a_model_that_takes_too_long_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.001)
    other = model.read_bytes() + b"slow"
    with pytest.raises(ModelError, match=r"more than 0\.001 s"):
        open_engine(ModelFile("slow", Path("slow.tflite"), other), EngineChoice("litert", threads=1))


def test_shipped_models_need_no_trial(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.0)
    probe.check(find_model(model))


@seed(20261123)
@settings(max_examples=4)
@given(size=st.floats(0, 1, exclude_max=True))
def test_a_model_file_cut_off_anywhere_is_an_error(
    model: Path, tmp_path_factory: pytest.TempPathFactory, size: float
) -> None:
    content = model.read_bytes()
    path = tmp_path_factory.getbasetemp() / "cut.tflite"
    path.write_bytes(content[: int(size * len(content))])
    with pytest.raises(ModelError):
        open_engine(find_model(path), EngineChoice(threads=1))
