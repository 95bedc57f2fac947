"""Tells which rung of XLSR's family a model file is, by its graph."""

from streamsr.errors import ModelError
from streamsr.model import ModelFile
from xlsr_model.weights import SHAPES


def check_rung(model: ModelFile) -> None:
    """Raise ModelError unless the graph is that of the rung which the file is said to be
    (`ModelFile.rung`); nothing where nobody says."""
    if not model.rung:
        return
    width, blocks = SHAPES[model.rung]
    seen = _shape(model)
    if seen == (width, blocks):
        return
    found = "not of the family" if seen is None else f"{seen[0]} channels and {seen[1]} blocks"
    names = [name for name, shape in SHAPES.items() if shape == seen]
    raise ModelError(
        f"{model.path}: not of quality {model.rung}, which has {width} channels and {blocks} "
        f"blocks: its graph is {found}" + (f", that is {names[0]}" if names else "")
    )


def rung_of(model: ModelFile) -> str:
    """The rung that a model file is: as it is said, else by its graph; empty for other networks."""
    if model.rung:
        return model.rung
    seen = _shape(model)
    return next((name for name, shape in SHAPES.items() if shape == seen), "")


def macs(rung: str, scale: int) -> int:
    """Multiply-adds of a rung's network for one LR pixel."""
    width, blocks = SHAPES[rung]
    root = 9 * width**2 // 4 + width**2
    joined = width + width // 2
    return (
        (27 + width) * width
        + blocks * root
        + 27 * (width // 2)
        + joined * width
        + (9 * width * 3 * scale**2)
    )


def _shape(model: ModelFile) -> tuple[int, int] | None:
    """(width, blocks) of the graph; None for another network's, or a damaged file's."""
    from streamsr.engines.fused.graph import read_network  # here: its room loads the compiler

    try:
        network = read_network(model.content)
    except ModelError:
        return None
    return network.width, len(network.blocks)
