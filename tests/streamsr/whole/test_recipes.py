"""The recipes of docs/recipes.md, run as they stand there."""

import html
import os
import re
import shlex
import shutil
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from streamsr.cli import cli
from tests.conftest import ROOT
from tests.support.command import STREAMSR
from tests.support.markdown import blocks, run_script
from tests.support.media import look, make_video
from tests.support.obs import obs
from tests.support.processes import Helper, run, running
from tests.support.screen import screen as screen
from tests.support.servers import ffmpeg, free_port, needs_ffmpeg

MPV, MPV_LIVE, MPV_VAPOURSYNTH, FROM_OBS, INTO_OBS, WATCH, PODMAN = blocks("recipes.md", "sh")
MINIDLNA, CAMERA_ENV, LIVE_UNIT = blocks("recipes.md", "ini")
(CONTAINERFILE,) = blocks("recipes.md", "dockerfile")

Picture = NDArray[np.uint8]

CAMERA = "rtsp://camera/1"
PATTERN = "in.mkv --realtime"
"""A film that comes as fast as a camera's pictures stands in for it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    needs_ffmpeg()
    make_video(tmp_path / "in.mkv", pts=range(50), audio=["aac"], audio_frames=94)
    return tmp_path


@pytest.fixture
def mpv(folder: Path) -> dict[str, str]:
    """The environment in which mpv writes what it shows into files."""
    if shutil.which("mpv") is None:
        pytest.skip("mpv is not installed")
    home = folder / "mpv"
    home.mkdir()
    settings = ("vo=image", f"vo-image-outdir={folder / 'shown'}", "vo-image-format=png", "ao=null")
    (home / "mpv.conf").write_text("\n".join((*settings, "untimed=yes", "no-terminal", "")))
    return {**os.environ, "MPV_HOME": str(home)}


def shown(folder: Path) -> list[Path]:
    return sorted((folder / "shown").glob("*.png"))


def seen_by_mpv(folder: Path, count: int) -> None:
    """The film's pictures, three times as large, in order."""
    pictures = shown(folder)
    assert len(pictures) >= count
    film = look(folder / "in.mkv", keep_frames=True).frames
    for number in (0, len(pictures) - 1):
        with Image.open(pictures[number]) as image:
            assert image.size == (192, 144)
            small = np.asarray(image.convert("RGB").resize((64, 48), Image.Resampling.BOX))
        differences = [np.abs(frame.astype(int) - small).mean() for frame in film]
        assert min(differences) < 4
        if number == 0:
            assert differences.index(min(differences)) < 25


def test_mpv_plays_what_comes_through_the_pipe(folder: Path, mpv: dict[str, str]) -> None:
    done = run_script(MPV, folder, mpv)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()
    assert 49 <= len(shown(folder)) <= 52  # mpv draws the first and the last once more, or not
    seen_by_mpv(folder, 49)


def test_mpv_plays_what_is_published(folder: Path, mpv: dict[str, str]) -> None:
    assert CAMERA in MPV_LIVE
    script = MPV_LIVE.replace(CAMERA, PATTERN).replace("9002", str(free_port()))
    # As a user does: mpv is there first, and closed behind.
    done = run_script(f"{script}\nsleep 1; kill %1; wait %1 || true", folder, mpv)
    assert done.returncode == 0, done.stderr
    seen_by_mpv(folder, 1)


def test_mpv_plays_what_comes_through_vapoursynth(folder: Path, mpv: dict[str, str]) -> None:
    """VapourSynth has wheels for Python 3.12 and newer; `.ci/run` runs this with one."""
    pytest.importorskip("vapoursynth")
    script = blocks("vapoursynth.md", "python")[0]
    source = 'clip = core.bs.VideoSource("in.mkv")'
    assert source in script
    blank = "clip = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=5)"
    (folder / "upscale.vpy").write_text(script.replace(source, blank))
    done = run_script(MPV_VAPOURSYNTH, folder, mpv)
    assert done.returncode == 0, done.stderr
    with Image.open(shown(folder)[0]) as image:
        assert image.size == (192, 144)


@contextmanager
def stand_in(_folder: Path, port: int) -> Iterator[Helper]:
    """What OBS's custom output sends, by its library."""
    pattern = ("-re", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=25", "-t", "8")
    encoder = ("-c:v", "libx264", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p")
    address = f"udp://127.0.0.1:{port}?pkt_size=1316"
    with ffmpeg(*pattern, *encoder, "-f", "mpegts", address) as sender:
        yield sender


def custom_output(port: int) -> dict[str, object]:
    """The settings of the recipe, by the names in OBS's profiles."""
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    address, container, encoder, options = re.findall(
        r"(udp://127\.0\.0\.1:9001\S*)`|container `(\w+)`|encoder `(\w+)`|options\s+`([^`]+)`", text
    )[:4]
    return {
        "FFURL": address[0].replace("9001", str(port)),
        "FFFormat": container[1],
        "FFFormatMimeType": "video/MP2T",
        "FFVEncoder": encoder[2],
        "FFVEncoderId": 27,  # H.264, of FFmpeg's numbers
        "FFVCustom": options[3],
        "FFVBitrate": 1000,
        "FFAEncoder": "aac",
        "FFAEncoderId": 86018,
        "FFABitrate": 128,
        "FFAudioMixes": 1,
    }


@contextmanager
def obs_itself(folder: Path, port: int, display: str) -> Iterator[Helper]:
    film = make_video(folder / "shown.mkv", size=(320, 180), pts=range(100))
    source = {"is_local_file": True, "local_file": str(film), "looping": True}
    with obs(folder / "home", display, source, **custom_output(port)) as program:
        yield program


def sent_on(folder: Path, sender: Callable[[Path, int], AbstractContextManager[Helper]]) -> None:
    """The recipe: what OBS sends, upscaled, reaches a server. ffmpeg stands in for the server."""
    port, server_port = free_port(), free_port()
    url = f"rtmp://127.0.0.1:{server_port}/live/key"
    script = FROM_OBS.replace("rtmp://server/live/key", url).replace("9001", str(port))
    listening = f":{server_port:04X} 00000000:0000 0A"
    with ffmpeg("-listen", "1", "-i", url, "-c", "copy", str(folder / "got.mkv")) as server:
        server.until(lambda: listening in Path("/proc/net/tcp").read_text())
        with sender(folder, port):
            done = run_script(f"{script.strip()} --duration 3", folder)
        assert done.returncode == 0, done.stderr
        server.ended()
    seen = look(folder / "got.mkv", keep_frames=True)
    assert seen.size == (960, 540)
    assert seen.frames[-1].std() > 20  # a picture, not a black one


def test_what_obs_sends_is_upscaled_and_sent_on(folder: Path) -> None:
    """ffmpeg stands in for OBS."""
    sent_on(folder, stand_in)


@pytest.mark.slow
def test_what_obs_itself_sends_is_upscaled_and_sent_on(folder: Path, screen: str) -> None:
    sent_on(folder, lambda there, port: obs_itself(there, port, screen))


def test_obs_gets_the_upscaled_stream(folder: Path) -> None:
    """ffmpeg, which OBS's Media Source is made of, stands in for it."""
    assert CAMERA in INTO_OBS
    port = free_port()
    script = INTO_OBS.replace(CAMERA, PATTERN).replace("9002", str(port))
    source = ("-f", "mpegts", "-i", f"udp://127.0.0.1:{port}?timeout=5000000")
    with ffmpeg(*source, "-c", "copy", str(folder / "got.mkv")) as receiver:
        done = run_script(script, folder)
        assert done.returncode == 0, done.stderr
        receiver.ended()
    assert look(folder / "got.mkv").size == (192, 144)


@pytest.mark.slow
def test_obs_itself_shows_the_upscaled_stream(folder: Path, screen: str) -> None:
    """What it shows is seen in what it sends."""
    port, out = free_port(), free_port()
    make_video(folder / "in.mkv", size=(160, 90), pts=range(500))
    script = INTO_OBS.replace(CAMERA, PATTERN).replace("9002", str(port))
    source = {
        "is_local_file": False,
        "input": f"udp://127.0.0.1:{port}",
        "input_format": "mpegts",
    }
    film = look(folder / "in.mkv", keep_frames=True).frames
    with obs(folder / "home", screen, source, **custom_output(out)) as program:
        receiver = ("-i", f"udp://127.0.0.1:{out}?timeout=60000000", "-t", "14", "-c", "copy")
        with ffmpeg(*receiver, str(folder / "got.mkv")) as got:
            assert run_script(script, folder).returncode == 0
            got.ended()
        assert program.running
    shown = look(folder / "got.mkv", keep_frames=True).frames

    def nearest(picture: Picture) -> float:
        small = np.asarray(Image.fromarray(picture).resize((160, 90), Image.Resampling.BOX))
        return min(float(np.abs(frame.astype(int) - small).mean()) for frame in film)

    assert min(nearest(picture) for picture in shown[:: max(len(shown) // 40, 1)]) < 6


BROWSE = """<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>
<u:Browse xmlns:u="urn:schemas-upnp-org:service:ContentDirectory:1"><ObjectID>2$8</ObjectID>
<BrowseFlag>BrowseDirectChildren</BrowseFlag><Filter>*</Filter><StartingIndex>0</StartingIndex>
<RequestedCount>0</RequestedCount><SortCriteria></SortCriteria></u:Browse></s:Body></s:Envelope>"""
"""What a television asks a media server for: all its films."""


def films_of(port: int) -> str:
    """What the media server has; nothing while it is starting."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/ctl/ContentDir",
        BROWSE.encode(),
        {"SOAPAction": '"urn:schemas-upnp-org:service:ContentDirectory:1#Browse"'},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return html.unescape(answer.read().decode())
    except OSError:
        return ""


def test_a_media_server_finds_what_was_watched_for(folder: Path) -> None:
    if "watch" not in cli.commands:
        pytest.skip("streamsr watch is not in this version")
    if shutil.which("minidlnad") is None:
        pytest.skip("minidlna is not installed")
    for name in ("incoming", "library", "state"):
        (folder / name).mkdir()
    port = free_port()
    settings = MINIDLNA.replace("/srv/library", str(folder / "library"))
    assert str(folder) in settings
    own = f"db_dir={folder / 'state'}\nlog_dir={folder / 'state'}\nport={port}\n"
    (folder / "minidlna.conf").write_text(settings + own)
    server = ("minidlnad", "-f", folder / "minidlna.conf", "-P", folder / "state" / "pid", "-S")
    assert "--to 1080p" in WATCH
    words = shlex.split(WATCH.replace("1080p", "192x144"))[1:]
    with running(server) as minidlna, running([*STREAMSR, *words], cwd=folder) as watch:
        minidlna.until(lambda: "BrowseResponse" in films_of(port))
        shutil.copy(folder / "in.mkv", folder / "incoming" / "film.mkv")
        watch.until(lambda: list((folder / "library").glob("*.mkv")), timeout_s=120)
        minidlna.until(lambda: "film" in films_of(port), seen=lambda: films_of(port))
        assert 'resolution="192x144"' in films_of(port)
        watch.send(signal.SIGINT)
        assert watch.ended() == 0


def value(unit: str, key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", unit, re.M)
    assert found is not None, key
    return found[1]


def environment() -> dict[str, str]:
    """The variables of the recipe's file."""
    return dict(line.split("=", 1) for line in CAMERA_ENV.split())


def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = value(LIVE_UNIT, "ExecStart").split()[0]
    unit = tmp_path / "streamsr-live@.service"
    unit.write_text(LIVE_UNIT.replace(command, shutil.which("true") or ""))
    done = run(["systemd-analyze", "verify", "--man=no", unit])
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(LIVE_UNIT)  # it would say it: this machine has no such program
    assert command in run(["systemd-analyze", "verify", "--man=no", unit]).stderr


def test_the_units_command_runs_and_is_stopped(folder: Path) -> None:
    """By SIGTERM, as systemd does, in the environment that systemd gives it."""
    assert environment()["SOURCE"].startswith("rtsp://")
    given = {
        "SOURCE": str(folder / "in.mkv"),
        "TARGET": f"udp://127.0.0.1:{free_port()}",
        "PATH": "/usr/bin:/bin",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    line = value(LIVE_UNIT, "ExecStart").replace("9464", str(free_port()))
    assert set(re.findall(r"\$\{(\w+)\}", line)) == set(environment())
    for name in environment():
        line = line.replace(f"${{{name}}}", given[name])
    words = [*STREAMSR, *shlex.split(line)[1:], "--realtime"]
    if "PYTHONPATH" in os.environ:
        given["PYTHONPATH"] = os.environ["PYTHONPATH"]
    with running(words, env=given, cwd=ROOT) as process:
        process.says("Ctrl-C stops")
        process.send(signal.SIGTERM)
        assert process.ended() == 0
    context = cli.commands["live"].make_context("live", shlex.split(line)[2:])
    assert context.params["source"] == given["SOURCE"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_container_is_built_and_upscales(tmp_path: Path) -> None:
    """With buildah, whose `build` podman has, on a base that debootstrap makes: no registry of
    images is reached here."""
    for program in ("buildah", "debootstrap"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    assert CONTAINERFILE.startswith("FROM docker.io/library/debian:bookworm")
    build, run_line = PODMAN.splitlines()
    assert build.split() == ["podman", "build", "-t", "streamsr", "."]
    store = ("--storage-driver", "vfs", "--root", tmp_path / "store", "--runroot", tmp_path / "run")

    def buildah(*words: object) -> str:
        done = run(
            ["buildah", *store, *words],
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            cwd=tmp_path,
            timeout_s=1200,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return str(done.stdout).strip()

    words = ["debootstrap", "--variant=minbase", "bookworm", tmp_path / "base"]
    assert run(words, timeout_s=1200).returncode == 0
    base = buildah("from", "scratch")
    buildah("add", "-q", base, tmp_path / "base", "/")
    buildah("commit", "-q", base, "localhost/debian:bookworm")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"]
    run(words, cwd=ROOT, check=True, timeout_s=200)
    (tmp_path / "Containerfile").write_text(CONTAINERFILE)
    # This machine's certificates, where its registries have others than the world's.
    authorities = os.environ.get("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt")
    (tmp_path / "pip.conf").write_text("[global]\ncert = /authorities.crt\n")
    mounts = (f"{authorities}:/authorities.crt:ro", f"{tmp_path}/pip.conf:/etc/pip.conf:ro")
    flags = [word for mount in mounts for word in ("-v", mount)]
    buildah("build", "--from", "localhost/debian:bookworm", *flags, *build.split()[2:])
    make_video(tmp_path / "film.mkv", audio=["aac"])
    made = buildah("from", "--pull=never", "localhost/streamsr")
    said = run_line.split(" streamsr ", 1)[1].split()
    assert "-v" in run_line
    buildah("run", "-v", f"{tmp_path}:/films", made, "--", "streamsr", *said)
    assert look(tmp_path / "larger.mkv").size == (192, 144)
