"""The fused engine's machine code: the right instructions, only where they run, from a cache nobody
can upset."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from streamsr.engines.fused import FusedEngine
from streamsr.engines.fused.codegen.convolution import EARLY
from streamsr.engines.fused.codegen.isa import ARM_SDOT, ARM_USDOT, AVX, AVX2, AVX512, Isa, able
from streamsr.engines.fused.codegen.layout import Shape
from streamsr.engines.fused.codegen.library import assembly, host_kinds, network_ir
from streamsr.engines.fused.codegen.scheduled import LONGEST, UNROLLED
from streamsr.engines.fused.codegen.scratch import PAIR
from streamsr.engines.fused.peak import Peak, peak_ir
from streamsr.errors import ModelError
from streamsr.model import find_model
from streamsr.native import cache
from tests.support.engine import EVERY_KIND, WHY_NOT_FUSED
from tests.support.processes import running

needs_fused = pytest.mark.skipif(
    bool(WHY_NOT_FUSED), reason=f"no fused engine here: {WHY_NOT_FUSED}"
)
MODEL = find_model("xlsr_x3_u8")
XLSR = Shape(scale=3, width=32, blocks=3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = cache.folder()
    assert found is not None
    return found


def load(kind: str = "") -> None:
    FusedEngine(MODEL, threads=1, kind=kind).close()


@pytest.mark.parametrize(
    ("isa", "instruction"),
    [
        (AVX512, r"vpdpbusd\s+\S+, %zmm\d+, %zmm"),
        (AVX, r"\{vex\}\s+vpdpbusd\s+%ymm\d+, %ymm\d+, %ymm"),
        (ARM_USDOT, r"\busdot\s+v\d+\.4s, v\d+\.16b, v\d+\.16b"),
        (ARM_SDOT, r"\bsdot\s+v\d+\.4s, v\d+\.16b, v\d+\.16b"),
    ],
    ids=lambda value: value.name if isinstance(value, Isa) else "",
)
def test_the_generator_emits_the_dot_product_of(isa: Isa, instruction: str) -> None:
    text = assembly(network_ir(isa, XLSR), isa)
    # One for each tap, channel and vector of a row, and EARLY rows more where requantisation is
    # woven in.
    pointwise = 4 * (1 + (EARLY if isa.registers >= 32 else 0))
    channels = pointwise + 3 * isa.channels + 3 * 3 * isa.subpixels(3)
    assert len(re.findall(instruction, text)) == channels * sum(range(1, isa.vectors + 1))


def test_sums_stay_in_registers() -> None:
    text = assembly(network_ir(AVX512, XLSR), AVX512)
    assert len(re.findall(r"vmov\w+\s+%zmm\d+, [-\d]*\(%rsp\)", text)) <= 12


def test_avx2_code_multiplies_bytes_and_words() -> None:
    text = assembly(network_ir(AVX2, XLSR), AVX2)
    assert "vpdpbusd" not in text
    # A run of each length, to start and to add, of so many products for each vector of a turn.
    assert len(re.findall(r"\bvpmaddubsw\b", text)) == 2 * UNROLLED * sum(range(1, LONGEST + 1))
    runs = 2 * UNROLLED * LONGEST
    # The first pair of channels, the next three, and for eight planes four more in a loop.
    products = 4 * sum(range(1, PAIR + 1)) * (4 + 4 + 4)
    assert len(re.findall(r"\bvpmaddwd\b", text)) == runs + products


@pytest.mark.parametrize("isa", [AVX, AVX2], ids=lambda isa: isa.name)
def test_avx_code_uses_nothing_of_avx512(isa: Isa) -> None:
    text = assembly(network_ir(isa, XLSR), isa)
    assert "%zmm" not in text
    assert not re.search(r"%[xy]mm(1[6-9]|[23]\d)|%k[0-7]", text)


@pytest.mark.parametrize(
    ("has", "kinds"),
    [
        (set(), []),
        ({"avx", "fma"}, []),
        ({"avx2"}, []),
        ({"avx2", "fma"}, [AVX2]),
        ({"avx2", "fma", "avxvnni"}, [AVX, AVX2]),
        ({"avx2", "fma", "avxvnni", "avx512f", "avx512bw", "avx512vl"}, [AVX, AVX2]),
        (set(AVX512.needs), [AVX512]),
        (set(AVX512.needs) | {"avx2", "fma", "avxvnni"}, [AVX512, AVX, AVX2]),
        (set(ARM_USDOT.needs), [ARM_USDOT, ARM_SDOT]),
        (set(ARM_SDOT.needs), [ARM_SDOT]),
        ({"neon"}, []),
    ],
)
def test_only_a_processor_with_every_feature_gets_code(has: set[str], kinds: list[Isa]) -> None:
    features = dict.fromkeys({*AVX512.needs, *AVX.needs, *ARM_USDOT.needs}, False)
    assert able(features | dict.fromkeys(has, True)) == kinds


@pytest.mark.parametrize(
    ("forced", "said"), [("none", "switched off"), ("avx9", "no kind of kernels that")]
)
def test_the_kind_of_kernels_can_be_forced(
    monkeypatch: pytest.MonkeyPatch, forced: str, said: str
) -> None:
    monkeypatch.setenv("STREAMSR_FUSED", forced)
    with pytest.raises(ModelError, match=said):
        host_kinds()


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_kind_that_is_named_is_the_one_that_runs(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with FusedEngine(MODEL, threads=1, kind=kind) as engine:
        assert engine.kind == kind
    monkeypatch.setenv("STREAMSR_FUSED", kind)
    with FusedEngine(MODEL, threads=1) as engine:
        assert engine.kind == kind
    with pytest.raises(ModelError, match=f"no kind of kernels that this processor runs .*{kind}"):
        FusedEngine(MODEL, threads=1, kind="avx9")


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_code_is_compiled_once(folder: Path, kind: str) -> None:
    load(kind)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {path.name.split("-")[0] for path in before} == {"fused", "conformity", "first"}
    load(kind)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut short": lambda body: body[:500],
    "one byte changed": lambda body: body[:500] + bytes([body[500] ^ 1]) + body[501:],
    "doubled": lambda body: body * 2,
}


@needs_fused
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_rebuilt(folder: Path, damage: str) -> None:
    load()
    good = {path: path.read_bytes() for path in folder.iterdir()}
    for path, body in good.items():
        path.write_bytes(DAMAGES[damage](body) if len(body) > 500 else b"x" * len(body))
    load()
    assert {path: path.read_bytes() for path in folder.iterdir()} == good


@needs_fused
def test_code_that_others_may_write_is_not_run(folder: Path) -> None:
    load()
    code = next(folder.glob("fused-*"))
    code.chmod(0o666)
    assert cache.load(code.name) is None
    code.chmod(0o600)
    assert cache.load(code.name) is not None
    folder.chmod(0o777)
    assert cache.load(code.name) is None


@needs_fused
def test_an_unwritable_cache_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    load()


WRITER = """
import sys
from streamsr.native import cache
body = bytes([int(sys.argv[1])]) * 300_000
for _ in range(40):
    cache.store("contended", body)
    found = cache.load("contended")
    assert found is not None and len(found) == 300_000 and len(set(found)) == 1
"""


def test_processes_writing_at_once_never_see_half_a_file(folder: Path) -> None:
    with ExitStack() as stack:
        writers = [
            stack.enter_context(running([sys.executable, "-c", WRITER, k])) for k in range(4)
        ]
        assert [writer.ended() for writer in writers] == [0, 0, 0, 0]
    assert [path.name for path in folder.iterdir()] == ["contended"]


@needs_fused
def test_the_peak_can_be_measured() -> None:
    with Peak() as peak:
        assert peak.sample() > 1e6
    peak.close()


def test_the_yardstick_of_plain_avx2_multiplies_for_every_sum() -> None:
    text = assembly(peak_ir(AVX2, llvm.llvm_version_info[0]), AVX2)
    assert len(re.findall(r"\bvpmaddubsw\b", text)) == AVX2.vectors * AVX2.channels


def test_importing_the_engine_leaves_litert_and_training_alone() -> None:
    code = (
        "import sys, streamsr.engines.fused; print(*{'numba', 'ai_edge_litert', 'tensorflow'} & "
        "set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == []


EMULATED = """
from streamsr.engines.fused import FusedEngine
from streamsr.errors import ModelError
from streamsr.model import find_model
try:
    print(FusedEngine(find_model("xlsr-video_x2_u8"), threads=1).kind)
except ModelError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="qemu-user is not installed")
@pytest.mark.parametrize(
    ("processor", "said"),
    [
        ("Haswell", "avx2"),
        ("EPYC-v1", "avx2"),
        ("SandyBridge", "this processor has no AVX2"),
    ],
)
def test_an_emulated_processor_passes_the_conformity_test_or_is_refused(
    processor: str, said: str
) -> None:
    emulated = ["qemu-x86_64", "-cpu", processor, sys.executable, "-c", EMULATED]
    assert subprocess.check_output(emulated, text=True, stderr=subprocess.DEVNULL).strip() == said
