"""Says where the element is: ``eval "$(python -m streamsr.gstreamer)"``, then ``gst-launch-1.0 ...
! streamsr ...``."""

import hashlib
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from streamsr.native import cache

SYSTEM_PYTHON = "/usr/bin/python3"
"""The one whose library GStreamer's loader carries, and for which the system's bindings are."""

PACKAGES = (
    "python3-gst-1.0 gstreamer1.0-python3-plugin-loader gstreamer1.0-plugins-base "
    "gstreamer1.0-tools"
)

BINDINGS = """
import sys, gi
for name in ("Gst", "GstBase", "GstVideo"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstBase, GstVideo
print(sys.version_info.major, sys.version_info.minor, gi.__path__[0])
"""

ELEMENT = """
from gi.repository import Gst
Gst.init(None)
loader = Gst.Registry.get().find_plugin("python")
assert loader, "its loader of Python plugins is missing, or cannot start"
assert Gst.ElementFactory.find("streamsr"), "it does not load the element"
"""


def main() -> int:
    """Print the lines for a shell, or why the element cannot work; the exit status."""
    try:
        major, minor, bindings = _asked(BINDINGS, "-I").split(maxsplit=2)
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        if f"{major}.{minor}" != ours:
            raise RuntimeError(
                f"GStreamer runs Python {major}.{minor} here, this environment is {ours}; make one "
                f"with "
                f"{SYSTEM_PYTHON} -m venv"
            )
        variables = _variables(Path(bindings.strip()).parent)
        _asked(ELEMENT, **variables)
    except RuntimeError as error:
        print(f"streamsr: {error}", file=sys.stderr)
        return 1
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _variables(bindings: Path) -> dict[str, str]:
    """What GStreamer has to be told; what was said before stays, behind it."""
    here = Path(__file__).resolve().parent
    # The bindings last: the loader does not look for them itself where an environment is active.
    modules = (
        here.parents[1],
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        bindings,
    )
    found = {}
    for name, paths in (("GST_PLUGIN_PATH", [here]), ("PYTHONPATH", modules)):
        before = filter(None, os.environ.get(name, "").split(":"))
        found[name] = ":".join(dict.fromkeys([*map(str, paths), *before]))
    # A registry of its own: one that ever saw the loader fail, as it does in an active environment
    # without these variables, never tries it again.
    name = f"gstreamer-{hashlib.sha256(found['PYTHONPATH'].encode()).hexdigest()[:12]}.bin"
    return {**found, "GST_REGISTRY": str(_registry(name))}


def _registry(name: str) -> Path:
    """A place that nobody else can write to: GStreamer runs what its registry names. Made anew
    where there is none.

    Raises RuntimeError where that is impossible.
    """
    folder = cache.private_folder("gstreamer")
    if folder is None or not cache.is_private_tree(folder):
        try:
            folder = Path(tempfile.mkdtemp(prefix="streamsr-gstreamer-"))
        except OSError as error:
            raise RuntimeError(f"no folder for GStreamer's registry: {error.strerror}") from error
        if not cache.is_private(folder):
            raise RuntimeError(
                f"no folder for GStreamer's registry: others may write to {folder.parent}"
            )
    return folder / name


def _asked(script: str, *options: str, **variables: str) -> str:
    """What the system's Python prints. Raises RuntimeError saying what is missing."""
    words = [SYSTEM_PYTHON, *options, "-c", script]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env={**os.environ, **variables}
        )
    except OSError as error:
        raise RuntimeError(f"{SYSTEM_PYTHON}: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1].removeprefix("AssertionError: ")
        raise RuntimeError(
            f"GStreamer cannot use the element: {said}; on Debian and Ubuntu: apt-get install "
            f"{PACKAGES}"
        )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
