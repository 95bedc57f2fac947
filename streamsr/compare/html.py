"""Writes a sheet as one HTML file that fetches nothing, with the divider of the live page."""

import base64
import io
import re
from html import escape
from pathlib import Path

from PIL import Image as Pillow

from streamsr.compare.sheet import Column, Sheet, sized, timed_cost
from streamsr.frame import Image
from streamsr.web.files import PAGE as SHARED

FOLDER = Path(__file__).parent / "page"


def page(sheet: Sheet) -> str:
    """The sheet as an HTML document. Everything from outside is escaped."""
    columns = sheet.columns
    advised = [number for number, column in enumerate(columns) if column.label == sheet.advised]
    parts = {
        "TITLE": escape(sheet.title),
        "FACTS": "\n  ".join(f"<p>{escape(fact)}</p>" for fact in sheet.facts),
        "RIGHT": str(advised[0] if advised else len(columns) - 1),
        "OPTIONS": "".join(
            f'<option value="{number}">{escape(column.label)}</option>'
            for number, column in enumerate(columns)
        ),
        "SHOTS": "\n".join(_shot(sheet, number) for number in range(len(sheet.places))),
        "NOTE": escape(sheet.note),
        "ROWS": "\n".join(_row(column, auto=column.label == sheet.advised) for column in columns),
        "STYLE": _file("sheet.css"),
        "SCRIPT": SHARED["/divider.js"][0].read_text(encoding="utf-8") + _file("sheet.js"),
    }
    # In one pass: what is put in is not looked at again.
    return re.sub(r"@([A-Z]+)@", lambda match: parts[match[1]], _file("sheet.html"))


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _shot(sheet: Sheet, number: int) -> str:
    place = escape(sheet.places[number])
    figures = "\n".join(
        f'<figure><img src="{_address(column.pictures[number])}" '
        f'alt="{escape(column.label)}, {place}"><figcaption>{escape(column.label)}</figcaption>'
        "</figure>"
        for column in sheet.columns
    )
    return f"""<section class="shot">
<h2>{place}</h2>
<div class="divided">
  <canvas></canvas>
  <span class="label before"></span>
  <span class="label after"></span>
  <input type="range" min="0" max="1000" value="500" aria-label="left / right, {place}">
</div>
<div class="strip" tabindex="0" role="region" aria-label="all choices, {place}">
{figures}
</div>
</section>"""


def _row(column: Column, *, auto: bool) -> str:
    label = f"{escape(column.label)}{' (auto)' if auto else ''}"
    return (
        f'<tr{" class=auto" if auto else ""}><th scope="row" title="{escape(column.network)}">'
        f"{label}</th><td>{timed_cost(column.cost)}</td><td>{sized(column.cost)}</td>"
        f"<td><code>{escape(column.command)}</code></td></tr>"
    )


def _address(picture: Image) -> str:
    """The picture as an address that holds all of it, without loss."""
    file = io.BytesIO()
    Pillow.fromarray(picture).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
