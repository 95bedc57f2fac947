"""Compiles IR to functions that Python can call, by LLVM or from the cache of what it made."""

import ctypes
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import llvmlite
import llvmlite.binding as llvm

from streamsr.native import cache


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor to make code for: LLVM's target triple, name and features (``+avx2,-...``)."""

    triple: str
    cpu: str = ""
    features: str = ""

    @classmethod
    def host(cls) -> "Machine":
        """This machine with all that it can do."""
        triple = host_triple()
        try:
            return cls(triple, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
        except RuntimeError:  # LLVM does not know this system: plain code runs on it all the same
            return cls(triple)

    def target(self) -> "llvm.TargetMachine":
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(cpu=self.cpu, features=self.features, opt=3, jit=True)


def host_triple() -> str:
    """What LLVM calls this machine and the format of its code: where that would be Windows' own,
    which cannot be loaded from memory, it is Linux's."""
    triple: str = llvm.get_default_triple()
    return f"{triple}-elf" if "windows" in triple and not triple.endswith("-elf") else triple


def triple_of(family: str) -> str:
    """This machine if it is of this family of processors (``x86_64``, ``aarch64``), else some
    machine that is: its code can be read, not run."""
    triple = host_triple()
    here = triple.split("-")[0].replace("arm64", "aarch64")
    return triple if here == family else f"{family}-unknown-linux-gnu"


Passes = Callable[["llvm.ModuleRef", "llvm.TargetMachine"], None]


def vectorized(module: "llvm.ModuleRef", target: "llvm.TargetMachine") -> None:
    """Run LLVM's usual passes, which turn loops into vector operations."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)


class Library:
    """Compiled code in memory, from the cache where that has it. Its functions are gone once it is
    closed.

    ir      of the functions
    name    what the cached file is called, for people
    passes  the optimisation. It is part of the cache's key through ``name`` and ``ir`` only, so use
            another name with other passes
    """

    def __init__(
        self, ir: str, machine: Machine, *, name: str, passes: Passes = vectorized
    ) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.key = key_of(ir, machine, name)
        file = f"{name}-{self.key[:32]}.o"
        code = cache.load(file)
        if code is None:
            code = object_code(ir, machine, passes)
            cache.store(file, code)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine.target())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def function(self, name: str, *arguments: type) -> Callable[..., None]:
        """Look up a function without a result. Its calls release the interpreter lock."""
        return ctypes.CFUNCTYPE(None, *arguments)(self._engine.get_function_address(name))

    def close(self) -> None:
        self._engine.close()


def key_of(ir: str, machine: Machine, name: str) -> str:
    """Tell the code of one `Library` from all other code."""
    # The IR stands for the generator: code made by another version of it has another key.
    parts = (llvmlite.__version__, str(llvm.llvm_version_info), name, str(machine), ir)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def object_code(ir: str, machine: Machine, passes: Passes = vectorized) -> bytes:
    """Compile ``ir`` to machine code that uses no instruction which ``machine`` lacks."""
    module, target = optimized(ir, machine, passes)
    code: bytes = target.emit_object(module)
    return code


def assembly(ir: str, machine: Machine, passes: Passes = vectorized) -> str:
    """Compile ``ir`` to assembly text, to read what runs."""
    module, target = optimized(ir, machine, passes)
    text: str = target.emit_assembly(module)
    return text


def optimized(
    ir: str, machine: Machine, passes: Passes
) -> "tuple[llvm.ModuleRef, llvm.TargetMachine]":
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = machine.target()
    module = llvm.parse_assembly(f'target triple = "{machine.triple}"\n{ir}')
    module.verify()
    passes(module, target)
    return module, target
