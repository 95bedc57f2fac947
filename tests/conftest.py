"""What the tests of both packages share: the model, the shared data, and how much hypothesis may
try.

``STREAMSR_TEST_ORDER=N`` shuffles the files, and the tests of each, in the order number N.
"""

import faulthandler
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

# A cache of this run's own, also for all programs it starts, and before anything looks for one:
# what earlier runs found out about this machine decides nothing, and nothing is left in the user's.
CACHE = tempfile.mkdtemp(prefix="streamsr-tests-cache-")
os.environ["XDG_CACHE_HOME"] = CACHE

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from xlsr_model import weights  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

TERMINAL = pytest.StashKey[int]()
"""Standard error as it was before pytest began to capture it."""

SCHEDULER, PRIORITY = os.sched_getscheduler(0), os.sched_getparam(0)

TIME_LIMIT_S = 300.0
GRACE_S = float(os.environ.get("STREAMSR_TEST_GRACE_S", "60"))

# Started in the background by a shell, tests would pass on to the commands they try that Ctrl-C is
# to be ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the machine may be busy. No example database: a run leaves nothing in the tree.
settings.register_profile(
    "streamsr", deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("streamsr")


@pytest.fixture(scope="session")
def model() -> Path:
    """The shipped uint8 x3 model."""
    return weights.path("xlsr_x3_u8")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test media beside the repository; not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared test data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _ordinary_thread() -> Iterator[None]:
    """No test leaves this thread in front of everything else on the machine, see
    `system.ordinary_threads`."""
    yield
    found = os.sched_getparam(0).sched_priority
    if found != PRIORITY.sched_priority:
        os.sched_setscheduler(0, SCHEDULER, PRIORITY)
        pytest.fail(f"real-time priority {found}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files, and the tests in each, into the order that STREAMSR_TEST_ORDER asks for."""
    if order := os.environ.get("STREAMSR_TEST_ORDER"):
        chance = random.Random(order)
        files = sorted({item.path for item in items})
        places = {path: chance.random() for path in files}
        items.sort(key=lambda item: (places[item.path], chance.random()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the run, and say where it stands, when pytest-timeout's signal is not heard: native code
    holds the lock."""
    marker = item.get_closest_marker("timeout")
    limit_s = float(
        marker.args[0] if marker is not None else item.config.getini("timeout") or TIME_LIMIT_S
    )
    faulthandler.dump_traceback_later(
        limit_s + GRACE_S, exit=True, file=item.config.stash[TERMINAL]
    )
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_configure(config: pytest.Config) -> None:
    capturing = config.pluginmanager.getplugin("capturemanager")
    with capturing.global_and_fixture_disabled() if capturing is not None else nullcontext():
        config.stash[TERMINAL] = os.dup(2)


def pytest_terminal_summary(
    terminalreporter: Any,
) -> None:  # Any: pytest does not give its class a public name
    """On what the tests ran: which engines a processor can run decides which of them are
    skipped."""
    from streamsr.machine import processor_name, usable_cores
    from tests.support.engine import EXACT, WHY_NOT_FUSED

    why = f" ({WHY_NOT_FUSED})" if WHY_NOT_FUSED else ""
    terminalreporter.write_line(
        f"on {processor_name()}, {usable_cores()} cores; exact engine: {EXACT}{why}"
    )


def pytest_unconfigure() -> None:
    shutil.rmtree(CACHE, ignore_errors=True)
