"""Our own parsers take any bytes: what their contracts say, or one line of error. A fixed seed in
every run."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.support.parsers import PARSERS, ledger, model, pipeline, raw, y4m
from tests.support.processes import run

SEED = 20261123
NUMBERS = st.one_of(st.integers(-2, 40), st.sampled_from([2**31, 2**32, 10**9, 10**40]))

RATIOS = st.builds("{}:{}".format, NUMBERS, NUMBERS)
TAGS = st.one_of(
    st.builds("W{}".format, NUMBERS),
    st.builds("H{}".format, NUMBERS),
    st.builds("F{}".format, RATIOS),
    st.builds("A{}".format, RATIOS),
    st.sampled_from(
        [
            "C420",
            "C420jpeg",
            "C422",
            "C444p10",
            "Cmono",
            "Cmono9",
            "C411",
            "C420p1",
            "Ip",
            "It",
            "XA=B",
        ]
    ),
    st.text(max_size=4),
)
HEADERS = st.lists(TAGS, max_size=8).map(
    lambda tags: " ".join(["YUV4MPEG2", "W4", "H3", *tags]).encode()
)
FRAMES = st.lists(
    st.sampled_from([b"FRAME\n", b"FRAME Ip\n", b"FRAM\n", b"\n", b"\0" * 18, b"\xff" * 12]),
    max_size=8,
)


@seed(SEED)
@settings(max_examples=120)
@given(
    header=st.one_of(HEADERS, st.binary(max_size=40)),
    end=st.sampled_from([b"\n", b"\n", b""]),
    frames=FRAMES,
)
def test_any_y4m_stream(header: bytes, end: bytes, frames: list[bytes]) -> None:
    y4m(header + end + b"".join(frames))


@seed(SEED)
@settings(max_examples=100)
@given(data=st.binary(max_size=200))
def test_any_raw_pixels(data: bytes) -> None:
    raw(data)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(["segment", "frames", "bytes", "blake2b", "joined", "format", "a"])
LINES = st.one_of(
    st.dictionaries(KEYS, st.one_of(VALUES, st.sampled_from([0, 1, 7, "../../../x", -1]))).map(
        json.dumps
    ),
    VALUES.map(json.dumps),
    st.text(max_size=20),
)


@seed(SEED)
@settings(max_examples=60)
@given(
    lines=st.lists(LINES, max_size=4), end=st.sampled_from(["\n", ""]), tail=st.binary(max_size=20)
)
def test_any_ledger(lines: list[str], end: str, tail: bytes) -> None:
    ledger("\n".join(lines).encode(errors="replace") + end.encode() + tail)


TOML_KEYS = st.sampled_from(
    ["command", "input", "output", "scale", "to", "overwrite", "reuse", "threads", "nonsense"]
)
TOML_VALUES = st.sampled_from(
    ['"upscale"', '"live"', "true", "3", "1.5", "[]", '["a", 1]', "{a = 1}", "1979-05-27", "x"]
)
TOML = st.lists(
    st.one_of(
        st.builds("{} = {}".format, TOML_KEYS, TOML_VALUES),
        st.sampled_from(["[source]", "[upscale]", "[sink]", "[other]", "[[source]]", "#"]),
    ),
    max_size=8,
).map(lambda lines: "\n".join(lines).encode())


@seed(SEED)
@settings(max_examples=120)
@given(data=st.one_of(TOML, st.binary(max_size=40)))
def test_any_pipeline_file(data: bytes) -> None:
    pipeline(data)


@seed(SEED)
@settings(max_examples=120)
@given(
    changes=st.lists(
        st.tuples(st.floats(0.6, 1, exclude_max=True), st.integers(0, 255)), max_size=6
    )
)
def test_any_model_file(model: Path, changes: list[tuple[float, int]]) -> None:
    content = bytearray(model.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    read_model(bytes(content))


read_model = model
"""Under another name, since tests know a fixture by that one."""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="pip install atheris")
@pytest.mark.parametrize("parser", PARSERS)
def test_guided_by_coverage(parser: str, tmp_path: Path, model: Path) -> None:
    """A minute each; what it found is printed and stays reproducible."""
    (tmp_path / "seed").write_bytes(
        {
            "y4m": b"YUV4MPEG2 W4 H3 F25:1 Ip A1:1 C420\nFRAME\n" + bytes(20),
            "raw": bytes(50),
            "ledger": b'{"segment": 0, "frames": 1, "bytes": 7, "blake2b": "x"}\n',
            "model": model.read_bytes(),
            "pipeline": b'command = "upscale"\n[source]\ninput = "a"\n[sink]\noutput = "b"\n',
        }[parser]
    )
    words = [
        sys.executable,
        "-m",
        "tests.support.fuzz",
        parser,
        str(tmp_path),
        "-max_total_time=60",
        "-seed=1",
    ]
    found = run(
        [*words, "-rss_limit_mb=4096", f"-artifact_prefix={tmp_path}/"], cwd=ROOT, timeout_s=250
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    print([line for line in found.stderr.splitlines() if line.startswith("Done ")])
