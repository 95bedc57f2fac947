"""Makes docs/images/compare.webp: a sheet of `streamsr compare` in a browser.

    python -m tools.pages.sheet

It runs the command on a sample and shows its HTML sheet in headless Chromium.
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.support.browser import chromium

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "images" / "compare.webp"
FILM = ROOT / "samples" / "bbb_640x360.mp4"

WIDTH, HEIGHT = 1000, 860
QUALITY = 60
"""Of the WebP: letters stay clean, and pictures in docs/ have 100 KB at most."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sheet = folder / "sheet.html"
        words = [sys.executable, "-m", "streamsr", "compare", str(FILM), "--at", "1,3"]
        subprocess.run([*words, "-o", str(sheet)], check=True)
        with chromium(folder / "profile", sheet.as_uri()) as page:
            page.do(
                "Emulation.setDeviceMetricsOverride",
                width=WIDTH,
                height=HEIGHT,
                deviceScaleFactor=1,
                mobile=False,
            )
            page.until("document.body.dataset.drawn === '2'")
            page.screenshot(folder / "page.png")
        with Image.open(folder / "page.png") as shown:
            file = io.BytesIO()
            shown.convert("RGB").save(file, "WEBP", quality=QUALITY, method=6)
    TARGET.write_bytes(file.getvalue())


if __name__ == "__main__":
    main()
