"""A process of its own that passes a NUT stream from standard input on to an address, and says
``.`` once it is there.

PyAV holds Python's lock while it connects: within the program, a server that does not answer would
stop all of it.
"""

import os
import sys
from faulthandler import cancel_dump_traceback_later, dump_traceback_later

import av

from streamsr.media.url import PUBLISHED_AS, reason, scheme_of

ADDRESS = "STREAMSR_PUBLISH"
"""The environment variable that has the address."""

TIMEOUT_S = 10.0
"""Longest wait for a connection, and for a packet to be taken."""

INPUT = {"probesize": "32", "analyzeduration": "0"}  # the header says it all
OUTPUT = {
    "mpegts": {"flush_packets": "1"},
    "flv": {"flvflags": "no_duration_filesize"},
    "rtsp": {"rtsp_transport": "tcp"},
}


def relay(address: str) -> None:
    """Until standard input ends. Raises what PyAV does."""
    packing = PUBLISHED_AS[scheme_of(address) or ""]
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        av.open("pipe:0", format="nut", options=INPUT) as source,
    ):

        def watched() -> None:
            """From now on, end the process if it hangs: nothing else interrupts a blocked
            connection."""
            dump_traceback_later(TIMEOUT_S, exit=True, file=nowhere)

        target = av.open(address, "w", format=packing, options=OUTPUT[packing])
        stream = target.add_stream_from_template(source.streams.video[0])
        watched()
        target.start_encoding()
        cancel_dump_traceback_later()
        print(".", end="", flush=True)
        for packet in source.demux():
            if packet.size:  # else it marks the end
                packet.stream, packet.dts = (
                    stream,
                    packet.pts,
                )  # the encoder reorders nothing; the first has no dts
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
        os._exit(1)  # closing what is broken would only fail, or hang, again
