"""Draws a sheet as one picture: a column for each choice, a row for each place, pixel for pixel."""

import io
from collections.abc import Iterator
from functools import cache

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from streamsr.compare.sheet import Sheet, sized, timed_cost

GAP = 16
LEAST_COLUMN = 300
"""Pixels, so that a column's words have room above pictures that are smaller."""

TITLE, TEXT, SMALL = 26, 18, 15
"""Heights of letters, in pixels."""

BEHIND, BRIGHT, DIM, MARKED = "#1b1e21", "#f2f4f5", "#aab4bc", "#8ec5ff"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def drawn(sheet: Sheet) -> bytes:
    """The sheet as a PNG file."""
    columns = sheet.columns
    width_of = max(LEAST_COLUMN, *(p.shape[1] for c in columns for p in c.pictures))
    width = GAP + len(columns) * (width_of + GAP)
    heights = [picture.shape[0] for picture in columns[0].pictures]
    above = list(_lines(sheet, width - 2 * GAP))
    below = list(_commands(sheet, width - 2 * GAP))
    head = GAP + sum(_step(size) for _, size, _ in above) + GAP
    rows_at = head + _step(TEXT) + _step(SMALL)
    height = rows_at + sum(h + _step(SMALL) + GAP for h in heights)
    end = height + sum(_step(size) for _, size, _ in below) + GAP
    image = Pillow.new("RGB", (width, end), BEHIND)
    pen = ImageDraw.Draw(image)
    _write(pen, above, GAP)
    for number, column in enumerate(columns):
        x = GAP + number * (width_of + GAP)
        marked = column.label == sheet.advised
        label = f"{column.label} (auto)" if marked else column.label
        _line(pen, x, head, label, TEXT, MARKED if marked else BRIGHT, width_of)
        price = f"{timed_cost(column.cost)}, {sized(column.cost)}"
        _line(pen, x, head + _step(TEXT), price, SMALL, DIM, width_of)
        y = rows_at
        for place, picture in zip(sheet.places, column.pictures, strict=True):
            image.paste(Pillow.fromarray(picture), (x, y))
            if number == 0:
                _line(pen, x, y + picture.shape[0] + 3, place, SMALL, DIM, width_of)
            y += picture.shape[0] + _step(SMALL) + GAP
    _write(pen, below, height)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


Line = tuple[str, int, str]
"""Text, height and colour."""


def _lines(sheet: Sheet, width: int) -> Iterator[Line]:
    yield from _wrapped(sheet.title, TITLE, BRIGHT, width)
    for fact in sheet.facts:
        yield from _wrapped(fact, TEXT, DIM, width)


def _commands(sheet: Sheet, width: int) -> Iterator[Line]:
    yield from _wrapped(sheet.note, SMALL, DIM, width)
    for column in sheet.columns:
        yield from _wrapped(f"{column.label}:  {column.command}", SMALL, DIM, width)


def _write(pen: ImageDraw.ImageDraw, lines: list[Line], y: int) -> None:
    for text, size, color in lines:
        pen.text((GAP, y), text, fill=color, font=_font(size))
        y += _step(size)


def _line(
    pen: ImageDraw.ImageDraw, x: int, y: int, text: str, size: int, color: str, width: int
) -> None:
    """One line, cut where it would reach into the next column."""
    first = next(_wrapped(text, size, color, width))[0]
    pen.text((x, y), first if first == text else f"{first[:-3]}...", fill=color, font=_font(size))


def _wrapped(text: str, size: int, color: str, width: int) -> Iterator[Line]:
    """The text in lines that are as wide at most; a word that is longer is cut."""
    font = _font(size)
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            yield line, size, color
        while font.getlength(word) > width:
            fits = next(n for n in range(len(word), 0, -1) if font.getlength(word[:n]) <= width)
            yield word[:fits], size, color
            word = word[fits:]
        line = word
    yield line, size, color


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _step(size: int) -> int:
    """From one line's top to the next one's."""
    return size * 3 // 2
