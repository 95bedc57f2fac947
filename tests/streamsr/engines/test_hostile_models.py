"""Model files are untrusted: a broken one is an error in words or works, and never takes the
process with it."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from streamsr.engines import Tile, trial, trial_child
from streamsr.engines.choose import open_engine
from streamsr.engines.flatbuffer import Table
from streamsr.engines.fused.graph import read_network
from streamsr.engines.litert import LiteRTEngine
from streamsr.errors import ModelError
from streamsr.model import ModelFile, find_model
from streamsr.options import EngineChoice
from streamsr.region import Region
from tests.support.models import derived
from tests.support.processes import run

flatbuffers = schema.flatbuffers
MEMORY_BYTES = 6 << 30
"""Address space, of which engines reserve far more than they use."""

FLIPS = """
import json, random, sys
from pathlib import Path
import numpy as np
from streamsr.engines import Tile
from streamsr.engines.choose import open_engine
from streamsr.options import EngineChoice
from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.region import Region

good, count = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
chance = random.Random(int(sys.argv[3]))
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
    done = run(
        [sys.executable, "-c", FLIPS, str(model), str(count), str(chance)],
        timeout_s=seconds,
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
        open_engine(
            ModelFile("bad", Path("bad.tflite"), deadly(model)), EngineChoice("litert", threads=1)
        )


def test_a_model_that_takes_too_long_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.001)
    other = model.read_bytes() + b"slow"
    with pytest.raises(ModelError, match=r"more than 0\.001 s"):
        open_engine(
            ModelFile("slow", Path("slow.tflite"), other), EngineChoice("litert", threads=1)
        )


def flatbuffer(operations: int, operand_vector: int, shared: bool) -> bytes:
    """A .tflite file of so many operations, whose inputs are one shared vector, or one of each, of
    so many numbers."""
    builder = flatbuffers.Builder(1 << 20)

    def ints(count: int) -> int:
        return int(builder.CreateNumpyVector(np.zeros(count, np.int32)))

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    one = ints(1)
    many = ints(operand_vector)
    made = []
    for _ in range(operations):
        inputs = many if shared else ints(operand_vector)
        builder.StartObject(9)
        builder.PrependUOffsetTRelativeSlot(1, inputs, 0)
        builder.PrependUOffsetTRelativeSlot(2, one, 0)
        made.append(builder.EndObject())
    listed = vector(made)
    builder.StartObject(4)
    tensors = vector([builder.EndObject()])
    builder.StartObject(5)
    for field, value in ((0, tensors), (1, one), (2, one), (3, listed)):
        builder.PrependUOffsetTRelativeSlot(field, value, 0)
    graphs = vector([builder.EndObject()])
    builder.StartObject(4)
    codes = vector([builder.EndObject()])
    builder.StartObject(8)
    for field, value in ((1, codes), (2, graphs)):
        builder.PrependUOffsetTRelativeSlot(field, value, 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    return bytes(builder.Output())


HUGE = {
    "500,000 operations": (500_000, 1, True, "expected at most 64 operations, got 500000"),
    "65 operations": (65, 1, True, "expected at most 64 operations, got 65"),
    "one vector of a million shared by 20": (
        20,
        1_000_000,
        True,
        "1000000 elements where at most 64",
    ),
    "vectors of 65": (20, 65, False, "65 elements where at most 64"),
}


class Counted(bytes):
    """A file that counts the bytes that are copied out of it."""

    copied = 0

    def __getitem__(self, place: object) -> object:
        found = super().__getitem__(place)  # type: ignore[call-overload]
        Counted.copied += len(found) if isinstance(found, bytes) else 0
        return found


@pytest.mark.parametrize("kind", HUGE)
def test_a_huge_graph_is_refused_before_it_is_read(kind: str) -> None:
    operations, vector, shared, reason = HUGE[kind]
    content = Counted(flatbuffer(operations, vector, shared))
    Counted.copied = 0
    with pytest.raises(ModelError, match=reason):
        read_network(content)
    assert Counted.copied < 10_000


@pytest.mark.parametrize("engine", ["auto", "litert"])
def test_no_engine_reads_a_huge_graph(engine: str) -> None:
    content = flatbuffer(500_000, 1, True)
    with pytest.raises(ModelError, match="at most 1024 operations") as raised:
        open_engine(
            ModelFile("huge", Path("huge.tflite"), content), EngineChoice(engine, threads=1)
        )
    assert "\n" not in str(raised.value)


def with_options(**options: int) -> ModelFile:
    """The x3 model with these options in every convolution."""

    def change(model: Any) -> None:
        for op in model.subgraphs[0].operators:
            if isinstance(op.builtinOptions, schema.Conv2DOptionsT):
                for name, value in options.items():
                    setattr(op.builtinOptions, name, value)

    return derived(change, "own")


@pytest.mark.parametrize(
    ("options", "halo"),
    [
        ({}, 5),
        ({"dilationWFactor": 2, "dilationHFactor": 2}, 10),
        ({"dilationHFactor": 4}, 20),
        ({"dilationWFactor": 3}, 15),
    ],
)
def test_a_dilated_model_has_no_seams(options: dict[str, int], halo: int) -> None:
    lr = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    results = []
    for threads in (1, 2, 3):
        with LiteRTEngine(with_options(**options), threads=threads) as engine:
            assert engine.halo == halo
            hr = np.zeros((192, 192, 3), np.uint8)
            engine.run([Tile(lr, hr, Region.of(64, 64))])
            results.append(hr)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(
    "options", [{"strideW": 2}, {"strideH": 2}, {"strideW": 0}, {"dilationWFactor": 0}]
)
def test_a_model_whose_reach_is_unknown_is_refused_in_one_line(options: dict[str, int]) -> None:
    with pytest.raises(
        ModelError,
        match=r"own\.tflite: not a super-resolution model that can be computed in parts: ",
    ) as raised:
        LiteRTEngine(with_options(**options), threads=1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("too_small", [1, 2, 5])
@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_the_trial_finds_a_reach_that_is_too_small(dilation: int, too_small: int) -> None:
    model = with_options(dilationWFactor=dilation, dilationHFactor=dilation)
    with LiteRTEngine(model, threads=1, trusted=True) as engine:
        trial_child.check_parts(engine)
        engine.halo -= too_small
        with pytest.raises(ModelError, match="cannot be computed in parts"):
            trial_child.check_parts(engine)


def test_what_passed_is_not_tried_again_and_another_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = with_options(dilationWFactor=2)
    trial.check(model)
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    trial.check(model)
    with pytest.raises(ModelError, match=r"more than 0\.0 s"):
        trial.check(with_options(dilationWFactor=3))


def test_shipped_models_need_no_trial(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    trial.check(find_model(model))


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
