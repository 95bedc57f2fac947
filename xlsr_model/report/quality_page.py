"""Writes the measured parts of docs/quality.md, and its pictures, from the shipped files."""

import json
import os
import platform
from pathlib import Path

from xlsr_model import weights
from xlsr_model.evaluation.evaluate import shipped
from xlsr_model.evaluation.model_card import measure
from xlsr_model.report.page import fill, filled
from xlsr_model.report.paper_tables import read_parts
from xlsr_model.report.pictures import draw_training_curve, write_crops
from xlsr_model.report.tables import (
    comparison_table,
    score_table,
    shipped_table,
    size_table,
    video_table,
)
from xlsr_model.report.video_cells import cells_table, split_table

PARTS = (
    "about",
    "shipped",
    "others",
    "size",
    "networks",
    "calibration",
    "score",
    "video",
    "cells",
)
"""What is measured, by the names of the markers on the page."""


def write_report(sets: Path, document: Path) -> None:
    """Measure every shipped model on every set in `sets`, and fill the document in.

    Pictures go to ``images/`` beside it. Raises ValueError if the document lacks the markers of a
    part, OSError if it is not there.
    """
    # What is missing is said before minutes of measuring.
    filled(document.read_text(encoding="utf-8"), dict.fromkeys(PARTS, ""))
    images = document.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    measured = {name: measure(shipped(name), sets) for name in weights.names()}
    parts = {
        "about": f"Measured by `python -m xlsr_model report --sets ...` on {platform.machine()}, "
        f"{os.cpu_count()} cores; every file through LiteRT as it is shipped. Border of one "
        "scale cut; Y as MATLAB's, not rounded.",
        "shipped": shipped_table(measured),
        "others": comparison_table(measured, sets),
        "size": size_table(),
        **read_parts(document.parent / "data" / "quality_tables.json"),
        "score": score_table(measured),
        "video": video_table(),
        "cells": _cells_tables(document.parent / "data"),
    }
    fill(document, parts)
    draw_training_curve(images / "quality_curve.png")
    write_crops(images / "quality_crops.webp")


def _cells_tables(data: Path) -> str:
    """Make the tables of what ``python -m xlsr_model video --json data/video_x3.json`` measured."""
    parts = []
    for file in sorted(data.glob("video_x*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = content["cells"]
        clips = len({row["clip"] for row in rows})
        parts += [
            f"x{content['scale']}, {clips} clips, {len(rows)} cells of {content['frames']} frames:",
            cells_table(rows),
            split_table(rows, "level"),
        ]
    return "\n\n".join(parts)
