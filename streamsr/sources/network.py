"""Receives network streams, through PyAV: RTSP, RTMP, HLS, SRT, MPEG-TS over UDP or TCP, HTTP."""

from streamsr.interrupt import Pause, Waits
from streamsr.media.url import scheme_of, without_secrets
from streamsr.options import INTERLACED
from streamsr.sources.connection import Asked, Connection
from streamsr.sources.live_sound import LiveSound
from streamsr.sources.reconnect import ReconnectingSource
from streamsr.sources.shown import Shown
from streamsr.stats import Recorder

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "rtp", "srt", "tcp")

TIMEOUT_S = 5.0
"""Longest wait for a connection and for a packet."""


def is_network(spec: str) -> bool:
    return scheme_of(spec) in SCHEMES


def network(
    url: str,
    *,
    timeout_s: float = TIMEOUT_S,
    interlaced: str = INTERLACED[0],
    record: Recorder | None = None,
    pause: Waits | None = None,
) -> ReconnectingSource:
    """A source for the stream at this URL.

    timeout_s   longest wait for a connection and for a packet
    interlaced  what to do with interlaced frames, see `streamsr.options.INTERLACED`
    pause       the wait between connections, and for a frame's time; another one in tests

    A stream that is running already is shown from its next key frame on. One that breaks off or
    falls silent is connected to again. One of known length, such as a film over HTTP, goes on where
    it broke off, and ends at its end.
    """
    waits = pause or Pause()
    name = without_secrets(url)
    record = record or Recorder()
    sound = LiveSound(name, record)

    def say(state: str) -> None:
        source.state = state

    asked = Asked(
        url,
        name,
        timeout_s,
        interlaced,
        record,
        sound,
        say,
        stopped=lambda: waits.wait(0.0),
        end=lambda: source.stop(),
    )
    shown = Shown()
    source = ReconnectingSource(
        name, lambda: Connection(asked, shown), record=record, sound=sound, pause=waits
    )
    return source
