"""``streamsr run`` and ``--print-pipeline``: a command with its options as a TOML file of three
tables.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from streamsr.cli.parameters import TABLES, TableOption
from streamsr.errors import quoted

COMMANDS = ("upscale", "live", "pipe")
"""Those that a file can name."""

LARGEST_FILE = 1 << 20
"""Bytes of a pipeline file; ordinary ones have some hundred, and a device never ends."""

Value = str | int | float | bool | list[str]


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION]...")
@click.pass_context
def run(context: click.Context, file: Path, more: tuple[str, ...]) -> Any:  # Any: click's
    """Run a pipeline from a TOML FILE; further options of its command replace those in it."""
    assert context.parent is not None
    group = context.parent.command
    assert isinstance(group, click.Group)
    pipeline = read_pipeline(file, {name: group.commands[name] for name in COMMANDS})
    return pipeline.command.main(
        pipeline.words(more),
        prog_name=f"streamsr {pipeline.command.name}",
        standalone_mode=False,
        default_map=pipeline.options,
    )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a pipeline file says.

    options  values by parameter, as click's ``default_map`` takes them: words of a command line go
             before them
    """

    command: click.Command
    inputs: Sequence[str]
    options: Mapping[str, Any]

    def words(self, more: Sequence[str] = ()) -> list[str]:
        """The arguments of the command, with further ones before those of the file."""
        return [*more, *(["--", *self.inputs] if self.inputs else [])]

    def context(self, more: Sequence[str] = ()) -> click.Context:
        """The command's context: all values converted and checked. Raises click.UsageError."""
        return self.command.make_context(
            self.command.name, self.words(more), default_map=dict(self.options)
        )


def read_pipeline(path: Path, commands: Mapping[str, click.Command]) -> Pipeline:
    """Read a pipeline file. Raises click.UsageError saying what is wrong."""
    content = _content(path)
    name = content.pop("command", None)
    if not isinstance(name, str) or name not in commands:
        raise click.UsageError(
            f"{path}: expected command = one of {', '.join(sorted(commands))}, got {quoted(name)}"
        )
    command = commands[name]
    parameters = {_key(parameter): parameter for parameter in command.params}
    inputs: list[str] = []
    options: dict[str, Any] = {}
    for table, values in content.items():
        if table not in TABLES:
            raise _unknown(path, f"table [{table}]", table, list(TABLES))
        if not isinstance(values, dict):
            raise click.UsageError(f"{path}: {table} is not a table; write [{table}]")
        allowed = [key for key, parameter in parameters.items() if table_of(parameter) == table]
        for key, value in values.items():
            if key not in allowed:
                raise _unknown(path, f"key {key} in [{table}]", key, allowed)
            parameter = parameters[key]
            if isinstance(parameter, click.Option):
                assert parameter.name is not None
                options[parameter.name] = _option_value(path, parameter, value)
            else:
                inputs += _texts(path, key, value)
    return Pipeline(command, inputs, options)


def _content(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE:
            raise click.UsageError(
                f"{path}: is too large for a pipeline file (over {LARGEST_FILE} bytes)"
            )
        return tomllib.loads(text.decode())
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # also an integer of more than 4300 digits
        raise click.UsageError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise click.UsageError(f"{path}: not TOML: nested too deeply") from None


def write_pipeline(context: click.Context) -> str:
    """Write the pipeline file that equals a command line."""
    tables: dict[str, list[str]] = {table: [] for table in TABLES}
    for parameter in context.command.params:
        table = table_of(parameter)
        if (
            table is None
            or parameter.name is None
            or context.get_parameter_source(parameter.name) is ParameterSource.DEFAULT
        ):
            continue
        value = plain(context.params.get(parameter.name))
        tables[table].append(f"{_key(parameter)} = {json.dumps(value, ensure_ascii=False)}")
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


def table_of(parameter: click.Parameter) -> str | None:
    """The table in which an option or argument stands; None for what files do not have."""
    if isinstance(parameter, click.Argument):
        return "source"
    return parameter.table if isinstance(parameter, TableOption) else None


def _key(parameter: click.Parameter) -> str:
    """The name of an option without its dashes."""
    if isinstance(parameter, click.Argument):
        return "input"
    return max(parameter.opts, key=len).removeprefix("--")


def _option_value(path: Path, option: click.Option, value: object) -> Any:
    """A value as click takes it: true or false for a flag, else the words of a command line, which
    its types check."""
    key = _key(option)
    if option.is_flag:
        if not isinstance(value, bool):
            raise click.UsageError(f"{path}: {key} is true or false, got {quoted(value)}")
        return value
    texts = _texts(path, key, value)
    if option.multiple:
        return texts
    if len(texts) != 1:
        raise click.UsageError(f"{path}: {key} takes one value, got {len(texts)}")
    return texts[0]


def _texts(path: Path, key: str, value: object) -> list[str]:
    """One or several values as texts without a zero character."""
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) for item in items):
        raise click.UsageError(
            f"{path}: {key} is a text, a number or a list of them, got {quoted(value)}"
        )
    try:
        texts = [str(item) for item in items]
    except ValueError:  # an integer of more than 4300 digits, in hexadecimals
        raise click.UsageError(f"{path}: {key} is larger than any number here") from None
    if any("\0" in text for text in texts):
        raise click.UsageError(f"{path}: {key} has a zero character")
    return texts


def plain(value: object) -> Value:
    """Turn a value that click has converted into one that TOML has."""
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
