"""Headless Chromium, driven through its own debugging protocol."""

import base64
import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-port=0", "--window-size=1300,1150",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--disable-dev-shm-usage",
)  # fmt: skip


class Page:
    """One tab."""

    def __init__(self, link: Any) -> None:  # Any: the client library is imported by the fixture
        self._link = link
        self._numbers = itertools.count(1)

    def do(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._link.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._link.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def value(self, expression: str) -> Any:
        return self.do("Runtime.evaluate", expression=expression, awaitPromise=True)["result"].get("value")

    def until(self, expression: str, *, patience: int = 300) -> None:
        """Wait until a JavaScript expression is true; the page gives no other sign."""
        for _ in range(patience):
            if self.value(expression):
                return
            threading.Event().wait(0.1)
        raise AssertionError(f"never true: {expression}; the page says {self.value('document.body.innerText')!r}")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def chromium(profile: Path, url: str, *flags: str) -> Iterator[Page]:
    """A browser with an empty profile that shows ``url``."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    client = pytest.importorskip("websockets.sync.client")
    words = [program, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            ready = profile / "DevToolsActivePort"
            while process.poll() is None and not (ready.exists() and len(ready.read_text().splitlines()) == 2):
                threading.Event().wait(0.05)
            port = ready.read_text().splitlines()[0]
            page = _first_page(int(port))
            with client.connect(page, max_size=None, compression=None) as link:
                tab = Page(link)
                tab.do("Page.navigate", url=url)
                yield tab
        finally:
            process.terminate()
            process.wait()


def _first_page(port: int) -> str:
    import urllib.request

    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        if pages:
            return str(pages[0]["webSocketDebuggerUrl"])
        threading.Event().wait(0.05)
