"""What ``streamsr info`` tells."""

import os
import platform
import re
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import pytest

from streamsr.bench import quick
from streamsr.engines import Engine
from streamsr.engines.fused.codegen.library import host_kinds
from streamsr.errors import SinkError
from streamsr.live.capacity import Pace
from tests.support.command import Command, run
from tests.support.media import SRT, make_video


def test_the_machine(streamsr: Command) -> None:
    result = streamsr("info")
    assert result.status == 0, result.err
    for word in ("machine", "usable cores", "versions", "engine", "xlsr_x3_u8"):
        assert word in result.out


def test_the_kind_of_instructions_and_what_runs_in_real_time(streamsr: Command) -> None:
    said = streamsr("info").out
    sizes = r"(no usual size|\d+x\d+)"
    rate = rf"fps: {sizes} live, {sizes} with encoding"
    assert re.search(rf"^realtime  estimated: 25 {rate}; 30 {rate}$", said, re.M), said
    kind = re.search(r"^kind      (\S+) instructions$", said, re.M)
    if "auto takes fused" in said:
        assert kind is not None
        assert kind[1] == host_kinds()[0].name
    else:
        assert kind is None


def test_what_cannot_be_estimated_is_said(
    streamsr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_engine: Engine) -> Pace:
        raise SinkError("/tmp/encoded.mkv: No space left on device")

    monkeypatch.setattr(quick, "estimate", full)
    result = streamsr("info")
    assert result.status == 0, result.err
    assert "realtime  not known: /tmp/encoded.mkv: No space left on device" in result.out
    assert "engine    litert runs here" in result.out


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="pretends to be an x86 processor without VNNI"
)
def test_the_machine_without_vnni_says_how_far_openvino_is_from_litert() -> None:
    done = run("info", env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "STREAMSR_FUSED": "none"})
    assert done.returncode == 0, done.stderr
    assert "engine    fused does not run here: switched off" in done.stdout
    assert re.search(
        r"openvino runs here as openvino-f32, against LiteRT: up to [1-3] levels, \d\d\.\d dB",
        done.stdout,
    )
    assert "auto takes openvino-f32" in done.stdout


def test_a_model(streamsr: Command, model: Path) -> None:
    for what in ("xlsr_x3_u8", model):
        result = streamsr("info", what)
        assert result.status == 0, result.err
        assert "scale     3" in result.out
        assert "reach     5 pixels" in result.out


def test_a_media_file(streamsr: Command, tmp_path: Path) -> None:
    (tmp_path / "text.srt").write_text(SRT)

    def prepare(container: av.container.OutputContainer, _video: object) -> None:
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 1,
                    "time_base": Fraction(1),
                    "metadata": {"title": "One"},
                }
            ]
        )
        container.add_attachment("font.ttf", "font/ttf", b"font")

    source = make_video(
        tmp_path / "in.mkv", audio=["aac"], subtitle=tmp_path / "text.srt", prepare=prepare
    )
    result = streamsr("info", source)
    assert result.status == 0, result.err
    for word in ("64x48", "yuv420p", "<- is upscaled", "aac", "[deu]", "One"):
        assert word in result.out


@pytest.mark.parametrize("what", ["nowhere.mp4", "nowhere.tflite", "nonsense", "."])
def test_what_cannot_be_read(streamsr: Command, what: str) -> None:
    result = streamsr("info", what)
    assert result.status == 1
    assert len(result.lines) == 1
    assert result.err.startswith("streamsr: ")


def test_a_model_card_that_is_damaged_is_said_in_one_line(
    streamsr: Command, tmp_path: Path, model: Path
) -> None:
    (tmp_path / "own.tflite").write_bytes(model.read_bytes())
    (tmp_path / "own.json").write_text("{not json")
    result = streamsr("info", tmp_path / "own.tflite")
    assert result.status == 1
    assert "not JSON" in result.err
    assert "Traceback" not in result.err
