"""Headless Chromium, driven through its own debugging protocol."""

import base64
import itertools
import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import running
from tests.support.until import until

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1300,1150",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-dev-shm-usage",
)


class Page:
    """One tab."""

    def __init__(self, link: Any) -> None:  # Any: the client library is imported by the fixture
        self._link = link
        self._numbers = itertools.count(1)

    def do(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._link.send(json.dumps({"id": number, "method": method, "params": params}))
        answer: dict[str, Any] = {}

        def ours() -> bool:
            answer.clear()
            answer.update(json.loads(self._link.recv(timeout=60)))
            return answer.get("id") == number

        until(ours, seen=lambda: f"no answer to {method}, but {answer}")
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def value(self, expression: str) -> Any:
        return self.do("Runtime.evaluate", expression=expression, awaitPromise=True)["result"].get(
            "value"
        )

    def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true; the page gives no other sign."""
        says = "document.body.innerText"
        until(
            lambda: self.value(expression),
            seen=lambda: f"not {expression}; the page says {self.value(says)!r}",
        )

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
    with running(words, tree=True) as process:
        ready = profile / "DevToolsActivePort"
        process.until(lambda: ready.exists() and len(ready.read_text().splitlines()) == 2)
        page = process.until(lambda: _first_page(int(ready.read_text().splitlines()[0])))
        assert page is not None
        with client.connect(page, max_size=None, compression=None) as link:
            tab = Page(link)
            tab.do("Page.navigate", url=url)
            yield tab


def _first_page(port: int) -> str | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
        pages = [page for page in json.load(answer) if page["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"]) if pages else None
