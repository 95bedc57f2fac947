"""What stands beside the main video, and every time, from MP4 and Matroska into MP4 and
Matroska."""

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from streamsr import FileSink, Frame, StreamInfo
from streamsr.audit.check import lost
from streamsr.audit.compare import audit
from streamsr.color import ColorTags
from streamsr.media.subtitles import words
from tests.support.command import Command
from tests.support.media import SIZE, SRT, look, make_video, picture

CONTAINERS = ("mp4", "mkv")


def chapters(*starts: int) -> list[Any]:
    return [
        {
            "id": i,
            "start": s,
            "end": s + 300,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": f"Chapter {i}"},
        }
        for i, s in enumerate(starts)
    ]


def rich(path: Path, extension: str) -> Path:
    """Two videos, two sounds in two languages, text subtitles, chapters, metadata; in Matroska a
    font as well."""
    main = make_video(path / "main.mp4", pts=range(25), audio=["aac", "ac3"], audio_frames=40)
    extra = make_video(path / "extra.mp4", size=(32, 32), pts=range(10))
    (path / "s.srt").write_text(SRT)
    target = path / f"rich.{extension}"
    with av.open(str(main)) as a, av.open(str(extra)) as b, av.open(str(target), "w") as out:
        streams = [(s, out.add_stream_from_template(s)) for c in (a, b) for s in c.streams]
        for (_, made), language in zip(streams, ["und", "eng", "deu", "und"], strict=True):
            made.metadata["language"] = language
        streams[2][1].disposition = 0
        streams[3][1].disposition = 0
        texts = av.open(str(path / "s.srt"))
        subtitle: Any = None
        if extension == "mkv":
            subtitle = out.add_stream_from_template(texts.streams[0])
            subtitle.metadata["language"], subtitle.metadata["title"] = "fra", "Signs"
            out.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font" * 9)
        out.set_chapters(chapters(0, 400))
        out.metadata["title"] = "Rich"
        for container in (a, b):
            for packet in container.demux():
                if packet.size:
                    packet.stream = next(made for s, made in streams if s is packet.stream)
                    out.mux(packet)
        if subtitle is not None:
            for packet in texts.demux():
                if packet.size:
                    packet.stream = subtitle
                    out.mux(packet)
        texts.close()
    return target


@pytest.mark.parametrize(
    ("source", "target", "made"),
    [("mp4", "mp4", "mp4"), ("mp4", "mkv", "mkv"), ("mkv", "mkv", "mkv"), ("mkv", "mp4", "mkv")],
)
def test_everything_beside_the_picture_is_kept(
    tmp_path: Path, upscale: Command, source: str, target: str, made: str
) -> None:
    film = rich(tmp_path, source)
    done = upscale(film, tmp_path / f"out.{target}", "--audit")
    assert done.status == 0, done.out + done.err
    assert [path.name for path in tmp_path.glob("out*")] == [f"out.{made}"]


@pytest.mark.parametrize(
    ("codec", "packet", "said"),
    [
        ("subrip", b"<i>Hello</i>\r\nWorld", "Hello\nWorld"),
        ("mov_text", b"\x00\x05Hello\x00\x00\x00\x0cstyl", "Hello"),
        ("mov_text", b"\x00\x00", ""),
        ("ass", rb"0,0,Default,,0,0,0,,{\i1}Hello, you{\i0}\NWorld", "Hello, you\nWorld"),
        ("webvtt", b"<v Roger>Hello</v>", "Hello"),
    ],
)
def test_words_of_a_subtitle_packet(codec: str, packet: bytes, said: str) -> None:
    assert words(codec, packet) == said


@pytest.mark.parametrize("source", CONTAINERS)
@pytest.mark.parametrize("target", CONTAINERS)
def test_a_cover_is_kept(tmp_path: Path, upscale: Command, source: str, target: str) -> None:
    film = make_video(tmp_path / "film.mp4", pts=range(5), audio=["aac"])
    jpeg = cv2.imencode(".jpg", picture(3))[1].tobytes()
    covered = tmp_path / f"covered.{source}"
    with (
        av.open(str(film)) as before,
        av.open(io.BytesIO(jpeg), format="jpeg_pipe") as cover,
        av.open(str(covered), "w") as out,
    ):
        made = [out.add_stream_from_template(s) for s in before.streams]
        if source == "mkv":
            out.add_attachment("cover.jpg", "image/jpeg", jpeg)
        else:
            shown = out.add_stream_from_template(cover.streams[0])
            shown.disposition = shown.disposition.attached_pic
            for packet in cover.demux():
                if packet.size:
                    packet.stream = shown
                    out.mux(packet)
        for packet in before.demux():
            if packet.size:
                packet.stream = made[packet.stream_index]
                out.mux(packet)
    done = upscale(covered, tmp_path / f"out.{target}", "--audit")
    assert done.status == 0, done.out + done.err
    assert "cover" in done.out
    with av.open(str(tmp_path / f"out.{target}")) as out:
        pictures = [s for s in out.streams.video if s.disposition & s.disposition.attached_pic]
        assert len(pictures) == 1


VARIABLE = [0, 1, 2, 5, 6, 10, 11, 20, 21, 22]


@pytest.mark.parametrize("target", CONTAINERS)
@pytest.mark.parametrize("source", CONTAINERS)
@pytest.mark.parametrize(
    ("pts", "time_base"),
    [
        ([i * 3000 for i in range(10)], Fraction(1, 90000)),
        ([i * 33 + i % 2 for i in range(10)], Fraction(1, 1000)),
        ([i * 1001 for i in range(10)], Fraction(1, 60000)),
        ([i * 1001 for i in range(10)], Fraction(1, 120000)),
        ([900000 + i * 3003 for i in range(10)], Fraction(1, 90000)),
        ([17 + i * 40 for i in VARIABLE], Fraction(1, 1000)),
        ([40960 + i * 512 for i in VARIABLE], Fraction(1, 12800)),
    ],
    ids=["90k", "1k", "59.94", "119.88", "starts-at-10s", "variable", "variable-late"],
)
def test_every_time_comes_out_as_it_went_in(
    tmp_path: Path, upscale: Command, source: str, target: str, pts: list[int], time_base: Fraction
) -> None:
    options = {"bf": "2", "g": "6", "preset": "ultrafast"}
    film = make_video(
        tmp_path / f"film.{source}", pts=pts, time_base=time_base, options=options, audio=["aac"]
    )
    out = tmp_path / f"out.{target}"
    assert upscale(film, out).status == 0
    tick = Fraction(1, 1000) if target == "mkv" else Fraction(0)
    before, after = look(film).times, look(out).times
    assert len(before) == len(after)
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) <= tick / 2
    assert lost(audit(film, out)) == []


def test_sound_that_begins_before_or_after_the_picture_stays_there(
    tmp_path: Path, upscale: Command
) -> None:
    film = make_video(tmp_path / "film.mp4", pts=range(20), audio=["aac"])
    for late_ms in (-1000, 250):
        moved = tmp_path / f"moved{late_ms}.mkv"
        with av.open(str(film)) as before, av.open(str(moved), "w") as after:
            made = [after.add_stream_from_template(s) for s in before.streams]
            for packet in before.demux():
                if packet.size:
                    ticks = round(
                        Fraction(late_ms if packet.stream_index == 1 else 2000, 1000)
                        / packet.time_base
                    )
                    packet.pts, packet.dts = packet.pts + ticks + 0, packet.dts + ticks
                    packet.stream = made[packet.stream_index]
                    after.mux(packet)
        for extension in CONTAINERS:
            done = upscale(moved, tmp_path / f"out{late_ms}.{extension}", "--audit")
            assert done.status == 0, done.out + done.err
            assert "shifted" not in done.out


def test_an_mpeg_ts_whose_clock_wraps_keeps_its_times(tmp_path: Path, upscale: Command) -> None:
    """33 bits of 90 kHz end after 26.5 hours; the next frame starts from 0 again."""
    start = (1 << 33) - 90000
    pts = [start + i * 3600 for i in range(50)]
    times = [i * 40 for i in range(50)]
    film = make_video(
        tmp_path / "film.mkv", pts=times, time_base=Fraction(1, 1000), options={"bf": "0"}
    )
    wrapped = tmp_path / "film.ts"
    with (
        av.open(str(film)) as before,
        av.open(
            str(wrapped), "w", format="mpegts", container_options={"mpegts_copyts": "1"}
        ) as after,
    ):
        made = after.add_stream_from_template(before.streams[0])
        for i, packet in enumerate(p for p in before.demux() if p.size):
            packet.pts, packet.dts, packet.time_base, packet.stream = (
                pts[i],
                pts[i] - 3600,
                Fraction(1, 90000),
                made,
            )
            after.mux(packet)
    seen = look(wrapped).times
    assert seen == sorted(seen)
    assert seen[-1] - seen[0] == Fraction(49, 25)
    for extension in CONTAINERS:
        done = upscale(wrapped, tmp_path / f"out.{extension}", "--audit")
        assert done.status == 0, done.out + done.err


@pytest.mark.parametrize("more", [(), ("--resume", "--segment", "0.3")], ids=["plain", "resumable"])
@pytest.mark.parametrize("target", CONTAINERS)
def test_frames_that_an_edit_list_hides_stay_hidden(
    tmp_path: Path, upscale: Command, target: str, more: tuple[str, ...]
) -> None:
    """A cut without re-encoding: the file begins with seven frames that only serve to decode the
    eighth."""
    film = make_video(
        tmp_path / "film.mp4", pts=range(50), options={"g": "25", "bf": "2"}, audio=["aac"]
    )
    content = bytearray(film.read_bytes())
    place = (
        content.find(b"elst") + 12
    )  # after version and count: duration, then the first tick shown
    duration, first = struct.unpack_from(">Ii", content, place)
    struct.pack_into(">Ii", content, place, duration, first + 7 * 512)
    film.write_bytes(content)
    done = upscale(film, tmp_path / f"out.{target}", "--audit", *more)
    assert done.status == 0, done.out + done.err
    assert "43 in, 43 out" in done.out


@pytest.mark.parametrize("target", CONTAINERS)
def test_a_transport_stream_is_repacked(tmp_path: Path, upscale: Command, target: str) -> None:
    """Its AAC has a header before each packet, its H.264 start codes, which other containers do not
    want."""
    film = make_video(
        tmp_path / "film.ts", pts=range(20), audio=["aac"], audio_frames=40, options={"bf": "2"}
    )
    done = upscale(film, tmp_path / f"out.{target}", "--audit")
    assert done.status == 0, done.out + done.err
    assert look(tmp_path / f"out.{target}").kinds == ["video:h264", "audio:aac"]


def test_frames_that_all_claim_one_time_are_kept(tmp_path: Path, upscale: Command) -> None:
    film = make_video(
        tmp_path / "film.mkv", pts=[0, 1, 2, 3], time_base=Fraction(1, 90000), options={"bf": "0"}
    )
    done = upscale(film, tmp_path / "out.mkv", "--audit")
    assert done.status == 0, done.out + done.err
    assert "4 in, 4 out" in done.out


@pytest.mark.parametrize("first", [-5, -2000])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
def test_a_film_that_begins_before_zero_is_moved_as_a_whole(
    tmp_path: Path, suffix: str, first: int
) -> None:
    """Through the library, where frames may have any time; the sound moves with the picture."""
    tick = Fraction(1, 25)
    info = StreamInfo(*SIZE, tick, rate=Fraction(25), color=ColorTags().resolved(*SIZE))
    film = make_video(tmp_path / "film.mp4", pts=range(10), audio=["aac"])
    with FileSink(tmp_path / f"out{suffix}", info, SIZE, copy_from=film) as sink:
        for i in range(10):
            sink.write(Frame(picture(i), first + i, tick, 1, i))
        sink.commit()
    before, after = look(film), look(tmp_path / f"out{suffix}")
    shift = after.times[0]
    assert [when - shift for when in after.times] == [i * tick for i in range(10)]
    assert shift == 0 or suffix == ".ts", "which begins with the delay of its coder"
    heard, said = before.packets[1][0][0], after.packets[1][0][0]
    assert abs((said - shift) - (heard - first * tick)) <= Fraction(1, 1000)


@pytest.mark.parametrize(
    ("source", "target", "verdict"), [("mov", "mp4", ""), ("mov", "mkv", "note  timecode")]
)
def test_a_timecode_is_kept(
    tmp_path: Path, upscale: Command, source: str, target: str, verdict: str
) -> None:
    """MOV and MP4 have a track for it, which FFmpeg makes of the metadata; Matroska has the
    metadata."""

    def prepare(container: Any, _video: Any) -> None:
        container.metadata["timecode"] = "01:02:03:04"

    film = make_video(tmp_path / f"in.{source}", pts=range(5), prepare=prepare)
    with av.open(str(film)) as made:
        assert [s.type for s in made.streams] == ["video", "data"]
    done = upscale(film, tmp_path / f"out.{target}", "--audit")
    assert done.status == 0, done.out + done.err
    assert "left out" not in done.err
    assert verdict in done.out
    with av.open(str(tmp_path / f"out.{target}")) as out:
        assert "01:02:03:04" in [
            s.metadata.get("timecode") or s.metadata.get("TIMECODE") for s in out.streams
        ]


def test_chapters_that_are_a_track_are_copied_as_chapters(tmp_path: Path, upscale: Command) -> None:
    def prepare(container: Any, _video: Any) -> None:
        container.set_chapters(chapters(0, 400))

    film = make_video(tmp_path / "in.mp4", pts=range(25), prepare=prepare)
    with av.open(str(film)) as made:
        assert [s.type for s in made.streams] == ["video", "data"]
    for target in CONTAINERS:
        done = upscale(film, tmp_path / f"out.{target}", "--audit", "--strict")
        assert done.status == 0, done.out + done.err
        assert "kept  chapters" in done.out


def test_mpeg_audio_is_the_same_by_whichever_name(tmp_path: Path, upscale: Command) -> None:
    film = make_video(tmp_path / "in.ts", pts=range(10), audio=["mp2"])
    done = upscale(film, tmp_path / "out.mp4", "--audit")
    assert done.status == 0, done.out + done.err
    assert "kept  audio 1" in done.out
