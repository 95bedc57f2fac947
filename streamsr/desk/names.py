"""Names of outputs that nothing has yet."""

import itertools
import os
from collections.abc import Container
from pathlib import Path

from streamsr.segments.ledger import Ledger
from xlsr_model.files import fitting_name


def free_output(folder: Path, name: str, taken: Container[str]) -> Path:
    """A path in the folder under this name, or with a number behind it: of no file, no unfinished
    work and none that is ``taken``."""
    stem, suffix = Path(name).stem, Path(name).suffix
    for number in itertools.count(1):
        ending = f" ({number}){suffix}" if number > 1 else suffix
        path = folder / fitting_name(stem, ending)
        if str(path) not in taken and not os.path.lexists(path) and not Ledger.begun(path):
            return path
    raise AssertionError("there are always more numbers")
