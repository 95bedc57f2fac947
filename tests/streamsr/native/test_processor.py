"""What a processor can do is asked of the system, and code is made for the system that runs it."""

import llvmlite.binding as llvm
import pytest

from streamsr.engines.fused.codegen.isa import ARM_SDOT, ARM_USDOT, Isa
from streamsr.engines.fused.codegen.library import host_kinds
from streamsr.errors import ModelError
from streamsr.native import jit, processor

DOTPROD, I8MM = 1 << 20, 1 << 13
"""The kernel's bits, by arm64's asm/hwcap.h."""


def arm(patch: pytest.MonkeyPatch, first: int, second: int) -> None:
    """An ARM processor of which the kernel says these words, and LLVM what the other words say."""
    other = processor.of_words(~first, ~second)
    patch.setattr(llvm, "get_host_cpu_features", lambda: {"neon": True, **other})
    patch.setattr(processor.platform, "machine", lambda: "aarch64")
    patch.setattr(processor, "_told", lambda: processor.of_words(first, second))


@pytest.mark.parametrize(
    ("first", "second", "kinds"),
    [
        (DOTPROD, I8MM, [ARM_USDOT, ARM_SDOT]),
        (DOTPROD, ~I8MM, [ARM_SDOT]),
        (~DOTPROD, I8MM, []),
    ],
    ids=["both", "dotprod", "i8mm"],
)
def test_the_kernel_says_which_kind_an_arm_processor_runs(
    monkeypatch: pytest.MonkeyPatch, first: int, second: int, kinds: list[Isa]
) -> None:
    arm(monkeypatch, first, second)
    if kinds:
        assert host_kinds() == kinds
    else:
        with pytest.raises(ModelError, match="this processor has no dot product of bytes"):
            host_kinds()


def test_a_c_library_that_cannot_be_asked_means_no_dot_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone() -> dict[str, bool]:
        raise AttributeError("getauxval")

    arm(monkeypatch, DOTPROD, I8MM)
    monkeypatch.setattr(processor, "_told", gone)
    found = processor.features()
    assert (found["neon"], found["dotprod"], found["i8mm"]) == (True, False, False)


def test_a_system_that_llvm_does_not_know_has_no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> dict[str, bool]:
        raise RuntimeError("unsupported")

    monkeypatch.setattr(llvm, "get_host_cpu_features", unknown)
    monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")
    assert processor.features() == {}
    with pytest.raises(ModelError, match="cannot tell what this processor can do"):
        host_kinds()


@pytest.mark.parametrize(
    ("host", "x86", "aarch64"),
    [
        ("x86_64-pc-linux-musl", "x86_64-pc-linux-musl", "aarch64-unknown-linux-gnu"),
        ("arm64-apple-darwin23.1.0", "x86_64-unknown-linux-gnu", "arm64-apple-darwin23.1.0"),
        ("x86_64-pc-windows-msvc", "x86_64-pc-windows-msvc-elf", "aarch64-unknown-linux-gnu"),
    ],
)
def test_code_is_made_for_the_system_that_runs_it(
    monkeypatch: pytest.MonkeyPatch, host: str, x86: str, aarch64: str
) -> None:
    monkeypatch.setattr(llvm, "get_default_triple", lambda: host)
    assert jit.triple_of("x86_64") == x86
    assert jit.triple_of("aarch64") == aarch64
