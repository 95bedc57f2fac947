"""Addresses in messages: what is secret in them is nowhere to be seen."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamsr.media.url import scheme_of, text_without_secrets, without_secrets


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://camera/1", "rtsp://camera/1"),
        ("rtsp://camera:8554/1", "rtsp://camera:8554/1"),
        ("http://admin:p%40ss@127.0.0.1:9204/stream", "http://127.0.0.1:9204/stream"),
        ("rtsp://admin:p@ss@host/1", "rtsp://host/1"),
        ("rtsp://admin:p@ss#1@host", "rtsp://***"),
        ("rtsp://admin:pa/ss@host/1", "rtsp://***"),
        ("rtsp://admin:pa?ss@host/1", "rtsp://***"),
        ("http://host/x?user=me&pwd=p@ss", "http://***"),
        ("http://host/x.cgi?user=me&pwd=secret&a", "http://host/x.cgi?user=***&pwd=***&***"),
        ("http://host/x#secret", "http://host/x#***"),
        (
            "srt://host:9000?streamid=key&passphrase=p",
            "srt://host:9000?streamid=***&passphrase=***",
        ),
        ("rtmp://live.example/app/live_42_KEY", "rtmp://live.example/app/***"),
        ("rtmps://me:pw@live.example/app/KEY?token=T", "rtmps://live.example/app/***?token=***"),
        ("rtmp://host/app/ playpath=KEY live=1", "rtmp://host/app/***"),
        ("rtmp://host/app/KEY playpath=KEY", "rtmp://host/app/***"),
        ("rtmp://host", "rtmp://host"),
        ("udp://127.0.0.1:9131?pkt_size=1316", "udp://127.0.0.1:9131?pkt_size=***"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert without_secrets(address) == shown
    assert without_secrets(shown) == shown


def test_a_message_keeps_its_words() -> None:
    line = "http://me:pw@host/a: Input/output error; connecting again (see https://x.org/?a=b)."
    assert text_without_secrets(line) == (
        "http://host/a: Input/output error; connecting again (see https://x.org/?a=***)."
    )
    assert text_without_secrets("a.mp4: No such file or directory") == (
        "a.mp4: No such file or directory"
    )


def test_what_is_an_address() -> None:
    assert scheme_of("rtsp://a") == "rtsp"
    assert scheme_of("RTSP://a") == "rtsp"
    assert scheme_of("film.mp4") is None
    assert scheme_of("2024-05-01T10:30:00.mp4") is None


ANY = string.ascii_letters + string.digits + "@#?/&=:;,.%+-_~!$'\"()*[]{} <>^|`\\é\n"
secret = st.text(ANY, min_size=1, max_size=12).map(lambda text: f"S3{text}cr")
host = st.sampled_from(["cam", "127.0.0.1:554", "live.example"])


@given(
    scheme=st.sampled_from(["rtsp", "http", "https", "rtmp", "srt", "tcp"]),
    user=secret,
    password=secret,
    host=host,
    value=secret,
    around=st.sampled_from(["{}", "{}: broke off", "cannot open '{}'", "Got extra ({})"]),
)
def test_no_password_and_no_query_is_left(
    scheme: str, user: str, password: str, host: str, value: str, around: str
) -> None:
    address = f"{scheme}://{user}:{password}@{host}/path?token={value}"
    for text in (
        without_secrets(address),
        text_without_secrets(around.format(address), known=[address]),
    ):
        for hidden in (user, password, value):
            assert hidden not in text
            assert "S3" not in text


@given(host=host, app=st.sampled_from(["live", "app/one"]), key=secret)
def test_no_stream_key_is_left(host: str, app: str, key: str) -> None:
    address = f"rtmp://{host}/{app}/{key}"
    assume("@" not in host)
    assert "S3" not in without_secrets(address)
    assert "S3" not in text_without_secrets(f"{address}: refused", known=[address])
