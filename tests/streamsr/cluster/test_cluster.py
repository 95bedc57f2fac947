"""Films upscaled on a Ray cluster: the bytes of one machine, whatever happens to the workers. Kills
are real ones."""

import io
import os
import pickle
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from streamsr import __version__
from streamsr.cli import cli
from streamsr.cluster import schedule
from streamsr.cluster.ray_client import node_task
from streamsr.cluster.schedule import (
    PendingSegment,
    memory_bytes,
    pending_segments,
    places,
    urgency,
)
from streamsr.cluster.tasks import SegmentTask, remote_work
from streamsr.cluster.transfer import BLOCK, BLOCKS_KEPT, FileServer, RemoteFile, sampled_digest
from streamsr.frame import Span, StreamInfo
from streamsr.jobs.files import FileJob
from streamsr.jobs.options import FileOptions
from streamsr.media.codecs import CODECS
from streamsr.model import ModelFile
from streamsr.options import Encoding, EngineChoice
from streamsr.segments.ledger import LEDGER, Ledger
from tests.conftest import ROOT
from tests.support.command import Command, started
from tests.support.command import run as command
from tests.support.engine import EXACT
from tests.support.media import look, make_video
from tests.support.processes import Helper, running
from tests.support.until import until

SEGMENT_S = 0.5
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
ELSEWHERE = "/proc/self/cwd"
"""A path that means another folder to every process: what a node without a shared disk sees."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two films of four seconds, a key frame every ten frames, B-frames, sound in
    one."""
    folder = tmp_path_factory.mktemp("films")
    options = {"g": "10", "bf": "2", "preset": "ultrafast"}
    pts = [i * 512 + (i % 3) * 7 for i in range(100)]
    make_video(
        folder / "a.mp4",
        size=(320, 180),
        pts=pts,
        time_base=Fraction(1, 12800),
        options=options,
        audio=["aac"],
    )
    make_video(folder / "b.mkv", size=(240, 136), pts=range(60), options=options)
    return folder


def words(source: Path | str, target: Path | str, model: Path, *more: object) -> list[str]:
    given = [
        "upscale",
        source,
        "-o",
        target,
        "--segment",
        SEGMENT_S,
        "--model",
        model,
        "--preset",
        "superfast",
        *more,
    ]
    return [str(word) for word in given]


def start(arguments: list[str], **how: Any) -> AbstractContextManager[Helper]:
    """The command, and with it the cluster that it may start for itself."""
    return started(*arguments, env=ENVIRONMENT, tree=True, **how)


def run(arguments: list[str], **how: Any) -> "subprocess.CompletedProcess[str]":
    return command(*arguments, **{"timeout_s": 250, "env": ENVIRONMENT, "tree": True, **how})


def segments_done(target: Path) -> int:
    """How many segments of an unfinished output its ledger names."""
    try:
        return (Ledger.folder_of(target) / LEDGER).read_text().count('"segment":')
    except OSError:
        return 0


@pytest.fixture(scope="module")
def reference(
    films: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What one machine makes of the films with ``--resume``."""
    folder = tmp_path_factory.mktemp("reference")
    for film in sorted(films.iterdir()):
        done = run(words(film, folder / film.name, model, "--resume"))
        assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def workers_of(pid: int) -> list[psutil.Process]:
    """Those of the processes that come of this one which make a segment now."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if process.cmdline()[:1] == ["ray::segment"]:
                found.append(process)
    return found


class Nodes:
    """The cluster of `ray_nodes`; its own working folder is ``folder``."""

    def __init__(self, process: Helper, folder: Path) -> None:
        self.process, self.folder = process, folder
        self.address = process.says(r"^address (\S+)$")[1]

    def ask(self, what: str) -> None:
        def answers() -> int:
            return len(re.findall(r"^nodes \d+$", self.process.said(), re.M))

        before = answers()
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        self.process.until(lambda: answers() > before)

    def workers(self) -> list[psutil.Process]:
        """The processes that make a segment now."""
        return workers_of(self.process.pid)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A cluster with a head and two nodes of one core each."""
    pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    folder = tmp_path_factory.mktemp("nodes")
    words = [sys.executable, ROOT / "tests" / "support" / "ray_nodes.py"]
    with running(
        words, tree=True, stdin=subprocess.PIPE, text=True, cwd=folder, env=ENVIRONMENT
    ) as process:
        cluster = Nodes(process, folder)
        cluster.ask("add")
        cluster.ask("add")
        yield cluster
        process.stdin.close()
        process.ended()


def disturbed(process: Helper, nodes: Nodes, *, kills: int, seed: int) -> int:
    """Kill workers at random, and in the middle a node, which another replaces; returns the kills,
    once all is over."""
    chance = random.Random(seed)
    done = 0

    def at_work() -> bool:
        until(lambda: nodes.workers() or not process.running, seen=process.told)
        return process.running

    while done < kills and at_work():
        time.sleep(chance.uniform(0.02, 0.3))  # so that the blow falls anywhere in a segment
        if workers := nodes.workers():
            if done == kills // 2:
                nodes.ask("remove")
                nodes.ask("add")
            else:
                chance.choice(workers).kill()
            done += 1
    process.ended(timeout_s=240)
    return done


def test_killed_workers_and_nodes_cost_their_segments_only(
    films: Path, model: Path, reference: dict[str, bytes], nodes: Nodes, tmp_path: Path
) -> None:
    given = words(films / "a.mp4", tmp_path, model, films / "b.mkv", "--cluster", nodes.address)
    with start(given) as process:
        kills, said = disturbed(process, nodes, kills=3, seed=1), process.said()
    assert process.returncode == 0, said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == reference
    assert "2 of 2 files upscaled" in said
    assert kills, "the work was done before the first blow"
    assert " again: " in said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_fifty_times_at_random_the_outputs_are_the_same(
    films: Path, model: Path, reference: dict[str, bytes], nodes: Nodes, tmp_path: Path
) -> None:
    chance = random.Random(int(os.environ.get("STREAMSR_TEST_SEED", "1")))
    total = outputs = 0
    while total < 50:
        target = tmp_path / str(outputs)
        target.mkdir()
        given = words(films / "a.mp4", target, model, films / "b.mkv", "--cluster", nodes.address)
        if outputs % 3 == 2:  # the driver too
            with start(given) as process:
                process.until(partial(segments_done, target / "a.mp4"))
                process.end()  # and all that came of it
                given.append("--overwrite")
                total += 1
        with start(given) as process:
            kills, said = (
                disturbed(process, nodes, kills=4, seed=chance.randrange(1 << 30)),
                process.said(),
            )
        assert process.returncode == 0, said
        assert {path.name: path.read_bytes() for path in target.iterdir()} == reference, said
        total, outputs = total + kills, outputs + 1
    print(f"{total} kills, {2 * outputs} outputs, none differs")


def test_nodes_without_the_folder_read_and_write_through_ray(
    films: Path, model: Path, reference: dict[str, bytes], nodes: Nodes, tmp_path: Path
) -> None:
    given = words(f"{ELSEWHERE}/a.mp4", f"{ELSEWHERE}/out.mp4", model, "--cluster", nodes.address)
    shutil.copy(films / "a.mp4", tmp_path)
    done = run(given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").read_bytes() == reference["a.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.mp4"]
    assert list(nodes.folder.iterdir()) == []


def test_a_node_that_has_another_file_there_is_named(
    films: Path, model: Path, nodes: Nodes, tmp_path: Path
) -> None:
    shutil.copy(films / "a.mp4", tmp_path / "film.mp4")
    other = nodes.folder / "film.mp4"
    shutil.copy(films / "b.mkv", other)
    given = words(f"{ELSEWHERE}/film.mp4", tmp_path / "out.mp4", model, "--cluster", nodes.address)
    refused = run(given, cwd=tmp_path)
    other.unlink()
    assert refused.returncode == 1
    line = refused.stderr.splitlines()[-1]
    said = f"node {os.uname().nodename}: {ELSEWHERE}/film.mp4: is a different file on this node"
    assert said in line
    assert "run the same command again to go on" in line
    assert "Traceback" not in refused.stderr


def test_a_killed_driver_goes_on(
    films: Path, model: Path, reference: dict[str, bytes], nodes: Nodes, tmp_path: Path
) -> None:
    given = words(films / "a.mp4", tmp_path / "a.mp4", model, "--cluster", nodes.address)
    with started(*given, env=ENVIRONMENT) as process:
        process.until(lambda: segments_done(tmp_path / "a.mp4"))
        process.kill()
        assert process.returncode == -signal.SIGKILL, "the work was done before the blow"
    done = run([*given, "--resume"])
    assert done.returncode == 0, done.stderr
    assert "going on" in done.stderr
    assert (tmp_path / "a.mp4").read_bytes() == reference["a.mp4"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_ctrl_c_in_a_cluster_of_its_own_finishes_segments_and_one_machine_goes_on(
    films: Path, model: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    target = tmp_path / "a.mp4"
    with start(words(films / "a.mp4", target, model, "--cluster", "auto")) as process:
        # Something has been finished, which a later run is to go on from, and something is being
        # made.
        held = process.until(lambda: segments_done(target) and workers_of(process.pid))
        for worker in held:  # so that the work cannot be over before Ctrl-C is heard
            worker.suspend()
        begun = psutil.Process(process.pid).children(recursive=True)
        process.send(
            signal.SIGINT
        )  # to all of them, as a terminal does: Ray's processes get it too
        process.says("finishing the segments")
        for worker in held:
            worker.resume()
        status = process.ended()
        said = process.said()
        assert [
            child for child in begun if child.is_running() and child.name().startswith("raylet")
        ] == []
    if target.exists():  # the segments that were being made were the last ones
        assert status == 0, said
        assert target.read_bytes() == reference["a.mp4"]
        return
    assert status == 130, said
    assert "segments done" in said.splitlines()[-1]
    done = run(words(films / "a.mp4", target, model, "--resume"))
    assert done.returncode == 0, done.stderr
    assert "going on" in done.stderr
    assert target.read_bytes() == reference["a.mp4"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "nothing answers there: Connection refused"),
        ("ray://127.0.0.1:10001", "expected auto, or HOST:PORT"),
        ("nowhere", "expected auto, or HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_an_error_at_once(
    films: Path, tmp_path: Path, upscale: Command, address: str, reason: str
) -> None:
    pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    refused = upscale(films / "a.mp4", tmp_path / "out.mp4", "--cluster", address)
    assert refused.status == 1
    assert refused.lines == [
        f"streamsr: --cluster {address}: {reason}" if reason[0] == "n" else refused.lines[0]
    ]
    assert reason in refused.err
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_command_says_what_to_install(
    films: Path, tmp_path: Path, upscale: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsr.cluster.ray_client.find_spec", lambda _name: None)
    refused = upscale(films / "a.mp4", tmp_path / "out.mp4", "--cluster", "auto")
    assert (refused.status, refused.err) == (
        1,
        "streamsr: --cluster needs Ray: pip install 'streamsr[cluster]'\n",
    )


def test_a_run_that_checks_only_starts_no_cluster(
    films: Path, tmp_path: Path, upscale: Command
) -> None:
    done = upscale(films / "a.mp4", tmp_path / "out.mp4", "--cluster", "127.0.0.1:1", "--dry-run")
    assert done.status == 0, done.err


# The order of work


def test_a_long_segment_begins_before_all_others() -> None:
    work = [
        PendingSegment(0, 0, 250.0),
        PendingSegment(0, 1, 260.0),
        PendingSegment(1, 0, 9000.0),
        PendingSegment(2, 0, 255.0),
    ]
    assert [(p.film, p.number) for p in sorted(work, key=urgency)] == [
        (1, 0),
        (0, 1),
        (0, 0),
        (2, 0),
    ]


def test_films_of_segments_alike_are_finished_one_after_the_other() -> None:
    chance = random.Random(1)
    work = [
        PendingSegment(film, number, chance.uniform(257, 511))
        for film in range(5)
        for number in range(9)
    ]
    chance.shuffle(work)
    done = [(p.film, p.number) for p in sorted(work, key=urgency)]
    assert done == sorted(done)


def makespan(costs: list[float], workers: int) -> float:
    free = [0.0] * workers
    for cost in costs:
        free.sort()
        free[0] += cost
    return max(free)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_keeps_all_workers_busy_to_the_end(seed: int) -> None:
    """Longest first is within 4/3 of the best; a factor of two between neighbours costs half a last
    segment more."""
    chance = random.Random(seed)
    work = [
        PendingSegment(f, n, chance.choice([10, 12, 15, 300]) * chance.uniform(1, 2))
        for f in range(6)
        for n in range(9)
    ]
    costs = [p.cost for p in sorted(work, key=urgency)]
    workers = chance.randrange(2, 12)
    least = max(sum(costs) / workers, max(costs))
    assert makespan(costs, workers) <= least * 4 / 3 + min(costs) * 2


def test_segments_share_out_the_cost_of_the_film() -> None:
    info = StreamInfo(100, 50, Fraction(1, 25), rate=Fraction(25), frames=1000)
    spans = [Span(None, Fraction(10)), Span(Fraction(10), Fraction(30)), Span(Fraction(30), None)]
    found = pending_segments(3, range(3), spans, info)
    assert [piece.number for piece in found] == [0, 1, 2]
    assert found[1].cost == 500 * 5000
    assert sum(piece.cost for piece in found) == 1000 * 5000
    assert pending_segments(0, [0], [Span()], info)[0].cost == 1000 * 5000


def test_a_node_takes_as_many_segments_as_its_cores_and_its_memory_hold() -> None:
    gib = float(1 << 30)
    assert (
        places([{"CPU": 8.0, "memory": 100 * gib}, {"CPU": 3.0, "memory": 100 * gib}], 1, 1 << 30)
        == 11
    )
    assert places([{"CPU": 8.0, "memory": 4 * gib}], 1, 1 << 30) == 4
    assert places([{"CPU": 8.0, "memory": 100 * gib}], 3, 1 << 30) == 2
    assert places([{"CPU": 2.0, "memory": gib / 2}], 1, 1 << 30) == 1, (
        "too large for any: it runs alone"
    )
    assert set(schedule.PICTURE_BYTES) == set(CODECS)
    uhd, hd = (memory_bytes(*size, Encoding()) for size in ((3840, 2160), (1920, 1080)))
    assert uhd > hd > schedule.PROCESS_BYTES
    assert memory_bytes(1920, 1080, Encoding(encoder="prores_ks")) >= hd


def test_what_x265_writes_does_not_name_the_processor(
    films: Path, tmp_path: Path, upscale: Command
) -> None:
    """Its notes in the stream list the processor's features: segments of two kinds of machine would
    differ."""
    for name, *more in (("plain.mkv",), ("segments.mkv", "--resume")):
        done = upscale(
            films / "b.mkv", tmp_path / name, "--codec", "hevc", "--preset", "ultrafast", *more
        )
        assert done.status == 0, done.err
    assert b"cpuid=" in (tmp_path / "plain.mkv").read_bytes()
    assert b"cpuid=" not in (tmp_path / "segments.mkv").read_bytes()


# Files of another machine


def test_a_remote_file_reads_like_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(3 * BLOCK + 12345))
    fetched: list[int] = []

    def fetch(block: int) -> bytes:
        fetched.append(block)
        return FileServer().read(str(path), block)

    chance = random.Random(2)
    with open(path, "rb") as near, RemoteFile(str(path), path.stat().st_size, fetch) as far:
        for _ in range(300):
            whence = chance.choice([io.SEEK_SET, io.SEEK_END])
            offset = (
                chance.randrange(4 * BLOCK)
                if whence == io.SEEK_SET
                else -chance.randrange(3 * BLOCK)
            )
            assert near.seek(offset, whence) == far.seek(offset, whence)
            length = chance.choice([0, 1, 5, 40_000, BLOCK + 7])
            wanted, found = near.read(length), b""
            while len(found) < length and (part := far.read(length - len(found))):
                found += part
            assert found == wanted
            assert near.tell() == far.tell()
    assert sorted(fetched) == [0, 1, 2, 3], "each block travels once as long as it is kept"
    assert BLOCKS_KEPT >= 4


def test_what_is_written_in_blocks_is_the_file(tmp_path: Path) -> None:
    server, path = FileServer(), tmp_path / "file"
    content = random.Random(3).randbytes(2 * BLOCK + 5)
    for _ in range(2):  # a restarted worker begins anew
        for block in range(3):
            server.write(str(path), block, content[block * BLOCK : (block + 1) * BLOCK])
    assert path.read_bytes() == content


def test_the_file_server_forgets_what_is_over() -> None:
    server = FileServer()
    server.report("a", 0)
    server.report("b", 3)
    assert server.progress([]) == {"a": 0, "b": 3}
    assert server.progress(["b", "c"]) == {"a": 0}


def test_sampled_digests_tell_files_apart(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    a.write_bytes(bytes(100_000))
    b.write_bytes(bytes(100_000))
    c.write_bytes(bytes(100_001))
    assert sampled_digest(a) == sampled_digest(b) != sampled_digest(c)
    b.write_bytes(b"1" + bytes(99_999))
    assert sampled_digest(a) != sampled_digest(b)


# Kubernetes


def manifest() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="comes with Ray, the extra [cluster]")
    text = (ROOT / "docs/kubernetes/rayjob.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def ray_job() -> dict[str, Any]:
    (job,) = [found for found in manifest() if found["kind"] == "RayJob"]
    return job


def groups_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_the_manifest_runs_a_command_that_streamsr_takes_on_pods_that_see_the_films() -> None:
    job = ray_job()
    assert job["apiVersion"] == "ray.io/v1"
    name, command, *given = shlex.split(job["spec"]["entrypoint"])
    assert name == "streamsr"
    asked = cli.commands[command].make_context(command, given).params
    cluster = job["spec"]["rayClusterSpec"]
    assert (
        asked["cluster"]
        == f"127.0.0.1:{cluster['headGroupSpec']['rayStartParams'].get('port', 6379)}"
    )
    assert asked["resume"], "a second attempt goes on"
    assert job["spec"]["backoffLimit"] > 0
    for pod in (group["template"]["spec"] for group in groups_of(job)):
        claims = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
        (container,) = pod["containers"]
        mounts = {
            Path(mount["mountPath"]): mount.get("readOnly", False)
            for mount in container["volumeMounts"]
            if mount["name"] in claims
        }
        assert all(mounts[Path(film).parent] for film in asked["inputs"]), "films are only read"
        assert mounts[Path(asked["output"])] is False
        assert container["resources"]["limits"] == container["resources"]["requests"]
    assert groups_of(job)[0]["rayStartParams"]["num-cpus"] == "0", "the head makes no segments"
    (image,) = {group["template"]["spec"]["containers"][0]["image"] for group in groups_of(job)}
    assert re.fullmatch(r"registry\.example/streamsr@sha256:[0-9a-f]{64}", image)
    assert f"FROM rayproject/ray:{cluster['rayVersion']}-py311" in (
        ROOT / "docs/scaling.md"
    ).read_text("utf-8")


def test_the_manifest_gives_nobody_more_than_the_work_needs() -> None:
    """What Kubernetes' own level "restricted" asks for, and more."""
    job = ray_job()
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    confined = [cluster["autoscalerOptions"]["securityContext"]]
    for group in groups_of(job):
        pod = group["template"]["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(
            {"persistentVolumeClaim", "emptyDir"} & volume.keys() for volume in pod["volumes"]
        )
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        confined += [container["securityContext"] for container in pod["containers"]]
        for container in pod["containers"]:
            assert not {"ports", "envFrom"} & container.keys()
            scratch = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            homes = {entry["name"]: entry["value"] for entry in container["env"]}
            assert homes["HOME"].startswith(f"{scratch['scratch']}/")
    for context in confined:
        assert context == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert all(
        group["template"]["spec"]["automountServiceAccountToken"] is False
        for group in cluster["workerGroupSpecs"]
    )


def test_the_manifest_lets_nobody_reach_ray() -> None:
    found = manifest()
    (space,) = [each for each in found if each["kind"] == "Namespace"]
    assert space["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert {each["metadata"]["namespace"] for each in found if each is not space} == {
        space["metadata"]["name"]
    }
    assert {each["kind"] for each in found} == {"Namespace", "NetworkPolicy", "RayJob"}, (
        "no service, no ingress"
    )
    policies = [each["spec"] for each in found if each["kind"] == "NetworkPolicy"]
    (closed,) = [policy for policy in policies if policy["podSelector"] == {}]
    assert set(closed["policyTypes"]) == {"Ingress", "Egress"}
    ours = {"podSelector": {"matchLabels": {"app": "streamsr"}}}
    for group in groups_of(ray_job()):
        assert group["template"]["metadata"]["labels"] == ours["podSelector"]["matchLabels"]
    own, operator = closed["ingress"]
    assert own == {"from": [ours]}
    assert [peer["podSelector"]["matchLabels"] for peer in operator["from"]] == [
        {"app.kubernetes.io/name": "kuberay-operator"}
    ]
    assert [port["port"] for port in operator["ports"]] == [8265]
    for policy in policies:
        assert policy is closed or "ingress" not in policy
        assert all(rule.get("ports") for rule in policy["egress"] if rule.get("to") != [ours])


# A node that is not like the driver's machine


@pytest.fixture
def node(films: Path, model: Path, tmp_path: Path) -> Callable[..., Any]:
    """Make the first segment as a node would, with changes to what the driver sent; returns what it
    made."""

    server = SimpleNamespace(report=SimpleNamespace(remote=lambda _name, _frames: None))

    def make(
        version: str | None = None,
        *,
        film: Path = films / "a.mp4",
        source: Path | None = None,
        **changes: object,
    ) -> tuple[str, str, Any]:
        options = FileOptions(
            model=str(model),
            choice=EngineChoice(EXACT),
            encoding=Encoding(preset="ultrafast"),
        )
        with FileJob(options) as job:
            segmented, upscaler = job.segmented(film, tmp_path / "out.mkv")
            with segmented:
                sent = remote_work(segmented, upscaler, job.options, cores=1)
                if source is not None:
                    sent = replace(sent, work=replace(sent.work, source=source))
                task = pickle.dumps(SegmentTask(segmented.spans[0], "attempt.made"))
                return node_task()(
                    version or __version__, pickle.dumps(replace(sent, **changes)), task, server
                )  # type: ignore[arg-type]

    return make


def test_a_node_like_the_driver_makes_the_segment(node: Callable[..., Any], films: Path) -> None:
    outcome, _, made = node()
    assert outcome == "made", made
    assert made.frames["out"] == len(look(films / "a.mp4").times)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"versions": {"streamsr": "0.0.1"}}, "the driver streamsr 0.0.1"),
        ({"source_sample": "0"}, "is a different file on this node"),
        ({"engine": "openvino"}, "engine, the driver openvino"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_node_that_differs_says_how(
    node: Callable[..., Any], changes: dict[str, Any], said: str
) -> None:
    outcome, name, what = node(**changes)
    assert (outcome, name) == ("failed", os.uname().nodename)
    assert said in what
    assert "\n" not in what


def test_a_node_with_another_streamsr_says_so(node: Callable[..., Any]) -> None:
    outcome, _, what = node("99.0")
    assert (outcome, what) == ("failed", what)
    assert what.endswith("the driver 99.0")


def test_a_node_with_another_model_under_that_name_says_so(
    node: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    there = ModelFile("xlsr_x3_u8", tmp_path / "xlsr_x3_u8.tflite", model.read_bytes() + b"?")
    outcome, _, what = node(model=there, shipped=True)
    assert outcome == "failed"
    assert "differs from the driver's" in what


def test_a_model_file_that_a_node_lacks_comes_from_the_driver(
    node: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    outcome, _, what = node(
        model=ModelFile("mine", tmp_path / "mine.tflite", model.read_bytes()), shipped=False
    )
    assert outcome == "made", what


def test_a_file_that_a_node_cannot_read_is_an_error(
    node: Callable[..., Any], tmp_path: Path
) -> None:
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    outcome, _, what = node(source=loop)
    assert (outcome, what) == ("failed", f"{loop}: Too many levels of symbolic links")
