"""The file source's arguments: which go together."""

from fractions import Fraction
from pathlib import Path

import pytest

from streamsr import FileSource, SourceError
from streamsr.frame import Span, StreamInfo
from streamsr.options import DecodeOptions
from tests.support.media import make_video

INFO = StreamInfo(64, 48, Fraction(1, 25))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"span": Span(), "info": INFO, "start_s": 1.0}, "either a span, or start_s"),
        ({"span": Span(), "info": INFO, "duration_s": 1.0}, "either a span, or start_s"),
        ({"span": Span()}, "together"),
        ({"info": INFO}, "together"),
        ({"start_s": -1.0}, "a start of at least 0"),
        ({"interlaced": "weave"}, "interlaced to be one of"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_arguments_that_do_not_go_together_are_refused(
    arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        FileSource("film.mkv", **arguments)  # type: ignore[arg-type]


def test_limits_given_whole_hold_like_those_given_alone(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mkv", size=(64, 48), pts=range(3))
    for source in (
        FileSource(film, max_pixels=64 * 48 - 1),
        FileSource(film, decode=DecodeOptions(max_pixels=64 * 48 - 1)),
    ):
        with pytest.raises(SourceError, match="64x48 is larger than 3071 pixels"):
            source.__enter__()
