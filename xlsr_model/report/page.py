"""Pages with generated parts: people write the page, a program fills in between its markers.

<!-- begin: NAME -->
replaced by the program
<!-- end: NAME -->
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xlsr_model.files import write_file


def fill(page: Path, parts: Mapping[str, str]) -> None:
    """Write each part between its markers on the page, which keeps everything else.

    Raises ValueError as `filled` does, and OSError; then the page is as it was.
    """
    text = page.read_text(encoding="utf-8")
    new = filled(text, parts)
    if new != text:
        write_file(page, new.encode(), overwrite=True)


def filled(text: str, parts: Mapping[str, str]) -> str:
    """The page's text with each part between its markers.

    Raises ValueError unless the page has the two markers of each part, each once and in a line of
    its own.
    """
    for name, part in parts.items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->\n"
        pattern = re.compile(f"^{re.escape(begin)}.*?^{re.escape(end)}", re.DOTALL | re.MULTILINE)
        if (text.count(begin), text.count(end), len(pattern.findall(text))) != (1, 1, 1):
            raise ValueError(
                f"the page must have {begin.strip()} and {end.strip()} once, each in a line"
            )
        new = f"{begin}{part.rstrip()}\n{end}"
        text = pattern.sub(lambda _, new=new: new, text)  # type: ignore[misc]  # a default value
    return text


def write_picture(file: Path, content: bytes, *, mark: bytes = b"") -> None:
    """Write an encoded picture, unless the file shows the same pixels already and holds the mark.

    A picture encoded anew by another version of a library has other bytes: such a file would be a
    change to commit that nobody can see.
    """
    if file.is_file():
        old = file.read_bytes()
        if mark in old and _same_pixels(old, content):
            return
    write_file(file, content, overwrite=True)


def _same_pixels(one: bytes, other: bytes) -> bool:
    import cv2
    import numpy as np

    def pixels(content: bytes) -> Any:  # Any: None where it is no picture
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)

    return np.array_equal(pixels(one), pixels(other))
