"""OBS itself, on a virtual screen: one scene with one media source, and what it records sent on."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import Helper, running

SIZE = 320, 180
"""(width, height) of what OBS sends."""


@contextmanager
def obs(
    home: Path, display: str, source: dict[str, object], **settings: object
) -> Iterator[Helper]:
    """OBS while the block lasts; it begins to record at once.

    source    settings of its Media Source
    settings  of the custom output, by OBS's names
    """
    program = shutil.which("obs")
    if program is None:
        pytest.skip("OBS is not installed")
    folder = home / ".config" / "obs-studio"
    profile, scenes = (folder / "basic" / name for name in ("profiles/test", "scenes"))
    profile.mkdir(parents=True)
    scenes.mkdir()
    names = "Profile=test\nProfileDir=test\nSceneCollection=test\nSceneCollectionFile=test\n"
    (folder / "global.ini").write_text(
        f"[General]\nFirstRun=true\nEnableAutoUpdates=false\n[Basic]\n{names}"
    )
    output = "".join(f"{name}={value}\n" for name, value in settings.items())
    width, height = SIZE
    sides = f"BaseCX={width}\nBaseCY={height}\nOutputCX={width}\nOutputCY={height}\n"
    (profile / "basic.ini").write_text(
        "[General]\nName=test\n[Output]\nMode=Advanced\n[AdvOut]\nRecType=FFmpeg\n"
        f"FFOutputToFile=false\n{output}[Video]\n{sides}FPSCommon=25 PAL\n"
    )
    # As large as the picture that is sent, whatever its own size is.
    item = {
        "name": "media", "visible": True, "id": 1, "align": 5, "bounds_type": 1, "bounds_align": 0,
        "pos": {"x": 0.0, "y": 0.0}, "bounds": {"x": float(SIZE[0]), "y": float(SIZE[1])},
    }  # fmt: skip
    scene = {"items": [item], "id_counter": 2}
    sources = [
        {"id": "ffmpeg_source", "name": "media", "settings": source},
        {"id": "scene", "name": "scene", "settings": scene},
    ]
    (scenes / "test.json").write_text(
        json.dumps({"name": "test", "current_scene": "scene", "sources": sources})
    )
    env = {
        **os.environ,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_RUNTIME_DIR": str(home),
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    with running([program, "--startrecording", "--multi"], env=env, tree=True) as process:
        yield process
