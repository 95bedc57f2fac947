"""The audit finds what is lost, and nothing else. Outputs are remuxed copies with one thing
wrong."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamsr.audit.check import LOST, NOTE, Check, lost, table
from streamsr.audit.compare import audit
from streamsr.errors import SourceError
from tests.support.command import Command
from tests.support.media import SRT, make_video

Change = Callable[[Any], Any]


def same(packet: Any) -> Any:
    return packet


def remux(
    source: Path,
    target: Path,
    change: Change = same,
    *,
    skip: tuple[int, ...] = (),
    options: dict[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda _output: None,
) -> Path:
    """Copy ``source``; ``change(packet)`` may alter a packet or return None to drop it."""
    with (
        av.open(str(source)) as before,
        av.open(str(target), "w", container_options=options or {}) as after,
    ):
        streams = {}
        for stream in before.streams:
            if stream.index not in skip:
                streams[stream.index] = after.add_stream_from_template(stream)
                streams[stream.index].metadata.update(stream.metadata)
                streams[stream.index].disposition = stream.disposition
        after.metadata.update(before.metadata)
        after.set_chapters(before.chapters())
        prepare(after)
        for packet in before.demux([before.streams[i] for i in streams]):
            if packet.size and (changed := change(packet)) is not None:
                changed.stream = streams[changed.stream_index]
                after.mux(changed)
    return target


def named(checks: list[Check], what: str) -> Check:
    found = [check for check in checks if check.what == what]
    assert found, f"no check {what!r} in {[c.what for c in checks]}"
    return found[0]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twenty frames, a sound track, a title and a chapter, in Matroska."""

    def prepare(container: Any, _video: Any) -> None:
        container.metadata["title"] = "A film"
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 400,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "One"},
                }
            ]
        )

    return make_video(tmp_path / "film.mkv", pts=range(20), audio=["aac"], prepare=prepare)


def test_a_copy_loses_nothing(film: Path, tmp_path: Path) -> None:
    checks = audit(film, remux(film, tmp_path / "copy.mkv"))
    assert lost(checks) == []
    assert named(checks, "timestamps").detail.startswith("20 equal")
    assert {"chapters", "metadata", "audio 1"} <= {check.what for check in checks}


def test_a_copy_in_another_container_loses_nothing(film: Path, tmp_path: Path) -> None:
    assert lost(audit(film, remux(film, tmp_path / "copy.mp4"))) == []


def test_a_missing_stream_is_lost(film: Path, tmp_path: Path) -> None:
    assert (
        named(audit(film, remux(film, tmp_path / "out.mkv", skip=(1,))), "audio 1").verdict == LOST
    )


def test_a_changed_byte_in_the_sound_is_lost(film: Path, tmp_path: Path) -> None:
    def damage(packet: Any) -> Any:
        if packet.stream_index == 1 and 0.1 < packet.pts * packet.time_base < 0.13:
            changed = av.Packet(bytes(packet)[:-1] + b"\x55")
            changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
            changed.stream = packet.stream
            return changed
        return packet

    check = named(audit(film, remux(film, tmp_path / "out.mkv", damage)), "audio 1")
    assert check.verdict == LOST
    assert "differ" in check.detail


def test_sound_at_another_time_is_lost(film: Path, tmp_path: Path) -> None:
    def late(packet: Any) -> Any:
        if packet.stream_index == 1:
            packet.pts, packet.dts = packet.pts + 40, packet.dts + 40
        return packet

    check = named(audit(film, remux(film, tmp_path / "out.mkv", late)), "audio 1")
    assert check.verdict == LOST
    assert "another time" in check.detail


def test_one_frame_at_another_time_is_lost(film: Path, tmp_path: Path) -> None:
    def nudge(packet: Any) -> Any:
        if packet.stream_index == 0 and packet.pts == 760:
            packet.pts += 7
        return packet

    check = named(audit(film, remux(film, tmp_path / "out.mkv", nudge)), "timestamps")
    assert check.verdict == LOST
    assert "1 of 20" in check.detail


def test_a_shift_of_the_whole_file_is_a_note(film: Path, tmp_path: Path) -> None:
    def later(packet: Any) -> Any:
        packet.pts += 500
        packet.dts = None if packet.dts is None else packet.dts + 500
        return packet

    def chapters(output: Any) -> None:
        output.set_chapters(
            [
                {
                    "id": 1,
                    "start": 500,
                    "end": 900,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "One"},
                }
            ]
        )

    checks = audit(film, remux(film, tmp_path / "out.mkv", later, prepare=chapters))
    assert lost(checks) == []
    assert named(checks, "clock") == Check("clock", NOTE, "the whole file is shifted by 500 ms")


def test_missing_frames_are_lost(film: Path, tmp_path: Path) -> None:
    def cut(packet: Any) -> Any:
        return None if packet.stream_index == 0 and packet.pts > 700 else packet

    checks = audit(film, remux(film, tmp_path / "out.mkv", cut))
    assert named(checks, "frames").verdict == LOST
    assert named(checks, "timestamps").verdict != LOST


@pytest.mark.parametrize(
    ("what", "break_it"),
    [
        ("chapters", lambda output: output.set_chapters([])),
        ("metadata", lambda output: output.metadata.clear()),
        ("audio 1 language", lambda output: output.streams[1].metadata.update(language="deu")),
        ("audio 1 flags", lambda output: setattr(output.streams[1], "disposition", 0x40)),
        (
            "rotation",
            lambda output: output.streams[0].set_display_matrix(
                (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
            ),
        ),
    ],
)
def test_what_is_not_carried_over_is_lost(
    film: Path, tmp_path: Path, what: str, break_it: Callable[[Any], None]
) -> None:
    checks = audit(film, remux(film, tmp_path / "out.mkv", prepare=break_it))
    assert [check.what for check in lost(checks)] == [what]


def test_wrong_colours_are_lost(tmp_path: Path) -> None:
    """The same numbers, but the output says that they span the full range."""
    film = make_video(tmp_path / "in.mp4", pts=range(5))
    wrong = make_video(tmp_path / "out.mp4", pts=range(5), options={"x264-params": "fullrange=on"})
    assert {check.what for check in lost(audit(film, wrong))} == {"colour tags", "colour"}


def test_the_table_is_aligned() -> None:
    assert list(table([Check("a", "kept", "x"), Check("longer", LOST, "y")])) == [
        "kept  a       x",
        "LOST  longer  y",
    ]


def test_a_file_that_cannot_be_read_is_an_error(film: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        audit(film, tmp_path / "missing.mkv")


def test_audit_command_tells_by_its_status(film: Path, tmp_path: Path, streamsr: Command) -> None:
    good, bad = remux(film, tmp_path / "good.mkv"), remux(film, tmp_path / "bad.mkv", skip=(1,))
    kept = streamsr("audit", film, good)
    assert kept.status == 0
    assert "LOST" not in kept.out
    gone = streamsr("audit", film, bad)
    assert gone.status == 1
    assert gone.err.strip().endswith("checks failed: audio 1")


def test_upscale_audits_its_own_output(tmp_path: Path, upscale: Command) -> None:
    """AAC begins 1024 samples before zero, which must not move the film in a Matroska output."""
    subtitle = tmp_path / "s.srt"
    subtitle.write_text(SRT)
    film = make_video(tmp_path / "in.mp4", audio=["aac"])
    for name in ("out.mkv", "out.mp4"):
        result = upscale(film, tmp_path / name, "--audit")
        assert result.status == 0, result.err
        assert "10 equal" in result.out
        assert "shifted" not in result.out


def test_upscale_audits_the_span_it_was_asked_for(tmp_path: Path, upscale: Command) -> None:
    film = make_video(tmp_path / "in.mkv", pts=range(50), audio=["aac"], audio_frames=90)
    result = upscale(film, tmp_path / "out.mkv", "--audit", "--start", "0.4", "--duration", "1")
    assert result.status == 0, result.err
    assert "25 equal" in result.out


FLAT = {"magenta": (255, 0, 255), "yellow": (255, 255, 0), "grey": (128, 128, 128)}


@pytest.mark.parametrize("name", FLAT)
def test_the_networks_own_colours_are_no_loss(name: str, tmp_path: Path, upscale: Command) -> None:
    """Flat, saturated colours are where a network is wrong by a level or three."""
    source = tmp_path / "flat.mkv"
    flat = np.full((48, 64, 3), FLAT[name], np.uint8)
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(flat, format="rgb24")))
        container.mux(stream.encode(None))
    for model in ("clean", "video"):
        target = tmp_path / f"{model}.mkv"
        result = upscale(source, target, "--codec", "ffv1", "--audit", "--model", model)
        assert result.status == 0, result.out
