"""A run's numbers for Prometheus, over HTTP. Names and meanings: docs/metrics.md.

The pipeline counts as it always does; everything else happens at a scrape, in the server's own
thread, without a lock that the pipeline could wait for.
"""

import asyncio
import http.client
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from wsgiref.handlers import SimpleHandler

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamsr import __version__
from streamsr.ages import BOUNDS_S, Ages
from streamsr.errors import SinkError, reason_of, shortened
from streamsr.gate import BACKLOG, HEAD_S, LOOPBACK, Gate, is_foreign, listening, queued, said_once
from streamsr.stats import Event, Fate, Recorder

if TYPE_CHECKING:
    from streamsr.jobs.observer import Progress


class RecorderCollector(Collector):
    """Gives a recorder's counts as Prometheus metrics. Any thread may collect."""

    def __init__(self, record: Recorder) -> None:
        self._record = record

    def collect(self) -> Iterator[Metric]:
        record = self._record
        frames = record.frames
        if record.engine:  # not before the source is open
            run = {"engine": record.engine, "model": record.model, "threads": str(record.threads)}
            yield InfoMetricFamily(
                "streamsr_run", "What this run upscales with.", {"version": __version__, **run}
            )
        if record.rungs:
            yield _counters(
                "streamsr_rung_frames",
                "Frames upscaled under a budget, by the rung that was kept to.",
                "rung",
                record.rungs,
            )
        if record.sound_state:
            yield InfoMetricFamily(
                "streamsr_sound",
                "What becomes of the source's sound.",
                {"state": record.sound_state.partition(":")[0]},  # fixed words: no source adds any
            )
        if record.sound is not None:
            yield _counters(
                "streamsr_sound_packets",
                "Packets of sound by what happened to them; in: read.",
                "fate",
                record.sound,
            )
        yield CounterMetricFamily("streamsr_frames_in", "Frames read or captured.", frames["in"])
        yield CounterMetricFamily(
            "streamsr_frames_out", "Frames that left the pipeline.", frames["out"]
        )
        yield _counters(
            "streamsr_frames",
            "Frames by what happened to them.",
            "fate",
            {fate.value: frames[fate] for fate in Fate},
        )
        yield CounterMetricFamily(
            "streamsr_frames_damaged", "Damaged frames in the input.", frames["damaged"]
        )
        yield CounterMetricFamily(
            "streamsr_frames_late",
            "Frames upscaled later than the budget.",
            record.counted(Event.LATE),
        )
        yield CounterMetricFamily(
            "streamsr_frames_sharp",
            "Frames all by network, now or before.",
            record.counted(Event.SHARP),
        )
        yield _counters(
            "streamsr_pixels",
            "Pixels of the input, by what they became.",
            "fate",
            record.pixel_counts,
        )
        yield _counters(
            "streamsr_stage_seconds", "Wall time spent in each stage.", "stage", record.seconds
        )
        yield CounterMetricFamily(
            "streamsr_reconnects",
            "Times the source was connected again.",
            record.counted(Event.RECONNECT),
        )
        yield CounterMetricFamily(
            "streamsr_publish_reconnects",
            "Times the receiver was connected again.",
            record.counted(Event.PUBLISH_RECONNECT),
        )
        yield CounterMetricFamily(
            "streamsr_segment_restarts",
            "Segments of a cluster begun again after a loss.",
            record.counted(Event.RESTART),
        )
        yield GaugeMetricFamily(
            "streamsr_budget_seconds",
            "Age at which a frame is late, 0: never.",
            record.budget_s or 0,
        )
        yield GaugeMetricFamily(
            "streamsr_jitter_buffer_seconds",
            "How much later than at the earliest frames leave the source.",
            record.buffer_s,
        )
        yield self._ages()
        yield self._pace_errors()

    def _ages(self) -> Metric:
        family = HistogramMetricFamily(
            "streamsr_frame_age_seconds", "Age of the frames at each stage.", labels=["stage"]
        )
        for stage, ages in self._record.ages.items():
            family.add_metric([stage], _buckets(ages), ages.sum_s)
        return family

    def _pace_errors(self) -> Metric:
        family = HistogramMetricFamily(
            "streamsr_pace_error_seconds", "How much later than at their own time frames left."
        )
        errors = self._record.pace_errors
        family.add_metric([], _buckets(errors), errors.sum_s)
        return family


class ProgressCollector(Collector):
    """Gives a cluster's progress."""

    def __init__(self, progress: "Callable[[], Progress]") -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        now = self._progress()
        yield GaugeMetricFamily("streamsr_cluster_nodes", "Nodes of the cluster.", now.nodes)
        yield GaugeMetricFamily(
            "streamsr_cluster_workers", "Segments that are being made.", now.workers
        )
        yield GaugeMetricFamily(
            "streamsr_cluster_frames_done", "Frames done of the films opened.", now.frames
        )
        yield GaugeMetricFamily("streamsr_cluster_frames", "Frames in the films opened.", now.total)


def _buckets(ages: Ages) -> list[tuple[str, float]]:
    """The histogram as Prometheus has it: each range with all below."""
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    return list(zip(bounds, accumulate(list(ages.counts)), strict=True))


def _counters(
    name: str, text: str, label: str, values: dict[str, int] | dict[str, float]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


@contextmanager
def metrics_served(address: str, *collectors: Collector) -> Iterator[str]:
    """Serve the collectors' metrics and the process's own at ``address``, HOST:PORT; yield the
    page's URL.

    Port 0 is any free one. The server ends with the block. Raises SinkError when the address is not
    available.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    app = make_wsgi_app(registry)
    host, _, port = address.rpartition(":")
    name = host.removeprefix("[").removesuffix("]")
    try:
        listens = listening(name, int(port))
    except (OSError, OverflowError, ValueError) as error:
        # The last two for an impossible port or name.
        raise SinkError(
            f"cannot serve metrics at {shortened(address)}: {reason_of(error)}"
        ) from error

    def passed(link: asyncio.Transport, content: bytes) -> None:
        link.write(_answer(app, content, local=name in LOOPBACK))
        link.close()
        loop.call_later(HEAD_S, link.abort)  # who does not read it

    gate = Gate()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(said_once())
    server = loop.run_until_complete(
        loop.create_server(lambda: gate.connection(passed), sock=listens, backlog=BACKLOG)
    )
    queued(listens)
    thread = threading.Thread(target=loop.run_forever, name="streamsr-metrics")
    thread.start()
    try:
        yield f"http://{host}:{listens.getsockname()[1]}/metrics"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(gate.close(listens))
        server.close()
        loop.run_until_complete(gate.end())
        loop.close()


def _answer(app: Any, content: bytes, *, local: bool) -> bytes:  # Any: a WSGI application
    """The answer to a request's head. ``local``: other machines cannot ask."""
    try:
        first, _, rest = content.partition(b"\r\n")
        method, target, _ = first.decode("ascii").split(" ")
        headers = http.client.parse_headers(io.BytesIO(rest))
    except (ValueError, http.client.HTTPException):
        return b"HTTP/1.0 400 Bad Request\r\n\r\n"
    if local and is_foreign(headers.get("Host", "localhost")):
        return b"HTTP/1.0 403 Forbidden\r\n\r\n"
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_ACCEPT": headers.get("Accept", ""),
        "HTTP_ACCEPT_ENCODING": headers.get("Accept-Encoding", ""),
        "SERVER_PROTOCOL": "HTTP/1.0",
    }
    answer = io.BytesIO()
    SimpleHandler(io.BytesIO(), answer, io.StringIO(), environ).run(app)
    return answer.getvalue()
