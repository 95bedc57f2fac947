"""``--metrics``: what a scrape shows is what the run counted, and the dashboard asks for nothing
else."""

import json
import re
import shutil
import signal
import socket
import sys
import tomllib
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from streamsr.ages import BOUNDS_S
from streamsr.cli.upscale import upscale_all
from streamsr.errors import SinkError
from streamsr.jobs.files import FileJob
from streamsr.jobs.observer import Observer, Progress
from streamsr.jobs.options import FileOptions
from streamsr.options import EngineChoice
from streamsr.stats import Event, Fate, Point, Recorder, Stage
from tests.conftest import ROOT
from tests.support.command import Command, started
from tests.support.engine import EXACT
from tests.support.media import make_video
from tests.support.processes import run
from tests.support.servers import free_port
from tests.support.until import until

parser = pytest.importorskip(
    "prometheus_client.parser", reason="the extra [metrics] is not installed"
)

from streamsr.cli.metrics import ProgressCollector, RecorderCollector, metrics_served  # noqa: E402

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
DASHBOARD = ROOT / "docs" / "grafana" / "streamsr.json"


def busy() -> Recorder:
    """A recorder in the middle of a live run."""
    record = Recorder()
    record.set_engine("fused", model="xlsr", threads=2)
    record.set_budget(0.05)
    for what, number in {
        Event.IN: 9,
        Event.OUT: 7,
        Fate.NETWORK: 4,
        Fate.PARTIAL: 3,
        Fate.DROPPED: 2,
        Event.LATE: 2,
        Event.SHARP: 5,
        Event.RECONNECT: 3,
        Event.PUBLISH_RECONNECT: 1,
        Event.RESTART: 6,
        Event.SOUND_IN: 8,
        Event.SOUND_WRITTEN: 7,
        Event.SOUND_DROPPED: 1,
    }.items():
        record.count(what, number)
    record.set_sound("sound: aac 48000 Hz copied")
    record.pixels(total=1000, reused=300, resized=200)
    for age_s in (0.005, 0.0051, 0.06, 100.0):
        record.latency(age_s, Point.UPSCALED)
    for stage in (Point.START, Point.OUT, Point.SHOWN):
        record.latency(0.01, stage)
    for error_s in (0.001, 0.2):
        record.pace(error_s, buffer_s=0.15)
    with record.stage(Stage.NETWORK):
        pass
    return record


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def served(record: Recorder) -> str:
    """The page as Prometheus gets it, of a cluster's run."""
    progress = Progress(frames=30, total=100, workers=4, nodes=2)
    with metrics_served(
        "127.0.0.1:0", RecorderCollector(record), ProgressCollector(lambda: progress)
    ) as url:
        return scrape(url)


def test_a_scrape_shows_what_was_counted() -> None:
    seen = samples(served(busy()))
    assert {fate: seen["streamsr_frames_total", (("fate", fate),)] for fate in Fate} == {
        "network": 4,
        "reused": 0,
        "partial": 3,
        "resized": 0,
        "dropped": 2,
    }
    for name, value in (("in", 9), ("out", 7), ("late", 2), ("sharp", 5), ("damaged", 0)):
        assert seen[f"streamsr_frames_{name}_total", ()] == value
    assert seen["streamsr_reconnects_total", ()] == 3
    assert seen["streamsr_publish_reconnects_total", ()] == 1
    assert seen["streamsr_segment_restarts_total", ()] == 6
    assert seen["streamsr_budget_seconds", ()] == 0.05
    assert seen["streamsr_jitter_buffer_seconds", ()] == 0.15
    assert seen["streamsr_pace_error_seconds_count", ()] == 2
    assert seen["streamsr_pace_error_seconds_sum", ()] == pytest.approx(0.201)
    assert seen["streamsr_pixels_total", (("fate", "network"),)] == 500
    found = [
        seen[f"streamsr_cluster_{name}", ()]
        for name in ("frames_done", "frames", "workers", "nodes")
    ]
    assert found == [30, 100, 4, 2]
    labels = {key: dict(labels) for (key, labels) in seen}["streamsr_run_info"]
    assert seen["streamsr_sound_info", (("state", "sound"),)] == 1
    for fate, number in (("in", 8), ("written", 7), ("dropped", 1)):
        assert seen["streamsr_sound_packets_total", (("fate", fate),)] == number
    assert (labels["engine"], labels["model"], labels["threads"]) == ("fused", "xlsr", "2")


def test_ages_are_a_cumulative_histogram() -> None:
    seen = samples(served(busy()))
    name = "streamsr_frame_age_seconds"
    stage = ("stage", "upscaled")
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    counts = {bound: seen[f"{name}_bucket", (("le", bound), stage)] for bound in bounds}
    assert counts["0.005"] == 1  # a bound belongs to its range
    assert counts["0.01"] == counts["0.05"] == 2
    assert counts["0.075"] == counts["5.0"] == 3
    assert counts["+Inf"] == seen[f"{name}_count", (stage,)] == 4
    assert seen[f"{name}_sum", (stage,)] == pytest.approx(100.0701)


def test_names_follow_prometheus_conventions() -> None:
    for family in parser.text_string_to_metric_families(served(busy())):
        assert family.name.startswith(("streamsr_", "process_"))
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert family.type != "counter" or sample.name.endswith("_total")
            assert (
                len(sample.labels) <= 1
                or family.type == "histogram"
                or sample.name.endswith("_info")
            )


def test_a_client_that_hangs_holds_up_neither_scrapes_nor_the_end() -> None:
    record = busy()
    with (
        metrics_served("127.0.0.1:0", RecorderCollector(record)) as url,
        socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as hanging,
    ):
        hanging.sendall(b"GET /metr")
        before = samples(scrape(url))["streamsr_frames_in_total", ()]
        record.count(Event.IN)
        assert samples(scrape(url))["streamsr_frames_in_total", ()] == before + 1
    with pytest.raises(OSError, match="refused"):
        scrape(url)


def test_who_hangs_up_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with metrics_served("127.0.0.1:0", RecorderCollector(busy())) as url:
        port = int(url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )  # a reset, no goodbye
            rude.sendall(b"GET /metrics")
        scrape(url)
    assert capfd.readouterr().err == ""


def test_a_used_port_is_one_clear_line(streamsr: Command, model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = streamsr(
            "live", "test:160x96@20", "--metrics", port, "--model", model, "--duration", 1
        )
    assert result.status == 1
    assert (
        result.lines[-1]
        == f"streamsr: cannot serve metrics at 127.0.0.1:{port}: Address already in use"
    )


def test_a_host_of_others_is_one_clear_error() -> None:
    with (
        pytest.raises(SinkError, match=r"cannot serve metrics at 192\.0\.2\.1:0"),
        metrics_served("192.0.2.1:0", RecorderCollector(busy())),
    ):
        pass


def test_a_missing_package_is_one_clear_line(
    streamsr: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "streamsr.cli.metrics")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    result = streamsr("live", "test:160x96@20", "--metrics", 0, "--model", model, "--duration", 1)
    assert result.status == 1
    assert "metrics need prometheus_client: pip install 'streamsr[metrics]'" in result.err


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("9464", "127.0.0.1:9464"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("[::1]:0", "[::1]:0"),
        ("my-host:1", "my-host:1"),
    ],
)
def test_a_port_alone_is_this_machines_own(streamsr: Command, given: str, meant: str) -> None:
    printed = streamsr("live", "test:", "--metrics", given, "--print-pipeline")
    assert tomllib.loads(printed.out)["sink"]["metrics"] == meant


@pytest.mark.parametrize(
    "given", ["", ":9464", "99999", "host", "host:", "::1:80", "http://host:80", "a b:80"]
)
def test_what_is_no_address_is_wrong_usage(streamsr: Command, given: str) -> None:
    result = streamsr("live", "test:", "--metrics", given)
    assert result.status == 2
    assert "is not an address; write 9464, 0.0.0.0:9464 or [::1]:9464" in " ".join(
        result.err.split()
    )


def test_a_live_run_is_scraped_while_it_goes_and_not_after(model: Path) -> None:
    seen: Samples = {}
    with started("live", "test:160x96@20", "--metrics", "0", "--model", model) as process:
        url = process.says(r"metrics at (\S+)")[1]

        def counted() -> float | None:
            seen.clear()
            seen.update(samples(scrape(url)))
            return seen.get(("streamsr_frames_out_total", ()))

        process.until(counted)
        later = samples(scrape(url))
        process.send(signal.SIGINT)
        status = process.ended()
        said = process.said()
    assert status == 0, said
    assert "Traceback" not in said
    for (name, labels), value in seen.items():  # counters only grow
        if name.endswith(("_total", "_bucket", "_count", "_sum")):
            assert later[name, labels] >= value, name
    with pytest.raises(OSError, match="refused"):
        scrape(url)


def test_a_clusters_progress_is_served(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a run that gets so far and ends in place of Ray's."""
    port, seen = free_port(), Samples()

    def so_far(_pairs: object, job: FileJob, _address: str, *, observer: Observer) -> None:
        observer.progress(Progress(frames=5, total=9, workers=2, nodes=1))
        job.record.count(Event.RESTART)
        seen.update(samples(scrape(f"http://127.0.0.1:{port}/metrics")))

    monkeypatch.setattr("streamsr.cluster.driver.upscale_on_cluster", so_far)
    pairs = [(tmp_path / "in.mp4", tmp_path / "out.mp4")]
    options = FileOptions(model=str(model), choice=EngineChoice(EXACT))
    address = f"127.0.0.1:{port}"
    assert upscale_all(pairs, options, "auto", None, address, progress_json=False) == 0
    assert seen["streamsr_cluster_workers", ()] == 2
    assert seen["streamsr_cluster_frames_done", ()] == 5
    assert seen["streamsr_segment_restarts_total", ()] == 1


@pytest.mark.slow
def test_a_cluster_run_is_scraped_while_it_goes(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    film = make_video(tmp_path / "in.mp4", pts=range(60))
    words = [
        "upscale",
        film,
        "-o",
        tmp_path / "out.mp4",
        "--cluster",
        "auto",
        "--segment",
        "0.5",
        "--model",
        model,
    ]
    most = Samples()
    with started(*words, "--preset", "ultrafast", "--metrics", "0", tree=True) as process:
        url = process.says(r"metrics at (\S+)")[1]

        def over() -> bool:
            with suppress(OSError):  # it has ended meanwhile
                most.update(samples(scrape(url)))
            return not process.running

        until(over, timeout_s=250, seen=process.told)
        assert process.ended() == 0, process.told()
    assert most["streamsr_cluster_frames", ()] == 60
    assert most["streamsr_cluster_nodes", ()] == 1


def expressions() -> list[str]:
    """Of the dashboard, with Grafana's variables filled in."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for name, value in (("$__rate_interval", "1m"), ("$__range", "15m"), ("$instance", ".*")):
        found = [expression.replace(name, value) for expression in found]
    return found


def test_the_dashboard_shows_what_there_is() -> None:
    seen = samples(served(busy()))
    metrics = {name for name, _ in seen}
    labels = {(name, key) for name, pairs in seen for key, _ in pairs}
    values = {(name, key, value) for name, pairs in seen for key, value in pairs}
    used = set()
    for expression in expressions():
        assert "$" not in expression
        for name, matchers in re.findall(r"\b((?:streamsr|process)_\w+)\{([^}]*)\}", expression):
            assert name in metrics
            used.add(name)
            for key, value in re.findall(r'(\w+)="([^"]*)"', matchers):
                assert (name, key, value) in values
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            for key in grouped.split(", "):
                assert any(
                    (name, key) in labels for name in re.findall(r"streamsr_\w+", expression)
                )
    ours = {
        name.removesuffix("_sum").removesuffix("_count")
        for name in metrics
        if name.startswith("streamsr_")
    }
    assert ours - {"streamsr_frame_age_seconds", "streamsr_pace_error_seconds"} == {
        name for name in used if name.startswith("streamsr_")
    }


def test_prometheus_understands_the_page_and_the_dashboard(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    checked = run([promtool, "check", "metrics"], input=served(busy()))
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    alarms = (
        (ROOT / "docs" / "metrics.md")
        .read_text()
        .split("```promql\n")[1]
        .split("\n```")[0]
        .splitlines()
    )
    asked = [*expressions(), *alarms]
    rules = [{"record": f"checked:{i}", "expr": expression} for i, expression in enumerate(asked)]
    (tmp_path / "rules.json").write_text(
        json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})
    )
    done = run([promtool, "check", "rules", tmp_path / "rules.json"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
