"""What strangers can do to the page of ``--metrics``, and that what it shows cannot grow."""

import gc
import http.client
import random
import socket
import threading
import urllib.request
from contextlib import ExitStack

import psutil
import pytest

from streamsr import gate as gate_module
from streamsr.gate import PLACES
from streamsr.stats import Event, Fate, Point, Recorder, Stage
from tests.support.memory import traced
from tests.support.strangers import KINDS, crowd, flood, hung_up, rude, sent
from tests.support.until import until

parser = pytest.importorskip(
    "prometheus_client.parser", reason="the extra [metrics] is not installed"
)

from streamsr.cli.metrics import RecorderCollector, metrics_served  # noqa: E402

GROWN = 1 << 20
"""Bytes: ages are kept for the percentiles, some for each of the calls."""


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def scraped(url: str) -> bool:
    try:
        return "streamsr_frames_in_total" in scrape(url)
    except OSError:
        return False


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].partition("/")[0])


def asked(url: str, path: str = "/metrics", method: str = "GET", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(url), timeout=60)
    connection.request(method, path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_is_hung_up_on_and_nothing_is_said(
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with metrics_served("127.0.0.1:0", RecorderCollector(Recorder())) as url:
        with monkeypatch.context() as hurried, socket.socket() as stranger:
            hurried.setattr(gate_module, "HEAD_S", 0.2)
            stranger.connect(("127.0.0.1", port_of(url)))
            sent(stranger, KINDS[kind])
            until(lambda: hung_up(stranger))
        assert "streamsr_frames_in_total 0" in scrape(url)
    assert capfd.readouterr().err == ""
    assert not caplog.records


def test_a_crowd_takes_no_threads_and_keeps_no_scrape_out() -> None:
    with metrics_served("127.0.0.1:0", RecorderCollector(Recorder())) as url:
        threads, handles = threading.active_count(), psutil.Process().num_fds()
        with crowd(port_of(url), 100) as strangers, flood(port_of(url)) as made:
            for _ in range(20):
                until(lambda: scraped(url))  # on a busy machine a head may be late: tried again
            until(lambda: made() > 100)
            assert threading.active_count() <= threads + 2  # the flood's own
            until(lambda: sum(map(hung_up, strangers)) >= 100 - PLACES)
        until(lambda: psutil.Process().num_fds() <= handles + PLACES)


def test_memory_and_labels_are_flat_over_many_reconnections() -> None:
    rng = random.Random(1)
    record = Recorder()
    record.set_engine("fused", model="xlsr", threads=1)
    record.set_budget(0.05)

    def goes_on(count: int) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        for _ in range(count):
            record.count(rng.choice([*Event, *Fate]))
            record.latency(rng.uniform(-1, 1e9), rng.choice(list(Point)))
            record.pace(rng.uniform(-1e9, 1e9), buffer_s=rng.uniform(0, 9))
            with record.stage(rng.choice(list(Stage))):
                pass
            if rng.random() < 0.3:
                with socket.create_connection(("127.0.0.1", port), timeout=60) as stranger:
                    sent(stranger, KINDS[rng.choice(["silent", "half a head", "no token"])])
                    rude(stranger)
        return {
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in parser.text_string_to_metric_families(scrape(url))
            for sample in family.samples
        }

    with metrics_served("127.0.0.1:0", RecorderCollector(record)) as url, traced() as held:
        port = port_of(url)
        first = goes_on(500)
        before = held()
        assert goes_on(1500) == first
        assert len(first) < 300
        assert held() - before < GROWN


def test_other_names_are_refused_where_no_other_machine_can_come() -> None:
    with metrics_served("127.0.0.1:0", RecorderCollector(Recorder())) as url:
        for host in ("127.0.0.1:1", "localhost", "[::1]:99"):
            assert asked(url, Host=host) == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "[", "", "10.0.0.1:9464"):
            assert asked(url, Host=host) == 403
    with metrics_served("127.0.0.2:0", RecorderCollector(Recorder())) as url:
        connection = http.client.HTTPConnection("127.0.0.2", port_of(url), timeout=60)
        connection.request("GET", "/metrics", headers={"Host": "prometheus.target"})
        assert connection.getresponse().status == 200
        connection.close()


def test_only_reading_is_answered() -> None:
    with metrics_served("127.0.0.1:0", RecorderCollector(Recorder())) as url:
        assert asked(url, method="POST") == 405
        assert asked(url, method="OPTIONS") == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_all_addresses_are_those_of_both_kinds() -> None:
    with metrics_served("[::]:0", RecorderCollector(Recorder())) as url:
        for host in ("127.0.0.1", "[::1]"):
            assert "streamsr_frames_in_total" in scrape(f"http://{host}:{port_of(url)}/metrics")


def test_the_server_ends_with_all_connections_closed() -> None:
    """Also one that is just accepted, and one whose answer nobody reads; those left open would
    warn."""
    for _ in range(20):
        with ExitStack() as stack:
            with metrics_served("127.0.0.1:0", RecorderCollector(Recorder())) as url:
                for content in (b"GET /metrics HTTP/1.0\r\n\r\n" * 200, b"GET", b""):
                    address = ("127.0.0.1", port_of(url))
                    link = stack.enter_context(socket.create_connection(address, timeout=60))
                    sent(link, content)
            gc.collect()
