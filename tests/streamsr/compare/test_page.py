"""An HTML sheet in headless Chromium: from a file, without a server, with the divider."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.streamsr.compare.test_compare import Page as Content
from tests.streamsr.compare.test_compare import lossless
from tests.support.browser import Page, chromium
from tests.support.command import Command

pytest.importorskip("websockets.sync.client", reason="the extra [web] is not installed")

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

PIXELS = """(() => { const canvas = document.querySelector("canvas");
return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.join(); })()"""


def canvas(page: Page) -> np.ndarray:
    """What the first divider shows."""
    width = page.value("document.querySelector('canvas').width")
    pixels = np.array(page.value(PIXELS).split(","), np.uint8)
    return pixels.reshape(-1, width, 4)[..., :3]


def divided(page: Page, at: int) -> np.ndarray:
    """The same with the line there, the line aside."""
    page.value(
        f"(() => {{ const slider = document.querySelector('.divided input'); slider.value = {at};"
        "slider.dispatchEvent(new Event('input')); })()"
    )
    return canvas(page)[:, 4:-4]


@pytest.mark.timeout(120)
def test_the_page_shows_any_two_choices(streamsr: Command, tmp_path: Path) -> None:
    film = lossless(tmp_path / "a <b> & film.mov")
    sheet = tmp_path / "sheet.html"
    result = streamsr("compare", film, "--at", "0.1,0.3", "-o", sheet, "--preset", "ultrafast")
    assert result.status == 0, result.err
    pictures = list(Content(sheet).pictures.items())
    first = {words.rpartition(", 0:")[0]: picture for words, picture in pictures[:5]}
    with chromium(tmp_path / "profile", sheet.as_uri()) as page:
        page.until("document.body.dataset.drawn === '2'")
        assert page.value("document.title") == f"{film.name}: streamsr compare"
        assert page.value("document.querySelector('h1').textContent") == film.name
        assert np.array_equal(divided(page, 1000), first["bicubic"][:, 4:-4])
        assert np.array_equal(divided(page, 0), first["clean"][:, 4:-4])  # what auto takes
        half = divided(page, 500)
        middle = half.shape[1] // 2
        assert np.array_equal(half[:, : middle - 8], first["bicubic"][:, 4 : middle - 4])
        assert np.array_equal(half[:, middle + 8 :], first["clean"][:, middle + 12 : -4])
        page.value(
            "(() => { const right = document.getElementById('right'); right.value = 1;"
            "right.dispatchEvent(new Event('change')); })()"
        )
        assert np.array_equal(divided(page, 0), first["video"][:, 4:-4])
        assert page.value("document.querySelector('.label.after').textContent") == "video"
        fetched = page.value("JSON.stringify(performance.getEntriesByType('resource'))")
        assert all(entry["name"].startswith("data:") for entry in json.loads(fetched))


@pytest.mark.timeout(120)
def test_the_page_goes_by_the_screen(streamsr: Command, tmp_path: Path) -> None:
    """Light and dark as the system says, on a phone's width too, and by the keyboard."""
    film = lossless(tmp_path / "film.mov", size=(256, 160))
    sheet = tmp_path / "sheet.html"
    streamsr("compare", film, "-o", sheet, "--choice", "sharpen=1", "--preset", "ultrafast")
    behind = "getComputedStyle(document.body).backgroundColor"
    with chromium(tmp_path / "profile", sheet.as_uri()) as page:
        page.until("document.body.dataset.drawn")
        seen = {}
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            page.do("Emulation.setEmulatedMedia", features=[feature])
            seen[scheme] = sum(json.loads("[" + page.value(behind)[4:-1] + "]"))
        assert seen["dark"] < 150 < 600 < seen["light"]
        page.do(
            "Emulation.setDeviceMetricsOverride",
            width=390,
            height=800,
            deviceScaleFactor=1,
            mobile=True,
        )
        assert page.value("document.documentElement.scrollWidth") <= 390
        page.value("document.querySelector('.divided input').focus()")
        for kind in ("keyDown", "keyUp"):
            page.do("Input.dispatchKeyEvent", type=kind, key="ArrowRight", windowsVirtualKeyCode=39)
        page.until("document.querySelector('.divided input').value > 500")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(streamsr: Command, tmp_path: Path, scheme: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm install --no-save axe-core@4")
    film = lossless(tmp_path / "film.mov", size=(256, 160))
    sheet = tmp_path / "sheet.html"
    streamsr("compare", film, "-o", sheet, "--choice", "sharpen=1", "--preset", "ultrafast")
    with chromium(tmp_path / "profile", sheet.as_uri()) as page:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.do("Emulation.setEmulatedMedia", features=[feature])
        page.until("document.body.dataset.drawn")
        page.value(AXE.read_text(encoding="utf-8") + ";0")
        found = "r => JSON.stringify(r.violations.map(v => [v.id, v.impact, v.nodes.length]))"
        assert json.loads(page.value(f"axe.run().then({found})")) == []
