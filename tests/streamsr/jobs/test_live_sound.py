"""``streamsr live`` keeps the source's sound, and it stays with its pictures: judged by ffprobe."""

import itertools
import json
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.beeps import beeps_of, make_beeping, offsets_ms, pictures_of
from tests.support.command import Command, started
from tests.support.disk import small_disk
from tests.support.media import look, make_video
from tests.support.processes import Helper, run
from tests.support.servers import ffmpeg, free_port, listening, needs_ffmpeg

IN_SYNC_MS = 20


@pytest.fixture(scope="module")
def beeping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds with AAC."""
    needs_ffmpeg()
    return make_beeping(tmp_path_factory.mktemp("beeping") / "in.mp4", 5)


def in_sync(path: Path, *, beeps: int) -> None:
    """The recording has so many beeps behind its first one, each within 20 ms of its pictures."""
    offsets = offsets_ms(path)
    assert len(offsets) >= beeps, f"{offsets} {beeps_of(path)} {len(pictures_of(path))}"
    assert max(map(abs, offsets)) <= IN_SYNC_MS, offsets


def sound_of(stats: Path) -> dict[str, int]:
    """What became of the packets of sound: all are accounted for."""
    counts: dict[str, int] = json.loads(stats.read_text())["sound"]
    assert counts["in"] == counts["written"] + counts["dropped"], counts
    return counts


def packets_of(path: Path) -> list[bytes]:
    """Of the first stream of sound."""
    return [data for _, data in next(iter(look(path).packets.values()))]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_sound_is_copied_into_a_recording(
    streamsr: Command, tmp_path: Path, model: Path, beeping: Path, suffix: str
) -> None:
    out, stats = tmp_path / f"a{suffix}", tmp_path / "stats.json"
    result = streamsr(
        "live", beeping, "--record", out, "--stats-json", stats, "--model", model, "--scale", 3
    )
    assert result.status == 0, result.err
    assert "; sound: aac 48000 Hz copied;" in result.lines[0]
    in_sync(out, beeps=4)
    before, after = packets_of(beeping), packets_of(out)
    if suffix != ".ts":  # there each packet has a header
        assert after == before[1:]  # the first one is before the first picture
    counts = sound_of(stats)
    assert (
        (counts["in"], counts["written"])
        == (len(before), len(after))
        == (len(before), len(before) - 1)
    )


@pytest.mark.parametrize(
    ("codec", "rate", "suffix", "said"),
    [
        ("libopus", 48000, ".mkv", "opus 48000 Hz copied"),
        ("libopus", 48000, ".mp4", "opus 48000 Hz copied"),
        ("libmp3lame", 44100, ".ts", "mp3 44100 Hz copied"),
        ("pcm_s16le", 8000, ".mkv", "pcm_s16le 8000 Hz copied"),
        ("pcm_s16le", 8000, ".ts", "pcm_s16le 8000 Hz as aac"),
        ("flac", 44100, ".ts", "flac 44100 Hz as aac"),
    ],
)
def test_sound_that_the_container_does_not_hold_is_encoded(
    streamsr: Command, tmp_path: Path, model: Path, codec: str, rate: int, suffix: str, said: str
) -> None:
    needs_ffmpeg()
    film = make_beeping(tmp_path / "in.mkv", 3, sound=codec, rate=rate)
    out = tmp_path / f"a{suffix}"
    result = streamsr("live", film, "--record", out, "--model", model)
    assert result.status == 0, result.err
    assert f"sound: {said};" in result.lines[0]
    in_sync(out, beeps=2)
    assert ("audio:aac" in look(out).kinds) is ("as aac" in said)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_sound_stays_in_sync_where_pictures_are_dropped(
    streamsr: Command, tmp_path: Path, model: Path, beeping: Path, suffix: str
) -> None:
    out, stats = tmp_path / f"a{suffix}", tmp_path / "stats.json"
    result = streamsr(
        "live",
        beeping,
        "--realtime",
        "--budget-ms",
        2,
        "--duration",
        4,
        "--record",
        out,
        "--stats-json",
        stats,
        "--model",
        model,
    )
    assert result.status == 0, result.err
    in_sync(out, beeps=2)
    assert sound_of(stats)["written"] > 100


def serving(film: Path, port: int, packing: str) -> list[str]:
    """Arguments for ffmpeg that sends the film at its own rate to the first who connects."""
    return [
        "-re",
        "-i",
        str(film),
        "-c",
        "copy",
        "-f",
        packing,
        f"tcp://127.0.0.1:{port}?listen=1",
    ]


@pytest.mark.parametrize(
    ("codec", "rate", "packing", "suffix", "said"),
    [
        ("aac", 48000, "mpegts", ".mp4", "aac 48000 Hz copied"),
        ("aac", 44100, "flv", ".mkv", "aac 44100 Hz copied"),
        ("pcm_s16le", 44100, "flv", ".ts", "pcm_s16le 44100 Hz as aac"),
    ],
)
def test_sound_stays_in_sync_when_the_source_is_connected_to_again(
    tmp_path: Path, model: Path, codec: str, rate: int, packing: str, suffix: str, said: str
) -> None:
    needs_ffmpeg()
    film = make_beeping(tmp_path / "in.mkv", 20, sound=codec, rate=rate)
    out, stats, port = tmp_path / f"a{suffix}", tmp_path / "stats.json", free_port()
    url = f"tcp://127.0.0.1:{port}"
    with ExitStack() as run:
        with ffmpeg(*serving(film, port, packing)) as server:
            server.until(lambda: listening(port))
            process = run.enter_context(
                started("live", url, "--record", out, "--stats-json", stats, "--model", model)
            )
            process.says("Ctrl-C stops")
            until_longer(process, out, 2.5)
        process.says("connecting again")
        with ffmpeg(*serving(film, port, packing)):
            process.says("connected again")
            until_longer(process, out, recorded_s(out) + 3.5)
            process.send(signal.SIGINT)
            assert process.ended() == 0
        assert said in process.said().splitlines()[0]
    in_sync(out, beeps=3)
    times = [time for time, _ in next(iter(look(out).packets.values()))]
    assert all(a < b for a, b in itertools.pairwise(times))
    sound_of(stats)


def recorded_s(path: Path) -> float:
    """How long a recording is that still grows."""
    words = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time"]
    if not path.exists():
        return 0.0
    lines = run([*words, "-of", "csv=p=0", path]).stdout.split()
    return max((float(line.strip(",")) for line in lines if line.strip(",")), default=0.0)


def until_longer(process: Helper, path: Path, seconds: float) -> None:
    process.until(lambda: recorded_s(path) > seconds, seen=lambda: recorded_s(path))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_killed_run_leaves_a_recording_with_its_sound(
    tmp_path: Path, model: Path, suffix: str
) -> None:
    needs_ffmpeg()
    film, out = make_beeping(tmp_path / "in.mp4", 30), tmp_path / f"a{suffix}"
    with started("live", film, "--realtime", "--record", out, "--model", model) as process:
        until_longer(process, out, 4)
        assert process.running
        process.kill()
    in_sync(out, beeps=2)


def test_a_full_disk_leaves_a_playable_recording(tmp_path: Path, model: Path) -> None:
    needs_ffmpeg()
    film, stats = make_beeping(tmp_path / "in.mp4", 20), tmp_path / "stats.json"
    with small_disk(tmp_path / "small", 100) as disk:
        with started(
            "live", film, "--record", disk / "a.mkv", "--stats-json", stats, "--model", model
        ) as process:
            assert process.ended() == 1
            assert "No space left" in process.said()
            assert "Traceback" not in process.said()
        in_sync(disk / "a.mkv", beeps=2)
    sound_of(stats)


LISTENING = {
    "tcp": ("-i", "{}?listen=1"),
    "udp": ("-i", "{}"),
    "rtmp": ("-listen", "1", "-i", "{}"),
    "rtsp": ("-rtsp_flags", "listen", "-i", "{}"),
}


@pytest.mark.parametrize(
    ("scheme", "codec", "said"),
    [
        ("tcp", "aac", "copied"),
        ("udp", "aac", "copied"),
        ("rtmp", "aac", "copied"),
        ("rtmp", "libopus", "as aac"),
        ("rtsp", "aac", "copied"),
        ("rtsp", "libopus", "copied"),
    ],
)
def test_sound_is_published_with_the_pictures(
    tmp_path: Path, model: Path, scheme: str, codec: str, said: str
) -> None:
    needs_ffmpeg()
    film, got = make_beeping(tmp_path / "in.mkv", 6, sound=codec), tmp_path / "got.mkv"
    stats = tmp_path / "stats.json"
    port = free_port()
    url = f"{scheme}://127.0.0.1:{port}" + ("/live/a" if scheme.startswith("rt") else "")
    words = [word.format(url) for word in LISTENING[scheme]]
    with ffmpeg(*words, "-c", "copy", "-flush_packets", "1", str(got)) as receiver:
        kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
        receiver.until(lambda: listening(port, kind))
        with started(
            "live", film, "--realtime", "--publish", url, "--stats-json", stats, "--model", model
        ) as process:
            assert process.ended() == 0
            assert said in process.said().splitlines()[0]
        receiver.until(lambda: recorded_s(got) > 4)
    in_sync(got, beeps=3)
    assert sound_of(stats)["published"] > 200


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("beeping", ["--no-sound"], "no sound: --no-sound"),
        ("silent", [], "no sound: the film has none"),
        ("test:160x96@20", ["--duration", "0.5"], "no sound: the source has none"),
    ],
)
def test_sound_that_is_not_kept_is_said_in_the_first_line(
    streamsr: Command,
    tmp_path: Path,
    model: Path,
    beeping: Path,
    source: str,
    options: list[str],
    said: str,
) -> None:
    film: object = source
    if source == "beeping":
        film = beeping
    elif source == "silent":
        film = make_video(tmp_path / "in.mp4")
    out, stats = tmp_path / "a.mkv", tmp_path / "stats.json"
    result = streamsr(
        "live", film, "--record", out, "--stats-json", stats, "--model", model, *options
    )
    assert result.status == 0, result.err
    assert f"; {said};" in result.lines[0]
    assert [kind.split(":")[0] for kind in look(out).kinds] == ["video"]
    counts = json.loads(stats.read_text())
    assert (counts["sound"], counts["sound_state"]) == (None, said)


def test_a_run_that_keeps_nothing_does_not_speak_of_sound(
    streamsr: Command, model: Path, beeping: Path
) -> None:
    result = streamsr("live", beeping, "--model", model)
    assert "sound" not in result.err


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["test:160x96@20", "--microphone", "default"], "--microphone is for a camera"),
        (["0", "--microphone", "none such"], "cannot be opened"),
    ],
)
def test_a_microphone_that_cannot_be_is_one_clear_line(
    streamsr: Command, tmp_path: Path, model: Path, args: list[str], reason: str
) -> None:
    result = streamsr("live", *args, "--record", tmp_path / "a.mkv", "--model", model)
    assert result.status == 1
    assert reason in result.err
    assert "Traceback" not in result.err


def test_a_playlist_can_be_played_while_it_runs_and_after(tmp_path: Path, model: Path) -> None:
    needs_ffmpeg()
    film, playlist = make_beeping(tmp_path / "in.mkv", 12), tmp_path / "made" / "stream.m3u8"
    with started("live", film, "--realtime", "--publish", playlist, "--model", model) as process:
        process.until(lambda: len(pieces_of(playlist)) > 1)
        assert process.running
        assert "#EXT-X-ENDLIST" not in playlist.read_text()
        first = playlist.parent / pieces_of(playlist)[0]
        assert recorded_s(first) > 1
        in_sync(first, beeps=2)
        assert process.ended() == 0
        assert "sound: aac 48000 Hz copied" in process.said().splitlines()[0]
    assert "#EXT-X-ENDLIST" in playlist.read_text()
    pieces = pieces_of(playlist)
    assert len(pieces) >= 5
    assert {path.name for path in playlist.parent.iterdir()} == {*pieces, playlist.name}
    in_sync(playlist, beeps=9)


def pieces_of(playlist: Path) -> list[str]:
    """Names of the files that it lists."""
    lines = playlist.read_text().splitlines() if playlist.exists() else []
    return [line for line in lines if line.endswith(".ts")]


def test_a_playlist_that_is_there_is_kept(streamsr: Command, tmp_path: Path, model: Path) -> None:
    playlist = tmp_path / "stream.m3u8"
    playlist.write_text("precious")
    options = ("--model", model, "--duration", 3)
    result = streamsr("live", "test:160x96@20", "--publish", playlist, *options)
    assert (result.status, playlist.read_text()) == (1, "precious")
    assert "exists already; --overwrite replaces it" in result.err
    assert (
        streamsr("live", "test:160x96@20", "--publish", playlist, "--overwrite", *options).status
        == 0
    )
    assert playlist.read_text().startswith("#EXTM3U")


def test_a_playlist_needs_a_folder(streamsr: Command, tmp_path: Path, model: Path) -> None:
    playlist = tmp_path / "no" / "such" / "stream.m3u8"
    result = streamsr("live", "test:160x96@20", "--publish", playlist, "--model", model)
    assert result.status == 1
    assert "No such file or directory" in result.err
