"""What the connections to an address have shown, and so where the next one goes on.

A film over HTTP goes on where it broke off, and a playlist gives its last pieces again to who
connects again: nothing is shown twice.
"""

import logging
from dataclasses import dataclass

import av
from av.container.input import InputContainer

from streamsr.frame import StreamInfo

log = logging.getLogger("streamsr")

PLAYLISTS = frozenset({"hls", "dash"})
"""FFmpeg's formats that fetch piece by piece. The size of such a resource is not the film's."""

TRIES = 3
"""Connections without a picture after which a film ends where it broke off."""

AT_END_S = 0.1
"""Between the last picture's time and the end of a film: a picture of ten a second."""

MOST_OF_IT = 0.9
"""Share of a film's bytes behind which its pictures may end: indexes and sound follow."""

ESTIMATED = frozenset({"mpegts", "mpeg"})
"""Formats without a length of their own: FFmpeg takes it from what it could read."""

REPEATED_S = 60.0
"""A playlist gives its last pieces again to who connects again: no more of them than this."""


@dataclass(slots=True)
class Shown:
    """What the connections to an address have shown; kept up to date by the one that is open.

    info    of the first connection, None before
    film    that was of known length
    time_s  of the last picture, on the sender's clock
    tries   connections since then that gave no picture
    lost    connections that could not be closed
    """

    info: StreamInfo | None = None
    film: bool = False
    time_s: float | None = None
    tries: int = 0
    lost: int = 0

    def is_all(self, container: InputContainer, *, film: bool, name: str) -> bool:
        """Whether a new connection, to a ``film`` of known length, has nothing more to show. A
        film without a picture in several connections has not."""
        if self.info is None or not film:
            return False
        if not self.film:  # a live playlist has got its end while we were away
            return container.format.name in PLAYLISTS
        self.tries += 1
        if self.tries <= TRIES and not is_at_end(container, self.time_s):
            return False
        log.warning("%s: nothing comes behind what was shown", name)
        return True


def is_at_end(container: InputContainer, last_s: float | None) -> bool:
    """Whether a picture of this time is the last of a film, as far as its length says."""
    if last_s is None or not container.duration:
        return False
    end_s = ((container.start_time or 0) + container.duration) / av.time_base
    return last_s + AT_END_S >= end_s


def is_torn(container: InputContainer, last_s: float | None, *, read_to: int) -> bool:
    """Whether a film that has given its last packet, up to this byte, ended well before its last
    one: a break while FFmpeg learns what it is looks like its end. -1 is unknown."""
    if container.format.name not in ESTIMATED and is_at_end(container, last_s):
        return False
    return 0 <= read_to < container.size * MOST_OF_IT
