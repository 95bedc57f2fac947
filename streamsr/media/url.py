"""Network addresses: what is told of them, and why they could not be reached."""

import re

from av.error import ExitError, ProtocolNotFoundError

from streamsr.errors import reason_of

PUBLISHED_AS = {
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "udp": "mpegts",
    "tcp": "mpegts",
    "srt": "mpegts",
}
"""How what is sent to an address is packed, by its scheme."""


def scheme_of(address: str) -> str | None:
    """``rtsp`` of rtsp://..., None for what is no address."""
    match = re.match(r"([a-z]+)://", address)
    return match[1] if match else None


def without_password(address: str) -> str:
    """For messages and logs."""
    return re.sub(r"//[^/@]*@", "//", address)


def reason(error: BaseException, address: str, timeout_s: float) -> str:
    """Why an address could not be opened, read or written, without the address."""
    if isinstance(error, ProtocolNotFoundError):
        return (
            f"this PyAV, like its wheel, is built without {scheme_of(address)}; one built from "
            f"source may have it"
        )
    if isinstance(error, ExitError):
        return f"nothing came for {timeout_s:g} s"
    return reason_of(error)
