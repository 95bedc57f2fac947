"""The fused engine gives LiteRT's bytes: every model of the family, any picture, cut in any way, by
any threads."""

import ctypes
import mmap
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsr.engines import Image, Tile
from streamsr.engines.fused import FusedEngine, strip
from streamsr.errors import ModelError
from streamsr.model import ModelFile, find_model
from streamsr.region import CELL, Region
from tests.support.engine import EVERY_KIND, WHY_NOT_FUSED
from tests.support.media import noise
from tests.support.models import derived
from xlsr_model import weights

pytestmark = pytest.mark.skipif(
    bool(WHY_NOT_FUSED), reason=f"no fused engine here: {WHY_NOT_FUSED}"
)

SHIPPED = [name for name in weights.names() if "_u8" in name]
X3 = "xlsr_x3_u8"
DERIVED = ["scale 2", "scale 4", "per channel", "wild", "extreme"]
SIZES = [
    (1, 1),
    (2, 1),
    (1, 2),
    (3, 5),
    (15, 4),
    (16, 3),
    (17, 9),
    (31, 2),
    (33, 16),
    (48, 7),
    (49, 8),
    (97, 41),
]


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def convolutions(model: Any) -> list[list[Any]]:
    """Input, weights, bias and output tensor of each convolution, in the order of the file: the
    head is the last."""
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    convs = [
        op for op in graph.operators if codes[op.opcodeIndex] == schema.BuiltinOperator.CONV_2D
    ]
    return [[graph.tensors[k] for k in (*op.inputs, *op.outputs)] for op in convs]


def content(model: Any, tensor: Any, dtype: str) -> Any:
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype)


def put(model: Any, tensor: Any, values: Any) -> None:
    model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)


def rescale(scale: int) -> Callable[[Any], None]:
    """Give the network another scale: its head's channels are repeated or dropped."""

    def change(model: Any) -> None:
        _, kernel, bias, out = convolutions(model)[-1]
        picks = np.resize(np.arange(27), 3 * scale * scale)
        put(model, kernel, content(model, kernel, "i1").reshape(27, 3, 3, 32)[picks])
        put(model, bias, content(model, bias, "<i4")[picks])
        kernel.shape, bias.shape = [len(picks), 3, 3, 32], [len(picks)]
        out.shape, out.shapeSignature = [1, 1, 1, len(picks)], [-1, -1, -1, len(picks)]
        for op in model.subgraphs[0].operators:
            if isinstance(op.builtinOptions, schema.DepthToSpaceOptionsT):
                op.builtinOptions.blockSize = scale

    return change


def per_channel(model: Any) -> None:
    for source, kernel, bias, _ in convolutions(model):
        spread = np.linspace(0.3, 1.7, kernel.shape[0])
        kernel.quantization.scale = (kernel.quantization.scale[0] * spread).astype(np.float32)
        bias.quantization.scale = (source.quantization.scale[0] * kernel.quantization.scale).astype(
            np.float32
        )
        for tensor in (kernel, bias):
            tensor.quantization.zeroPoint = np.zeros(kernel.shape[0], np.int64)


def wild(model: Any) -> None:
    """Weights and biases over their whole range, so that everything saturates somewhere."""
    rng = np.random.default_rng(3)
    for _, kernel, bias, _ in convolutions(model):
        put(model, kernel, rng.integers(-127, 128, kernel.shape).astype(np.int8))
        put(model, bias, rng.integers(-20000, 20000, bias.shape).astype("<i4"))


def extreme(model: Any) -> None:
    """The largest weights, of channels from all negative to all positive ones, each with its own
    scale: sums as far out as the reader of the graph lets pass, and all that lies between."""
    rng = np.random.default_rng(8)
    per_channel(model)
    *others, (_, kernel, bias, _) = convolutions(model)
    for tensor in (kernel, bias):  # the reader refuses results that are far out, too
        tensor.quantization.scale = tensor.quantization.scale / np.float32(2)
    for tensor, size in [*((kernel, 127) for _, kernel, _, _ in others), (kernel, 114)]:
        share = np.linspace(0, 1, tensor.shape[0]).reshape(-1, 1, 1, 1)
        signs = np.where(rng.random(tensor.shape) < share, 1, -1)
        put(model, tensor, (signs * size).astype(np.int8))


@cache
def model_of(name: str) -> ModelFile:
    changes = {
        "extreme": extreme,
        "scale 2": rescale(2),
        "scale 4": rescale(4),
        "per channel": per_channel,
        "wild": wild,
    }
    return derived(changes[name], name) if name in changes else find_model(name)


@cache
def interpreter_of(model: ModelFile) -> Any:
    return Interpreter(model_content=model.content, num_threads=1)


def litert(model: ModelFile, lr: Image) -> Image:
    """What LiteRT makes of the whole picture."""
    interpreter = interpreter_of(model)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, (1, *lr.shape))
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, lr[None])
    interpreter.invoke()
    result: Image = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    return result


def natural(width: int, height: int) -> Image:
    """Slopes, edges and a little grain, as a camera sees them."""
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([x * 3 + y, 255 - 2 * x, 90 + 40 * np.sin(x / 5) * np.cos(y / 7)], 2)
    slopes[(x - 20) ** 2 + (y - 15) ** 2 < 90] = (250, 240, 10)
    grain = np.random.default_rng(1).normal(0, 2, slopes.shape)
    return (slopes + grain).clip(0, 255).astype(np.uint8)


def whole(engine: FusedEngine, lr: Image) -> Image:
    height, width = lr.shape[:2]
    hr = np.zeros((height * engine.scale, width * engine.scale, 3), np.uint8)
    engine.run([Tile(lr, hr, Region.of(width, height))])
    return hr


@pytest.fixture(scope="module", params=EVERY_KIND)
def engine(request: pytest.FixtureRequest) -> Iterator[FusedEngine]:
    with FusedEngine(model_of(X3), threads=2, kind=request.param) as engine:
        yield engine


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("name", [*SHIPPED, *DERIVED])
def test_every_model_gives_litert_bytes(name: str, kind: str) -> None:
    model = model_of(name)
    with FusedEngine(model, threads=1, kind=kind) as engine:
        for width, height in SIZES:
            lr = noise(width, height)
            assert np.array_equal(whole(engine, lr), litert(model, lr)), (width, height)
        for lr in [
            natural(83, 57),
            *(np.full((19, 37, 3), level, np.uint8) for level in (0, 127, 255)),
            noise(61, 47) // 128 * 255,
        ]:
            assert np.array_equal(whole(engine, lr), litert(model, lr))


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_the_result_does_not_depend_on_the_threads(threads: int, kind: str) -> None:
    model, lr = model_of(X3), natural(211, 150)
    with FusedEngine(model, threads=threads, kind=kind) as engine:
        assert engine.threads == threads
        assert np.array_equal(whole(engine, lr), litert(model, lr))


def test_a_picture_wider_than_a_strip_has_no_seams(engine: FusedEngine) -> None:
    lr = noise(2100, 9)
    assert np.array_equal(whole(engine, lr), litert(model_of(X3), lr))


@st.composite
def regions(draw: st.DrawFn, width: int, height: int) -> list[Region]:
    """A partition of a picture by repeated cuts."""
    done, todo = [], [Region.of(width, height)]
    for _ in range(draw(st.integers(0, 12))):
        region = todo.pop(draw(st.integers(0, len(todo) - 1)))
        if draw(st.booleans()) and region.width > 1:
            at = draw(st.integers(1, region.width - 1))
            todo += [
                Region(region.x, region.y, at, region.height),
                Region(region.x + at, region.y, region.width - at, region.height),
            ]
        elif region.height > 1:
            at = draw(st.integers(1, region.height - 1))
            todo += [
                Region(region.x, region.y, region.width, at),
                Region(region.x, region.y + at, region.width, region.height - at),
            ]
        else:
            done.append(region)
        if not todo:
            break
    return draw(st.permutations(done + todo))


PARTED = natural(73, 61)


@settings(max_examples=60)
@given(parts=regions(73, 61), together=st.booleans())
def test_any_partition_gives_the_same_bytes(
    engine: FusedEngine, parts: list[Region], together: bool
) -> None:
    hr = np.zeros((61 * 3, 73 * 3, 3), np.uint8)
    tiles = [Tile(PARTED, hr, part) for part in parts]
    for batch in [tiles] if together else [[tile] for tile in tiles]:
        engine.run(batch)
    assert np.array_equal(hr, litert(model_of(X3), PARTED))


@settings(max_examples=60)
@given(st.data())
def test_nothing_outside_the_region_is_written(engine: FusedEngine, data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 20))
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = Region(
        x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    )
    guarded = np.full((3 * height + 64, 3 * width, 3), 77, np.uint8)
    hr, lr = guarded[32:-32], noise(width, height)
    engine.run([Tile(lr, hr, region)])
    expected = np.full_like(guarded, 77)
    inner = region.scaled(3).slices
    expected[32:-32][inner] = litert(model_of(X3), lr)[inner]
    assert np.array_equal(guarded, expected)


PAGE = mmap.PAGESIZE


class Fences:
    """Memory between pages that are forbidden: a single access to them ends the process."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._kept: list[mmap.mmap] = []

    def memory(self, size: int, flush: str) -> NDArray[np.uint8]:
        """``size`` bytes, right after one page (``flush`` is start) or right before the other."""
        inner = -(-size // PAGE) * PAGE
        memory = mmap.mmap(-1, inner + 2 * PAGE)
        self._kept.append(memory)
        start = np.frombuffer(memory, np.uint8).ctypes.data
        for fence in (start, start + PAGE + inner):
            assert self._libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(PAGE), 0) == 0
        first = PAGE if flush == "start" else PAGE + inner - size
        return np.frombuffer(memory, np.uint8)[first : first + size]


linux = pytest.mark.skipif(sys.platform != "linux", reason="uses mprotect")


@linux
@pytest.mark.parametrize("flush", ["start", "end"])
def test_no_byte_around_the_pictures_is_touched(engine: FusedEngine, flush: str) -> None:
    fences = Fences()
    for width, height in [*SIZES, (131, 12)]:
        lr, hr = (
            fences.memory(3 * rows * columns, flush).reshape(rows, columns, 3)
            for rows, columns in ((height, width), (3 * height, 3 * width))
        )
        lr[:] = noise(width, height)
        engine.run([Tile(lr, hr, Region.of(width, height))])
        assert np.array_equal(hr, litert(model_of(X3), lr))


@linux
@pytest.mark.parametrize("flush", ["start", "end"])
@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("name", [X3, "scale 2", "scale 4"])
def test_no_byte_around_a_workers_own_memory_is_touched(
    name: str, kind: str, flush: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fences, model = Fences(), model_of(name)

    def aligned(size: int) -> NDArray[np.uint8]:
        return fences.memory(-(-size // 64) * 64, flush)

    monkeypatch.setattr(strip, "aligned", aligned)
    for width, height in SIZES:
        with FusedEngine(model, threads=1, kind=kind) as engine:
            lr = noise(width, height)
            assert np.array_equal(whole(engine, lr), litert(model, lr))
            cells = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)
            cells[-1, -1] = True
            hr = np.zeros((height * engine.scale, width * engine.scale, 3), np.uint8)
            engine.run([Tile(lr, hr, Region.of(width, height), cells)])


def test_a_single_row_may_have_any_stride(engine: FusedEngine) -> None:
    lr = noise(40, 1)[::-1]
    assert lr.strides[0] < 0
    assert np.array_equal(whole(engine, lr), litert(model_of(X3), lr))


def test_tiles_of_several_frames_run_together(engine: FusedEngine) -> None:
    frames = [noise(70, 40, seed) for seed in range(3)]
    results = [np.zeros((120, 210, 3), np.uint8) for _ in frames]
    engine.run(
        [
            Tile(lr, hr, strip)
            for lr, hr in zip(frames, results, strict=True)
            for strip in Region.of(70, 40).strips(3)
        ]
    )
    for lr, hr in zip(frames, results, strict=True):
        assert np.array_equal(hr, litert(model_of(X3), lr))


def test_no_tiles_is_no_work(engine: FusedEngine) -> None:
    engine.run([])


def test_wrong_tiles_are_refused(engine: FusedEngine) -> None:
    lr, hr = noise(20, 10), np.zeros((30, 60, 3), np.uint8)
    with pytest.raises(ValueError, match="region inside"):
        engine.run([Tile(lr, hr, Region(15, 0, 6, 10))])
    with pytest.raises(ValueError, match="expected output"):
        engine.run([Tile(lr, hr[:-3], Region.of(20, 10))])
    with pytest.raises(ValueError, match="contiguous"):
        engine.run([Tile(lr[:, ::2], hr, Region.of(10, 10))])


def test_a_closed_engine_says_so() -> None:
    engine = FusedEngine(model_of(X3), threads=2)
    engine.close()
    engine.close()
    with pytest.raises(ModelError, match="closed"):
        whole(engine, noise(4, 4))


def test_no_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 thread"):
        FusedEngine(model_of(X3), threads=0)
