"""Options: one definition for the command line, pipeline files and the library."""

import sys
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from typing import Any

import click
import pytest

from streamsr.cli import cli
from streamsr.jobs.options import FileOptions, LiveOptions, UpscaleOptions
from streamsr.options import DecodeOptions, Encoding, EngineChoice
from tests.support.processes import run

PARTS = {"choice": EngineChoice, "encoding": Encoding, "decode": DecodeOptions}
"""Fields that are options themselves, of whose own fields the command line is made."""

DERIVED = {"budget_s", "whole"}
"""Fields that the command line makes of --budget-ms and --strict."""

OWN = {"inputs", "output", "stats_json", "progress_json", "print_pipeline", "cluster", "metrics"}
"""Of the command line alone: where results and numbers go."""


def flat(kind: type) -> "dict[str, Field[Any]]":
    """The fields of an options class and of its parts by name; the encoder's threads are no
    option."""
    found: dict[str, Field[Any]] = {}
    for field in fields(kind):
        if field.name in PARTS:
            found |= {f.name: f for f in fields(PARTS[field.name])}
            if field.name == "choice":
                threads = found["threads"]
        else:
            found[field.name] = field
    return found | {"threads": threads}


@pytest.mark.parametrize(
    ("command", "kind", "own"),
    [
        ("upscale", FileOptions, OWN),
        ("live", LiveOptions, OWN | {"budget_ms"}),
        ("pipe", UpscaleOptions, OWN | {"size", "pixel_format", "rate", "interlaced"}),
    ],
)
def test_the_command_line_has_the_fields_of_the_options_and_their_defaults(
    command: str, kind: type, own: set[str]
) -> None:
    known = flat(kind)
    asked: dict[str, click.Parameter] = {
        str(p.name): p for p in cli.commands[command].params if p.name not in own
    }
    assert asked.keys() == known.keys() - DERIVED
    words = {"upscale": ["a.mp4", "-o", "b.mp4"], "live": ["0"], "pipe": []}[command]
    with cli.commands[command].make_context(command, words) as context:
        for name in asked:
            field = known[name]
            default = (
                field.default_factory() if field.default_factory is not MISSING else field.default
            )
            if default is not MISSING:
                assert context.params[name] == default, name


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DecodeOptions("weave"), "expected interlaced to be one of deinterlace, keep"),
        (lambda: Encoding("vp9"), "expected a codec of h264, hevc, av1, ffv1, got 'vp9'"),
        (lambda: Encoding("ffv1", crf=3), "ffv1 is lossless"),
        (lambda: EngineChoice("tpu"), "expected an engine of auto, fused"),
        (lambda: EngineChoice("fused", delegate="x.so"), "LiteRT drives delegates"),
        (lambda: EngineChoice(threads=0), "at least 1 thread"),
        (lambda: EngineChoice(batch=0), "a batch of at least 1"),
    ],
)
def test_a_value_outside_its_choices_is_refused_where_it_is_made(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_options_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        FileOptions().scale = 2  # type: ignore[misc]


def test_options_load_nothing_but_the_standard_library() -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\n"
        "import streamsr.jobs.options, streamsr.jobs.observer\n"
        "new = set(sys.modules) - before\n"
        "print(*sorted(n for n in new if n.split('.')[0] not in sys.stdlib_module_names))\n"
    )
    done = run([sys.executable, "-c", script], check=True)
    assert done.stdout.split() == [
        "streamsr",
        "streamsr.errors",
        "streamsr.jobs",
        "streamsr.jobs.observer",
        "streamsr.jobs.options",
        "streamsr.options",
    ]
