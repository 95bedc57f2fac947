"""What the tests of both packages share: the model, the shared data, and how much hypothesis may try.

``STREAMSR_TEST_ORDER=N`` shuffles the files, and the tests of each, in the order number N.
"""

import os
import random
import shutil
import signal
import tempfile
from pathlib import Path

# A cache of this run's own, also for all programs it starts, and before anything looks for one: what earlier runs found
# out about this machine decides nothing, and nothing is left in the user's.
CACHE = tempfile.mkdtemp(prefix="streamsr-tests-cache-")
os.environ["XDG_CACHE_HOME"] = CACHE

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from xlsr_model import weights  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# Started in the background by a shell, tests would pass on to the commands they try that Ctrl-C is to be ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the machine may be busy. No example database: a run leaves nothing in the tree.
settings.register_profile("streamsr", deadline=None, database=None, suppress_health_check=list(HealthCheck))
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files, and the tests in each, into the order that STREAMSR_TEST_ORDER asks for."""
    if order := os.environ.get("STREAMSR_TEST_ORDER"):
        chance = random.Random(order)
        files = sorted({item.path for item in items})
        places = {path: chance.random() for path in files}
        items.sort(key=lambda item: (places[item.path], chance.random()))


def pytest_unconfigure() -> None:
    shutil.rmtree(CACHE, ignore_errors=True)
