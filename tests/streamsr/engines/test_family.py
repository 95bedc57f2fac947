"""Which rung of the family a file is."""

from pathlib import Path

import pytest

from streamsr.engines.family import check_rung, macs, rung_of
from streamsr.errors import ModelError
from streamsr.model import ModelFile, find_model
from streamsr.options import QUALITIES, SCALES
from tests.support.models import member
from xlsr_model import weights
from xlsr_model.network import RUNGS, macs_per_pixel
from xlsr_model.weights import SHAPES


def test_options_files_and_networks_know_the_same_rungs() -> None:
    assert ("auto", *weights.RUNGS) == QUALITIES
    assert [*RUNGS] == [*weights.RUNGS]
    assert {name: (shape.width, shape.blocks) for name, shape in RUNGS.items()} == SHAPES


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("rung", weights.RUNGS)
def test_the_work_of_a_rung_is_its_networks(rung: str, scale: int) -> None:
    assert macs(rung, scale) == macs_per_pixel(rung, scale)


@pytest.mark.parametrize("rung", weights.RUNGS)
def test_a_rung_is_told_by_its_graph(rung: str) -> None:
    file = member(*SHAPES[rung], 3)
    assert rung_of(file) == rung
    said = ModelFile("said", Path("said.tflite"), file.content, rung=rung)
    check_rung(said)
    other = ModelFile(
        "said", Path("said.tflite"), file.content, rung="plus" if rung == "max" else "max"
    )
    with pytest.raises(
        ModelError, match=rf"not of quality {other.rung}, which has .*that is {rung}"
    ):
        check_rung(other)


def test_what_is_no_member_of_the_family_has_no_rung() -> None:
    odd = member(24, 2, 3)
    assert rung_of(odd) == ""
    broken = ModelFile("broken", Path("broken.tflite"), b"none", rung="plus")
    with pytest.raises(ModelError, match="its graph is not of the family"):
        check_rung(broken)


@pytest.mark.parametrize("name", [name for name in weights.names() if "u8" in name])
def test_every_shipped_file_is_of_the_rung_that_its_name_says(name: str) -> None:
    check_rung(find_model(name))
