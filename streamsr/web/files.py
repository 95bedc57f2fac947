"""The files of pages: what all pages share, and how their text is filled in."""

from pathlib import Path

PAGE = {"/divider.js": (Path(__file__).parent / "page" / "divider.js", "text/javascript")}
"""By path of a request: the file and its kind."""


def page_text(path: Path, *, token: str, **filled: str) -> str:
    """The text of a page's file, with ``@TOKEN@`` for its own addresses, and ``@NAME@`` for each
    further word."""
    content = path.read_text(encoding="utf-8").replace("@TOKEN@", f"?token={token}")
    for name, word in filled.items():
        content = content.replace(f"@{name.upper()}@", word)
    return content
