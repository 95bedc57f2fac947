"""Pipelines as files: the shipped ones run, mistakes are named, and every command prints its
own."""

import socket
import threading
import tomllib
from pathlib import Path

import pytest

from streamsr.cli import cli, pipeline_file
from streamsr.cli.parameters import TABLES
from streamsr.cli.pipeline_file import read_pipeline, table_of
from tests.conftest import ROOT
from tests.support.command import Command, run
from tests.support.media import look, make_video
from tests.support.until import PATIENCE_S

SHIPPED = sorted((ROOT / "pipelines").glob("*.toml"))
COMMANDS = {name: cli.commands[name] for name in pipeline_file.COMMANDS}


def changed(name: str, folder: Path, **values: object) -> Path:
    """A shipped pipeline with some values replaced."""
    lines = []
    for line in (ROOT / "pipelines" / name).read_text().splitlines():
        key = line.split(" = ")[0].replace("-", "_")
        lines.append(f"{line.split(' = ')[0]} = {values.pop(key)}" if key in values else line)
    assert not values
    path = folder / name
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_pipeline_is_understood(path: Path) -> None:
    with read_pipeline(path, COMMANDS).context():
        pass


def test_the_file_pipeline_upscales(streamsr: Command, tmp_path: Path, model: Path) -> None:
    film, out = make_video(tmp_path / "in.mp4", pts=range(5)), tmp_path / "out.mp4"
    path = changed("file-upscaling.toml", tmp_path, input=f'"{film}"', output=f'"{out}"')
    assert streamsr("run", path, "--model", model).status == 0
    assert look(out).size == (192, 144)


def test_the_camera_pipeline_previews(streamsr: Command, tmp_path: Path, model: Path) -> None:
    """With the test pattern for a camera, and no window."""
    path = changed("webcam-preview.toml", tmp_path, input='"test:160x96@20"', preview='"none"')
    result = streamsr("run", path, "--model", model, "--duration", 0.5)
    assert result.status == 0, result.err
    assert "frames in" in result.err


def test_the_restreaming_pipeline_publishes_and_records(
    streamsr: Command, tmp_path: Path, model: Path
) -> None:
    got, kept = tmp_path / "got.ts", tmp_path / "kept.mkv"
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        url = f"tcp://127.0.0.1:{receiver.getsockname()[1]}"
        path = changed(
            "restream.toml",
            tmp_path,
            input='"test:160x96@20"',
            publish=f'"{url}"',
            record=f'"{kept}"',
        )
        thread = threading.Thread(target=receive, args=(receiver, got))
        thread.start()
        assert streamsr("run", path, "--model", model, "--duration", 1).status == 0
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert look(kept).size == (480, 288)
    assert look(got).size == (480, 288)


def receive(server: socket.socket, path: Path) -> None:
    """All that one sender sends, into a file."""
    server.settimeout(PATIENCE_S)
    link, _ = server.accept()
    link.settimeout(PATIENCE_S)
    with link, path.open("wb") as file:
        while content := link.recv(1 << 16):
            file.write(content)


def test_the_pipe_pipeline_is_a_stage(model: Path) -> None:
    content = b"YUV4MPEG2 W16 H16 F25:1 C444\nFRAME\n" + bytes(3 * 256)
    words = ["run", ROOT / "pipelines/pipe-stage.toml", "--model", model]
    done = run(*words, input=content, text=False, check=True)
    assert done.stdout.startswith(b"YUV4MPEG2 W48 H48")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "command = 'live'\n[source]\ninptu = '0'",
            "unknown key inptu in [source]; did you mean input?",
        ),
        ("command = 'live'\n[upscale]\nbudget_ms = 5", "did you mean budget-ms?"),
        ("command = 'live'\n[sink]\ninput = '0'", "unknown key input in [sink]"),
        ("command = 'pipe'\n[sink]\nrecord = 'a.mkv'", "unknown key record in [sink]"),
        ("command = 'live'\n[sinks]\n", "unknown table [sinks]; did you mean sink?"),
        ("command = 'stream'", "got 'stream'"),
        ("[source]", "expected command"),
        ("command = 'live'\nsource = 3", "source is not a table"),
        ("command = 'live'\n[source]\ninput = '0'\nrealtime = 3", "realtime is true or false"),
        (
            "command = 'live'\n[source]\ninput = '0'\n[upscale]\nbudget-ms = 'soon'",
            "'soon' is not a valid float",
        ),
        ("command = ", "not TOML"),
    ],
)
def test_a_mistake_is_named(streamsr: Command, tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    result = streamsr("run", path)
    assert result.status == 2
    assert reason in result.err


def test_a_missing_file_is_named(streamsr: Command) -> None:
    result = streamsr("run", "nowhere.toml")
    assert result.status == 2
    assert "nowhere.toml: No such file" in result.err


@pytest.mark.parametrize(
    "args",
    [
        [
            "upscale",
            "a.mp4",
            "b.mp4",
            "-o",
            "out",
            "--to",
            "1080p",
            "--no-reuse",
            "--start",
            "1:30",
            "--crf",
            "20",
        ],
        [
            "live",
            "0",
            "--size",
            "640x360",
            "--rate",
            "30",
            "--budget-ms",
            "50",
            "--preview",
            "web",
            "--realtime",
        ],
        [
            "pipe",
            "--size",
            "64x48",
            "--format",
            "rgb24",
            "--delegate",
            "x.so",
            "--delegate-option",
            "a=b",
        ],
        ["live", "test:"],
    ],
)
def test_a_printed_pipeline_means_the_same_command(
    streamsr: Command, tmp_path: Path, args: list[str]
) -> None:
    result = streamsr(*args, "--print-pipeline")
    assert result.status == 0, result.err
    path = tmp_path / "a.toml"
    path.write_text(result.out)
    pipeline = read_pipeline(path, COMMANDS)
    command = pipeline.command
    assert command.name == args[0]
    with pipeline.context() as again, command.make_context("b", args[1:]) as given:
        assert again.params == given.params
    for table in tomllib.loads(result.out):
        assert table in ("command", "source", "upscale", "sink")


def test_every_option_stands_in_a_table() -> None:
    """But for the one that prints them."""
    for command in COMMANDS.values():
        for parameter in command.params:
            expected = (None,) if "--print-pipeline" in parameter.opts else TABLES
            assert table_of(parameter) in expected, parameter.name


def test_options_behind_the_file_go_before_those_in_it(streamsr: Command, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        'command = "live"\n[source]\ninput = "0"\nrealtime = true\nrate = 20\n'
        "[upscale]\nthreads = 2\nreuse = false\ndelegate-option = ['a=b', 'c=d']\n"
    )
    result = streamsr("run", path, "--threads", "1", "--reuse", "--rate", "30", "--print-pipeline")
    assert result.status == 0, result.err
    assert tomllib.loads(result.out) == {
        "command": "live",
        "source": {"input": "0", "realtime": True, "rate": 30},
        "upscale": {"threads": 1, "reuse": True, "delegate-option": ["a=b", "c=d"]},
    }


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("threads", "[1, 2]", "threads takes one value, got 2"),
        ("threads", "true", "'True' is not a valid integer"),
        ("to", "-1.5", "expected a size such as 1080p or 1920x1080, got '-1.5'"),
        ("scale", "5", "'5' is not one of '2', '3', '4'"),
        ("delegate-option", "'a'", "'a' is not KEY=VALUE"),
    ],
)
def test_a_value_that_fits_no_option_is_named(
    streamsr: Command, tmp_path: Path, key: str, value: str, reason: str
) -> None:
    path = tmp_path / "a.toml"
    text = f'command = "upscale"\n[source]\ninput = "a.mp4"\n[upscale]\n{key} = {value}\n'
    path.write_text(f'{text}[sink]\noutput = "b.mp4"\n')
    result = streamsr("run", path)
    assert result.status == 2
    assert reason in result.err
