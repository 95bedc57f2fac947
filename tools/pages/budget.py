"""Draws the pictures of docs/budget.md, from the policy itself and from the simulator of
its tests.

    python -m tools.pages.budget

Needs matplotlib, of the extra ``train``.
Each picture carries the hash of the numbers it shows, so that a test notices a policy that has
changed since.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamsr.live.budget import Allowance, Situation, Take, decide
from tools.budget_simulator import Scenario, simulate
from xlsr_model.report.page import write_picture

IMAGES = Path(__file__).parents[2] / "docs" / "images"
BUDGET_MS = 50
COLOURS = {Take.ALL: "#00897b", Take.SOME: "#80cbc4", Take.RESIZE: "#ffcc80", Take.DROP: "#bdbdbd"}
TEXT = {
    Take.ALL: "all: the network on everything",
    Take.SOME: "some: the rest is interpolated",
    Take.RESIZE: "resize: interpolation alone",
    Take.DROP: "drop",
}

RUNGS = {"lite": 0.36, "xlsr": 1.0, "plus": 3.0, "max": 6.9}
"""What each rung takes, of XLSR's time."""

Map = list[list[int]]
Run = list[tuple[float, float, float]]
"""Of each frame shown: its time in seconds, its age in milliseconds, its share at full quality."""

Climb = list[tuple[float, float, list[float]]]
"""The same with its share by each rung."""


def decisions(waiting: int) -> Map:
    """What is done by cost of the network (rows, ms) and age (columns, ms) in a calm 30 frames a
    second."""
    takes = list(Take)
    rows = []
    for cost_ms in range(61):
        row = []
        for age_ms in range(61):
            now = Situation(
                age_s=age_ms / 1e3,
                waiting=waiting,
                silent_s=0.033,
                interval_s=1 / 30,
                all_s=[cost_ms / 1e3],
                least_s=0.001,
                resize_s=0.004,
                other_s=0.002,
            )
            row.append(takes.index(decide(now, Allowance(), budget_s=BUDGET_MS / 1e3)[0].take))
        rows.append(row)
    return rows


def climb(
    whole_s: float,
    spikes: Sequence[tuple[float, float, float]],
    static: Sequence[tuple[float, float]],
) -> Climb:
    """As `run`, on the rungs of the family; ``whole_s`` is XLSR's."""
    s = replace(_scenario(whole_s, spikes, static), rungs=[*RUNGS.values()], begin_on=2)
    seen = simulate(s)
    return [
        (round(t, 3), round(age * 1e3, 1), [round(share, 2) for share in shares])
        for (t, age, _), shares in zip(seen.shown, seen.by_rung, strict=True)
    ]


def run(
    whole_s: float,
    spikes: Sequence[tuple[float, float, float]],
    static: Sequence[tuple[float, float]],
) -> Run:
    """Simulated: 30 frames a second, a machine that takes ``whole_s`` for a frame by network."""
    return [
        (round(t, 3), round(age * 1e3, 1), round(share, 2))
        for t, age, share in simulate(_scenario(whole_s, spikes, static)).shown
    ]


def _scenario(
    whole_s: float,
    spikes: Sequence[tuple[float, float, float]],
    static: Sequence[tuple[float, float]],
) -> Scenario:
    return replace(
        Scenario.of(1),
        budget_s=BUDGET_MS / 1e3,
        interval_s=1 / 30,
        whole_s=whole_s,
        call_s=0.001,
        noise=0.05,
        spikes=list(spikes),
        stalls=[],
        static=list(static),
    )


def contents() -> dict[str, list[Map] | Run | Climb]:
    """What each picture shows."""
    return {
        "budget_map": [decisions(0), decisions(1)],
        "budget_spike": run(0.020, [(3.0, 4.5, 4.0)], []),
        "budget_still": run(0.1, [], [(4.0, 12.0)]),
        "budget_rungs": climb(0.008, [(3.0, 4.5, 5.0)], [(8.0, 12.0)]),
    }


def digest(content: list[Map] | Run | Climb) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def main() -> None:
    shown = contents()
    draw_map(shown["budget_map"])  # type: ignore[arg-type]  # by its name
    draw_run("budget_spike", shown["budget_spike"], "4 times slower", (3.0, 4.5), (2.0, 6.5))  # type: ignore[arg-type]
    draw_run("budget_still", shown["budget_still"], "picture stands still", (4.0, 12.0), (3.0, 6.0))  # type: ignore[arg-type]
    draw_rungs(shown["budget_rungs"])  # type: ignore[arg-type]


def draw_rungs(frames: Climb) -> None:
    from matplotlib import pyplot as plt

    times, ages, shares = (list(column) for column in zip(*frames, strict=True))
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
    upper.plot(times, ages, ".", color="#00695c", markersize=3)
    upper.axhline(BUDGET_MS, color="#c62828", linewidth=1)
    upper.set(ylabel="age of frames shown, ms", ylim=(0, 60))
    shades = ["#b2dfdb", "#4db6ac", "#00897b", "#004d40"]
    stacked = 100 * np.array(shares).T
    lower.stackplot(times, stacked, labels=list(RUNGS), colors=shades, step="post")
    lower.set(ylabel="by each rung, % of pixels", xlabel="time, s", ylim=(0, 104), xlim=(2, 12))
    lower.legend(loc="lower left", ncols=4, frameon=False)
    upper.axvspan(3.0, 4.5, color="#ffe0b2", alpha=0.6)
    upper.axvspan(8.0, 12.0, color="#e0e0e0", alpha=0.6)
    upper.grid(alpha=0.3)
    upper.annotate("5 times slower", (3.0, 2), (4, 2), textcoords="offset points")
    upper.annotate("picture stands still", (8.0, 2), (4, 2), textcoords="offset points")
    save(figure, "budget_rungs", frames)


def draw_map(maps: Sequence[Map]) -> None:
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    for axis, grid, title in zip(
        axes, maps, ("no newer frame waits", "a newer frame waits"), strict=True
    ):
        axis.imshow(
            grid,
            origin="lower",
            cmap=ListedColormap(list(COLOURS.values())),
            vmin=0,
            vmax=3,
            aspect="auto",
        )
        axis.set(title=title, xlabel="age of the frame when its turn comes, ms")
    axes[0].set_ylabel("the network on everything would take, ms")
    handles = [Patch(color=COLOURS[take], label=TEXT[take]) for take in Take]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    save(figure, "budget_map", list(maps))


def draw_run(
    name: str, frames: Run, shade: str, span: tuple[float, float], limits: tuple[float, float]
) -> None:
    from matplotlib import pyplot as plt

    times, ages, shares = np.array(frames).T
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
    upper.plot(times, ages, ".", color="#00695c", markersize=4)
    upper.axhline(BUDGET_MS, color="#c62828", linewidth=1)
    upper.annotate(
        "budget", (limits[0], BUDGET_MS), (3, -12), textcoords="offset points", color="#c62828"
    )
    upper.set(ylabel="age of frames shown, ms", ylim=(0, 60))
    lower.plot(times, 100 * shares, ".-", color="#00897b", markersize=4, linewidth=0.8)
    lower.set(ylabel="at full quality, % of pixels", xlabel="time, s", ylim=(-4, 104), xlim=limits)
    for axis in (upper, lower):
        axis.axvspan(*span, color="#ffe0b2", alpha=0.6)
        axis.grid(alpha=0.3)
    upper.annotate(shade, (span[0], 2), (4, 2), textcoords="offset points")
    save(figure, name, frames)


def save(figure: object, name: str, content: list[Map] | Run | Climb) -> None:
    picture, mark = io.BytesIO(), digest(content)
    figure.savefig(picture, format="png", dpi=110, metadata={"Description": mark})  # type: ignore[attr-defined]  # matplotlib's
    write_picture(IMAGES / f"{name}.png", picture.getvalue(), mark=mark.encode())


if __name__ == "__main__":
    main()
