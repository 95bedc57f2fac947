"""Pipelines as files: a command of ``streamsr`` with its options in three tables, read and written.

    command = "live"          # upscale, live or pipe
    [source]
    input = "0"
    [upscale]
    budget-ms = 50
    [sink]
    preview = "window"

The keys are the command's own options without their dashes; ``input`` and ``output`` are what it
reads and writes.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import click
from click.core import ParameterSource

from streamsr.errors import quoted

TABLES = {
    "source": frozenset(
        {
            "input",
            "start",
            "duration",
            "realtime",
            "size",
            "format",
            "rate",
            "interlaced",
            "max-pixels",
            "max-duration",
        }
    ),
    "sink": frozenset(
        {
            "output",
            "codec",
            "crf",
            "preset",
            "overwrite",
            "strict",
            "dry-run",
            "resume",
            "segment",
            "cluster",
            "audit",
            "keep-partial",
            "preview",
            "host",
            "port",
            "record",
            "publish",
            "stats-json",
            "metrics",
        }
    ),
}
"""Whose keys stand where; everything else is about upscaling."""

LARGEST_FILE = 1 << 20
"""Bytes of a pipeline file; ordinary ones have some hundred, a device never ends."""

Value = str | int | float | bool | list[str]


def read_pipeline(
    path: Path, commands: Mapping[str, click.Command]
) -> tuple[click.Command, list[str]]:
    """The command that a pipeline file means, and its arguments. Raises click.UsageError saying
    what is wrong."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE:
            raise click.UsageError(f"{path}: is larger than {LARGEST_FILE} bytes: no pipeline")
        content = tomllib.loads(text.decode())
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # also an integer of more than 4300 digits
        raise click.UsageError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise click.UsageError(f"{path}: not TOML: brackets in brackets without end") from None
    name = content.pop("command", None)
    if not isinstance(name, str) or name not in commands:
        raise click.UsageError(
            f"{path}: expected command = one of {', '.join(sorted(commands))}, got {quoted(name)}"
        )
    command = commands[name]
    parameters = {_key(parameter): parameter for parameter in command.params}
    words: list[str] = []
    inputs: list[str] = []
    for table, values in content.items():
        if table not in (*TABLES, "upscale"):
            raise _unknown(path, f"table [{table}]", table, [*TABLES, "upscale"])
        if not isinstance(values, dict):
            raise click.UsageError(f"{path}: {table} is not a table; write [{table}]")
        allowed = [key for key in parameters if table_of(key) == table]
        for key, value in values.items():
            if key not in allowed:
                raise _unknown(path, f"key {key} in [{table}]", key, allowed)
            if isinstance(parameters[key], click.Argument):
                inputs += _strings(path, key, value)
            else:
                words += _words(path, parameters[key], value)
    return command, [*words, *(["--", *inputs] if inputs else [])]


def write_pipeline(context: click.Context) -> str:
    """The pipeline file that equals a command line."""
    tables: dict[str, list[str]] = {"source": [], "upscale": [], "sink": []}
    for parameter in context.command.params:
        if (
            parameter.name is None
            or context.get_parameter_source(parameter.name) is ParameterSource.DEFAULT
        ):
            continue
        key = _key(parameter)
        if key != "print-pipeline":
            value = _plain(context.params.get(parameter.name))
            tables[table_of(key)].append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    if any(
        "\ud800" <= character <= "\udfff"
        for keys in tables.values()
        for key in keys
        for character in key
    ):
        raise click.UsageError("a name that is not UTF-8 cannot stand in a pipeline file")
    lines = [f'command = "{context.command.name}"']
    for table, keys in tables.items():
        if keys:
            lines += ["", f"[{table}]", *keys]
    return "\n".join(lines)


def table_of(key: str) -> str:
    return next((table for table, keys in TABLES.items() if key in keys), "upscale")


def _key(parameter: click.Parameter) -> str:
    """The name of an option without its dashes."""
    if isinstance(parameter, click.Argument):
        return "input"
    return max(parameter.opts, key=len).removeprefix("--")


def _words(path: Path, option: click.Parameter, value: object) -> list[str]:
    """An option with its value, as on a command line."""
    assert isinstance(option, click.Option)
    name = max(option.opts, key=len)
    if option.is_flag:
        if not isinstance(value, bool):
            raise click.UsageError(f"{path}: {_key(option)} is true or false, got {quoted(value)}")
        if value:
            return [name]
        return option.secondary_opts[:1]
    return [word for text in _strings(path, _key(option), value) for word in (name, text)]


def _strings(path: Path, key: str, value: object) -> list[str]:
    """A value as the words of a command line, which are texts without a zero character."""
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) for item in items):
        raise click.UsageError(
            f"{path}: {key} is a text, a number or a list of them, got {quoted(value)}"
        )
    try:
        words = [str(item) for item in items]
    except ValueError:  # an integer of more than 4300 digits, in hexadecimals
        raise click.UsageError(f"{path}: {key} is larger than any number here") from None
    if any("\0" in word for word in words):
        raise click.UsageError(f"{path}: {key} has a zero character")
    return words


def _plain(value: object) -> Value:
    """What click made of an argument, as TOML has it."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return [f"{key}={item}" for key, item in value.items()]
    if (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(side, int) for side in value)
    ):
        return f"{value[0]}x{value[1]}"
    if isinstance(value, tuple):
        texts = [str(item) for item in value]
        return texts[0] if len(texts) == 1 else texts
    return str(value)


def _unknown(path: Path, what: str, word: str, known: list[str]) -> click.UsageError:
    near = difflib.get_close_matches(word[:100], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
    return click.UsageError(f"{path}: unknown {what}; {hint}")
