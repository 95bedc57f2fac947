"""A camera that speaks RTSP."""

import contextlib
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.servers import ffmpeg
from tests.support.until import PATIENCE_S

SENDER_REPORT = 200
"""RTCP's packet that says which time of the track belongs to which of the day (RFC 3550, 6.4.1)."""

SINCE_1900_S = 2_208_988_800
"""To 1970: the reports' times count from there."""


@contextmanager
def rtsp_server(
    folder: Path,
    *pictures: str,
    sound: Sequence[str] = (),
    late: int = 1,
    cut_after: int | None = None,
) -> Iterator[str]:
    """One camera for one viewer at a time: answers RTSP and passes on RTP from ffmpeg, which gets
    the words ``pictures``, within the same connection (RFC 2326).

    sound      ffmpeg's words for a second track; both come with the reports (RTCP) that say which
               of their times belong together
    late       packets of pictures that have gone by before there is anybody to answer
    cut_after  packets of pictures after which the first viewer is cut off
    """
    description = folder / "camera.sdp"
    with ExitStack() as stack:

        def socket_of_packets() -> socket.socket:
            made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.bind(("127.0.0.1", 0))
            made.settimeout(PATIENCE_S)
            return made

        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        words: list[str] = []
        tracks: list[socket.socket] = []  # by the number of their channel: RTP, RTCP, RTP, RTCP
        for track in (pictures, sound) if sound else (pictures,):
            tracks += [socket_of_packets(), socket_of_packets()]
            rtp, rtcp = (one.getsockname()[1] for one in tracks[-2:])
            words += [*track, "-f", "rtp", f"rtp://127.0.0.1:{rtp}?rtcpport={rtcp}"]
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/camera"
        with ffmpeg("-sdp_file", str(description), *words):
            for _ in range(late):
                tracks[0].recv(65536)  # it has begun, and written its description
            passed = tracks if sound else tracks[:1]
            thread = threading.Thread(
                target=_answers, args=(server, passed, description.read_text(), cut_after)
            )
            thread.start()
            try:
                yield url
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join(PATIENCE_S)
                assert not thread.is_alive()


def _answers(
    server: socket.socket, tracks: list[socket.socket], description: str, cut_after: int | None
) -> None:
    with contextlib.suppress(OSError):  # the test is over
        while True:
            link, _ = server.accept()
            with contextlib.suppress(OSError):  # the viewer has gone
                _answer(link, tracks, description, cut_after)
            cut_after = None


def _answer(
    link: socket.socket, tracks: list[socket.socket], description: str, cut_after: int | None
) -> None:
    urls: list[str] = []  # of the tracks that are asked for
    with link, link.makefile("rb") as lines:
        while request := lines.readline().decode().split():
            headers = dict(line.decode().split(": ", 1) for line in iter(lines.readline, b"\r\n"))
            answer, body = [f"CSeq: {headers['CSeq'].strip()}", "Session: 1"], ""
            if request[0] == "DESCRIBE":
                body = _controlled(description.removeprefix("SDP:\n"))
                answer += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            if request[0] == "SETUP":
                urls.append(request[1])
                first = 2 * int(request[1].rpartition("track")[2])
                answer.append(f"Transport: RTP/AVP/TCP;unicast;interleaved={first}-{first + 1}")
            if request[0] == "PLAY":
                times = _drained(tracks, description)
                told = [
                    f"url={url};rtptime={ticks}" for url, ticks in zip(urls, times, strict=False)
                ]
                answer += ["RTP-Info: " + ",".join(told)] if told else []
            link.sendall("\r\n".join(["RTSP/1.0 200 OK", *answer, "", body]).encode())
            if request[0] == "PLAY":
                _play(link, tracks, cut_after)
                return


def _controlled(description: str) -> str:
    """The description with a name for each of its tracks instead of a port."""
    head, *tracks = re.sub(r"(m=\w+) \d+", r"\1 0", description).split("m=")
    named = [f"m={track.rstrip()}\r\na=control:track{i}\r\n" for i, track in enumerate(tracks)]
    return head + "".join(named)


def _drained(tracks: list[socket.socket], description: str) -> list[int]:
    """The time of each track now, by its newest report; what was sent before anybody looked is
    gone."""
    newest: dict[int, tuple[float, int]] = {}  # since 1900, on the track's clock
    for channel, track in enumerate(tracks):
        track.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = track.recv(65536)
                if channel % 2 and packet[1] == SENDER_REPORT:
                    seconds, part, ticks = struct.unpack(">III", packet[8:20])
                    newest[channel // 2] = seconds + part / 2**32, ticks
    now_s = time.time() + SINCE_1900_S
    rates = [int(rate) for rate in re.findall(r"a=rtpmap:\d+ [\w-]+/(\d+)", description)]
    return [
        round(newest[i][1] + (now_s - newest[i][0]) * rate) % 2**32
        for i, rate in enumerate(rates)
        if i in newest
    ]


def _play(link: socket.socket, tracks: list[socket.socket], cut_after: int | None) -> None:
    sent = 0
    while cut_after is None or sent < cut_after:
        for track in select.select(tracks, [], [], PATIENCE_S)[0]:
            packet, channel = track.recv(65536), tracks.index(track)
            link.sendall(b"$" + struct.pack(">BH", channel, len(packet)) + packet)
            sent += channel == 0
