"""Runs models on NPUs through external TFLite delegates, given by path or found by their well-known
names, and trusted only after a test."""

import ctypes
import os
import re
import sysconfig
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from streamsr.engines import conformity
from streamsr.engines.difference import WrongResults
from streamsr.engines.litert import LiteRTEngine
from streamsr.errors import ModelError
from streamsr.model import ModelFile

WELL_KNOWN = {
    "libvx_delegate.so": "VeriSilicon",
    "libethosu_delegate.so": "Arm Ethos-U",
    "libedgetpu.so.1": "Google Edge TPU",
    "libQnnTFLiteDelegate.so": "Qualcomm QNN",
    "libneuron_stable_delegate.so": "MediaTek Neuron",
    "libNeuronDelegate.so": "MediaTek Neuron",
}
"""File names of external delegates in their vendors' documentation, and what to call them."""

LOADER_CACHE = Path("/etc/ld.so.cache")
"""The system's list of libraries, whose paths stand in it as strings that end in a zero byte."""


class DelegateError(ModelError):
    """The delegate cannot be used; the message says why."""


def find_library(name: str) -> Path | None:
    """Find the library of this file name where the loader looks, by its absolute path; None where
    there is none.

    The loader itself takes an empty or relative element of LD_LIBRARY_PATH for the working
    directory, and would run whatever lies there under a well-known name.
    """
    listed = [Path(path) for path in re.split("[:;]", os.environ.get("LD_LIBRARY_PATH", ""))]
    try:
        strings = LOADER_CACHE.read_bytes().split(b"\0")
    except OSError:  # none on this system
        strings = []
    cached = [
        Path(os.fsdecode(path)) for path in strings if path.endswith(b"/" + os.fsencode(name))
    ]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    standard = [
        Path(top, *part)
        for top in ("/lib", "/usr/lib", "/usr/local/lib")
        for part in ((multiarch or "",), ())
    ]
    standard += [Path("/lib64"), Path("/usr/lib64")]
    candidates = (
        [folder / name for folder in listed] + cached + [folder / name for folder in standard]
    )
    return next((path for path in candidates if path.is_absolute() and path.is_file()), None)


def _resolved(library: str) -> Path:
    """The file that the user means: a path where there is a slash, else a name as the loader finds
    it. Raises DelegateError where it finds none."""
    if "/" in library or os.sep in library:
        return Path(library).absolute()
    path = find_library(library)
    if path is None:
        raise DelegateError(
            f"delegate {library}: cannot open shared object file: there is none of this name in "
            f"the system's library folders or in those of LD_LIBRARY_PATH; give its path, such as "
            f"./{library}"
        )
    return path


def load(library: str, options: Mapping[str, str]) -> Any:  # the wheel has no types
    """Load the delegate of this shared library. Raises DelegateError when it does not load or
    refuses its options."""
    path = str(_resolved(library))
    # Imported here: 0.1 s, not needed without a delegate.
    from ai_edge_litert.interpreter import load_delegate

    try:
        # load_delegate() leaves a half-made object whose destructor complains, so ask the loader
        # first.
        if not hasattr(ctypes.PyDLL(path), "tflite_plugin_create_delegate"):
            raise DelegateError(f"delegate {library}: not a TFLite external delegate")
        return load_delegate(path, dict(options))
    except OSError as error:
        raise DelegateError(f"delegate {library}: {error}") from error
    except ValueError as error:
        reason = (
            " ".join(str(error).split("\n")[1:]).strip() or "its create function returned nothing"
        )
        raise DelegateError(f"delegate {library}: refused to start ({reason})") from error


def open_delegate(
    model: ModelFile, library: str, options: Mapping[str, str], *, batch: int | None
) -> LiteRTEngine:
    """Open an engine on this delegate that passes the conformity test with the batch that it will
    be given.

    ``batch`` None measures with which batch the device is fastest. Raises DelegateError when the
    library does not load, cannot run the model, or computes otherwise than LiteRT on the CPU.
    """
    delegate = load(library, options)
    name = f"litert+{WELL_KNOWN.get(library, library)}"
    try:
        with ExitStack() as stack:
            engine = stack.enter_context(
                LiteRTEngine(model, delegate=delegate, name=name, batch=batch)
            )
            try:
                conformity.check(engine, model)
            except WrongResults as error:
                raise DelegateError(f"delegate {library}: wrong results: {error}") from None
            stack.pop_all()
            return engine
    except DelegateError:
        raise
    except ModelError as error:
        raise DelegateError(f"delegate {library}: cannot run the model ({error})") from error
