"""Network addresses: their schemes, without passwords in messages, and why they fail."""

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
"""FFmpeg's container for a stream that is sent to an address, by the address's scheme."""


def scheme_of(address: str) -> str | None:
    """The scheme, such as ``rtsp`` of rtsp://host; None for text that is not an address."""
    match = re.match(r"([a-z]+)://", address)
    return match[1] if match else None


def packing_of(target: str) -> str | None:
    """FFmpeg's container for what is published there: at an address, or as an HLS playlist, a file
    whose name ends in .m3u8. None where nothing can be."""
    if scheme_of(target) is None:
        return "hls" if target.lower().endswith(".m3u8") else None
    return PUBLISHED_AS.get(scheme_of(target) or "")


def without_password(address: str) -> str:
    """The address without user and password, for messages and logs."""
    return re.sub(r"//[^/@]*@", "//", address)


def reason(error: BaseException, address: str, timeout_s: float) -> str:
    """Why an address could not be opened, read or written; the text does not contain it."""
    if isinstance(error, ProtocolNotFoundError):
        return (
            f"this PyAV, like its wheel, is built without {scheme_of(address)}; one built from "
            f"source may have it"
        )
    if isinstance(error, ExitError):
        return f"nothing came for {timeout_s:g} s"
    return reason_of(error)
