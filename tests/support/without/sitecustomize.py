"""Hides packages from every Python that has this folder in PYTHONPATH: as if an extra were not
installed.

PYTHONPATH=tests/support/without STREAMSR_TEST_WITHOUT=openvino,ray python -m pytest
"""

import os
import sys
from importlib.machinery import PathFinder

HIDDEN = set(filter(None, os.environ.get("STREAMSR_TEST_WITHOUT", "").split(",")))


class Without(PathFinder):
    """Finds what is installed, the hidden packages excepted."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):  # type: ignore[no-untyped-def]
        return None if name.split(".")[0] in HIDDEN else super().find_spec(name, path, target)


if HIDDEN:
    sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
