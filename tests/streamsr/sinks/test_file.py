"""The file sink's own arguments."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from streamsr import FileSink, Frame, StreamInfo
from streamsr.color import ColorTags
from streamsr.options import Encoding
from tests.support.media import look

BASE = Fraction(1, 25)


def test_an_encoding_given_whole_is_that_of_its_parts(tmp_path: Path) -> None:
    info = StreamInfo(64, 48, BASE, rate=1 / BASE, color=ColorTags().resolved(64, 48))
    noise = np.random.default_rng(1).integers(0, 256, (3, 48, 64, 3), np.uint8)
    parts = FileSink(
        tmp_path / "parts.mkv",
        info,
        (64, 48),
        codec="hevc",
        crf=40,
        preset="ultrafast",
        encoder_threads=1,
    )
    whole = FileSink(
        tmp_path / "whole.mkv", info, (64, 48), encoding=Encoding("hevc", 40, "ultrafast", 1)
    )
    for sink in (parts, whole):
        with sink:
            for pts, rgb in enumerate(noise):
                sink.write(Frame(rgb, pts, BASE))
            sink.commit()
    assert look(tmp_path / "whole.mkv").size == (64, 48)
    assert (tmp_path / "whole.mkv").read_bytes() == (tmp_path / "parts.mkv").read_bytes()
