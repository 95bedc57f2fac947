"""Generated parts of pages, and pictures that are written only when they show something new."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from xlsr_model.report.page import fill, filled, write_picture

PAGE = """# Page

By hand.

<!-- begin: one -->
old
<!-- end: one -->

Also by hand.

<!-- begin: two -->
<!-- end: two -->
"""


def picture(value: int, compression: int = 1) -> bytes:
    image = np.full((8, 8, 3), value, np.uint8)
    content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, compression])[1]
    return content.tobytes()


def test_parts_are_replaced_and_the_rest_stays() -> None:
    text = filled(PAGE, {"one": r"new \1 text", "two": "| a |\n"})
    assert text == PAGE.replace("old\n", "new \\1 text\n").replace(
        "two -->\n<", "two -->\n| a |\n<"
    )
    assert filled(text, {"one": r"new \1 text"}) == text


@pytest.mark.parametrize(
    "text",
    [
        "# Mine\n",
        PAGE.replace("<!-- end: one -->\n", ""),
        PAGE.replace("<!-- begin: one -->\n", ""),
        PAGE + PAGE,
        "<!-- end: one -->\n<!-- begin: one -->\n",
    ],
    ids=["none", "no end", "no begin", "twice", "end before begin"],
)
def test_a_page_without_the_two_markers_is_left_alone(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(
        ValueError, match="must have <!-- begin: one --> and <!-- end: one --> once"
    ):
        fill(page, {"one": "new"})
    assert page.read_text() == text


def test_a_picture_of_the_same_pixels_keeps_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    write_picture(file, picture(7))
    other = picture(7, compression=9) + b"mark"
    assert other != picture(7)
    write_picture(file, other)
    assert file.read_bytes() == picture(7)
    write_picture(file, other, mark=b"mark")
    assert file.read_bytes() == other
    write_picture(file, picture(8))
    assert file.read_bytes() == picture(8)
