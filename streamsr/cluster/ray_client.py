"""Everything that is asked of Ray: a cluster joined or started, tasks sent and answered."""

import contextlib
import logging
import os
import pickle
import signal
import socket
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from streamsr import __version__
from streamsr.cluster.tasks import FilmWork, Made, Order
from streamsr.cluster.transfer import Desk
from streamsr.errors import StreamsrError, first_line, reason_of, shortened
from streamsr.machine import usable_cores

LOCAL = "auto"
OBJECT_STORE_BYTES = 100 << 20
"""Of a cluster on this machine only: its workers read and write files, next to nothing goes through
the store."""

CONNECT_S = 5.0
DESK_THREADS = 8

Ref = Any
"""Ray's reference to a value that is somewhere, or will be: Ray's types are not stable enough to
name."""


class Lost(Exception):  # noqa: N818 - nothing is wrong with the work
    """The worker is gone, with what it was doing. ``str`` says how."""


class Farm:
    """A connection to a cluster. A context manager; `connect` must come before everything else.

    address  HOST:PORT of a cluster that this machine is a node of, or ``auto``: one is started
             here, with all cores and without dashboard and telemetry, and stopped at the end.
    """

    def __init__(self, address: str) -> None:
        if find_spec("ray") is None:
            raise StreamsrError("--cluster needs Ray: pip install 'streamsr[cluster]'")
        self.address = address
        self.connected = False

    def __enter__(self) -> Self:
        if self.address != LOCAL:
            _check_reachable(self.address)
        return self

    def connect(self) -> None:
        """Join or start the cluster; takes seconds. Raises StreamsrError."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray  # a second, and only who asks for a cluster has it

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
            with contextlib.suppress(
                ValueError, TypeError
            ):  # not the main thread, or not set from Python
                signal.signal(signal.SIGTERM, ours)
        self.connected = True
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        beside = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(Desk).options(
            num_cpus=0,
            max_concurrency=DESK_THREADS,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=beside,
        )
        self._ray, self._desk = ray, actor.remote()
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

    def film(self, work: FilmWork) -> Ref:
        """Send what all segments of a film need."""
        return self._ray.put(pickle.dumps(work))

    def send(self, film: Ref, order: Order, *, cores: int, memory: int) -> Ref:
        """Have a segment made. It begins when a node has so many cores and bytes of memory free."""
        # The caller counts attempts; SPREAD, or few segments would all go to one node.
        task = self._task.options(
            num_cpus=cores, memory=memory, max_retries=0, scheduling_strategy="SPREAD"
        )
        return task.remote(__version__, film, pickle.dumps(order), self._desk)

    def answered(self, refs: Sequence[Ref], *, timeout_s: float) -> list[Ref]:
        """Those of the segments that are over, after at most this time."""
        ready, _ = self._ray.wait(list(refs), num_returns=len(refs), timeout=timeout_s)
        return list(ready)

    def answer(self, ref: Ref) -> Made:
        """What became of a segment that is over. Raises Lost, or StreamsrError saying what is wrong
        on which node."""
        exceptions = self._ray.exceptions
        try:
            outcome, node, value = self._ray.get(ref)
        except exceptions.RayTaskError as error:
            cause = error.cause
            raise StreamsrError(
                f"a worker failed: {type(cause).__name__}: {first_line(cause)}"
            ) from error
        except exceptions.RayError as error:
            raise Lost(first_line(error)) from error
        if outcome != "made":
            raise StreamsrError(f"node {node}: {value}")
        assert isinstance(value, Made)
        return value

    def cancel(self, ref: Ref) -> None:
        """Do not begin this segment any more."""
        self._ray.cancel(ref, force=False)

    def begun(self, over: Sequence[str]) -> dict[str, int]:
        """Frames done of each segment that has begun, by the name of its order; without those that
        are ``over``."""
        try:
            found: dict[str, int] = self._ray.get(
                self._desk.progress.remote(list(over)), timeout=10
            )
        except self._ray.exceptions.RayError:  # it is being restarted; only the display knows less
            return {}
        return found

    def nodes(self) -> list[Mapping[str, float]]:
        """The resources of each node that has cores to work on."""
        return [
            n["Resources"]
            for n in self._ray.nodes()
            if n["Alive"] and n["Resources"].get("CPU", 0) > 0
        ]


def node_task() -> Callable[..., tuple[str, str, Any]]:
    """The function that a node runs. Made inside another one, it travels as code and not as a name
    to import, so that a node without streamsr, or with another one, can say so."""

    def segment(version: str, film: bytes, order: bytes, desk: Any) -> tuple[str, str, Any]:
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
            return "made", node, make(pickle.loads(film), pickle.loads(order), desk)
        except (StreamsrError, OSError) as error:
            return "failed", node, str(error).split("\n")[0]

    return segment


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "//" in address or not host or not port.isdecimal():
        raise StreamsrError(
            f"--cluster {shortened(address)}: expected auto, or HOST:PORT of a cluster that this "
            f"machine belongs to"
        )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (
        OSError,
        OverflowError,
        ValueError,
    ) as error:  # the last of names and numbers that are none
        raise StreamsrError(
            f"--cluster {shortened(address)}: nothing answers there: {reason_of(error)}"
        ) from error
