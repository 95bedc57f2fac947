"""The compiled loops give the bytes of their NumPy twins, and where they do not, the twins
serve."""

import ctypes
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.color import BT709, FULL, LIMITED, ColorTags
from streamsr.native import (
    compare_ir,
    consistent_ir,
    detail_ir,
    from_rgb_ir,
    jit,
    loops,
    reference,
    selftest,
    sharpen_ir,
    to_rgb_ir,
)
from streamsr.native.from_rgb_ir import ENCODE
from streamsr.native.to_rgb_ir import DECODE
from streamsr.options import SCALES
from streamsr.picture.yuv import Converter

NAMES = [
    "compare",
    "detail",
    "blend",
    "sharpen",
    *(f"consistent_{scale}" for scale in SCALES),
    *(f"{kind}_{a}_{b}" for kind in ("to_rgb", "from_rgb") for a in (8, 16) for b in (8, 16)),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_loop_is_compiled_here_and_gives_the_bytes_of_its_twin(name: str) -> None:
    assert selftest.differs(name, loops._compiled(name)) is None
    assert not hasattr(reference, getattr(loops._loop(name), "__name__", "")), (
        "the compiled one serves"
    )


@settings(max_examples=60)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 9),
    layout=st.sampled_from(selftest.LAYOUTS),
    depth=st.sampled_from([8, 9, 10, 12, 16]),
    deep_rgb=st.booleans(),
    centered=st.booleans(),
    level=st.sampled_from([LIMITED, FULL]),
    wider=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_colours_equal_numpy_at_any_size(
    width: int,
    height: int,
    layout: tuple[int, int],
    depth: int,
    deep_rgb: bool,
    centered: bool,
    level: int,
    wider: int,
    seed: int,
) -> None:
    sub_x, sub_y = layout
    rng = np.random.default_rng(seed)
    sample, pixel = (np.uint8 if depth == 8 else np.uint16), (np.uint16 if deep_rgb else np.uint8)
    columns, lines = -(-width // (1 + sub_x)) * (1 + sub_x), -(-height // (1 + sub_y)) * (1 + sub_y)
    sizes = (lines, columns), *((lines >> sub_y, columns >> sub_x),) * 2
    # Rows are longer in memory than they count.
    planes = tuple(rng.integers(0, 1 << depth, (h, w + wider), sample)[:, :w] for h, w in sizes)
    rgb = rng.integers(0, np.iinfo(pixel).max + 1, (height, width, 3), pixel)
    converter = Converter(ColorTags(BT709, 1, 1, level), depth=depth, centered=centered)
    seen = {}
    for name, module in (("compiled", loops), ("NumPy", reference)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("streamsr.picture.yuv.to_rgb", module.to_rgb)
            patch.setattr("streamsr.picture.yuv.from_rgb", module.from_rgb)
            there, back = np.zeros_like(rgb), tuple(np.zeros_like(plane) for plane in planes)
            converter.to_rgb(planes, there)  # type: ignore[arg-type]
            converter.from_rgb(rgb, back)  # type: ignore[arg-type]
            seen[name] = (there, *back)
    for ours, twin in zip(*seen.values(), strict=True):
        np.testing.assert_array_equal(ours, twin)


@settings(max_examples=60)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 40),
    share=st.floats(0, 0.2),
    seed=st.integers(0, 99),
)
def test_comparing_equals_numpy_at_any_size(
    width: int, height: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (height, width, 3), np.uint8)
    b = np.where(rng.random(a.shape) < share, a ^ np.uint8(seed + 1), a)
    flags = [np.zeros((-(-height // 8), -(-width // 8)), np.uint8) for _ in range(2)]
    loops.compare(a, b, flags[0])
    reference.compare(a, b, flags[1])
    np.testing.assert_array_equal(*flags)


@settings(max_examples=60)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 90),
    side=st.sampled_from([2, 8, 32, 80]),
    seed=st.integers(0, 99),
)
def test_detail_equals_numpy_at_any_size(width: int, height: int, side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, now = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    shape = -(-height // side), -(-width // side), 2
    sums = [np.zeros(shape, np.int64) for _ in range(2)]
    loops.detail(before, now, side, sums[0])
    reference.detail(before, now, side, sums[1])
    np.testing.assert_array_equal(*sums)


def test_detail_and_change_are_counted_where_they_are() -> None:
    before = np.zeros((16, 16, 3), np.uint8)
    now = before.copy()
    now[4, 4, 1] = 100  # seen from its left, to its right and below it; and as a change
    now[8:, 8:, 0] = 255  # green alone counts
    sums = np.zeros((2, 2, 2), np.int64)
    loops.detail(before, now, 8, sums)
    assert sums.tolist() == [[[300, 100], [0, 0]], [[0, 0], [0, 0]]]


@settings(max_examples=60)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 12),
    scale=st.sampled_from(SCALES),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_consistency_equals_numpy_at_any_size(
    width: int, height: int, scale: int, data: st.DataObject, seed: int
) -> None:
    first, last = sorted(data.draw(st.tuples(*2 * [st.integers(0, height)])))
    rng = np.random.default_rng(seed)
    lr = rng.integers(0, 256, (height, width, 3), np.uint8)
    raw = rng.integers(0, 256, (scale * height, scale * width, 3), np.uint8)
    if seed % 2:  # the largest differences
        lr, raw = (np.where(picture < 128, 0, 255).astype(np.uint8) for picture in (lr, raw))
    results = [np.full_like(raw, 7) for _ in range(2)]
    loops.consistent(lr, raw, results[0], first, last)
    reference.consistent(lr, raw, results[1], first, last)
    np.testing.assert_array_equal(*results)


@settings(max_examples=60)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 12),
    share=st.integers(0, 256),
    span=st.integers(1, 256),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_sharpening_equals_numpy_at_any_size(
    width: int, height: int, share: int, span: int, data: st.DataObject, seed: int
) -> None:
    first, last = sorted(data.draw(st.tuples(*2 * [st.integers(0, height)])))
    rng = np.random.default_rng(seed)
    least = (256 - span) * (seed % 3) // 2
    soft = rng.integers(least, least + span, (height, width, 3), np.uint8)
    results = [np.full_like(soft, 7) for _ in range(2)]
    loops.sharpen(soft, share, results[0], first, last)
    reference.sharpen(soft, share, results[1], first, last)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    "call",
    [
        lambda lr, hr: loops.consistent(lr, hr, hr[:-1], 0, 8),
        lambda lr, hr: loops.consistent(lr[:-1], hr, hr.copy(), 0, 7),
        lambda lr, hr: loops.consistent(lr, hr, hr.copy(), 0, 9),
        lambda lr, hr: loops.consistent(lr, hr, hr.copy(), 5, 4),
        lambda lr, hr: loops.consistent(lr, hr.astype(np.int16), hr.copy(), 0, 8),
        lambda lr, _: loops.consistent(lr, lr, lr.copy(), 0, 8),
        lambda _, hr: loops.sharpen(hr, 257, hr.copy(), 0, 24),
        lambda _, hr: loops.sharpen(hr, 256, hr.copy(), -1, 24),
        lambda _, hr: loops.sharpen(hr[:0], 256, hr[:0].copy(), 0, 0),
        lambda _, hr: loops.blend(hr, hr[:-1], 256),
        lambda _, hr: loops.blend(hr, hr.copy(), -1),
    ],
)
def test_pictures_and_rows_that_do_not_fit_are_refused(
    call: Callable[[np.ndarray, np.ndarray], None],
) -> None:
    with pytest.raises(ValueError, match="expected"):
        call(np.zeros((8, 8, 3), np.uint8), np.zeros((24, 24, 3), np.uint8))


WRITTEN = {"to": 1, "from": 1, "compare": 2, "detail": 3, "consistent": 2, "blend": 0, "sharpen": 2}
"""Which argument of a loop it writes to, by the first word of its name."""


@pytest.mark.parametrize("name", NAMES)
def test_the_self_test_sees_one_wrong_byte_anywhere(name: str) -> None:
    """In the last of the bytes that are written, and only in the largest picture."""
    twin = getattr(reference, name.rsplit("_", 2)[0])

    def wrong(*arguments: object) -> None:
        twin(*arguments)
        kind = name.partition("_")[0]
        target = arguments[WRITTEN[kind]]
        plane = target[-1] if isinstance(target, tuple) else target
        assert isinstance(plane, np.ndarray)
        if plane.size > 4:
            plane[(-1,) * plane.ndim] ^= 1

    assert selftest.differs(name, twin) is None
    assert selftest.differs(name, wrong) is not None


CONVERTS = """
import logging, sys
import numpy as np
from streamsr.color import ColorTags
from streamsr.picture.yuv import Converter
from streamsr.native import cache, jit, loops, rows

logging.basicConfig(format="%(message)s", stream=sys.stdout)
how = sys.argv[1]
if how == "another rounding":
    # What a broken disk, compiler or colleague left under the right name.
    ir, machine = loops.module("to_rgb_8_8"), jit.Machine.host()
    wrong = ir.replace(rows.number(0.5), rows.number(0.25))
    assert wrong != ir
    loops._compiled("to_rgb_8_8")
    (kept,) = cache.folder().glob("to_rgb_8_8-*.o")
    cache.store(kept.name, jit.object_code(wrong, machine))
elif how == "dies":
    loops.CHILD = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
elif how == "no compiler":
    module = loops.module
    loops.module = lambda name: module(name) + "\\nthis is no IR"
for _ in range(3):
    out, y = np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 235, np.uint8)
    c = np.full((1, 1), 128, np.uint8)
    Converter(ColorTags(1, 1, 1, 1)).to_rgb((y, c, c), out)
    assert (out == 255).all(), out
print("right")
"""


@pytest.mark.parametrize("how", ["as it is", "another rounding", "no compiler", "dies"])
def test_a_loop_that_computes_wrongly_or_cannot_be_made_gives_way_with_one_warning(
    how: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONVERTS, how],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    *warnings, last = done.stdout.splitlines()
    assert last == "right"
    assert len(warnings) == (how != "as it is")
    assert all("to_rgb_8_8 is not used, its self-test failed" in line for line in warnings)


GENERATORS = [
    to_rgb_ir.widen,
    to_rgb_ir.mix,
    to_rgb_ir.pack,
    to_rgb_ir.to_rgb,
    from_rgb_ir.unpack,
    from_rgb_ir.weigh,
    from_rgb_ir.accumulate,
    from_rgb_ir.subsample,
    from_rgb_ir.from_rgb,
    compare_ir.compare,
    detail_ir.detail,
    consistent_ir.lost,
    consistent_ir.down,
    consistent_ir.between,
    consistent_ir.add,
    sharpen_ir.change,
    sharpen_ir.limited,
]


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda generator: generator.__name__)
def test_the_code_that_a_generator_shows_is_what_it_emits(generator: Callable[..., str]) -> None:
    """Line after line, except where ``...`` leaves lines or parts of one out."""
    shown = inspect.getdoc(generator).partition("::\n")[2].strip()  # type: ignore[union-attr]
    emitted = generator(*[8] * len(inspect.signature(generator).parameters))
    lines = [re.escape(line.strip()).replace(r"\.\.\.", ".*") for line in shown.splitlines()]
    assert len(lines) >= 8
    # A line of dots alone becomes any number of lines.
    code = r"\n *".join(lines).replace(r"\n *.*\n", r"\n(.*\n)*?")
    assert re.search(rf"\n *{code}\n", emitted)


class Alone:
    """The functions of one row that a loop calls, each callable alone with arrays, whole numbers
    and floats."""

    def __init__(self, loop: str) -> None:
        ir = loops.module(loop).replace("define internal", "define")
        self._library = jit.Library(ir, jit.Machine.host(), name=f"alone_{loop}")

    def __call__(self, name: str, *arguments: "np.ndarray | int | np.float32") -> None:
        kinds = {np.ndarray: ctypes.c_void_p, int: ctypes.c_int64, np.float32: ctypes.c_float}
        function = self._library.function(name, *(kinds[type(a)] for a in arguments))
        function(*(a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments))


@pytest.mark.parametrize("width", [1, 31, 167])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sub", [0, 1])
def test_the_rows_of_to_rgb_have_the_bytes_of_their_twins(bits: int, width: int, sub: int) -> None:
    rng = np.random.default_rng(width)
    kind: type = np.uint8 if bits == 8 else np.uint16
    alone = Alone(f"to_rgb_{bits}_{bits}")
    k = rng.random(len(DECODE), np.float32)
    k[DECODE.index("top")] = np.iinfo(kind).max
    c = dict(zip(DECODE, k, strict=True))
    y, near, far = rng.integers(0, np.iinfo(kind).max + 1, (3, width), kind)
    wide = np.zeros(width * (1 + sub), np.float32)
    alone(f"widen_{bits}", near, far, np.zeros(width + 2, np.float32), wide, width, sub, k)
    np.testing.assert_array_equal(wide, reference.widen(near, far, sub, c))
    colors = np.zeros((3, width), kind)
    shares = rng.random((3, 2), np.float32)
    for color, (cu, cv) in zip(colors, shares, strict=True):
        alone(f"mix_{bits}_{bits}", y, wide, wide, color, width, k, cu, cv)
        u = wide[:width]
        np.testing.assert_array_equal(color, reference.mix(y, u, u, cu, cv, c, color.dtype))
    pixels = np.zeros((width, 3), kind)
    alone(f"pack_{bits}", *colors, pixels, width)
    np.testing.assert_array_equal(pixels, reference.pack(*colors))


@pytest.mark.parametrize("width", [1, 31, 167])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sub", [0, 1])
def test_the_rows_of_from_rgb_have_the_bytes_of_their_twins(
    bits: int, width: int, sub: int
) -> None:
    rng = np.random.default_rng(width)
    kind: type = np.uint8 if bits == 8 else np.uint16
    alone = Alone(f"from_rgb_{bits}_{bits}")
    k = rng.random(len(ENCODE), np.float32)
    k[ENCODE.index("top")] = np.iinfo(kind).max
    c = dict(zip(ENCODE, k, strict=True))
    pixels = rng.integers(0, np.iinfo(kind).max + 1, (width, 3), kind)
    colors = np.zeros((3, width), kind)
    alone(f"unpack_{bits}", *colors, pixels, width)
    np.testing.assert_array_equal(colors, reference.unpack(pixels))
    luma = np.zeros(width + 1, kind)
    w = reference.weights("y", c)
    last = c["y_zero"], c["top"], luma, width + 1
    alone(f"weigh_{bits}_{bits}", *colors, width, *w, *last)
    np.testing.assert_array_equal(luma, reference.weigh(colors, w, c["y_zero"], c["top"], luma))
    half = -(-width // (1 + sub))
    row = rng.random(width + 4, np.float32)
    sums = row[1 : width + 1].copy()
    for kept in (np.float32(0), np.float32(1)):
        alone(f"add_{bits}", *colors, width, *w, kept, row)
        sums = reference.accumulate(sums, kept, colors, w)
        np.testing.assert_array_equal(row[1 : width + 1], sums)
    chroma = np.zeros(half, kind)
    alone(f"subsample_{bits}", row, chroma, half, sub, k)
    np.testing.assert_array_equal(chroma, reference.subsample(row, half, sub, c, chroma.dtype))
