"""What an option is besides click's own: its table in pipeline files, and types of values: times,
sizes, names, hosts and addresses."""

import math
import re
from typing import Any

import click

from streamsr.errors import quoted

TABLES = ("source", "upscale", "sink")
"""Of a pipeline file; every option stands in one."""

LONGEST_S = 10**9
"""32 years. In nanoseconds, the finest ticks that containers have, such a time is still a number of
64 bits."""

LONGEST_HOST, LONGEST_LABEL = 253, 63
"""Characters of a host's name and of what stands between its dots, RFC 1035; Python's IDNA codec
fails on others."""


class TableOption(click.Option):
    """An option that stands in a table of pipeline files."""

    def __init__(self, *names: Any, table: str, **attributes: Any) -> None:  # Any: click's
        super().__init__(*names, **attributes)
        self.table = table


class Number(click.FloatRange):
    """A finite number in a range; click's own type takes ``nan``."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:  # Any: click's
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{quoted(value)} is not a finite number", param, ctx)
        return number


class Seconds(click.ParamType[float]):
    """``90``, ``1:30`` or ``0:01:30.5``; up to LONGEST_S."""

    name = "time"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", str(value), re.ASCII)
        if match is None:
            self.fail(f"{quoted(value)} is not a time; write 90, 1:30 or 0:01:30.5", param, ctx)
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        time_s = hours * 3600 + minutes * 60 + seconds
        if not self._least <= time_s <= LONGEST_S:
            self.fail(
                f"{quoted(value)} is not a time from {self._least:g} to {LONGEST_S} seconds",
                param,
                ctx,
            )
        return time_s


class Word(click.ParamType[str]):
    """A name in ASCII, as encoders' presets have them."""

    name = "word"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        if re.fullmatch(r"[!-~]{1,40}", str(value)) is None:
            self.fail(f"{quoted(value)} is not a name", param, ctx)
        return str(value)


class Host(click.ParamType[str]):
    """A host name or address; ``[::1]`` and ``::1`` are the same."""

    name = "host"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        host = str(value)
        if not is_host(host.removeprefix("[").removesuffix("]")):
            self.fail(f"{quoted(host)} is not the name or address of a machine", param, ctx)
        return host


class Address(click.ParamType[str]):
    """``9464``, ``0.0.0.0:9464`` or ``[::1]:9464``; a port alone is on this machine only."""

    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        match = re.fullmatch(r"(?:([\w.-]+|\[[\w:.%]+\]):)?(\d{1,5})", str(value), re.ASCII)
        if (
            match is None
            or int(match[2]) > 65535
            or not is_host((match[1] or "localhost").strip("[]"))
        ):
            self.fail(
                f"{quoted(value)} is not an address; write 9464, 0.0.0.0:9464 or [::1]:9464",
                param,
                ctx,
            )
        return f"{match[1] or '127.0.0.1'}:{match[2]}"


def is_host(text: str) -> bool:
    """Whether a text has the form of a host name in ASCII or of an IPv4 or IPv6 address."""
    labels = text.removesuffix(".").split(".")
    return (
        len(text) <= LONGEST_HOST
        and re.fullmatch(r"[\w.:%-]+", text, re.ASCII) is not None
        and all(0 < len(label) <= LONGEST_LABEL for label in labels)
    )


class Size(click.ParamType[tuple[int, int]]):
    """``640x360``."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", str(value), re.ASCII)
        if match is None:
            self.fail(f"{quoted(value)} is not a size; write 640x360", param, ctx)
        return int(match[1]), int(match[2])
