"""The tables of `python -m xlsr_model video`."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xlsr_model.report.markdown import table

Row = dict[str, Any]
"""A cell as `evaluation.cells.measure_cells` returns it."""

RESIZES = ("bicubic", "lanczos")
BELOW = -0.005  # dB: less is a rounding, not a loss


def gain(row: Row, name: str, measure: str = "psnr_y") -> float:
    """Return by how much a variant is above the better resize of a cell."""
    measures = row["measures"]
    return float(measures[name][measure] - max(measures[resize][measure] for resize in RESIZES))


def cells_table(rows: Sequence[Row]) -> str:
    """Make the table of the variants over all cells.

    Gains are over the better of bicubic and lanczos in each cell and measure. Shifts are the mean
    and the worst of the cells' |mean colour shift|, RGB by its worst channel; "own" is against the
    decoded input, which the codec has shifted already. "still" is the flicker where the truth
    stands still, as a share of bicubic's.
    """
    lines = []
    for name in rows[0]["measures"]:
        gains = [gain(row, name) for row in rows]
        worst = int(np.argmin(gains))
        cell = " ".join(str(rows[worst][key]) for key in ("clip", "kernel", "codec", "quality"))
        of = [row["measures"][name] for row in rows]
        lines.append(
            [
                name,
                f"{np.mean(gains):+.2f}",
                sum(value < BELOW for value in gains),
                f"{gains[worst]:+.2f} ({cell})",
                *(f"{np.mean([gain(row, name, key) for row in rows]):+.4f}" for key in ["ssim_y"]),
                *(
                    f"{np.mean([m[key] for m in of]):.1f} "
                    f"({np.mean([gain(row, name, key) for row in rows]):+.1f})"
                    for key in ("vmaf", "vmaf_neg", "xpsnr_y")
                ),
                *(
                    _shift(of, keys)
                    for keys in (["shift_y"], _rgb("shift"), ["own_y"], _rgb("own"))
                ),
                f"{np.mean([m['flicker'] for m in of]):.2f}",
                _still(rows, name),
            ]
        )
    header = ["variant", "Y dB over the better resize", f"below, of {len(rows)}", "worst cell"]
    header += ["SSIM", "VMAF", "VMAF-NEG", "XPSNR", "shift Y", "shift RGB", "own Y", "own RGB"]
    return table([*header, "flicker", "still"], lines)


def _rgb(kind: str) -> list[str]:
    return [f"{kind}_{channel}" for channel in "rgb"]


def _shift(measures: Iterable[dict[str, float]], keys: Sequence[str]) -> str:
    shifts = [max(abs(of[key]) for key in keys) for of in measures]
    return f"{np.mean(shifts):.2f} / {max(shifts):.2f}"


def _still(rows: Sequence[Row], name: str) -> str:
    """Sum over the cells where something stands still, so that the calmest do not count most."""
    pairs = [
        (of["flicker_still"], row["measures"]["bicubic"]["flicker_still"])
        for row in rows
        for of in [row["measures"][name]]
        if of["flicker_still"] is not None
    ]
    shown, bicubic = np.sum(pairs, axis=0) if pairs else (0.0, 0.0)
    return f"{shown / bicubic:.2f}" if bicubic else "-"


def split_table(rows: Sequence[Row], key: str) -> str:
    """Make the table of the mean Y gain by clip, kernel, codec or level; with the cells below."""
    names = [name for name in rows[0]["measures"] if name not in RESIZES]
    lines = []
    for value in dict.fromkeys(row[key] for row in rows):
        of = [row for row in rows if row[key] == value]
        lines.append([value, *(_mean_and_below(of, name) for name in names)])
    return table([key, *names], lines)


def _mean_and_below(rows: Sequence[Row], name: str) -> str:
    gains = [gain(row, name) for row in rows]
    below = sum(value < BELOW for value in gains)
    return f"{np.mean(gains):+.2f}" + (f" ({below} of {len(gains)} below)" if below else "")


def all_tables(rows: Sequence[Row]) -> str:
    """Join the table of the variants and those by whatever differs between the cells."""
    keys = [key for key in ("clip", "kernel", "codec", "level") if _differs(rows, key)]
    return "\n\n".join([cells_table(rows), *(split_table(rows, key) for key in keys)])


def _differs(rows: Sequence[Row], key: str) -> bool:
    return len({row[key] for row in rows}) > 1
