"""Code that has not run on this processor is first run by a child; nothing but a line comes of its
death."""

import logging
import signal
from pathlib import Path

import pytest

from streamsr.engines.choose import EngineChoice, open_engine
from streamsr.engines.fused import FusedEngine, first_run
from streamsr.engines.fused.codegen.isa import KINDS
from streamsr.engines.fused.codegen.library import host_kinds
from streamsr.errors import ModelError
from streamsr.model import find_model
from streamsr.native import cache
from streamsr.native import first_run as native_first_run
from tests.support.engine import WHY_NOT_FUSED

pytestmark = pytest.mark.skipif(
    bool(WHY_NOT_FUSED), reason=f"no fused engine here: {WHY_NOT_FUSED}"
)
MODEL = find_model("xlsr_x3_u8")
DYING = "import os; sys.argv[2] in {kinds} and os.kill(os.getpid(), {signal:d})"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = cache.folder()
    assert found is not None
    return found


def die(patch: pytest.MonkeyPatch, *kinds: str, of: signal.Signals = signal.SIGILL) -> None:
    """Let children that run these kinds, default any, end by a signal."""
    names = kinds or tuple(isa.name for isa in KINDS)
    patch.setattr(first_run, "CHILD", DYING.format(kinds=names, signal=of))


def answers(folder: Path) -> list[bytes | None]:
    return [cache.load(path.name) for path in folder.glob("first-run-*")]


def test_code_that_runs_is_tried_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FusedEngine(MODEL, threads=1).close()
    assert answers(folder) == [b"runs"]
    die(monkeypatch)  # all children that come now: none does
    FusedEngine(MODEL, threads=1).close()


def test_an_illegal_instruction_costs_a_line_and_litert_takes_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    die(monkeypatch)
    with pytest.raises(ModelError, match=r"kernels die on this processor \(SIGILL\)"):
        FusedEngine(MODEL, threads=1)
    assert set(answers(folder)) == {b"SIGILL"}
    with caplog.at_level(logging.WARNING):
        engine, why = open_engine(MODEL, EngineChoice("auto", threads=1))
    with engine:
        assert engine.name != "fused"
    assert "kernels die on this processor (SIGILL)" in why
    assert "kernels die on this processor (SIGILL)" in caplog.text


def test_the_next_kind_takes_over_from_one_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    fastest, *others = host_kinds()
    if not others:
        pytest.skip(f"this machine has no kind but {fastest.name}")
    die(monkeypatch, fastest.name)
    with FusedEngine(MODEL, threads=1) as engine:
        assert engine.kind == others[0].name


def test_only_an_illegal_instruction_is_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (signal.SIGSEGV, signal.SIGBUS):
        die(monkeypatch, of=number)
        with pytest.raises(ModelError, match=number.name):
            FusedEngine(MODEL, threads=1)
    assert answers(folder) == []


@pytest.mark.parametrize(
    "child", ["raise SystemExit(1)", "import os; os.kill(os.getpid(), 9)", "no python"]
)
def test_a_child_that_tells_nothing_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, child: str
) -> None:
    monkeypatch.setattr(first_run, "CHILD", child)
    FusedEngine(MODEL, threads=1).close()
    assert answers(folder) == []


def test_another_processor_is_asked_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FusedEngine(MODEL, threads=1).close()
    monkeypatch.setattr(native_first_run, "processor_name", lambda: "another one")
    FusedEngine(MODEL, threads=1).close()
    assert answers(folder) == [b"runs", b"runs"]
