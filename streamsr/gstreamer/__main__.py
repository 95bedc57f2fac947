"""Says where the element is: ``eval "$(python -m streamsr.gstreamer)"``, then ``gst-launch-1.0 ... ! streamsr ...``."""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"
"""The one whose library GStreamer's loader carries, and for which Debian's bindings are."""

PROBE = """
import sys, gi
gi.require_version("GstBase", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstBase, GstVideo
Gst.init(None)
assert Gst.Registry.get().find_plugin("python"), "GStreamer has no loader for Python plugins"
print(sys.version_info.major, sys.version_info.minor, gi.__path__[0])
"""


def main() -> int:
    """Print the two lines for a shell, or why the element cannot work; the exit status."""
    try:
        answer = subprocess.run([SYSTEM_PYTHON, "-I", "-c", PROBE], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        print(f"streamsr: GStreamer for Python is not there ({said}); on Debian and Ubuntu: apt-get install"
              " python3-gst-1.0 gstreamer1.0-python3-plugin-loader gstreamer1.0-plugins-base gstreamer1.0-tools",
              file=sys.stderr)  # fmt: skip
        return 1
    major, minor, bindings = answer.split(maxsplit=2)
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if f"{major}.{minor}" != ours:
        print(f"streamsr: GStreamer runs Python {major}.{minor} here, this environment is {ours}; make one with"
              f" {SYSTEM_PYTHON} -m venv", file=sys.stderr)  # fmt: skip
        return 1
    here = Path(__file__).resolve().parent
    # Ours first, then what an activated environment would hide from the loader: the bindings.
    modules = [
        here.parents[1],
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        Path(bindings.strip()).parent,
    ]
    for name, paths in (("GST_PLUGIN_PATH", [here]), ("PYTHONPATH", modules)):
        before = os.environ.get(name, "").split(":")
        unique = dict.fromkeys([*map(str, paths), *filter(None, before)])
        print(f"export {name}={shlex.quote(':'.join(unique))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
