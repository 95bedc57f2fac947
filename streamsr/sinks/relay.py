"""A child process that sends a NUT stream from standard input to an address.

It prints ``.`` once it is connected. PyAV holds Python's global lock while it connects, so that in
the main process a server that does not answer would stop all threads.
"""

import os
import sys
from faulthandler import cancel_dump_traceback_later, dump_traceback_later

import av

from streamsr.media.url import packing_of, reason

ADDRESS = "STREAMSR_PUBLISH"
"""The environment variable with the address."""

TIMEOUT_S = 10.0
"""Longest wait for a connection, and for a packet to be taken."""

PIECE_S = 2
"""Of HLS: a player is three pieces behind; shorter ones are asked for more often."""

PIECES = 10
"""That a playlist names; a player that pauses for longer goes on with a later one."""

INPUT = {"probesize": "32", "analyzeduration": "0"}  # NUT's header is enough
OUTPUT = {
    "": {"max_interleave_delta": "1000000"},  # pictures wait no longer for sound, or sound for them
    "mpegts": {"flush_packets": "1"},
    "flv": {"flvflags": "no_duration_filesize"},
    "rtsp": {"rtsp_transport": "tcp"},
    "hls": {
        "hls_time": str(PIECE_S),
        "hls_list_size": str(PIECES),
        "hls_flags": "delete_segments+independent_segments",
        # A run that begins again does not give other pictures the names that a player has kept.
        "hls_start_number_source": "epoch",
    },
}


def relay(address: str) -> None:
    """Send the stream until standard input ends. Raises PyAV's errors."""
    packing = packing_of(address)
    assert packing is not None, address
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        av.open("pipe:0", format="nut", options=INPUT) as source,
    ):

        def watched() -> None:
            """End the process if it takes longer than TIMEOUT_S from now: nothing else interrupts a
            blocked connection."""
            dump_traceback_later(TIMEOUT_S, exit=True, file=nowhere)

        options = OUTPUT[packing] | OUTPUT[""]
        target = av.open(address, "w", format=packing, options=options)
        copies = [target.add_stream_from_template(stream) for stream in source.streams]
        watched()
        target.start_encoding()
        cancel_dump_traceback_later()
        print(".", end="", flush=True)
        for packet in source.demux():
            if packet.size:  # an empty one marks the end
                packet.stream = copies[packet.stream_index]
                packet.dts = packet.pts  # the encoder reorders nothing; the first one has no dts
                watched()
                target.mux(packet)
                cancel_dump_traceback_later()
        watched()
        target.close()
        cancel_dump_traceback_later()


if __name__ == "__main__":
    try:
        relay(os.environ[ADDRESS])
    except (av.FFmpegError, OSError) as error:
        print(reason(error, os.environ[ADDRESS], TIMEOUT_S), file=sys.stderr, flush=True)
        os._exit(1)  # without closing: that would fail or hang too
