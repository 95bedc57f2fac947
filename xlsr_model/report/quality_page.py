"""Writes the measured part of docs/quality.md, with its pictures, from the files that are shipped.

People write what stands around the two markers.
"""

import os
import platform
from pathlib import Path

from xlsr_model import weights
from xlsr_model.evaluation.model_card import measure
from xlsr_model.files import write_file
from xlsr_model.page import filled
from xlsr_model.report.paper_tables import read_sections
from xlsr_model.report.pictures import crops, training_curve
from xlsr_model.report.tables import (
    comparison_table,
    score_table,
    shipped_table,
    size_table,
    video_table,
)

PART = "measured"
EMPTY = f"# Quality\n\n<!-- begin: {PART} -->\n<!-- end: {PART} -->\n"


def write_report(sets: Path, document: Path) -> None:
    """Measure every shipped model on every set in `sets`; the first run makes the document.

    Pictures go to ``images/`` beside it. Raises ValueError if the document has no markers.
    """
    text = document.read_text(encoding="utf-8") if document.is_file() else EMPTY
    try:
        filled(text, {PART: ""})  # before the minutes of measuring
    except ValueError as error:
        raise ValueError(f"{document}: {error}") from None
    images = document.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    measured = {name: measure(weights.path(name), sets) for name in weights.names()}
    part = "\n\n".join(
        [
            f"Measured by `python -m xlsr_model report --sets ...` on {platform.machine()}, "
            f"{os.cpu_count()} cores; every file through LiteRT as it is shipped. Border of one "
            "scale cut; Y as MATLAB's, not rounded.",
            "### The shipped files\n\n" + shipped_table(measured),
            "### Against others at x3 (the paper's Table 4)\n\n" + comparison_table(measured, sets),
            "### Size (Table 1)\n\n" + size_table(),
            *read_sections(document.parent / "data" / "quality_tables.json"),
            "### Challenge score (Table 3)\n\n" + score_table(measured),
            "### On video\n\n" + video_table(),
            training_curve(images / "quality_curve.png"),
            crops(images / "quality_crops.webp"),
        ]
    )
    write_file(document, filled(text, {PART: part}).encode(), overwrite=True)
