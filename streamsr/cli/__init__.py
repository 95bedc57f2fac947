"""The command line: `main` runs it, `cli` is the group of its commands."""

from streamsr.cli.commands import cli, main

__all__ = ["cli", "main"]
