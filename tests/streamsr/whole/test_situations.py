"""Recordings as people have them, through the real command, judged by FFmpeg's own programs."""

from pathlib import Path

import pytest

from tools.situations import SITUATIONS, Situation


def _tried() -> list[object]:
    """One situation of a group in every run, the others on demand; and what is done again."""
    seen: set[tuple[str, str]] = set()
    found: list[object] = []
    for one in SITUATIONS:
        group = one.kind, one.name.split(" to ")[0].split(",")[0].split(" from ")[0]
        for more in ((), *one.also):
            marks = [pytest.mark.slow] if (*group, *more) in seen else []
            seen.add((*group, *more))  # type: ignore[arg-type]
            name = " ".join((one.kind, one.name, *more))
            found.append(pytest.param(one, more, id=name, marks=marks))
    return found


@pytest.mark.parametrize(("situation", "more"), _tried())
def test_it_comes_out_right(situation: Situation, more: tuple[str, ...], tmp_path: Path) -> None:
    situation.judge(situation.run(tmp_path, *more, "--audit", "--threads", "1"))
