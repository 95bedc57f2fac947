"""An installation with more rungs of the family than are shipped, in a folder of its own."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.models import member
from xlsr_model import weights
from xlsr_model.weights import SHAPES


def installed(
    folder: Path, patch: pytest.MonkeyPatch, names: Sequence[str], *, shape_of: str | None = None
) -> None:
    """Have these models, such as ``xlsr-plus_x3_u8``, with random weights, beside the shipped ones
    of XLSR alone.

    shape_of  the rung whose graph they have, in place of the one that their names say
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in Path(weights.__file__).parent.glob("xlsr*"):
        if weights.rung_named(file.stem) == weights.DEFAULT_RUNG:
            shutil.copy(file, folder)
    for name in names:
        rung, scale = weights.rung_named(name), int(name.partition("_x")[2][0])
        width, blocks = SHAPES[shape_of or rung]
        (folder / f"{name}.tflite").write_bytes(member(width, blocks, scale).content)
    patch.setattr(weights, "_FOLDER", folder)
