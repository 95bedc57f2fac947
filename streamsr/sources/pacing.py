"""Decides when each frame of a live source is to leave. Numbers only: no clock, no pixels.

A frame has a time on the sender's clock, and its data came at a time on ours. The difference,
transit, is not the same for all: networks delay some, and servers send many at once. Frames leave
evenly when each one leaves as late as the slowest needs. How much later that is than the quickest
is the jitter buffer.
"""

from collections import deque
from dataclasses import dataclass

WINDOW_S = 10.0
"""Frames that came in this time decide: longer than a key frame interval, after which servers
send what they have gathered."""

WINDOW_FRAMES = 2000
"""At most: 200 a second, more than any display shows."""

SLEW = 0.1
"""By what share frames leave faster than their times say while the buffer shrinks: a second that
was read before the first picture is made good within 10, and nobody sees it."""

JUMP_S = 2.0
"""A step of the sender's clock, beyond what ours says went by, after which it is another clock."""

FETCHED_JUMP_S = 30.0
"""The same where our clock says nothing: films may stand still for long."""

BACK_S = 0.25
"""A step back that is one; smaller ones are the rounding of containers."""

STEP_S = 0.04
"""Time between two frames while it is not known."""

BEHIND_S = 0.5
"""A frame of what is fetched that leaves so late, for want of time here, moves all that follow."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame belongs.

    time_s   on the timeline of the whole run, from 0, which goes on over interruptions and where
             the sender's clock jumps
    due_s    when it is to leave, on our clock: not before its data came
    late_s   how much later that is than it was to be before its data came
    """

    time_s: float
    due_s: float
    late_s: float


class Pacer:
    """Gives each frame its place. For one thread.

    A sender of its own pace is followed: its clock decides, however it drifts against ours. What is
    fetched (a film, HLS) comes as fast as it is asked for: there our clock decides, and an answer
    that came too late moves all that follows.
    """

    def __init__(self) -> None:
        self.buffer_s = 0.0
        """The jitter buffer: how much later than at the earliest frames leave."""
        self._transits: deque[tuple[float, float]] = deque(maxlen=WINDOW_FRAMES)
        self._fetched = False
        self._anchored = False
        self._zero_s = 0.0  # of the timeline, on our clock
        self._correction_s = 0.0  # from the sender's clock to the timeline
        self._offset_s = 0.0  # from the timeline to our clock
        self._last_s: float | None = None
        self._arrival_s = self._due_s = 0.0
        self._step_s = STEP_S

    def connected(self, *, fetched: bool) -> None:
        """Say that the next frame is the first of a connection."""
        self._fetched = fetched
        self._anchored = False

    def place(self, sent_s: float, arrival_s: float, *, now_s: float | None = None) -> Place:
        """The place of the next frame: ``sent_s`` on the sender's clock, its data here at
        ``arrival_s``, not given before ``now_s``."""
        now_s = arrival_s if now_s is None else now_s
        passed_s = 0.0  # in which the buffer shrinks: while frames leave, not over an interruption
        if self._last_s is None:
            time_s, self._zero_s = 0.0, arrival_s
            self._anchor(sent_s, time_s, max(arrival_s, now_s))
        elif not self._anchored:
            due_s = max(arrival_s, now_s, self._due_s + self._step_s)
            if self._fetched:
                time_s = self._last_s + due_s - self._due_s
            else:
                # By our clock: what leaves late at first is made good, and a sender may send
                # ahead of its time; both would make the timeline longer with each connection.
                time_s = max(arrival_s - self._zero_s, self._last_s + self._step_s)
            self._anchor(sent_s, time_s, due_s)
        elif self._jumps(sent_s, arrival_s):
            due_s = max(arrival_s, self._due_s + self._step_s)
            time_s = self._last_s + due_s - self._due_s
            passed_s = time_s - self._last_s
            self._correction_s = time_s - sent_s
        else:
            time_s = sent_s + self._correction_s
            passed_s = max(time_s - self._last_s, 0.0)
            if 0 < passed_s < JUMP_S:
                self._step_s = passed_s
        expected_s = max(time_s + self._offset_s, self._due_s)
        self._follow(time_s, arrival_s, passed_s)
        self._due_s = max(time_s + self._offset_s, arrival_s, self._due_s)
        self._last_s, self._arrival_s = time_s, arrival_s
        return Place(time_s, self._due_s, max(self._due_s - expected_s, 0.0))

    def left(self, now_s: float) -> None:
        """Say that the last frame left now. Much later than it was due, which is our own lack of
        time, it moves all that follow of what is fetched. A sender of its own pace goes on
        meanwhile: its frames leave at once until they are at their times again, or a machine that
        is too slow for a while would be that far behind for ever, and the further each time."""
        late_s = now_s - self._due_s
        if self._fetched and late_s > BEHIND_S:
            self._offset_s += late_s
            self._transits.clear()
            self._due_s = now_s

    def _anchor(self, sent_s: float, time_s: float, due_s: float) -> None:
        """Have the sender's clock stand for ``time_s`` of the timeline, and leave at ``due_s``."""
        self._anchored = True
        self._correction_s = time_s - sent_s
        self._offset_s = due_s - time_s
        self._transits.clear()
        self.buffer_s = 0.0

    def _jumps(self, sent_s: float, arrival_s: float) -> bool:
        """Whether the sender's clock is another one since the last frame."""
        assert self._last_s is not None
        step_s = sent_s + self._correction_s - self._last_s
        if step_s < -BACK_S:
            return True
        if self._fetched:
            return step_s > FETCHED_JUMP_S
        return step_s > max(arrival_s - self._arrival_s, 0.0) + max(JUMP_S, 5 * self._step_s)

    def _follow(self, time_s: float, arrival_s: float, passed_s: float) -> None:
        """Set the offset by what this frame's transit says, ``passed_s`` after the one before."""
        transit_s = arrival_s - time_s
        if self._fetched:
            late_s = max(transit_s - self._offset_s, 0.0)
            self._offset_s += late_s
            self.buffer_s += late_s
            return
        self._transits.append((arrival_s, transit_s))
        while self._transits[0][0] < arrival_s - WINDOW_S:
            self._transits.popleft()
        quickest_s = min(transit for _, transit in self._transits)
        slowest_s = max(transit for _, transit in self._transits)
        self._offset_s = max(slowest_s, self._offset_s - SLEW * passed_s)
        self.buffer_s = max(self._offset_s - quickest_s, 0.0)
