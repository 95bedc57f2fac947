import shutil

import pytest

from tests.conftest import ROOT

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("matplotlib", reason="needs the train extra")

from xlsr_model.report.paper_tables import read_sections
from xlsr_model.report.quality_page import EMPTY, write_report

TABLES = ROOT / "docs" / "data" / "quality_tables.json"


def test_report_replaces_what_is_between_its_markers_alone(pictures, tmp_path_factory):
    document = tmp_path_factory.mktemp("docs") / "quality.md"
    (document.parent / "data").mkdir()
    shutil.copy(TABLES, document.parent / "data")
    old = EMPTY.replace("\n<!-- end", "\nold\n<!-- end") + "\nAlso by hand.\n"
    document.write_text(old.replace("# Quality\n", "# Quality\n\nWritten by hand.\n"))
    write_report(pictures.parent, document)
    text = document.read_text()
    assert text.startswith("# Quality\n\nWritten by hand.")
    assert text.endswith("Also by hand.\n")
    assert "old\n" not in text
    assert "| xlsr | 3 | 21,947 | 22K | 21616 |" in text
    assert "| xlsr_x3_u8 | pictures |" in text
    assert "### Calibration" in text


def test_document_without_markers_is_left_alone(pictures, tmp_path_factory):
    document = tmp_path_factory.mktemp("docs") / "quality.md"
    document.write_text("# Mine\n")
    with pytest.raises(ValueError, match=r"quality\.md: the markers"):
        write_report(pictures.parent, document)
    assert document.read_text() == "# Mine\n"


def test_the_quality_page_shows_the_tables_that_were_measured():
    page = (ROOT / "docs" / "quality.md").read_text()
    sections = read_sections(TABLES)
    assert len(sections) == 2
    for section in sections:
        assert section in page
