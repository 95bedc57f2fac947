"""Systems that no test runs on: what fails there on import, or for want of a name, fails here.

Windows and macOS are told by `tests.support.elsewhere`, as far as Linux can be either.
"""

import re
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest
from PIL import Image

from streamsr.engines.fused.codegen.isa import KINDS, Isa
from streamsr.engines.fused.codegen.layout import Shape
from streamsr.engines.fused.codegen.library import _passes, network_ir
from streamsr.native import jit, modules
from streamsr.native.loops import CALLS
from tests.conftest import ROOT
from tests.support.command import streamsr
from tests.support.media import make_video, noise
from tests.support.processes import run, running

SYSTEMS = ["win32", "darwin"]
C_LIBRARY = {"memcpy", "memset", "memmove"}
"""What compiled code may call: found in every process. Not Windows' __chkstk, which it asks for
where a frame is larger than a page."""

TRIPLES = {"x86_64": "x86_64-pc-windows-msvc-elf", "aarch64": "arm64-apple-darwin23.0.0"}


def elsewhere(system: str, *words: object) -> list[object]:
    return [sys.executable, "-m", "tests.support.elsewhere", system, *words]


def command(system: str, *words: object) -> list[object]:
    return elsewhere(system, *streamsr(*words)[3:])


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_module_is_imported(system: str) -> None:
    done = run(elsewhere(system), cwd=ROOT, check=True)
    assert int(done.stdout) > 200


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_film_has_the_same_bytes(system: str, tmp_path: Path) -> None:
    """Also in place of an older one, and by segments; and no unfinished file is left."""
    film = make_video(tmp_path / "in.mp4", audio=["aac"])
    for more in ([], ["--overwrite"], ["--resume", "--overwrite"]):
        for line, name in ((streamsr, "here.mkv"), (None, "there.mkv")):
            words = ["upscale", film, "-o", tmp_path / name, *more]
            run(line(*words) if line else command(system, *words), cwd=ROOT, check=True)
        assert (tmp_path / "there.mkv").read_bytes() == (tmp_path / "here.mkv").read_bytes(), more
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.mkv", "in.mp4", "there.mkv"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_pictures_animations_numbers_and_pipes(system: str, tmp_path: Path) -> None:
    Image.fromarray(noise(32, 24)).save(tmp_path / "small.png")
    pages = [Image.fromarray(noise(32, 24, seed)) for seed in range(3)]
    pages[0].save(tmp_path / "small.gif", save_all=True, append_images=pages[1:])
    words = ["upscale", tmp_path / "small.gif", "-o", tmp_path / "larger.mkv"]
    run(command(system, *words), cwd=ROOT, check=True)
    words = ["upscale", tmp_path / "small.png", "-o", tmp_path / "larger.png"]
    run(command(system, *words, "--stats-json", tmp_path / "numbers.json"), cwd=ROOT, check=True)
    assert (tmp_path / "numbers.json").stat().st_size
    y4m = b"YUV4MPEG2 W64 H48 F25:1\nFRAME\n" + bytes(64 * 48 * 3 // 2)
    done = run(command(system, "pipe"), cwd=ROOT, check=True, input=y4m, text=False)
    assert done.stdout.startswith(b"YUV4MPEG2 W192 H144 ")


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_recording_has_its_name_while_it_is_made(system: str, tmp_path: Path) -> None:
    """FFmpeg has it open, and Windows renames nothing that others hold."""
    path = tmp_path / "out.mkv"
    for more in ([], ["--overwrite"]):
        words = ["live", "test:112x64@20", "--record", path, "--preview", "none", *more]
        with running(command(system, *words, "--duration", "30"), cwd=ROOT) as helper:
            helper.until(lambda: path.exists() and path.stat().st_size > 1000)
            assert helper.running


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_published_is_known_to_be_received(system: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom fractions import Fraction\nimport numpy as np\n"
        "from streamsr import Frame, StreamInfo\nfrom streamsr.sinks.publish import PublishSink\n"
        "rgb, tick = np.zeros((48, 64, 3), np.uint8), Fraction(1, 25)\n"
        "with PublishSink(sys.argv[4], StreamInfo(64, 48, tick), (64, 48)) as sink:\n"
        "    for pts in range(50): sink.write(Frame(rgb, pts, tick))\n"
        "    sink.commit()\n"
        "print(sink.connections, sink.state)\n"
    )
    playlist = tmp_path / "live" / "out.m3u8"
    done = run(elsewhere(system, "-c", code, playlist), cwd=ROOT, check=True)
    assert done.stdout == "1 live\n"
    assert playlist.exists()


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_second_run_into_the_same_output_is_refused(system: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom xlsr_model.files import Output\nwith Output(sys.argv[4]):\n"
        "    print('made', file=sys.stderr, flush=True)\n    sys.stdin.read()"
    )
    with running(elsewhere(system, "-c", code, tmp_path / "out.mkv"), cwd=ROOT, stdin=-1) as helper:
        helper.says("made")
        film = make_video(tmp_path / "in.mp4", pts=range(2))
        words = ["upscale", film, "-o", tmp_path / "out.mkv"]
        for line in (streamsr(*words), command(system, *words)):
            assert "another run is working on it" in run(line, cwd=ROOT).stderr
        assert helper.running


@pytest.mark.parametrize("system", SYSTEMS)
def test_ctrl_c_where_it_must_not_strike_comes_again(system: str) -> None:
    code = (
        "import os, signal, threading\nfrom streamsr import interrupt\n"
        "class Room:\n"
        "    def __enter__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        self.entered = True\n"
        "    def __exit__(self, *error):\n"
        "        print('left by', error[0].__name__)\n"
        "def command():\n"
        "    with Room():\n"
        "        while True: pass\n"
        "interrupt.heard()\n"
        "try: interrupt.stoppable(command)\n"
        "except KeyboardInterrupt: print('stopped')\n"
    )
    done = run(elsewhere(system, "-c", code), cwd=ROOT, check=True)
    assert done.stdout.split("\n")[:2] == ["left by KeyboardInterrupt", "stopped"]


def called(assembly: str) -> set[str]:
    """Functions that the code calls and does not have, without C's leading underscore on macOS."""
    own = set(re.findall(r'^"?([\w.$]+)"?:', assembly, re.MULTILINE))
    calls = set(re.findall(r'^\s+(?:callq?|bl)\s+"?([A-Za-z_][\w.$]*)"?', assembly, re.MULTILINE))
    return {name.removeprefix("_") if name not in own else "" for name in calls} - {""}


@pytest.mark.parametrize("isa", KINDS, ids=lambda isa: isa.name)
def test_kernels_can_be_made_there(isa: Isa) -> None:
    machine = jit.Machine(TRIPLES[isa.family], features=",".join(f"+{need}" for need in isa.needs))
    for shape in (Shape(3, 32, 3), Shape(4, 48, 5, far=True)):
        ir = network_ir(isa, shape)
        assert jit.object_code(ir, machine, _passes)
        assert called(jit.assembly(ir, machine, _passes)) <= C_LIBRARY


@pytest.mark.parametrize("family", TRIPLES)
@pytest.mark.parametrize("loop", sorted(CALLS))
def test_loops_can_be_made_there(family: str, loop: str) -> None:
    machine = jit.Machine(TRIPLES[family])
    bits = {"to_rgb": "_8_16", "from_rgb": "_16_8", "consistent": "_3"}
    ir = modules.module(loop + bits.get(loop, ""))
    assert jit.object_code(ir, machine)
    assert called(jit.assembly(ir, machine)) <= C_LIBRARY


def test_windows_code_is_made_in_the_one_format_that_is_loaded_from_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(llvm, "get_default_triple", lambda: "x86_64-pc-windows-msvc")
    assert jit.triple_of("x86_64") == "x86_64-pc-windows-msvc-elf"
    monkeypatch.setattr(llvm, "get_default_triple", lambda: "arm64-apple-darwin23.0.0")
    assert jit.triple_of("aarch64") == "arm64-apple-darwin23.0.0"
