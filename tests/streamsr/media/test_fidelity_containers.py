"""What a container cannot hold goes into Matroska, is named, or is refused: nothing is dropped in
silence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from streamsr.audit.check import lost
from streamsr.audit.compare import audit
from streamsr.media.containers import better_in_matroska
from streamsr.media.subtitles import words
from tests.support.command import Command
from tests.support.media import SRT, look, make_video

ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
    "Format: Name, Fontname, Fontsize, PrimaryColour, Alignment\nStyle: "
    "Default,Arial,20,&H00FFFFFF,2\n\n"
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:00.04,0:00:00.20,Default,,0,0,0,,{\\pos(10,10)}Sign\n"
)


def font(container: Any, _video: Any) -> None:
    container.add_attachment("a.ttf", "font/ttf", b"not a font")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """With sound and a font."""
    return make_video(tmp_path / "in.mkv", pts=range(5), audio=["aac"], prepare=font)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".ts", ".avi", ".webm"])
def test_the_whole_goes_into_matroska_in_one_line(
    film: Path, tmp_path: Path, upscale: Command, suffix: str
) -> None:
    done = upscale(film, tmp_path / f"out{suffix}", "--audit")
    assert done.status == 0, done.out + done.err
    said = [line for line in done.lines if "cannot hold" in line]
    assert len(said) == 1
    assert "attachment stream 2 (a.ttf)" in said[0]
    assert said[0].endswith(f": all goes into {tmp_path / 'out.mkv'}")
    assert f"-> {tmp_path / 'out.mkv'}: " in done.err
    assert names(tmp_path) == {"in.mkv", "out.mkv"}
    assert lost(audit(film, tmp_path / "out.mkv")) == []


@pytest.mark.parametrize("more", [(), ("--resume",)], ids=["plain", "resumable"])
def test_strict_refuses_before_the_work(
    film: Path, tmp_path: Path, upscale: Command, more: tuple[str, ...]
) -> None:
    refused = upscale(film, tmp_path / "out.mp4", "--strict", *more)
    assert refused.status == 1
    assert len(refused.lines) == 1
    assert refused.err.strip().endswith("a .mkv output would; refused by --strict")
    assert names(tmp_path) == {"in.mkv"}
    assert upscale(film, tmp_path / "out.mkv", "--strict", *more).status == 0


def test_dry_run_says_it_and_writes_nothing(film: Path, tmp_path: Path, upscale: Command) -> None:
    done = upscale(film, tmp_path / "out.mp4", "--dry-run")
    assert done.status == 0
    assert "all goes into" in done.err
    assert names(tmp_path) == {"in.mkv"}


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--resume", "--overwrite")], ids=" ".join)
def test_a_file_that_nobody_said_to_replace_is_kept(
    film: Path, tmp_path: Path, upscale: Command, more: tuple[str, ...]
) -> None:
    """Here it even is the input."""
    before = film.read_bytes()
    refused = upscale(film, tmp_path / "in.mp4", *more)
    assert refused.status == 1
    assert refused.err.strip().endswith("in.mkv exists already; name a .mkv output")
    assert film.read_bytes() == before
    assert names(tmp_path) == {"in.mkv"}


@pytest.mark.parametrize("first", ["a.mp4", "a.mkv"])
def test_two_inputs_never_share_an_output(
    film: Path, tmp_path: Path, model: Path, streamsr: Command, first: str
) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(film.read_bytes())  # a Matroska film by another name
    (folder / "a.mkv").write_bytes(film.read_bytes())
    (tmp_path / "out").mkdir()
    inputs = sorted(folder.iterdir(), key=lambda path: path.name != first)
    words = ["-o", tmp_path / "out", "--overwrite", "--preset", "ultrafast", "--model", model]
    done = streamsr("upscale", *inputs, *words)
    assert done.status == 1
    assert done.lines[-1] == "1 of 2 files upscaled"
    assert names(tmp_path / "out") == {"a.mkv"}


def test_a_codec_that_the_container_lacks(tmp_path: Path, upscale: Command) -> None:
    film = make_video(tmp_path / "in.mp4", pts=range(3))
    done = upscale(film, tmp_path / "out.webm")
    assert done.status == 0, done.err
    assert "webm cannot hold h264 video: all goes into" in done.err
    assert look(tmp_path / "out.mkv").kinds == ["video:h264"]


def texts(path: Path, extension: str) -> Path:
    """A subtitle file of this kind."""
    path = path / f"s.{extension}"
    path.write_text(
        {"srt": SRT, "vtt": "WEBVTT\n\n00:00.040 --> 00:00.160\nHello\n", "ass": ASS}[extension]
    )
    return path


@pytest.mark.parametrize(("extension", "made"), [("srt", ".mp4"), ("vtt", ".mp4"), ("ass", ".mkv")])
def test_plain_words_stay_and_styles_need_matroska(
    tmp_path: Path, upscale: Command, extension: str, made: str
) -> None:
    film = make_video(tmp_path / "in.mkv", pts=range(8), subtitle=texts(tmp_path, extension))
    done = upscale(film, tmp_path / "out.mp4")
    assert done.status == 0, done.err
    assert (tmp_path / f"out{made}").exists()
    if made == ".mkv":
        assert "mp4 cannot hold the styles of subtitle stream 1 (ass)" in done.err
        assert look(tmp_path / "out.mkv").packets == look(film).packets
    else:
        assert "becomes mov_text without its styles" in done.err
        with av.open(str(tmp_path / "out.mp4")) as out:
            packets = [bytes(p) for p in out.demux(subtitles=0)]
            assert next(said for p in packets if (said := words("mov_text", p))) == "Hello"
            assert out.streams.subtitles[0].codec_context.extradata, "players need the style record"


def test_one_loss_is_not_traded_for_another(tmp_path: Path, upscale: Command) -> None:
    """Neither container holds data of an unknown kind, so that the named one is made."""
    film = tmp_path / "in.mp4"
    make_video(film, pts=range(5), audio=["aac"])
    content = film.read_bytes()
    assert content.count(b"soun") == content.count(b"mp4a") == 1
    film.write_bytes(content.replace(b"soun", b"meta").replace(b"mp4a", b"zzzz"))
    done = upscale(film, tmp_path / "out.mp4")
    assert done.status == 0, done.err
    assert "left out: mp4 cannot hold data stream 1 (unknown codec)" in done.err
    assert names(tmp_path) == {"in.mp4", "out.mp4"}


def test_what_matroska_lacks_too_is_no_reason_to_go_there(tmp_path: Path, upscale: Command) -> None:
    """Data that neither holds is left out of both, and named as that."""
    film = make_video(tmp_path / "in.mp4", pts=range(5), audio=["aac"])
    film.write_bytes(film.read_bytes().replace(b"soun", b"meta").replace(b"mp4a", b"zzzz"))
    with av.open(str(film)) as before:
        assert better_in_matroska("mp4", before, "libx264") == {}
        assert better_in_matroska("webm", before, "libx264") == {"codec": "h264 video"}
    done = upscale(film, tmp_path / "out.webm")
    assert done.status == 0, done.err
    assert "webm cannot hold h264 video: all goes into" in done.err
    assert "left out: matroska cannot hold data stream 1" in done.err


def chapters(container: Any, _video: Any) -> None:
    container.set_chapters(
        [{"id": 1, "start": 0, "end": 9, "time_base": 1, "metadata": {"title": "One"}}]
    )


def turned(_container: Any, video: Any) -> None:
    video.set_display_rotation(90)


@pytest.mark.parametrize(
    ("prepare", "container", "found"),
    [
        (font, "mp4", {1: "attachment stream 1 (a.ttf)"}),
        (font, "matroska", {}),
        (chapters, "mpegts", {"chapters": "chapters"}),
        (chapters, "mp4", {}),
        (chapters, "avi", {"chapters": "chapters", "times": "the times of frames and sound"}),
    ],
)
def test_what_a_container_cannot_hold(
    tmp_path: Path, prepare: Callable[[Any, Any], None], container: str, found: dict[int | str, str]
) -> None:
    with av.open(str(make_video(tmp_path / "in.mkv", pts=range(2), prepare=prepare))) as film:
        assert better_in_matroska(container, film, "libx264") == found


def test_a_turn_that_a_container_lacks_is_named(tmp_path: Path, upscale: Command) -> None:
    film = make_video(tmp_path / "in.mp4", pts=range(3), prepare=turned)
    done = upscale(film, tmp_path / "out.ts")
    assert done.status == 0
    assert "mpegts cannot say that the picture is to be turned" in done.err


@pytest.mark.parametrize(
    ("suffix", "codec", "becomes"),
    [
        (".wmv", "wmav2", "pcm_f32le"),
        (".avi", "adpcm_ms", "pcm_s16le"),
        (".avi", "pcm_mulaw", "pcm_s16le"),
    ],
)
@pytest.mark.parametrize("target", [".mkv", ".mp4"])
def test_sound_of_old_cameras_is_kept_as_samples(
    tmp_path: Path, upscale: Command, suffix: str, codec: str, becomes: str, target: str
) -> None:
    """Neither Matroska nor MP4 takes it as it is."""

    def prepare(container: Any, _video: Any) -> None:
        container.streams.audio[0].codec_context.bit_rate = 64000

    path = tmp_path / f"in{suffix}"
    film = make_video(
        path, codec="mpeg4", pts=range(20), audio=[codec], audio_frames=30, prepare=prepare
    )
    done = upscale(film, tmp_path / f"out{target}", "--audit")
    assert done.status == 0, done.out + done.err
    assert f"audio stream 1 ({codec}) becomes {becomes}, the same samples" in done.err
    assert f"{codec} -> {becomes}: the same samples" in done.out
    heard = []
    for path in (film, tmp_path / f"out{target}"):
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
            heard.append((frames[0].time, sum(frame.samples for frame in frames)))
    assert heard[0][1] == heard[1][1] > 1000
    assert abs(heard[0][0] - heard[1][0]) <= 0.001
    assert upscale(film, tmp_path / f"strict{target}", "--strict").status == 1


def test_other_samples_are_a_loss(tmp_path: Path, upscale: Command) -> None:
    films = [
        make_video(
            tmp_path / f"{n}.avi", codec="mpeg4", pts=range(20), audio=["adpcm_ms"], audio_frames=n
        )
        for n in (20, 30)
    ]
    assert upscale(films[0], tmp_path / "out.mkv").status == 0
    assert "audio 1" in {check.what for check in lost(audit(films[1], tmp_path / "out.mkv"))}


@pytest.mark.parametrize(("codec", "audio"), [("h264", "flac"), ("av1", "ac3"), ("ffv1", "ac3")])
def test_a_transport_stream_gets_only_what_can_be_told_from_it(
    tmp_path: Path, upscale: Command, codec: str, audio: str
) -> None:
    """FFmpeg's muxer writes the rest as private data."""
    film = make_video(tmp_path / "in.mkv", pts=range(5), audio=[audio])
    done = upscale(film, tmp_path / "out.ts", "--codec", codec)
    assert done.status == 0, done.err
    assert "mpegts cannot hold" in done.err
    assert names(tmp_path) == {"in.mkv", "out.mkv"}


@pytest.mark.parametrize(("target", "becomes"), [(".mkv", "subrip"), (".mp4", "mov_text")])
def test_webvtt_by_the_name_that_ffmpeg_does_not_know(
    tmp_path: Path, upscale: Command, target: str, becomes: str
) -> None:
    """As mkvmerge writes it."""
    film = make_video(tmp_path / "in.mkv", pts=range(8), subtitle=texts(tmp_path, "vtt"))
    content = film.read_bytes()
    assert content.count(b"D_WEBVTT/SUBTITLES") == 1
    # A name of another length would move what follows: the rest of the element's place is filled
    # with nothing.
    content = content.replace(b"\x86\x92D_WEBVTT/SUBTITLES", b"\x86\x8dS_TEXT/WEBVTT\xec\x83\0\0\0")
    film.write_bytes(content)
    with av.open(str(film)) as made:
        assert made.streams[1].codec_context is None
    done = upscale(film, tmp_path / f"out{target}", "--audit")
    assert done.status == 0, done.out + done.err
    assert f"subtitle stream 1 (webvtt) becomes {becomes}" in done.err
    with av.open(str(tmp_path / f"out{target}")) as out:
        said = [words(becomes, bytes(packet)) for packet in out.demux(subtitles=0) if packet.size]
    assert "Hello" in said
