"""Ray: joining or starting a cluster, sending tasks and taking their results."""

import contextlib
import logging
import os
import pickle
import signal
import socket
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from streamsr import __version__
from streamsr.cluster.tasks import RemoteWork, SegmentResult, SegmentTask
from streamsr.cluster.transfer import FileServer
from streamsr.errors import StreamsrError, first_line, reason_of, shortened
from streamsr.machine import usable_cores

LOCAL = "auto"
OBJECT_STORE_BYTES = 100 << 20
"""For a cluster on this machine only: its workers use files, and hardly anything goes through the
store."""

CONNECT_S = 5.0
NODES_S = 2.0
SERVER_THREADS = 8

Ref = Any
"""Ray's reference to a present or future value; Ray's own types change too often to be named."""


class WorkerLost(Exception):  # noqa: N818 - nothing is wrong with the work
    """The worker died, and its task with it. ``str`` says how."""


class RayCluster:
    """A connection to a cluster. A context manager; `connect` must come before everything else.

    address  HOST:PORT of a cluster that this machine is a node of, or ``auto``: one is started
             here, with all cores and without dashboard and telemetry, and stopped at the end.
    """

    def __init__(self, address: str) -> None:
        if find_spec("ray") is None:
            raise StreamsrError("--cluster needs Ray: pip install 'streamsr[cluster]'")
        self.address = address
        self.connected = False
        self._asked_s = -NODES_S
        self._nodes: list[Mapping[str, float]] = []

    def __enter__(self) -> Self:
        if self.address != LOCAL:
            _check_reachable(self.address)
        return self

    def connect(self) -> None:
        """Join or start the cluster; takes seconds. Raises StreamsrError."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray  # here: takes a second, and is installed only with the extra [cluster]

        logging.getLogger("ray").setLevel(logging.CRITICAL)
        here = {
            "num_cpus": usable_cores(),
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
        ours = signal.getsignal(signal.SIGTERM)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Ray's own future
                ray.init(
                    "local" if self.address == LOCAL else self.address,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    **(here if self.address == LOCAL else {}),
                )
        except Exception as error:  # Ray raises all kinds, bare ones too; wrapped once, here
            raise StreamsrError(f"--cluster {self.address}: {first_line(error)}") from error
        finally:
            with contextlib.suppress(ValueError, TypeError):
                # Raised outside the main thread, or when it was not set from Python.
                signal.signal(signal.SIGTERM, ours)
        self.connected = True
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        beside = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(FileServer).options(
            num_cpus=0,
            max_concurrency=SERVER_THREADS,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=beside,
        )
        self._ray = ray
        self._server = actor.remote()
        self._task = ray.remote(node_task())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.connected:
            self.connected = False
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._ray.shutdown()

    def put(self, work: RemoteWork) -> Ref:
        """Send what all segments of a film need."""
        return self._ray.put(pickle.dumps(work))

    def send(self, work: Ref, task: SegmentTask, *, cores: int, memory: int) -> Ref:
        """Send a task. It begins when a node has this many cores and bytes of memory free."""
        # The caller counts attempts; SPREAD, or few segments would all go to one node.
        remote = self._task.options(
            num_cpus=cores, memory=memory, max_retries=0, scheduling_strategy="SPREAD"
        )
        return remote.remote(__version__, work, pickle.dumps(task), self._server)

    def answered(self, refs: Sequence[Ref], *, timeout_s: float) -> list[Ref]:
        """Wait at most this long; return those of the segments that are over."""
        ready, _ = self._ray.wait(list(refs), num_returns=len(refs), timeout=timeout_s)
        return list(ready)

    def answer(self, ref: Ref) -> SegmentResult:
        """Return the result of a segment that is over. Raises WorkerLost, or StreamsrError saying
        what is wrong on which node."""
        exceptions = self._ray.exceptions
        try:
            outcome, node, value = self._ray.get(ref)
        except exceptions.RayTaskError as error:
            cause = error.cause
            raise StreamsrError(
                f"a worker failed: {type(cause).__name__}: {first_line(cause)}"
            ) from error
        except exceptions.RayError as error:
            raise WorkerLost(first_line(error)) from error
        if outcome != "made":
            raise StreamsrError(f"node {node}: {value}")
        assert isinstance(value, SegmentResult)
        return value

    def cancel(self, ref: Ref) -> None:
        """Cancel a segment unless it has begun."""
        self._ray.cancel(ref, force=False)

    def begun(self, over: Sequence[str]) -> dict[str, int]:
        """Return the frames done of each segment that has begun, by the name of its task, without
        those that are ``over``."""
        try:
            found: dict[str, int] = self._ray.get(
                self._server.progress.remote(list(over)), timeout=10
            )
        except self._ray.exceptions.RayError:  # it is being restarted; only the display knows less
            return {}
        return found

    def nodes(self) -> list[Mapping[str, float]]:
        """The resources of each node that has cores to work on, asked for now and then; none before
        `connect`."""
        if self.connected and time.monotonic() - self._asked_s > NODES_S:
            self._asked_s = time.monotonic()
            self._nodes = [
                n["Resources"]
                for n in self._ray.nodes()
                if n["Alive"] and n["Resources"].get("CPU", 0) > 0
            ]
        return self._nodes


def node_task() -> Callable[..., tuple[str, str, Any]]:
    """The function that a node runs. Made inside another one, it travels as code and not as a name
    to import, so that a node without streamsr, or with another version, can report that."""

    def segment(version: str, work: bytes, task: bytes, server: Any) -> tuple[str, str, Any]:
        import pickle
        import socket

        node = socket.gethostname()
        try:
            import streamsr

            if streamsr.__version__ != version:
                return "failed", node, f"has streamsr {streamsr.__version__}, the driver {version}"
            from streamsr.cluster.worker import make
            from streamsr.errors import StreamsrError
        except ImportError as error:
            return "failed", node, f"streamsr {version} cannot be imported there: {error}"
        try:
            return "made", node, make(pickle.loads(work), pickle.loads(task), server)
        except (StreamsrError, OSError) as error:
            return "failed", node, str(error).split("\n")[0]

    return segment


def _check_reachable(address: str) -> None:
    """Raise StreamsrError when nothing listens at the address; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "//" in address or not host or not port.isdecimal():
        raise StreamsrError(
            f"--cluster {shortened(address)}: expected auto, or HOST:PORT of a cluster that this "
            f"machine belongs to"
        )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError, ValueError) as error:
        # The last two for impossible numbers and names.
        raise StreamsrError(
            f"--cluster {shortened(address)}: nothing answers there: {reason_of(error)}"
        ) from error
