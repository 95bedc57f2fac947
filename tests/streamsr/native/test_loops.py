"""The compiled loops give the bytes of their NumPy twins, and where they do not, the twins
serve."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.color import BT709, FULL, LIMITED, ColorTags
from streamsr.native import emit, loops, reference, selftest
from streamsr.picture.yuv import Converter

NAMES = [
    "compare",
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
    centred=st.booleans(),
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
    centred: bool,
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
    converter = Converter(ColorTags(BT709, 1, 1, level), depth=depth, centred=centred)
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


@pytest.mark.parametrize("name", NAMES)
def test_the_self_test_sees_one_wrong_byte_anywhere(name: str) -> None:
    """In the last of the bytes that are written, and only in the largest picture."""
    twin = getattr(reference, name.rsplit("_", 2)[0])

    def wrong(*arguments: object) -> None:
        twin(*arguments)
        written = arguments[0] if name.startswith("from") else arguments[1]
        target = {"to": arguments[1], "fr": arguments[1], "co": arguments[2]}[name[:2]]
        plane = target[-1] if isinstance(target, tuple) else target
        assert written is not None
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
from streamsr.native import cache, emit, jit, loops

logging.basicConfig(format="%(message)s", stream=sys.stdout)
how = sys.argv[1]
if how == "another rounding":
    # What a broken disk, compiler or colleague left under the right name.
    ir, machine = emit.module("to_rgb_8_8"), jit.Machine.host()
    wrong = ir.replace(emit._number(0.5), emit._number(0.25))
    assert wrong != ir
    loops._compiled("to_rgb_8_8")
    (kept,) = cache.folder().glob("to_rgb_8_8-*.o")
    cache.store(kept.name, jit.object_code(wrong, machine))
elif how == "no compiler":
    emit_module = loops.module
    loops.module = lambda name: emit_module(name) + "\\nthis is no IR"
for _ in range(3):
    out, y = np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 235, np.uint8)
    c = np.full((1, 1), 128, np.uint8)
    Converter(ColorTags(1, 1, 1, 1)).to_rgb((y, c, c), out)
    assert (out == 255).all(), out
print("right")
"""


@pytest.mark.parametrize("how", ["as it is", "another rounding", "no compiler"])
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
    assert emit.LANES
