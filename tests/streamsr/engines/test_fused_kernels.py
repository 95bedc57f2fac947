"""The kernels that work by blocks, one by one, against what they compute in NumPy."""

import ctypes
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsr.engines.fused.codegen import layout, scheduled, winograd
from streamsr.engines.fused.codegen.instructions import declarations
from streamsr.engines.fused.codegen.isa import AVX2
from streamsr.engines.fused.codegen.library import library
from streamsr.engines.fused.codegen.scratch import PLANE, POSITIONS, STRAND, VECTOR
from streamsr.engines.fused.graph import LARGEST_SUM, Conv
from streamsr.engines.fused.plan_blocks import pointwise
from streamsr.engines.fused.schedule import MOST, schedule
from streamsr.engines.fused.transform import (
    FACTOR,
    INPUTS,
    OUTPUTS,
    WEIGHTS,
    is_narrow,
    transform,
)
from tests.support.engine import why_not_fused

needs_avx2 = pytest.mark.skipif(
    bool(why_not_fused(AVX2.name)), reason=f"this machine has no {AVX2.name}"
)
Kernels = Callable[..., None]
LIMITS = np.iinfo(np.int8)
PLANES = 1, 2, 3, 5, 8, 16
"""Of four inputs of a 3x3 convolution: with all products in a row, and with more in a loop."""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernels]:
    """Calls a kernel by its name; arrays are handed over by their addresses."""
    parts = [*map(winograd.kernels, PLANES), winograd.outputs(AVX2)]
    text = "\n".join([declarations(AVX2, 22), *parts, scheduled.kernels(AVX2)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        code = library(text.replace("define internal", "define"), AVX2)

    def call(name: str, *arguments: "NDArray[np.generic] | int") -> None:
        values = [a if isinstance(a, int) else a.ctypes.data for a in arguments]
        code.function(name, *[ctypes.c_int64] * len(values))(*values)

    yield call
    code.close()


def conv_of(weights: NDArray[np.int8], bias: int = 0, scale: float = 1.0) -> Conv:
    out = len(weights)
    return Conv(weights, np.full(out, bias), np.full(out, scale, np.float32), 1, 0, 0)


def requantised(sums: NDArray[np.int64], scale: np.float32) -> NDArray[np.uint8]:
    """As XNNPACK does it."""
    return np.rint(sums.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)


@given(st.integers(0, 2**32), st.sampled_from(["noise", "extremes"]))
def test_the_transforms_are_a_convolution(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    pixels, weights = rng.integers(0, 256, (6, 6)), rng.integers(LIMITS.min, LIMITS.max + 1, (3, 3))
    if kind == "extremes":
        pixels, weights = pixels // 128 * 255, np.where(weights < 0, LIMITS.min, LIMITS.max)
    products = (WEIGHTS @ weights @ WEIGHTS.T) * (INPUTS @ pixels @ INPUTS.T)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3))
    sums = np.einsum("yxij,ij->yx", windows, weights)
    assert np.array_equal(OUTPUTS @ products @ OUTPUTS.T, FACTOR * sums)


def test_transformed_numbers_fit_words_whatever_the_network() -> None:
    reach = np.abs(WEIGHTS).sum(1)
    assert np.outer(reach, reach).max() * -LIMITS.min < 2**15
    both = np.einsum("ia,jb->ijab", INPUTS, INPUTS)
    for sign in (1, -1):
        assert (255 * (sign * both).clip(0).sum((2, 3))).max() < 2**15


def test_what_is_narrow_comes_out_exact() -> None:
    largest = max(k for k in range(2**20, 2**22, 1) if is_narrow(k))
    sums = np.concatenate([np.arange(-2000, 2000), np.arange(largest - 99_000, largest + 1)])
    fraction = np.float32(1 / FACTOR)
    assert np.array_equal((FACTOR * sums).astype(np.float32) * fraction, sums.astype(np.float32))
    assert FACTOR * (largest + 1) >= 2**31 or 9 * (largest + 1) > 2**24


@needs_avx2
@pytest.mark.parametrize("planes", PLANES)
@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("kind", ["noise", "extremes"])
def test_winograd_makes_the_sums_of_a_convolution(
    kernels: Kernels, planes: int, vectors: int, kind: str
) -> None:
    """Pixels through all three kernels, each step against the same in integers."""
    rng = np.random.default_rng(planes)
    tiles, inputs = 8 * vectors, 4 * planes
    picture = rng.integers(0, 256, (6, 4 * tiles + 8, inputs), np.uint8)
    weights = rng.integers(LIMITS.min, LIMITS.max + 1, (4, 3, 3, inputs)).astype(np.int8)
    if kind == "extremes":
        picture, weights = picture // 128 * 255, np.where(weights < 0, LIMITS.min, LIMITS.max)
    line = layout.stride(tiles + 2, 8)
    rows = np.zeros((6, planes, 4, line), np.uint8)
    for phase in range(4):
        pixels = picture[:, phase::4].reshape(6, tiles + 2, planes, 4).transpose(0, 2, 1, 3)
        rows[:, :, phase, : 4 * (tiles + 2)] = pixels.reshape(6, planes, -1)
    table = rows.ctypes.data + np.arange(6) * rows[0].size + 4  # the second tile
    partial = np.zeros(4 * 24 * VECTOR, np.uint8)
    moved = np.zeros((36, planes, 2, vectors, 8, 2), np.int16)
    name = f"{planes}_{vectors}"
    strands = 4 * np.arange(2 * vectors)
    kernels(f"winograd_inputs_{name}", table, 0, line, strands, partial, moved)
    windows = np.stack([picture[:, 4 * t + 3 : 4 * t + 9] for t in range(tiles)]).astype(np.int64)
    expected = np.einsum("ia,tabc,jb->ijct", INPUTS, windows, INPUTS).reshape(36, inputs, tiles)
    found = moved.transpose(0, 1, 5, 2, 3, 4).reshape(36, inputs, tiles)
    assert np.array_equal(found, expected)

    made = transform(conv_of(weights))
    products = np.zeros((4, 36, tiles), np.int32)
    kernels(f"winograd_products_{name}", moved, made.weights, products)
    changed = np.einsum("ia,oabc,jb->oijc", WEIGHTS, weights.astype(np.int64), WEIGHTS)
    sums = np.einsum("opc,pct->opt", changed.reshape(4, 36, inputs), expected)
    assert np.array_equal(products, sums.astype(np.int32))

    shifted = np.lib.stride_tricks.sliding_window_view(windows, (3, 3), (1, 2))
    direct = np.einsum("tyxcij,oijc->oyxt", shifted, weights.astype(np.int64))
    scale = np.float32(200 / np.abs(direct).max())
    wide = not is_narrow(int(np.abs(direct).max()))
    numbers = np.zeros(8, np.float32)
    numbers[4:] = scale / 64 if wide else scale
    result = np.zeros((4, 4, tiles, 4), np.uint8)
    kernels(winograd.last(vectors, wide), products, numbers, partial, result, 4 * tiles)
    assert np.array_equal(result.transpose(3, 0, 1, 2), requantised(direct, scale))


@needs_avx2
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.013, 3.1e-5])
def test_sums_of_any_size_are_requantised_as_xnnpack_does(
    kernels: Kernels, wide: bool, scale: float
) -> None:
    largest = LARGEST_SUM - 1 if wide else max(k for k in range(2**20, 2**21) if is_narrow(k))
    factor = np.float32(scale)
    rng, bias = np.random.default_rng(1), np.array([0, 7, -12_345, largest // 2])
    numbers = np.zeros((2, 4), np.uint32)
    numbers[0] = (FACTOR * bias % 2**32).astype(np.uint32)
    numbers[1] = np.full(4, factor / 64 if wide else factor, np.float32).view(np.uint32)
    for high in (300, int(300 / scale), largest):
        sums = rng.integers(-min(high, largest), min(high, largest), (4, 8), endpoint=True)
        sums[:, :2] = 0, min(high, largest)
        products = np.zeros((4, POSITIONS, 8), np.int32)
        products[:, winograd.ONES] = FACTOR * (sums - bias[:, None])
        partial, result = np.zeros(4 * 24 * VECTOR, np.uint8), np.zeros((16, 8, 4), np.uint8)
        kernels(winograd.last(1, wide), products, numbers, partial, result, 32)
        assert (result == requantised(sums, factor).T).all()


NETWORKS = st.tuples(
    st.integers(0, 2**32), st.sampled_from(["noise", "extremes", "one sign", "nothing"])
)


def weights_of(seed: int, kind: str, planes: int, out: int = 8) -> NDArray[np.int8]:
    rng = np.random.default_rng(seed)
    weights = rng.integers(LIMITS.min, LIMITS.max + 1, (out, planes, 4))
    if kind == "extremes":
        weights = np.where(weights < 0, LIMITS.min, LIMITS.max)
    if kind == "one sign":
        weights = np.where(np.arange(out)[:, None, None] % 2, LIMITS.max, LIMITS.min)
        weights = np.broadcast_to(weights, (out, planes, 4))
    if kind == "nothing":
        weights[::2] = 0
    return weights.astype(np.int8)


@given(NETWORKS, st.sampled_from([7, 8, 12]), st.sampled_from([1, 3, 8]))
def test_no_group_of_a_schedule_can_saturate(
    network: tuple[int, str], planes: int, longest: int
) -> None:
    weights = weights_of(*network, planes)
    for channel, groups in zip(
        weights.astype(np.int64), schedule(weights, longest=longest), strict=True
    ):
        together = np.zeros_like(channel)
        for group in groups:
            assert 1 <= len(group) <= longest
            pairs = np.array([entry.weights for entry in group]).reshape(-1, 2, 2)
            for sign in (1, -1):
                one = 255 * (sign * pairs).clip(0)
                assert one.sum(2).max() <= 255 * MOST
                assert one.sum((0, 2)).max() <= 255 * MOST < 2**15
            assert LIMITS.min <= pairs.min() <= pairs.max() <= LIMITS.max
            for entry in group:
                together[entry.plane] += entry.weights
        assert np.array_equal(together, channel)


@needs_avx2
@settings(deadline=None, max_examples=60)
@given(NETWORKS, st.sampled_from([7, 8, 12]), st.sampled_from([1, 4]))
def test_pointwise_sums_are_those_of_the_weights(
    kernels: Kernels, network: tuple[int, str], planes: int, width: int
) -> None:
    """Noise, and for each channel the pixels that drive its sums furthest up and down."""
    weights = weights_of(*network, planes)
    conv = Conv(
        weights.reshape(8, 1, 1, -1),
        np.arange(8) * 1000 - 4000,
        np.linspace(0.0004, 0.01, 8).astype(np.float32),
        1,
        13,
        77,
    )
    layer, number = pointwise(conv, weights[:, :, None]), 16 * width
    pixels = np.random.default_rng(1).integers(0, 256, (planes, number * 8, 4), np.uint8)
    for channel, own in enumerate(weights):
        pixels[:, 2 * channel] = (own > 0) * np.uint8(255)
        pixels[:, 2 * channel + 1] = (own < 0) * np.uint8(255)
    memory = np.zeros((planes, PLANE), np.uint8)
    memory[:, : number * VECTOR] = pixels.reshape(planes, -1)
    sums, result = np.zeros((4, PLANE), np.uint8), np.zeros((2, number * 8, 4), np.uint8)
    outputs = result.ctypes.data + STRAND * np.arange(2 * number)
    parts = (layer.counts, layer.runs, layer.weights, layer.params)
    kernels("pointwise", memory, *parts, 2, sums, number, outputs, result[0].size)
    exact = np.einsum("opc,pxc->xo", weights.astype(np.int64), pixels.astype(np.int64) - 13)
    scaled = np.rint((exact + conv.bias).astype(np.float32) * conv.scale) + conv.out_zero
    expected = scaled.clip(0, 255).astype(np.uint8).reshape(-1, 2, 4).swapaxes(0, 1)
    assert np.array_equal(result, expected)
