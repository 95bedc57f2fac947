"""No password and no stream key is printed, logged, counted or among a process's arguments."""

import json
import random
import socket
import string
import urllib.request
from base64 import b64encode
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.cli.metrics import RecorderCollector, metrics_served
from streamsr.errors import SinkError
from streamsr.frame import Frame, StreamInfo
from streamsr.preview.preview import state_of
from streamsr.sinks.publish import PublishSink
from streamsr.sources.network import network
from streamsr.stats import Recorder
from tests.support.command import Command
from tests.support.servers import free_port
from tests.support.streams import Breaking, FilmServer, coded, served
from tests.support.until import until

SIGNS = string.ascii_letters + string.digits + "@#?/&=:;,.%+-_~!$'\"()*[] "


def addresses(count: int) -> list[tuple[str, str, str]]:
    """Addresses where nobody answers, each with its password and its key, of any signs."""
    rng = random.Random(16)
    found = []
    for index in range(count):
        password, key = (
            "S3" + "".join(rng.choices(SIGNS, k=rng.randint(1, 9))) + "cr" for _ in range(2)
        )
        scheme = ("http", "rtsp", "rtmp", "tcp")[index % 4]
        host = f"127.0.0.1:{free_port()}"
        found.append((f"{scheme}://me:{password}@{host}/app/a?key={key}", password, key))
    return found


@pytest.mark.parametrize(("address", "password", "key"), addresses(8))
def test_an_address_that_cannot_be_opened_is_told_without_its_secrets(
    streamsr: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    password: str,
    key: str,
) -> None:
    monkeypatch.setenv("STREAMSR_TRACEBACK", "1")  # which shows what FFmpeg's errors say
    stats = tmp_path / "stats.json"
    for words in (
        ["live", address, "--stats-json", stats],
        ["live", "test:", f"--publish={address}", "--duration", 5],
        ["live", "test:", "--publish", address, "--duration", 5],
        ["live", "test:", address],
        ["live", address.replace("://", "x://")],
        ["upscale", address, "-o", tmp_path / "out.mkv"],
        ["info", address],
    ):
        result = streamsr(*words)
        assert result.status != 0
        for secret in (password, key, "S3"):
            assert secret not in result.err + result.out, words
    assert "S3" not in stats.read_text()


class Guarded(Breaking):
    """Gives its film to who knows the password."""

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        if self.headers.get("Authorization") == f"Basic {b64encode(b'me:S3@cret').decode()}":
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()


def test_a_camera_with_a_password_is_shown_and_told_without_it(
    streamsr: Command, tmp_path: Path, model: Path
) -> None:
    server = FilmServer(coded(tmp_path / "film.ts", 1))
    server.RequestHandlerClass = Guarded
    address = server.url.replace("://", "://me:S3%40cret@") + "?key=S3key"
    stats = tmp_path / "stats.json"
    with served(server):
        result = streamsr("live", address, "--stats-json", stats, "--model", model)
    assert result.status == 0, result.err
    assert result.lines[0].startswith(f"{server.url}?key=***: ")
    assert "S3" not in result.err + result.out + stats.read_text()
    assert json.loads(stats.read_text())["frames"]["in"] == 25


def test_metrics_and_the_viewers_line_have_no_secrets(tmp_path: Path) -> None:
    server = FilmServer(coded(tmp_path / "film.ts", 1))
    server.RequestHandlerClass = Guarded
    record = Recorder()
    record.set_engine("fused", model="xlsr", threads=1)
    address = server.url.replace("://", "://me:S3%40cret@")
    with served(server), network(address, record=record) as source:
        next(iter(source))
        assert "S3" not in source.name + state_of([source])
        with (
            metrics_served("127.0.0.1:0", RecorderCollector(record)) as page,
            urllib.request.urlopen(page) as answer,
        ):
            assert "S3" not in answer.read().decode()


def test_a_stream_key_is_in_no_processes_arguments() -> None:
    info = StreamInfo(64, 48, Fraction(1, 25), rate=Fraction(25), live=True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/S3KEY"
        with PublishSink(address, info, (64, 48)) as sink:
            sink.write(Frame(np.zeros((48, 64, 3), np.uint8), 0, info.time_base))
            process = until(lambda: sink._process)
            assert process is not None
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            assert b"streamsr.sinks.relay" in arguments
            assert b"S3KEY" not in arguments
            assert "S3KEY" not in sink.name + sink.state
            process.kill()
    with pytest.raises(SinkError) as refused:
        PublishSink("ftp://me:S3@host/S3KEY", info, (64, 48))
    assert "me:S3" not in str(refused.value)
