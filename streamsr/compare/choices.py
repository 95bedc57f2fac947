"""What a user may choose between, as words of ``streamsr upscale``, and the command for each."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsr.media.containers import FORMATS
from streamsr.picture.files import is_image, is_picture
from xlsr_model import weights

SHARPEN, STRENGTH = 0.5, 0.5
"""Of the variants that are shown where the user names none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice.

    label  for the sheet
    words  the options by which `streamsr upscale` does it
    """

    label: str
    words: tuple[str, ...]


BICUBIC = Choice("bicubic", ("--strength", "0"))
"""What every choice is seen against."""


def usual_choices(scale: int, model: str, quality: str, *, named: bool) -> list[Choice]:
    """The choices of someone who has named none: bicubic interpolation, each shipped model of this
    scale, the other rungs of one, and variants of it.

    model    the word for it; ``named`` by the user, so that no other is shown
    quality  the rung that is taken for it; empty where the user named one
    """
    label = Path(model).name
    words = () if named else ("--model", model)  # else it is among the words already
    models = [] if named else [word for word in shipped(scale) if word != model]
    rungs = _rungs(scale, model) if quality else []
    pinned = ("--quality", quality) if len(rungs) > 1 else ()  # the others are beside it
    return [
        BICUBIC,
        *(
            Choice(word, ("--model", word, *(pinned if quality in _rungs(scale, word) else ())))
            for word in models
        ),
        *(
            Choice(f"{label}, quality {rung}", (*words, "--quality", rung))
            for rung in rungs
            if rung != quality
        ),
        Choice(label, (*words, *pinned)),
        Choice(f"{label}, sharpen {SHARPEN}", (*words, *pinned, "--sharpen", str(SHARPEN))),
        Choice(f"{label}, strength {STRENGTH}", (*words, *pinned, "--strength", str(STRENGTH))),
    ]


def _rungs(scale: int, model: str) -> list[str]:
    return weights.rungs(scale, model) if model in weights.KINDS else []


def shipped(scale: int) -> list[str]:
    """What ``--model`` takes for the shipped models of this scale: their kinds, else their names.
    Variants of a model (``..._u8_perchannel``) are for who compares files."""
    kinds = [kind for kind in weights.KINDS if scale in weights.scales(kind)]
    covered = {
        weights.default(scale, kind, rung) for kind in kinds for rung in weights.rungs(scale, kind)
    }
    ending = f"_x{scale}_u8"
    return kinds + [n for n in weights.names() if n.endswith(ending) and n not in covered]


def command(source: Path, words: Sequence[str], scale: int) -> str:
    """The line for a shell that upscales ``source`` so, into a file with a name of its own."""
    if is_picture(source):
        suffix = source.suffix if is_image(source) else ".png"
    else:
        suffix = source.suffix if source.suffix.lower() in FORMATS else ".mkv"
    target = source.with_name(f"{source.stem}_x{scale}{suffix}")
    parts = ["streamsr", "upscale", _word(source), "-o", _word(target)]
    return " ".join([*parts, *(shlex.quote(word) for word in words)])


def _word(path: Path) -> str:
    """A file's name for a shell, whatever is in it; bytes that cannot be shown as bash and zsh take
    them."""
    name = f".{os.sep}{path}" if str(path).startswith("-") else str(path)
    if name.isprintable():
        return shlex.quote(name)
    shown = (
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(name)
    )
    return f"$'{''.join(shown)}'"
