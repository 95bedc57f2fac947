"""The tables of what quantisation costs, on networks that have seen two steps."""

import json

import pytest

from xlsr_model.config import Config

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture
def runs(pictures, tmp_path_factory):
    from xlsr_model.report.paper_tables import PAPER
    from xlsr_model.train import train

    folder = tmp_path_factory.mktemp("runs")
    for name in PAPER:
        network = name.split("_")[1]
        config = Config(
            (str(pictures),),
            network,
            steps=2,
            held_out=1,
            batch=2,
            patch=12,
            clipped=name == "compare_xlsr",
        )
        train(config, folder / name)
    return folder


def test_tables_hold_every_network_and_calibration(runs, pictures, monkeypatch):
    from xlsr_model.report import paper_tables as tables

    monkeypatch.setattr(tables, "CALIBRATIONS", (2,))
    measured = json.loads(json.dumps(tables.measure_tables(runs, pictures.parent)))
    header, rows = tables.networks_table(measured)
    assert header == ["network", "output", "pictures", "the paper, DIV2K"]
    assert [row[:2] for row in rows] == [
        ["xlsr", "Clipped ReLU"],
        ["xlsr", "linear"],
        ["fsrcnn", "linear"],
        ["espcn", "linear"],
    ]
    assert rows[0][-1] == "30.10 → 29.82"
    for seen in measured["networks"].values():
        assert seen["steps"] == 2
        assert set(seen["float"]) == set(seen["uint8"]) == {"pictures"}
    header, rows = tables.calibration_table(measured)
    assert [row[:3] for row in rows] == [
        ["pictures", "2", "per tensor"],
        ["pictures", "40", "per tensor"],
        ["pictures", "40", "per channel"],
    ]


def test_losses_are_float_minus_uint8():
    from xlsr_model.report.paper_tables import calibration_table, networks_table

    quality = {"psnr_rgb": 30.0}, {"psnr_rgb": 29.755}
    seen = {
        "network": "xlsr",
        "clipped": True,
        "float": {"Set5": quality[0]},
        "uint8": {"Set5": quality[1]},
    }
    chosen = {
        "pictures": ["a", "b"],
        "count": 10,
        "per_channel": False,
        "uint8": {"Set5": quality[1]},
    }
    measured = {"networks": {"compare_xlsr": seen}, "calibration": [chosen]}
    assert networks_table(measured)[1] == [
        ["xlsr", "Clipped ReLU", "30.00 → 29.75 (-0.25)", "30.10 → 29.82"]
    ]
    assert calibration_table(measured)[1] == [["a + b", "10", "per tensor", "0.245"]]


def test_a_run_that_is_missing_is_named(tmp_path):
    from xlsr_model.report.paper_tables import measure_tables

    with pytest.raises(ValueError, match=r"not trained yet: .*compare_espcn"):
        measure_tables(tmp_path, tmp_path)
