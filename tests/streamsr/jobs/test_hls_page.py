"""``--publish folder/stream.m3u8`` in a browser's page, as docs/live.md has it: ``-m slow``.

Chromium plays no HLS by itself; hls.js comes from npm for the time of the test.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.beeps import make_beeping
from tests.support.browser import chromium
from tests.support.command import started
from tests.support.processes import run
from tests.support.servers import web_server

LISTEN = """
const heard = new AudioContext(), ear = heard.createAnalyser();
heard.createMediaElementSource(video).connect(ear);
const wave = new Float32Array(ear.fftSize);
let loudest = 0;
setInterval(() => {
  ear.getFloatTimeDomainData(wave);
  loudest = Math.max(loudest, ...wave);
}, 20);
"""


@pytest.mark.slow
def test_a_page_plays_pictures_and_sound_while_the_run_goes_on(tmp_path: Path, model: Path) -> None:
    npm = shutil.which("npm")
    if npm is None or run([npm, "install", "--prefix", tmp_path / "npm", "hls.js@1"]).returncode:
        pytest.skip("hls.js cannot be had: no npm, or no registry")
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(tmp_path / "npm" / "node_modules" / "hls.js" / "dist" / "hls.min.js", folder)
    page_of_docs = re.search(
        r"```html\n(.*?)```", (ROOT / "docs" / "live.md").read_text(encoding="utf-8"), re.S
    )
    assert page_of_docs is not None
    (folder / "index.html").write_text(page_of_docs[1])
    film = make_beeping(tmp_path / "in.mkv", 60, size=(320, 180))
    playlist = folder / "stream.m3u8"
    with started("live", film, "--realtime", "--publish", playlist, "--model", model) as process:
        process.until(playlist.exists)
        with (
            web_server(folder) as url,
            chromium(
                tmp_path / "profile", url, "--autoplay-policy=no-user-gesture-required"
            ) as page,
        ):
            page.until("typeof video === 'object' && video.readyState > 2")
            page.value(LISTEN)
            page.until("video.currentTime > 8")
            assert process.running
            played = page.value(
                "JSON.stringify([video.getVideoPlaybackQuality().totalVideoFrames, "
                "video.videoWidth, video.videoHeight, loudest])"
            )
            frames, width, height, loudest = json.loads(played)
            page.screenshot(tmp_path / "page.png")
    print(f"{frames} frames of {width}x{height}, sound up to {loudest:.2f}")
    assert frames > 100
    assert (width, height) == (960, 540)
    assert 0.3 < loudest < 0.7  # the beeps' amplitude is 0.5
