"""Network addresses: their schemes, without passwords in messages, and why they fail."""

import re
from collections.abc import Iterable
from pathlib import PurePath

from streamsr.errors import reason_of

PUBLISHED_AS = {
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "udp": "mpegts",
    "tcp": "mpegts",
    "srt": "mpegts",
}
"""FFmpeg's container for a stream that is sent to an address, by the address's scheme."""


def scheme_of(address: str) -> str | None:
    """The scheme, such as ``rtsp`` of rtsp://host; None for text that is not an address."""
    match = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", address)
    return match[1].lower() if match else None


def packing_of(target: str) -> str | None:
    """FFmpeg's container for what is published there: at an address, or as an HLS playlist, a file
    whose name ends in .m3u8. None where nothing can be."""
    if scheme_of(target) is None:
        return "hls" if target.lower().endswith(".m3u8") else None
    return PUBLISHED_AS.get(scheme_of(target) or "")


HIDDEN = "***"
"""Stands where a secret was."""

_IN_TEXT = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>:;,.)\]]")


def without_secrets(address: str) -> str:
    """The address without what is secret in it, for lines, logs and pages.

    Hidden are user and password, the values of a query, a fragment, and what follows the
    application in an RTMP path, which is the stream's key. Where an ``@`` comes behind a ``/``,
    ``?`` or ``#`` it may belong to a password or to what follows the host: then all is hidden.
    """
    scheme, _, rest = address.partition("://")
    host, mark, behind = _cut(rest, "/?#")
    if "@" in behind:
        return f"{scheme}://{HIDDEN}"
    host = host.rpartition("@")[2]
    path, mark, behind = _cut(mark + behind, "?#")
    if scheme.lower().startswith("rtmp"):
        path = _cut(path, " \t")[0]  # FFmpeg takes options behind a space
        application, more, _ = path[1:].partition("/")
        path = f"/{application}/{HIDDEN}" if more else f"/{HIDDEN}" if path else ""
    if mark == "?":
        names = [word.partition("=") for word in behind.partition("#")[0].split("&")]
        behind = "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in names)
    elif mark:
        behind = HIDDEN
    return f"{scheme}://{host}{path}{mark}{behind}"


def text_without_secrets(text: str, known: Iterable[str] = ()) -> str:
    """A message without what is secret in its addresses: those ``known``, whatever signs are in
    them, and all others up to the next space or quote."""
    for word in known:
        if scheme_of(word) is not None:
            for written in (word, str(PurePath(word))):  # as a file's name it loses a slash
                text = text.replace(written, without_secrets(word))
    return _IN_TEXT.sub(lambda match: without_secrets(match[0]), text)


def _cut(text: str, marks: str) -> tuple[str, str, str]:
    """The text before the first of these signs, that sign, and the text behind it."""
    match = re.search(f"[{re.escape(marks)}]", text)
    return (
        (text, "", "") if match is None else (text[: match.start()], match[0], text[match.end() :])
    )


def reason(error: BaseException, address: str, timeout_s: float) -> str:
    """Why an address could not be opened, read or written; the text does not contain it."""
    # Here: what else is in this module is needed before FFmpeg is.
    from av.error import ExitError, ProtocolNotFoundError

    if isinstance(error, ProtocolNotFoundError):
        return (
            f"this PyAV, like its wheel, is built without {scheme_of(address)}; one built from "
            f"source may have it, or ffmpeg passes the stream on (docs/live.md)"
        )
    if isinstance(error, ExitError):
        return f"nothing came for {timeout_s:g} s"
    return reason_of(error)
