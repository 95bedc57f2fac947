"""The engine's code as a library for one instruction set."""

import os

import llvmlite.binding as llvm

from streamsr.engines.fused.codegen.instructions import declarations
from streamsr.engines.fused.codegen.isa import Isa, able
from streamsr.engines.fused.codegen.layout import Shape
from streamsr.errors import ModelError
from streamsr.native import jit, processor

FORCED = "STREAMSR_FUSED"
"""Environment variable: one kind of kernels instead of the fastest, or ``none``, for tests and
reports of faults."""


def host_kinds(name: str = "") -> list[Isa]:
    """The kinds of kernels that may be used here, the fastest first: only the one of this name, or
    else the one that FORCED names, if there is a name. Raises ModelError without any."""
    forced = name or os.environ.get(FORCED, "")
    if forced == "none":
        raise ModelError(f"switched off by {FORCED}={forced}")
    features = processor.features()
    if not features:
        raise ModelError("cannot tell what this processor can do")
    found = able(features)
    kinds = [isa for isa in found if forced in ("", isa.name)]
    if not kinds and forced:
        names = ", ".join(isa.name for isa in found) or "none"
        raise ModelError(f"{forced}: no kind of kernels that this processor runs ({names})")
    if not kinds:
        if processor.is_arm():
            raise ModelError("this processor has no dot product of bytes")
        raise ModelError("this processor has no AVX2")
    return kinds


def network_ir(isa: Isa, shape: Shape) -> str:
    """The code of one member of the family; weights and sizes are data that it is given."""
    version = llvm.llvm_version_info[0]
    # Imported here: the generators of another kind would take 10 ms at every start.
    if isa.by_blocks:
        from streamsr.engines.fused.codegen import blocks

        return declarations(isa, version) + blocks.walk(isa, shape)
    from streamsr.engines.fused.codegen import walk
    from streamsr.engines.fused.codegen.convolution import kernels

    return declarations(isa, version) + kernels(isa, version, shape) + walk.walk(isa, shape)


def library(ir: str, isa: Isa) -> jit.Library:
    """``ir`` as callable code that uses no instruction beyond what ``isa`` says it needs."""
    return jit.Library(ir, _machine(isa), name=f"fused-{isa.name}", passes=_passes)


def assembly(ir: str, isa: Isa) -> str:
    """The same as text, for those who want to read what runs."""
    return jit.assembly(ir, _machine(isa), _passes)


def _machine(isa: Isa) -> jit.Machine:
    return jit.Machine(
        jit.triple_of(isa.family), features=",".join(f"+{need}" for need in isa.needs)
    )


def _passes(module: "llvm.ModuleRef", target: "llvm.TargetMachine") -> None:
    """All that the kernels need: the usual set of passes takes 0.3 s longer and its code is not
    faster."""
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options())
    passes = llvm.create_new_function_pass_manager()
    passes.add_instruction_combine_pass()
    passes.add_loop_rotate_pass()
    passes.add_simplify_cfg_pass()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)
