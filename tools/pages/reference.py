"""The pages of the site that are made from the program: a hook of mkdocs, so that they are never
out of date.

reference/commands.md  from the commands' own options
reference/library.md   from signatures and docstrings
changelog.md           CHANGELOG.md, with its links as they are inside docs/
"""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import streamsr
import streamsr.errors
from streamsr.cli import cli
from xlsr_model.__main__ import app

ROOT = Path(__file__).parents[2]

LIBRARY: dict[str, list[str]] = {
    "Upscaling": ["streamsr.Upscaler", "streamsr.Pipeline"],
    "Sources and sinks": [
        "streamsr.FileSource",
        "streamsr.FeedSource",
        "streamsr.FileSink",
        "streamsr.sources.pattern.PatternSource",
        "streamsr.sources.y4m.Y4mSource",
        "streamsr.sinks.y4m.Y4mSink",
        "streamsr.sources.y4m.Y4mFormat",
    ],
    "What travels": [
        "streamsr.Frame",
        "streamsr.StreamInfo",
        "streamsr.Stats",
        "streamsr.stats.Live",
    ],
    "Contracts": [
        "streamsr.sources.Source",
        "streamsr.sources.Stoppable",
        "streamsr.sinks.Sink",
        "streamsr.engines.Engine",
        "streamsr.engines.Tile",
        "streamsr.region.Region",
    ],
}
"""Headings, and under each the names as programs import them."""

LONG = 90
"""Characters of a signature in one line."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Called by mkdocs once it has found the pages."""
    for path, content in (
        ("reference/commands.md", commands_page()),
        ("reference/library.md", library_page()),
        (
            "changelog.md",
            (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "]("),
        ),
    ):
        files.append(File.generated(config, path, content=content))
    return files


def commands_page() -> str:
    """Every command with all its options, as ``--help`` has them."""
    lines = [
        "# Commands",
        "Made from the program's own options; `streamsr COMMAND --help` says the same. Exit "
        "status: 0 done, 1 an error"
        " in one line on standard error, 2 wrong usage, 130 stopped by Ctrl-C.",
    ]
    for group, name in ((cli, "streamsr"), (app, "python -m xlsr_model")):
        lines += ["" if group is cli else f"## {name}", _text(group.help) if group is app else ""]
        with click.Context(group, info_name=name) as parent:
            for command in group.commands.values():
                if command.hidden:
                    continue
                lines += [
                    f"{'##' if group is cli else '###'} {name} {command.name}",
                    *_command(command, parent),
                ]
    return "\n\n".join(filter(None, lines)) + "\n"


def _command(command: click.Command, parent: click.Context) -> Iterator[str]:
    with click.Context(command, parent=parent, info_name=command.name) as context:
        yield (
            f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n"
            f"```"
        )
        yield _text(command.help)
        rows = [
            f"| {_code(record[0])} | {_cell(record[1])} |"
            for param in command.params
            if isinstance(param, click.Option) and (record := param.get_help_record(context))
        ]
        if rows:
            yield "\n".join(["| option | meaning |", "|---|---|", *rows])


def library_page() -> str:
    """The public names, and the contracts behind them."""
    lines = ["# Library", "Made from the docstrings.", _text(streamsr.__doc__)]
    for heading, paths in LIBRARY.items():
        lines += [f"## {heading}", *(part for path in paths for part in _class(path))]
    lines += ["## Errors", _text(streamsr.errors.__doc__)]
    return "\n\n".join(filter(None, lines)) + "\n"


def _class(path: str) -> Iterator[str]:
    home, _, name = path.rpartition(".")
    thing = getattr(import_module(home), name)
    node = ast.parse(dedent(inspect.getsource(thing))).body[0]
    assert isinstance(node, ast.ClassDef)
    yield f"### {name}"
    yield (f"```python\nfrom {home} import {name}\n\n{name}{_constructor(node)}\n```")
    yield _text(ast.get_docstring(node))
    members = []
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and (
            item.name == "__call__" or not item.name.startswith("_")
        ):
            marks = {ast.unparse(mark) for mark in item.decorator_list}
            name = item.name if item.name != "__call__" else f"{thing.__name__.lower()}"
            shown = (
                f"{name}: {_annotation(item.returns)}"
                if "property" in marks
                else f"{name}{_signature(item)}"
            )
            said = _cell(ast.get_docstring(item) or "")
            members.append(f"- `{shown}`" + (f"  \n    {said}" if said else ""))
    yield "\n".join(members)


def _constructor(node: ast.ClassDef) -> str:
    """How one is made; of a contract nothing, as it is not."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            item.returns = None
            return _signature(item)
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    return (
        _call([_parameter(ast.unparse(f.target), f.annotation, f.value) for f in fields])
        if fields
        else ""
    )


def _signature(function: ast.FunctionDef) -> str:
    """As the source has it, without ``self``."""
    arguments = function.args
    plain = arguments.posonlyargs + arguments.args
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults)) + list(
        arguments.defaults
    )
    words = [
        _parameter(a.arg, a.annotation, default) for a, default in zip(plain, defaults, strict=True)
    ][1:]
    if arguments.kwonlyargs:
        words.append("*")
        pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        words += [_parameter(a.arg, a.annotation, default) for a, default in pairs]
    return _call(words) + (f" -> {_annotation(function.returns)}" if function.returns else "")


def _parameter(name: str, annotation: ast.expr | None, default: ast.expr | None) -> str:
    return f"{name}: {_annotation(annotation)}" + (f" = {ast.unparse(default)}" if default else "")


def _annotation(annotation: ast.expr | None) -> str:
    """A quoted one without its quotes."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation) if annotation else ""


def _call(words: list[str]) -> str:
    """The parentheses of a call; a parameter a line where they are many."""
    line = f"({', '.join(words)})"
    return line if len(line) < LONG else "(\n" + "".join(f"    {word},\n" for word in words) + ")"


def _text(docstring: str | None) -> str:
    """Markdown of a docstring: its aligned ``name  meaning`` lines become a table, its drawings
    stay as they are."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(docstring or ""))
    return "\n\n".join(_block(block) for block in blocks)


def _block(block: str) -> str:
    lines = block.splitlines()
    if lines and all(line.startswith("    ") for line in lines):
        return f"```text\n{dedent(block)}\n```"
    rows: list[list[str]] = []
    column = 0
    for line in lines:
        if rows and line.startswith("  "):
            rows[-1][1] += " " + line.strip()
        elif match := re.fullmatch(r"(\S+(?:,? \S+)*?) {2,}(\S.*)", line):
            column = column or match.start(2)
            rows.append([match[1], match[2]])
        elif (
            rows and line[column - 1] == " "
        ):  # one space is left between a long name and the column
            rows.append([line[: column - 1], line[column:]])
        else:
            return block.replace("<", "&lt;")
    cells = (f"| {_code(name)} | {_cell(meaning)} |" for name, meaning in rows)
    return "\n".join(["| name | meaning |", "|---|---|", *cells])


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    """In one line, without what Markdown would take for its own."""
    return re.sub(r"\s*\n\s*", " ", text).replace("<", "&lt;").replace("|", "\\|")
