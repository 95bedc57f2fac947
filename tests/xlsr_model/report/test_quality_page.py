import pytest

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("matplotlib", reason="needs the train extra")

from xlsr_model.report.quality_page import END, START, write_report


def test_report_replaces_what_is_between_its_markers_alone(pictures, tmp_path_factory):
    document = tmp_path_factory.mktemp("docs") / "quality.md"
    document.write_text(f"# Quality\n\nWritten by hand.\n\n{START}\nold\n{END}\n\nAlso by hand.\n")
    write_report(pictures.parent, document)
    text = document.read_text()
    assert text.startswith("# Quality\n\nWritten by hand.")
    assert text.endswith("Also by hand.\n")
    assert "old\n" not in text
    assert "| xlsr | 3 | 21,947 | 22K | 21616 |" in text
    assert "| xlsr_x3_u8 | pictures |" in text


def test_document_without_markers_is_left_alone(pictures, tmp_path_factory):
    document = tmp_path_factory.mktemp("docs") / "quality.md"
    document.write_text("# Mine\n")
    with pytest.raises(ValueError, match="the markers"):
        write_report(pictures.parent, document)
    assert document.read_text() == "# Mine\n"
