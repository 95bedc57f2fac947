"""Whatever is typed, whatever the environment: a known exit status, a few lines, nothing that only
we understand."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.cli import cli
from streamsr.errors import Cancelled, SourceError
from streamsr.jobs.files import FileJob
from tests.conftest import ROOT
from tests.support.command import Command, Result
from tests.support.media import look, make_video
from tests.support.processes import run, running

STREAMSR = [sys.executable, "-m", "streamsr"]
FAST = ["--model", "xlsr_x3_u8", "--engine", "litert", "--threads", "1"]

numbers = st.one_of(
    st.integers(-3, 10**30).map(str),
    st.integers(1, 6000).map(lambda digits: "9" * digits),
    st.floats().map(str),
    st.text("0123456789.:-+eE_x/ ٣１", max_size=20),
    st.sampled_from(
        [
            "nan",
            "inf",
            "-inf",
            "1e400",
            "1e999999999",
            "1/0",
            "1_000",
            "1" * 400 + ":00",
            "9" * 25 + "x1",
        ]
    ),
)
hosts = st.one_of(
    st.text("a.é-[]:%1", max_size=90),
    st.sampled_from(["a" * 70, "a..b", "[", "[::1", "::g", "é.example", ("a" * 60 + ".") * 5]),
)
addresses = st.builds("{}:{}".format, hosts, numbers) | numbers | hosts


def short_and_known(result: Result, status: tuple[int, ...] = (0, 1, 2)) -> bool:
    assert result.status in status, result.err
    assert "Traceback" not in result.err
    assert "internal error" not in result.err
    assert len(result.lines) <= 8, result.err
    assert all(len(line) <= 1000 for line in result.lines)
    return True


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("films") / "in.mkv", pts=range(3))


UPSCALE = [
    "--start",
    "--duration",
    "--segment",
    "--crf",
    "--max-duration",
    "--max-pixels",
    "--threads",
    "--batch",
    "--to",
    "--preset",
    "--scale",
]


@given(name=st.sampled_from(UPSCALE), value=numbers)
@settings(max_examples=150)
def test_any_number_for_upscale(streamsr: Command, film: Path, name: str, value: str) -> None:
    assert short_and_known(
        streamsr("upscale", film, "-o", film.with_name("out.mkv"), "--dry-run", f"{name}={value}")
    )
    assert not film.with_name("out.mkv").exists()


@given(
    name=st.sampled_from(["--budget-ms", "--rate", "--size", "--to", "--port", "--duration"]),
    value=numbers,
)
@settings(max_examples=100)
def test_any_number_for_live(streamsr: Command, name: str, value: str) -> None:
    """Without a source: all options are looked at before it."""
    assert short_and_known(streamsr("live", "nowhere.mkv", *FAST, f"{name}={value}"), (1, 2))


@given(name=st.sampled_from(["--rate", "--size", "--format", "--to"]), value=numbers)
@settings(max_examples=100)
def test_any_number_for_pipe(streamsr: Command, name: str, value: str) -> None:
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(sys, "stdin", stack.enter_context(open(os.devnull)))
        assert short_and_known(streamsr("pipe", "--size", "64x48", *FAST, f"{name}={value}"))


@given(address=addresses)
@settings(max_examples=100)
def test_any_address(streamsr: Command, film: Path, address: str) -> None:
    given = ["upscale", film, "-o", film.with_name("out.mkv"), *FAST]
    if (
        not address.isascii() or ":" not in address or len(address) > 70
    ):  # others could be a server's
        pytest.importorskip("prometheus_client", reason="the extra [metrics] is not installed")
        assert short_and_known(streamsr(*given, "--dry-run", f"--metrics={address}"))
        if "." not in address:
            assert short_and_known(
                streamsr("live", "nowhere.mkv", f"--host={address}", *FAST), (1, 2)
            )


@pytest.mark.parametrize(
    "address", ["a" * 70 + ":80", "é" * 70 + ":80", "a..b:80", "[:80", "1:" + "9" * 5000]
)
def test_an_address_that_is_none(streamsr: Command, film: Path, address: str) -> None:
    pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    given = ["upscale", film, "-o", film.with_name("out.mkv"), *FAST]
    assert short_and_known(streamsr(*given, f"--cluster={address}"), (1,))
    assert short_and_known(streamsr(*given, f"--metrics={address}"), (2,))
    assert short_and_known(streamsr("live", film, "--preview", "web", f"--host={address}"), (1, 2))


@pytest.mark.parametrize("option", ["--start", "--duration", "--segment", "--max-duration"])
@pytest.mark.parametrize(
    "value", ["99999999999999999999", "9" * 400, "9" * 400 + ":00:00", "nan", "1e400"]
)
def test_a_time_beyond_all_films_is_wrong_usage(
    streamsr: Command, film: Path, option: str, value: str
) -> None:
    assert short_and_known(streamsr("upscale", film, "-o", "out.mkv", option, value), (2,))


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
def test_a_budget_is_a_finite_number(streamsr: Command, film: Path, value: str) -> None:
    result = streamsr("live", film, "--budget-ms", value)
    assert short_and_known(result, (2,))
    assert "--budget-ms" in result.err


toml = st.recursive(
    st.one_of(
        numbers.map(repr),
        st.integers().map(str),
        st.integers(3000, 6000).map(lambda digits: "0x" + "f" * digits),
        st.sampled_from(
            [
                "nan",
                "inf",
                "-inf",
                "true",
                "1979-05-27",
                '"\\u0000"',
                '"\\ud800"',
                "{a = 1}",
                "9" * 5000,
            ]
        ),
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=4,
)


@given(key=st.sampled_from([name.lstrip("-") for name in UPSCALE]), value=toml)
@settings(max_examples=150)
def test_any_value_in_a_pipeline_file(streamsr: Command, film: Path, key: str, value: str) -> None:
    from streamsr.cli.pipeline_file import table_of

    (mine,) = {table_of(p) for p in cli.commands["upscale"].params if f"--{key}" in p.opts}
    file, target = film.with_name("odd.toml"), film.with_name("out.mkv")
    fixed = {
        "source": f'input = "{film}"\n',
        "sink": f'output = "{target}"\ndry-run = true\n',
        "upscale": "",
    }
    tables = [
        f"[{table}]\n{fixed[table]}" + (f"{key} = {value}\n" if mine == table else "")
        for table in fixed
    ]
    file.write_text('command = "upscale"\n' + "\n".join(tables), encoding="utf-8")
    assert short_and_known(streamsr("run", file))


@pytest.mark.parametrize(
    "content",
    [
        "a = " + "[" * 100_000,
        "a = " + "9" * 5000,
        'command = "upscale"\n[source]\ninput = "a\\u0000b"',
        "#" * (2 << 20),
        'command = "' + "x" * 100_000 + '"',
    ],
    ids=["brackets", "digits", "zero", "long", "command"],
)
def test_a_pipeline_file_that_is_none(streamsr: Command, tmp_path: Path, content: str) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(content)
    assert short_and_known(streamsr("run", file), (2,))


def test_a_device_is_no_pipeline(streamsr: Command) -> None:
    assert short_and_known(streamsr("run", "/dev/zero"), (2,))


def test_a_name_that_is_no_text_is_worked_on_and_shown_in_one_line(
    streamsr: Command, film: Path, tmp_path: Path
) -> None:
    name = os.fsdecode(b"caf\xe9\n\x1b[31m.mkv")
    shutil.copy(film, tmp_path / name)
    result = streamsr("upscale", tmp_path / name, "-o", tmp_path / ("out" + name), *FAST)
    assert result.status == 0, result.err
    assert len(result.lines) == 2
    assert "\x1b" not in result.err
    assert short_and_known(streamsr("upscale", tmp_path / name, "-o", tmp_path / name, *FAST), (1,))
    assert short_and_known(
        streamsr("upscale", tmp_path / name, "-o", "out.mkv", "--print-pipeline"), (2,)
    )


# What nobody expected


class Odd(Exception):  # noqa: N818 - short
    """Nobody knows it."""


def registered(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    """A command ``odd`` that does this."""
    monkeypatch.setitem(cli.commands, "odd", click.Command("odd", callback=does))


def raises(error: BaseException) -> Callable[[], object]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Odd("first\nsecond"), 1, "internal error: Odd: first (commands.py:"),
        (RecursionError("deep"), 1, "internal error: RecursionError: deep"),
        (OverflowError("int too big"), 1, "internal error: OverflowError: int too big"),
        (UnicodeError("label too long"), 1, "internal error: UnicodeError: label too long"),
        (AssertionError(), 1, "internal error: AssertionError ("),
        (MemoryError(), 1, "streamsr: not enough memory"),
        (
            OSError(28, "No space left on device", "/tmp/x"),
            1,
            "streamsr: /tmp/x: No space left on device",
        ),
        (
            ExceptionGroup("several", [SourceError("a: no film"), ValueError("b")]),
            1,
            "streamsr: a: no film",
        ),
        (BaseExceptionGroup("several", [KeyboardInterrupt()]), 130, "streamsr: stopped"),
        (KeyboardInterrupt(), 130, "streamsr: stopped"),
        (Cancelled("stopped; 3 segments are kept"), 130, "streamsr: stopped; 3 segments are kept"),
        (SourceError("a\nb: no film"), 1, "streamsr: a\\nb: no film"),
    ],
)
def test_every_error_is_one_line(
    streamsr: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    registered(monkeypatch, raises(error))
    result = streamsr("odd")
    lines = [line for line in result.lines if line]  # click ends the terminal's line with ^C
    assert (result.status, len(lines)) == (status, 1), result.err
    assert said in result.err


def test_an_internal_error_names_our_last_line_that_led_to_it(
    streamsr: Command, monkeypatch: pytest.MonkeyPatch, film: Path, tmp_path: Path
) -> None:
    def odd(*_: object, **__: object) -> None:
        raise Odd("x")

    monkeypatch.setattr(FileJob, "run", odd)
    result = streamsr("upscale", film, "-o", tmp_path / "out.mkv", *FAST)
    assert result.status == 1
    assert "internal error: Odd: x (files.py:" in result.err


def test_a_traceback_is_shown_on_demand(streamsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSR_TRACEBACK", "1")
    registered(monkeypatch, raises(Odd("x")))
    result = streamsr("odd")
    assert "Traceback" in result.err
    assert result.lines[-1].startswith("streamsr: internal error: Odd: x")


def test_what_others_warn_of_is_not_shown() -> None:
    script = (
        "import click, logging, sys, threading, warnings\n"
        "from streamsr import cli\n"
        "def odd():\n"
        "    warnings.warn('of a library')\n"
        "    logging.getLogger('uvicorn.error').error('of a server', exc_info=ValueError('x'))\n"
        "    thread = threading.Thread(target=lambda: 1 / 0)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "cli.cli.add_command(click.Command('odd', callback=odd))\n"
        "sys.argv = ['streamsr', 'odd']\n"
        "cli.main()\n"
    )
    done = run(
        [sys.executable, "-c", script],
        timeout_s=60,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("streamsr: internal error: ZeroDivisionError")
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_crash_of_native_code_says_where() -> None:
    script = (
        "import click, ctypes, sys\n"
        "from streamsr import cli\n"
        "def crashing():\n"
        "    ctypes.string_at(0)\n"
        "cli.cli.add_command(click.Command('odd', callback=crashing))\n"
        "sys.argv = ['streamsr', 'odd']\n"
        "cli.main()\n"
    )
    for more in ({}, {"PYTHONFAULTHANDLER": "1"}):
        done = run(
            [sys.executable, "-c", script],
            timeout_s=60,
            env={**os.environ, **more},
        )
        assert done.returncode == -signal.SIGSEGV
        assert "Segmentation fault" in done.stderr
        assert "in crashing" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        OSError(36, "File name too long"),
        Odd("x"),
        MemoryError(),
        RecursionError(),
        SourceError("no film"),
    ],
)
def test_one_bad_input_ends_no_batch(
    streamsr: Command, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    names = ["a.mkv", "b.mkv", "c.mkv"]
    for name in names:
        shutil.copy(film, tmp_path / name)
    (tmp_path / "out").mkdir()
    run = FileJob.run

    def failing(self: FileJob, source: Path, *args: object, **more: object) -> object:
        if source.name == "b.mkv":
            raise error
        return run(self, source, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(FileJob, "run", failing)
    result = streamsr(
        "upscale", *(tmp_path / name for name in names), "-o", tmp_path / "out", *FAST
    )
    assert result.status == 1
    assert result.lines[-1] == "2 of 3 files upscaled"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mkv", "c.mkv"]
    assert sum(line.startswith("streamsr: ") for line in result.lines) == 1


def test_ctrl_c_ends_a_batch(
    streamsr: Command, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(film, tmp_path / "b.mkv")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(FileJob, "run", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    result = streamsr("upscale", film, tmp_path / "b.mkv", "-o", tmp_path / "out", *FAST)
    assert result.status == 130
    assert "stopped" in result.err
    assert "files upscaled" not in result.err


# Environments


def shell(line: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "S": " ".join(STREAMSR), "FAST": " ".join(FAST), **environment},
    )


STREAMS = {
    "closed": "2>&-",
    "full": "2>/dev/full",
    "reader gone": "2> >(exec true)",
    "all closed": "<&- >&- 2>&-",
    "output full": ">/dev/full",
}


@pytest.mark.parametrize("streams", STREAMS.values(), ids=STREAMS)
def test_lost_messages_lose_no_film(film: Path, tmp_path: Path, streams: str) -> None:
    done = shell(f"$S upscale '{film}' -o '{tmp_path}/out.mkv' $FAST {streams}")
    assert done.returncode == 0, done.stderr
    assert len(look(tmp_path / "out.mkv").times) == 3


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "2> >(exec true)"])
def test_lost_messages_end_no_recording(film: Path, tmp_path: Path, streams: str) -> None:
    done = shell(f"$S live '{film}' --record '{tmp_path}/out.mkv' $FAST {streams}")
    assert done.returncode == 0
    assert len(look(tmp_path / "out.mkv").times) == 3


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full"])
def test_messages_without_a_place_never_go_into_the_video(tmp_path: Path, streams: str) -> None:
    """Python prints to standard output when it has no standard error, and the system gives the
    number to a file."""
    (tmp_path / "in.y4m").write_bytes(
        b"YUV4MPEG2 W64 H48 F25:1 Cmono\n" + (b"FRAME\n" + bytes(64 * 48)) * 2
    )
    done = shell(f"$S pipe $FAST < '{tmp_path}/in.y4m' > '{tmp_path}/out.y4m' {streams}")
    assert done.returncode == 0
    line, _, rest = (tmp_path / "out.y4m").read_bytes().partition(b"\n")
    assert line.startswith(b"YUV4MPEG2 W192 H144")
    assert len(rest) == 2 * (6 + 192 * 144)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("$S pipe $FAST <&-", "standard input: is closed"),
        ("$S live - $FAST <&-", "standard input: is closed"),
        ("$S pipe $FAST </dev/null >&-", "standard output: is closed"),
        (
            "printf 'YUV4MPEG2 W4 H4 F1:1\n' | $S pipe $FAST >/dev/full",
            "standard output: No space left on device",
        ),
        ("$S info >/dev/full", "No space left on device"),
    ],
)
def test_a_stream_that_the_work_needs_is_missed_in_one_line(line: str, said: str) -> None:
    done = shell(line)
    assert done.returncode == 1
    assert said in done.stderr
    assert all(
        each.startswith("streamsr: ") or "frames in" in each for each in done.stderr.splitlines()
    )


def test_an_audit_that_cannot_be_told_is_an_error_and_the_film_stays(
    film: Path, tmp_path: Path
) -> None:
    done = shell(f"$S upscale '{film}' -o '{tmp_path}/out.mkv' $FAST --audit >/dev/full")
    assert done.returncode == 1
    assert "is complete, but its audit could not be printed" in done.stderr
    assert (tmp_path / "out.mkv").exists()


INTERRUPTED = """
import ctypes, sys, numpy
from streamsr.cli import info
def describe(what):
    ctypes.pythonapi.PyRun_SimpleString(b"raise KeyboardInterrupt")
    yield "done"
info.describe = describe
sys.argv = ["streamsr", "info"]
from streamsr.cli import main
main()
"""


def test_the_exit_status_is_ours_though_native_code_was_interrupted() -> None:
    """Python would end by SIGINT once a Ctrl-C has struck what a native module runs while it is
    loaded."""
    done = run(
        [sys.executable, "-c", INTERRUPTED],
        timeout_s=60,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_reader_that_leaves_early_is_no_news() -> None:
    done = shell("$S info | head -1")
    assert done.stderr == ""
    assert done.stdout.startswith("machine")


NO_NAME = 54321
"""A user that no system knows."""


@pytest.mark.parametrize(
    "words", [["info"], ["upscale"], ["upscale", "--engine", "openvino"], ["live"], ["audit"]]
)
def test_a_process_without_home_and_name(film: Path, tmp_path: Path, words: list[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    # Python may lie in root's own folder: the user may read everything, and write nothing but its
    # own.
    who = [
        "setpriv",
        f"--reuid={NO_NAME}",
        f"--regid={NO_NAME}",
        "--clear-groups",
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def as_nobody(*args: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*who, sys.executable, "-m", "streamsr", *map(str, args)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd="/",
            env=environment,
        )

    if shutil.which("setpriv") is None or as_nobody("--version").returncode:
        pytest.skip("no user can be made who reads this installation")
    folder = Path("/tmp") / f"streamsr-{os.getpid()}-{tmp_path.name}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    try:
        source = Path(shutil.copy(film, folder / "in.mkv"))
        source.chmod(0o644)
        given: dict[str, list[object]] = {
            "info": [],
            "upscale": [source, "-o", folder / "out.mkv"],
            "live": [source, "--record", folder / "out.mkv"],
            "audit": [source, source],
        }
        done = as_nobody(*words, *given[words[0]])
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        assert done.returncode == 0 or (words[0] == "audit" or "openvino" in words), done.stderr
        assert len(done.stderr.splitlines()) <= 2
    finally:
        shutil.rmtree(folder)


def test_a_working_directory_that_is_gone(film: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(
        f"cd '{gone}' && rmdir '{gone}' && $S upscale '{film}' -o '{tmp_path}/out.mkv' $FAST && "
        "! $S upscale a.mkv -o b.mkv && ! $S run a.toml",
        PYTHONPATH=str(ROOT),
        TMPDIR="/nonexistent",
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii"}],
    ids=["C", "ascii"],
)
def test_a_terminal_of_ascii_alone(film: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    shutil.copy(film, tmp_path / "日本é.mkv")
    name = tmp_path / "日本é.mkv"
    for words in (
        f"upscale '{name}' -o '{tmp_path}/é.mkv' $FAST",
        f"info '{name}'",
        f"audit '{name}' '{tmp_path}/é.mkv'",
    ):
        done = shell(f"$S {words}", **environment)
        assert done.returncode == 0 or words.startswith("audit"), done.stderr
        assert "Error" not in done.stderr


def test_warnings_of_the_program_around_are_not_lost(streamsr: Command) -> None:
    """The command puts back what it changed."""
    handlers, shown = list(logging.getLogger().handlers), warnings.showwarning
    streamsr("--version")
    assert logging.getLogger().handlers == handlers
    assert warnings.showwarning is shown


LOST = """
import signal, sys, threading
from streamsr.jobs import pipe
real = pipe.Y4mSource.wait
class Loses:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def wait(self, timeout_s=None):
    Loses()  # what is raised in a destructor is lost
    return real(self, timeout_s)
pipe.Y4mSource.wait = wait
sys.argv = ["streamsr", "pipe"]
from streamsr.cli import main
main()
"""


def test_a_ctrl_c_that_is_lost_is_heard_all_the_same() -> None:
    with running(
        [sys.executable, "-c", LOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as helper:
        assert helper.ended(timeout_s=60) == 130, helper.told()
        assert "stopped" in helper.said()
