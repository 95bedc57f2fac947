"""Sound of live sources: where it is placed, what waits, what is dropped, and microphones."""

import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from streamsr.errors import SourceError
from streamsr.media.sound import SoundFormat, planned
from streamsr.media.timeline import TimeLine
from streamsr.sources import Sound, Sounding
from streamsr.sources.feed import FeedSource
from streamsr.sources.file import FileSource
from streamsr.sources.file_sound import FileSound
from streamsr.sources.live_sound import WAITING, LiveSound
from streamsr.sources.microphone import Microphone
from streamsr.sources.paced import PacedSource
from streamsr.stats import Event, Recorder
from tests.support.media import make_video
from tests.support.processes import run

STEP = Fraction(1024, 48000)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("sound") / "in.mp4", audio=["aac"], pts=range(25))


@pytest.fixture
def stream(film: Path) -> Iterator[AudioStream]:
    with av.open(str(film)) as container:
        yield container.streams.audio[0]


@pytest.fixture
def record() -> Recorder:
    return Recorder()


@pytest.fixture
def sound(stream: AudioStream, record: Recorder) -> LiveSound:
    sound = LiveSound("a stream", record)
    sound.begin(stream)
    return sound.open()


def given(sound: Sound, until_s: Fraction | None = None) -> list[float]:
    """The times of the packets that are there, in steps."""
    return [float(packet.time_s / STEP) for packet in sound.until(until_s)]


def put(sound: LiveSound, *steps: float, size: int = 10) -> None:
    for step in steps:
        sound.add(bytes(size), Fraction(step) * STEP, STEP)


def test_sound_waits_until_a_picture_says_where_it_belongs(sound: LiveSound) -> None:
    put(sound, 100, 101)
    assert given(sound) == []
    sound.place(-98 * STEP)
    put(sound, 102)
    assert given(sound) == [2, 3, 4]


def test_sound_is_given_up_to_a_time(sound: LiveSound) -> None:
    sound.place(Fraction(0))
    put(sound, 0, 1, 2, 3)
    assert given(sound, STEP) == [0, 1]
    assert given(sound, STEP) == []
    assert given(sound) == [2, 3]


def test_sound_goes_on_behind_an_interruption_where_the_pictures_do(
    sound: LiveSound, stream: AudioStream
) -> None:
    sound.place(Fraction(0))
    put(sound, *range(5))
    sound.begin(stream)
    put(sound, 1000, 1001)
    sound.place(-950 * STEP)
    put(sound, 1002)
    assert given(sound) == [0, 1, 2, 3, 4, 50, 51, 52]


def test_sound_that_overlaps_what_was_before_is_dropped(
    sound: LiveSound, stream: AudioStream, record: Recorder
) -> None:
    sound.place(Fraction(0))
    put(sound, *range(5))
    sound.begin(stream)
    sound.place(2 * STEP)
    put(sound, 0, 1, 2, 3, 4)
    assert given(sound) == [0, 1, 2, 3, 4, 5, 6]
    assert record.counted(Event.SOUND_IN) == 10


def test_a_clock_that_jumps_is_placed_again_by_the_next_picture(sound: LiveSound) -> None:
    sound.place(Fraction(0))
    put(sound, 0, 1, 90000, 90001)
    assert given(sound) == [0, 1]
    sound.place(-89998 * STEP)
    put(sound, 90002)
    assert given(sound) == [2, 3, 4]


def test_a_picture_that_is_placed_a_little_elsewhere_moves_no_sound(sound: LiveSound) -> None:
    sound.place(Fraction(0))
    put(sound, 0)
    sound.place(Fraction(3, 1000))
    put(sound, 1)
    assert given(sound) == [0, 1]
    sound.place(STEP)
    put(sound, 2)
    assert given(sound) == [3]


def test_sound_without_pictures_does_not_gather(sound: LiveSound) -> None:
    put(sound, *range(3 * WAITING))
    sound.place(Fraction(0))
    put(sound, *range(3 * WAITING, 5 * WAITING))
    assert given(sound) == list(range(4 * WAITING, 5 * WAITING))


def test_a_packet_that_no_sound_needs_is_not_kept(sound: LiveSound) -> None:
    sound.place(Fraction(0))
    put(sound, 0, size=1 << 20)
    assert given(sound) == []


def test_sound_that_nobody_wants_is_not_kept(stream: AudioStream, record: Recorder) -> None:
    sound = LiveSound("a stream", record)
    sound.begin(stream)
    sound.place(Fraction(0))
    put(sound, *range(9))
    assert given(sound) == []
    assert record.sound is None


def test_a_connection_without_sound_has_none() -> None:
    sound = LiveSound("a stream")
    sound.begin(None)
    with pytest.raises(SourceError, match="the source has none"):
        sound.open()


def test_sound_of_another_kind_after_a_reconnection_is_left_out_and_said(
    sound: LiveSound,
    stream: AudioStream,
    record: Recorder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    record.set_sound("sound: copied")
    sound.place(Fraction(0))
    put(sound, 0)
    other = make_video(tmp_path / "in.mkv", audio=["libopus"], pts=range(3))
    with av.open(str(other)) as container:
        sound.begin(container.streams.audio[0])
        sound.place(STEP)
        put(sound, 0, 1)
    assert record.sound_state == "sound left out: it is opus 48000 Hz now, not aac 48000 Hz"
    sound.begin(None)
    assert record.sound_state == "no sound: the source has none now"
    sound.begin(stream)
    put(sound, 2)
    assert record.sound_state == "sound: copied"
    assert given(sound) == [0]
    assert [r.message for r in caplog.records] == [
        "a stream: its sound is opus 48000 Hz now, not aac 48000 Hz: left out"
    ]


def test_the_format_outlives_its_container(film: Path) -> None:
    with av.open(str(film)) as container:
        kept = SoundFormat(container.streams.audio[0])
    assert str(kept) == "aac 48000 Hz"
    assert [planned(name, kept).copied for name in ("matroska", "mp4", "mpegts", "flv", "rtsp")]


@pytest.mark.parametrize("first", [True, False], ids=["with a packet", "without"])
def test_aac_of_a_transport_stream_can_be_copied(tmp_path: Path, first: bool) -> None:
    film = make_video(tmp_path / "in.ts", audio=["aac"], pts=range(3))
    with av.open(str(film)) as container:
        stream = container.streams.audio[0]
        packet = bytes(next(container.demux(stream)))
        kept = SoundFormat(stream, packet if first else None)
    assert kept.copyable
    assert kept.template.codec_context.extradata == b"\x11\x88"  # AAC LC, 48 kHz, one channel
    assert kept.payload(packet) == packet[7:]


def test_a_film_gives_its_sound_on_its_own_clock(film: Path, record: Recorder) -> None:
    with FileSound(film, line=TimeLine(), record=record) as sound:
        times = given(sound, 3 * STEP) + given(sound)
    assert times == list(range(-1, 20))
    assert record.counted(Event.SOUND_IN) == 21


@pytest.mark.parametrize("paced", [False, True])
def test_a_film_that_is_live_has_sound(film: Path, paced: bool) -> None:
    source = PacedSource(FileSource(film)) if paced else FileSource(film)
    with source:
        assert isinstance(source, Sounding)
        with source.open_sound() as sound:
            assert sound.format.codec == "aac"


def test_what_has_no_sound_says_so(tmp_path: Path) -> None:
    silent = make_video(tmp_path / "in.mp4", pts=range(3))
    with FileSource(silent) as source, pytest.raises(SourceError, match="the film has none"):
        source.open_sound()
    feed = FeedSource(size=(64, 48))
    assert not isinstance(feed, Sounding)
    with pytest.raises(SourceError, match="the source has none"):
        PacedSource(feed).open_sound()


LISTENING = """
import sys
from fractions import Fraction
from streamsr.sources.microphone import Microphone
sound = Microphone("recorded").open()
assert str(sound.format) == "pcm_s16le 48000 Hz", str(sound.format)
sound.place(Fraction(0))
heard = []
with sound:
    while len(heard) < 500:
        heard += sound.until(None)
assert all(a.time_s <= b.time_s for a, b in zip(heard, heard[1:]))
sys.stdout.buffer.write(b"".join(packet.data for packet in heard))
"""


def test_a_microphone_gives_what_it_hears(tmp_path: Path) -> None:
    """A device of ALSA's own that plays a file to whoever listens."""
    samples = np.arange(1, 1 << 14, dtype="<i2").repeat(2)
    (tmp_path / "heard.raw").write_bytes(samples.tobytes())
    (tmp_path / "asound.conf").write_text(
        f"""pcm.recorded {{
            type file
            slave {{ pcm {{ type null }} }}
            file "/dev/null"
            infile "{tmp_path}/heard.raw"
            format "raw"
        }}"""
    )
    environment = os.environ | {"ALSA_CONFIG_PATH": str(tmp_path / "asound.conf")}
    result = run([sys.executable, "-c", LISTENING], text=False, check=True, env=environment)
    assert len(result.stdout) >= 2000
    # A busy machine begins to listen late.
    assert samples.tobytes().find(result.stdout[:2000]) % samples.itemsize == 0


def test_a_microphone_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SourceError, match="microphone none such: "):
        Microphone("none such").open()
