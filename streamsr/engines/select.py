"""Which engine runs a model on this machine, and why."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamsr.engines import Engine
from streamsr.model import ModelFile

ENGINES = ("auto", "litert")
log = logging.getLogger("streamsr")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What the user asked for.

    engine            ``auto`` or a name of ENGINES
    threads           cores the engine may use, None for all usable ones
    delegate          a TFLite external delegate library that must be used
    delegate_options  its options
    batch             same-shaped regions or frames in one call; None measures what the device gains
    """

    engine: str = "auto"
    threads: int | None = None
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"expected an engine of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"expected at least 1 thread, got {self.threads}")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"expected a batch of at least 1, got {self.batch}")


def open_engine(model: ModelFile, choice: EngineChoice) -> tuple[Engine, str]:
    """The engine for this model, and one line saying why it was chosen.

    An NPU delegate that was asked for must work; one that was only found is used when it passes its self-test and is
    otherwise named in the log. Raises ModelError when no engine runs the model.
    """
    from streamsr.engines.delegate import WELL_KNOWN, DelegateError, load, open_delegate
    from streamsr.engines.litert import LiteRTEngine

    if choice.delegate is not None:
        return (
            open_delegate(model, choice.delegate, choice.delegate_options, batch=choice.batch),
            f"delegate {choice.delegate} was asked for and passed its self-test",
        )
    notes = []
    if choice.engine == "auto":
        for library, vendor in WELL_KNOWN.items():
            try:
                load(library, {})
            except DelegateError as error:
                if "cannot open shared object" not in str(error):
                    notes.append(str(error))
                continue
            try:
                return open_delegate(model, library, {}, batch=choice.batch), f"{vendor} NPU found, self-test passed"
            except DelegateError as error:
                notes.append(str(error))
    for note in notes:
        log.warning("%s; using the CPU", note)
    why = "asked for" if choice.engine == "litert" else "; ".join(["no NPU delegate found" if not notes else notes[0]])
    return LiteRTEngine(model, threads=choice.threads, batch=choice.batch or 1), why
