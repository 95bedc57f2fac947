"""From IR to functions that Python can call: LLVM, and the cache of what it made."""

import ctypes
import hashlib
from collections.abc import Callable

import llvmlite
import llvmlite.binding as llvm

from streamsr.engines.fused import cache
from streamsr.engines.fused.instructions import declarations
from streamsr.engines.fused.isa import Isa, detect
from streamsr.engines.fused.kernels import kernels
from streamsr.engines.fused.rows import walk
from streamsr.errors import ModelError


def host_isa() -> Isa:
    """The kind of kernels this machine can run. Raises ModelError when there is none."""
    try:
        isa = detect(llvm.get_host_cpu_features())
    except RuntimeError as error:  # LLVM does not know this system
        raise ModelError(f"cannot tell what this processor can do ({error})") from error
    if isa is None:
        raise ModelError("this processor has neither AVX512-VNNI nor AVX-VNNI")
    return isa


def network_ir(isa: Isa, scale: int) -> str:
    """The code of one network's family member; weights and sizes are data that it is given."""
    version = llvm.llvm_version_info[0]
    return declarations(isa, version) + kernels(isa, version, scale) + walk(isa, scale)


def object_code(ir: str, isa: Isa) -> bytes:
    """Machine code of ``ir`` that uses no instruction beyond what ``isa`` says it needs."""
    module, machine = _optimised(ir, isa)
    code: bytes = machine.emit_object(module)
    return code


def assembly(ir: str, isa: Isa) -> str:
    """The same as text, for those who want to read what runs."""
    module, machine = _optimised(ir, isa)
    text: str = machine.emit_assembly(module)
    return text


class Library:
    """Compiled code in memory; its functions are gone when it is closed. Compiles only what the cache lacks."""

    def __init__(self, ir: str, isa: Isa) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        # The IR stands for the generator: code made by another version of it has another key.
        key = hashlib.sha256("\n".join([llvmlite.__version__, str(llvm.llvm_version_info), isa.name, ir]).encode())
        name = f"fused-{isa.name}-{key.hexdigest()[:32]}.o"
        code = cache.load(name)
        if code is None:
            code = object_code(ir, isa)
            cache.store(name, code)
        self.key = key.hexdigest()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(isa))
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def function(self, name: str, *arguments: type) -> Callable[..., None]:
        """A function without a result. Calls release the interpreter lock."""
        address = self._engine.get_function_address(name)
        return ctypes.CFUNCTYPE(None, *arguments)(address)

    def close(self) -> None:
        self._engine.close()


def _machine(isa: Isa) -> "llvm.TargetMachine":
    features = ",".join(f"+{need}" for need in isa.needs)
    return llvm.Target.from_triple(isa.triple).create_target_machine(features=features, opt=3, jit=True)


def _optimised(ir: str, isa: Isa) -> "tuple[llvm.ModuleRef, llvm.TargetMachine]":
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = _machine(isa)
    module = llvm.parse_assembly(f'target triple = "{isa.triple}"\n{ir}')
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options())
    # All that the kernels need: the usual set of passes takes 0.3 s longer and its code is not faster.
    passes = llvm.create_new_function_pass_manager()
    passes.add_instruction_combine_pass()
    passes.add_loop_rotate_pass()
    passes.add_simplify_cfg_pass()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)
    return module, machine
