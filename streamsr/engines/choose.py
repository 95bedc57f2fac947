"""Chooses which engine runs a model on this machine, and says why."""

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec

from streamsr.engines import Engine
from streamsr.engines.difference import WrongResults
from streamsr.errors import ModelError, first_line
from streamsr.model import ModelFile
from streamsr.options import EngineChoice

log = logging.getLogger("streamsr")


Opener = Callable[[ModelFile, EngineChoice], Engine]
"""A function that opens one engine. Raises ModelError where the engine cannot run or computes
otherwise than LiteRT."""


def open_engine(
    model: ModelFile,
    choice: EngineChoice,
    *,
    openers: Mapping[str, Opener] | None = None,
    delegates: Sequence[str] | None = None,
) -> tuple[Engine, str]:
    """Open the engine for this model, and say in one line why it was chosen.

    An engine that is named must work. ``auto`` takes an NPU whose delegate is found, else the first
    CPU engine that runs the model: each only if it passes the conformity test. What was tried and
    did not work is named in the line and in the log. Raises ModelError when no engine runs the
    model.

    openers    the engines by name in the order of preference, the last being the reference; default
               OPENERS
    delegates  names of delegate libraries that ``auto`` looks for; default `delegate.WELL_KNOWN`
    """
    openers = OPENERS if openers is None else openers
    if choice.delegate is not None:
        from streamsr.engines.delegate import open_delegate

        engine = open_delegate(model, choice.delegate, choice.delegate_options, batch=choice.batch)
        return engine, "asked for, passed its self-test"
    if choice.engine != "auto":
        return _opened(openers[choice.engine], model, choice), "asked for"
    failed: list[str] = []
    npu = _npu(model, choice, failed, delegates)
    if npu is not None:
        return npu, "NPU found, passed its self-test"
    for note in failed:
        log.warning("%s; using the CPU", note)
    *faster, reference = openers
    for name in faster:
        if name == "openvino" and openers is OPENERS and not find_spec("openvino"):
            continue  # an extra that is not installed has not failed
        try:
            return _opened(openers[name], model, choice), "; ".join(["fastest here", *failed])
        except ModelError as error:
            failed.append(f"not {name}: {error}")
            wrong = isinstance(error, WrongResults)
            log.log(logging.WARNING if wrong else logging.INFO, "%s", failed[-1])
    return _opened(openers[reference], model, choice), "; ".join(failed)


def _opened(opener: Opener, model: ModelFile, choice: EngineChoice) -> Engine:
    """Open an engine. Raises ModelError also for what native libraries under it raise when they
    cannot work here."""
    try:
        return opener(model, choice)
    except (ModelError, ImportError, OSError, RuntimeError) as error:
        if _is_interrupted(error):
            raise KeyboardInterrupt from error
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{model.path}: the engine cannot start here ({first_line(error)})"
        ) from error


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether the cause is a Ctrl-C: a native module that is interrupted while it is loaded raises
    ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _npu(
    model: ModelFile, choice: EngineChoice, failed: list[str], delegates: Sequence[str] | None
) -> Engine | None:
    """Open an NPU whose delegate library has a well-known name; why one that is there does not work
    is added to ``failed``."""
    from streamsr.engines.delegate import WELL_KNOWN, DelegateError, find_library, open_delegate

    for library in WELL_KNOWN if delegates is None else delegates:
        if find_library(library) is None:
            continue
        try:
            return open_delegate(model, library, {}, batch=choice.batch)
        except DelegateError as error:
            failed.append(str(error))
    return None


def _fused(model: ModelFile, choice: EngineChoice) -> Engine:
    from streamsr.engines.fused import FusedEngine

    return FusedEngine(model, threads=choice.threads)


def _openvino(model: ModelFile, choice: EngineChoice) -> Engine:
    from streamsr.engines.openvino import OpenVINOEngine

    return OpenVINOEngine(model, threads=choice.threads)


def _litert(model: ModelFile, choice: EngineChoice) -> Engine:
    from streamsr.engines.litert import LiteRTEngine

    return LiteRTEngine(model, threads=choice.threads, batch=choice.batch or 1)


OPENERS: Mapping[str, Opener] = {
    "fused": _fused,
    "openvino": _openvino,
    "litert": _litert,
}
