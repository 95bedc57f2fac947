"""A camera that speaks RTSP."""

import contextlib
import itertools
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import ffmpeg
from tests.support.until import PATIENCE_S


@contextmanager
def rtsp_server(
    folder: Path, *pictures: str, late: int = 1, cut_after: int | None = None
) -> Iterator[str]:
    """One camera for one viewer at a time: answers RTSP and passes on RTP from ffmpeg, which gets
    the words ``pictures``, within the same connection (RFC 2326).

    late       packets that have gone by before there is anybody to answer
    cut_after  packets after which the first viewer is cut off
    """
    description = folder / "camera.sdp"
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        packets.bind(("127.0.0.1", 0))
        address = f"rtp://127.0.0.1:{packets.getsockname()[1]}"
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/camera"
        with ffmpeg(*pictures, "-f", "rtp", "-sdp_file", str(description), address):
            packets.settimeout(PATIENCE_S)
            for _ in range(late):
                packets.recv(65536)  # it has begun, and written its description
            thread = threading.Thread(
                target=_answers, args=(server, packets, description.read_text(), cut_after)
            )
            thread.start()
            try:
                yield url
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join(PATIENCE_S)
                assert not thread.is_alive()


def _answers(
    server: socket.socket, packets: socket.socket, description: str, cut_after: int | None
) -> None:
    with contextlib.suppress(OSError):  # the test is over
        while True:
            link, _ = server.accept()
            with contextlib.suppress(OSError):  # the viewer has gone
                _answer(link, packets, description, cut_after)
            cut_after = None


def _answer(
    link: socket.socket, packets: socket.socket, description: str, cut_after: int | None
) -> None:
    with link, link.makefile("rb") as lines:
        while request := lines.readline().decode().split():
            headers = dict(line.decode().split(": ", 1) for line in iter(lines.readline, b"\r\n"))
            answer, body = [f"CSeq: {headers['CSeq'].strip()}", "Session: 1"], ""
            if request[0] == "DESCRIBE":
                body = (
                    re.sub(r"m=video \d+", "m=video 0", description.removeprefix("SDP:\n"))
                    + "a=control:track0\r\n"
                )
                answer += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            if request[0] == "SETUP":
                answer.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
            link.sendall("\r\n".join(["RTSP/1.0 200 OK", *answer, "", body]).encode())
            if request[0] == "PLAY":
                _play(link, packets, cut_after)
                return


def _play(link: socket.socket, packets: socket.socket, cut_after: int | None) -> None:
    packets.setblocking(False)
    with contextlib.suppress(BlockingIOError):  # what was sent before anybody looked is gone
        while True:
            packets.recv(65536)
    packets.settimeout(PATIENCE_S)
    for _ in itertools.count() if cut_after is None else range(cut_after):
        packet = packets.recv(65536)
        link.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
