"""Our own parsers as functions of bytes, for fuzzing: each may end only in the errors its contract
names.

python -m tests.support.parsers y4m -max_total_time=60     libFuzzer's options, with `pip install
                                                            atheris`
"""

import io
import shutil
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import click

from streamsr.cli import cli
from streamsr.cli.pipeline_file import read_pipeline
from streamsr.engines.fused.graph import read_network
from streamsr.errors import ModelError, SinkError, SourceError
from streamsr.media.y4m import Y4mFormat
from streamsr.segments.ledger import LEDGER, Ledger
from streamsr.sources.y4m import Y4mSource


def _check_one_line(error: Exception) -> None:
    if "\n" in str(error):
        raise AssertionError(f"more than one line: {error}")


def y4m(data: bytes) -> None:
    """A stream with its header."""
    _frames(Y4mSource(io.BytesIO(data)), len(data))


def raw(data: bytes) -> None:
    """The first byte chooses a format, the rest are its pixels."""
    formats = ("yuv420p", "yuv422p10le", "gray", "rgb24", "yuvj444p", "bgr24", "yuv444p16")
    name = formats[data[0] % len(formats)] if data else "gray"
    _frames(
        Y4mSource(io.BytesIO(data[1:]), format=Y4mFormat.raw((5, 3), name, Fraction(25))), len(data)
    )


def _frames(source: Y4mSource, size: int) -> None:
    try:
        with source:
            for i, frame in enumerate(source):
                assert frame.rgb.shape == (source.info.height, source.info.width, 3)
                assert i < size, "frames out of nothing"
    except SourceError as error:
        _check_one_line(error)


def ledger(data: bytes) -> None:
    """The ledger of an unfinished output, with two finished segments beside it."""
    folder = Path(tempfile.mkdtemp())
    try:
        target = folder / "out.mkv"
        with Ledger(target, {"a": 1}) as made:
            for number in (0, 1):
                made.path(number).write_bytes(b"segment")
            path = made.folder / LEDGER
        path.write_bytes(path.read_bytes() + data)
        try:
            with Ledger(target, {"a": 1}) as read:
                assert set(read.finished) <= {0, 1}
                assert not read.published
                read.finish(1, frames=2)
        except SinkError as error:
            _check_one_line(error)
        assert {p.name for p in folder.iterdir()} == {"out.mkv.resume"}
    finally:
        shutil.rmtree(folder)


def pipeline(data: bytes) -> None:
    """A pipeline file."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            found = read_pipeline(Path(file.name), cli.commands)
            assert all(isinstance(word, str) for word in found.words())
        except click.UsageError:
            pass


def model(data: bytes) -> None:
    """A model file, as the fused engine reads it."""
    try:
        read_network(data)
    except ModelError as error:
        _check_one_line(error)


PARSERS: dict[str, Callable[[bytes], None]] = {
    "y4m": y4m,
    "raw": raw,
    "ledger": ledger,
    "pipeline": pipeline,
    "model": model,
}
