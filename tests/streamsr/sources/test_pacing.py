"""When frames leave, by numbers alone: no clock, no stream."""

import itertools
import random
from fractions import Fraction

import pytest
from av.packet import Packet

from streamsr.sources.pacing import SLEW, WINDOW_S, Pacer, Place
from streamsr.sources.read_ahead import Arrived, spread

STEP_S = 0.04


def placed(sent: list[float], arrivals: list[float], *, fetched: bool = False) -> list[Place]:
    pacer = Pacer()
    pacer.connected(fetched=fetched)
    return [pacer.place(when, came) for when, came in zip(sent, arrivals, strict=True)]


def steps(places: list[Place]) -> list[float]:
    return [b.due_s - a.due_s for a, b in itertools.pairwise(places)]


def film(count: int, begin_s: float = 0.0) -> list[float]:
    return [begin_s + i * STEP_S for i in range(count)]


def test_an_even_stream_leaves_as_it_comes() -> None:
    sent = film(100, begin_s=7.0)
    places = placed(sent, [50 + when for when in sent])
    assert [place.due_s for place in places] == pytest.approx([50 + when for when in sent])
    assert [place.time_s for place in places] == pytest.approx(film(100))
    assert max(place.late_s for place in places) == pytest.approx(0)


@pytest.mark.parametrize("fetched", [True, False])
def test_what_comes_at_once_leaves_at_its_own_times(fetched: bool) -> None:
    """HLS gives 4 s in an instant, every 4 s."""
    sent = film(300)
    places = placed(sent, [50 + i // 100 * 4.0 for i in range(300)], fetched=fetched)
    assert steps(places) == pytest.approx([STEP_S] * 299)
    assert places[0].due_s == 50


def test_a_film_that_is_all_there_leaves_at_its_own_times() -> None:
    places = placed(film(1000), [50.0] * 1000, fetched=True)
    assert [place.due_s - 50 for place in places] == pytest.approx(film(1000))


def test_jitter_delays_the_first_frames_and_then_none() -> None:
    rng = random.Random(1)
    sent = film(1000)
    places = placed(sent, [50 + when + rng.uniform(0, 0.2) for when in sent])
    late = [place.late_s for place in places]
    assert sum(late[100:]) < 0.05
    assert all(place.due_s >= 50 + when for place, when in zip(places, sent, strict=True))
    assert max(abs(step - STEP_S) for step in steps(places)[200:]) < 0.01


def test_the_buffer_is_as_large_as_the_jitter() -> None:
    pacer = Pacer()
    pacer.connected(fetched=False)
    for i, when in enumerate(film(400)):
        pacer.place(when, 50 + when + 0.15 * (i % 5 == 0))
    assert pacer.buffer_s == pytest.approx(0.15)


def test_the_buffer_shrinks_after_a_rare_delay_too_slowly_to_be_seen() -> None:
    sent = film(1500)
    arrivals = [50 + when + (0.5 if i == 100 else 0.0) for i, when in enumerate(sent)]
    places = placed(sent, arrivals)
    assert places[100].late_s == pytest.approx(0.5)
    assert places[101].due_s - arrivals[101] > 0.4
    assert places[-1].due_s == pytest.approx(arrivals[-1])
    assert min(steps(places)) > STEP_S * (1 - SLEW) - 1e-6
    shrinks = next(i for i, step in enumerate(steps(places)[101:], 101) if step < STEP_S - 1e-6)
    assert WINDOW_S <= sent[shrinks] - sent[100] <= WINDOW_S + 1


@pytest.mark.parametrize("drift", [0.001, -0.001])
def test_a_clock_that_drifts_is_followed(drift: float) -> None:
    """For an hour; 3.6 s off in the end, by a clock that were not followed."""
    sent = film(90_000)
    arrivals = [50 + when * (1 + drift) for when in sent]
    places = placed(sent, arrivals)
    assert all(0 <= p.due_s - came < 0.02 for p, came in zip(places, arrivals, strict=True))
    assert places[-1].time_s == pytest.approx(sent[-1])


@pytest.mark.parametrize("jump_s", [1000.0, -1000.0, -0.5, 2.0**33 / -90000])
@pytest.mark.parametrize("fetched", [True, False])
def test_a_clock_that_jumps_is_another_clock(jump_s: float, fetched: bool) -> None:
    sent = film(200, begin_s=30.0)
    jumped = [when + jump_s * (i >= 100) for i, when in enumerate(sent)]
    places = placed(jumped, [50 + when for when in sent], fetched=fetched)
    assert steps(places) == pytest.approx([STEP_S] * 199)
    times = [place.time_s for place in places]
    assert times == pytest.approx(film(200))


def test_one_wrong_time_spoils_one_frame() -> None:
    sent = film(200)
    wrong = [when + 1000.0 * (i == 100) for i, when in enumerate(sent)]
    places = placed(wrong, [50 + when for when in sent])
    assert steps(places) == pytest.approx([STEP_S] * 199)
    assert [place.time_s for place in places] == pytest.approx(film(200))


def test_a_sender_that_pauses_is_not_a_clock_that_jumps() -> None:
    sent = [*film(100), *film(100, begin_s=60.0)]
    places = placed(sent, [50 + when for when in sent])
    assert [place.time_s for place in places] == pytest.approx(sent)
    assert [place.due_s for place in places] == pytest.approx([50 + when for when in sent])


def test_a_film_may_stand_still() -> None:
    """A slide every ten seconds."""
    sent = [10.0 * i for i in range(20)]
    places = placed(sent, [50.0] * 20, fetched=True)
    assert [place.due_s - 50 for place in places] == pytest.approx(sent)


def test_what_a_stall_held_back_is_shown_and_then_made_good() -> None:
    sent = film(2500)
    arrivals = [50 + (when if when < 10 else max(when, 14)) for when in sent]
    places = placed(sent, arrivals)
    assert places[250].late_s == pytest.approx(4.0)
    assert min(steps(places)) > STEP_S * (1 - SLEW) - 1e-6
    assert places[-1].due_s == pytest.approx(arrivals[-1])


def test_times_go_on_over_an_interruption() -> None:
    pacer = Pacer()
    pacer.connected(fetched=False)
    last = [pacer.place(when, 50 + when) for when in film(10, begin_s=500.0)][-1]
    pacer.connected(fetched=False)
    first = pacer.place(3.0, last.due_s + 499.0 + 20.0)
    assert first.time_s - last.time_s == pytest.approx(first.due_s - last.due_s)


@pytest.mark.parametrize("away_s", [0.5, 60.0])
def test_no_frame_is_late_after_an_interruption(away_s: float) -> None:
    """What was read to learn what the stream is waits, and is due when it can be had."""
    pacer = Pacer()
    pacer.connected(fetched=False)
    for when in film(100):
        pacer.place(when, 50 + when)
    pacer.connected(fetched=False)
    begun_s = 54 + away_s
    for i, when in enumerate(film(100)):
        now_s = max(begun_s + when, begun_s + 0.9)
        place = pacer.place(when, begun_s + when, now_s=now_s)
        assert place.due_s >= begun_s + 0.9 + i * STEP_S / (1 + 2 * SLEW)


def test_a_frame_that_left_late_for_want_of_time_moves_the_others() -> None:
    pacer = Pacer()
    pacer.connected(fetched=True)
    first = pacer.place(0.0, 50.0)
    pacer.left(first.due_s + 2.0)
    assert pacer.place(STEP_S, 50.0).due_s == pytest.approx(52.0 + STEP_S)


def test_a_sender_of_its_own_pace_is_caught_up_with_after_a_want_of_time() -> None:
    """Again and again too slow, frames are never further behind their sender."""
    pacer = Pacer()
    pacer.connected(fetched=False)
    for when in film(60):
        due_s = pacer.place(when, 50 + when).due_s
        assert due_s == pytest.approx(50 + when)
        pacer.left(due_s + 2.0)


def test_a_run_is_as_long_as_our_clock_says_however_often_it_connects() -> None:
    """The first picture of each connection waits while it is learned what the stream is."""
    pacer = Pacer()
    places, waits_s = [], 0.9
    for connection in range(20):
        pacer.connected(fetched=False)
        for i in range(500):
            came_s = connection * 25.0 + i * STEP_S
            now_s = max(came_s, connection * 25.0 + waits_s)
            places.append(pacer.place(i * STEP_S, came_s, now_s=now_s))
    span_s = places[-1].time_s - places[0].time_s
    assert span_s == pytest.approx(19 * 25 + 499 * STEP_S, abs=waits_s)
    assert places[-1].due_s == pytest.approx(19 * 25 + 499 * STEP_S)  # made good
    assert all(after.time_s > before.time_s for before, after in itertools.pairwise(places))


def arrived(times: list[float | None], at_s: float) -> list[Arrived]:
    found = []
    for when in times:
        packet = Packet(b"x")
        packet.time_base = Fraction(1, 1000)
        packet.dts = None if when is None else round(when * 1000)
        found.append(Arrived(packet, at_s, at_s))
    return found


def test_what_was_read_to_learn_what_a_stream_is_came_before() -> None:
    def came(times: list[float | None], timed: bool = True) -> list[float]:
        return [one.sent_s for one in spread(arrived(times, 100.0), 99.0, timed=timed)]

    assert came([7.0, 7.2, 7.4]) == pytest.approx([99.6, 99.8, 100.0])
    # A server that gives the last ten seconds at once cannot have sent them before it was asked.
    assert came([0.0, 9.5, 10.0]) == pytest.approx([99.0, 99.5, 100.0])
    assert came([None, 5.0]) == pytest.approx([100.0, 100.0])
    assert came([7.0, 7.0, 7.0, 7.0], timed=False) == pytest.approx([99.25, 99.5, 99.75, 100.0])
