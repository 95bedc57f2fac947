"""What the tests of both packages share: the model, the shared data, and how much hypothesis may try."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from xlsr_model import weights

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
