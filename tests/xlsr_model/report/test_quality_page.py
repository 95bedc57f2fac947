import pytest

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("matplotlib", reason="needs the train extra")

from tests.conftest import ROOT
from xlsr_model.report.page import filled
from xlsr_model.report.paper_tables import read_parts
from xlsr_model.report.quality_page import PARTS, write_report
from xlsr_model.report.tables import size_table


def test_report_replaces_what_is_between_its_markers_alone(pictures, tmp_path_factory):
    document = tmp_path_factory.mktemp("docs") / "quality.md"
    parts = "\n".join(f"<!-- begin: {name} -->\nold\n<!-- end: {name} -->\n" for name in PARTS)
    document.write_text(f"# Quality\n\nWritten by hand.\n\n{parts}\nAlso by hand.\n")
    write_report(pictures.parent, document)
    text = document.read_text()
    assert text.startswith("# Quality\n\nWritten by hand.")
    assert text.endswith("Also by hand.\n")
    assert text.count("old\n") == 2, "of networks that were not trained here"
    assert "| xlsr | 3 | 21,947 | 22K | 21616 |" in text
    assert "| xlsr_x3_u8 | pictures |" in text
    assert (document.parent / "images" / "quality_crops.webp").is_file()


def test_document_without_markers_is_left_alone(pictures, tmp_path_factory):
    document = tmp_path_factory.mktemp("docs") / "quality.md"
    document.write_text("# Mine\n")
    with pytest.raises(ValueError, match="must have <!-- begin: about -->"):
        write_report(pictures.parent, document)
    assert document.read_text() == "# Mine\n"


def test_the_page_shows_the_networks_that_were_measured_for_it():
    text = (ROOT / "docs" / "quality.md").read_text()
    parts = read_parts(ROOT / "docs" / "data" / "quality_tables.json")
    assert set(parts) == {"networks", "calibration"}
    assert filled(text, parts | {"size": size_table()}) == text
