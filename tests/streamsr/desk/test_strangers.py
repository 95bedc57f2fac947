"""Who may not come to the desk: strangers, and other sites' pages in the user's own browser."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
pytest.importorskip("starlette", reason="the extra [web] is not installed")

from streamsr.desk.app import PAGE
from streamsr.desk.routes import ROUTES
from tests.streamsr.desk.serving import Desk, serving
from tests.support.strangers import KINDS, hung_up, sent
from tests.support.until import until

REQUESTS = [
    *(("GET", path) for path in PAGE),
    *((route.method, route.path.replace("{number}", "1")) for route in ROUTES),
]
HOSTILE: dict[str, dict[str, Any]] = {
    "no token": {"token": ""},
    "another token": {"token": "A" * 22},
    "another site": {"Origin": "https://evil.example"},
    "a file's page": {"Origin": "null"},
    "another port of this machine": {"Origin": "http://127.0.0.1:1"},
    "a name that was bent to this machine": {"Host": "evil.example"},
    "the same with our port": {"Host": "evil.example:8010", "Origin": "http://evil.example:8010"},
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with serving(tmp_path) as served:
        yield served


@pytest.mark.parametrize("how", HOSTILE)
def test_nothing_is_answered_and_nothing_happens(desk: Desk, how: str) -> None:
    number = desk.add("slow.mp4")
    for method, path in REQUESTS:
        answer = desk.ask(method, path, b"{}" if method != "GET" else None, **HOSTILE[how])
        assert answer.status == 403, (method, path)
        assert desk.token.encode() not in answer.content
    assert [job.number for job in desk.runner.jobs] == [number]
    assert desk.job(number)["state"] in ("waiting", "running")
    assert list((desk.folder / "state" / "dropped").iterdir()) == []


def test_no_page_may_frame_embed_or_leak_ours(desk: Desk) -> None:
    for path in (*PAGE, "/api/jobs", "/openapi.json"):
        headers = desk.ask("GET", path).headers
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "'unsafe-inline'" not in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
    assert desk.ask("OPTIONS", "/api/jobs").status == 405


@pytest.mark.parametrize("kind", ["silent", "half a head", "a body without end", "no token"])
def test_strangers_hold_nobody_up(desk: Desk, kind: str) -> None:
    links = [socket.create_connection(("127.0.0.1", desk.port), timeout=60) for _ in range(40)]
    try:
        for link in links:
            sent(link, KINDS[kind])
        assert desk.ask("GET", "/api/desk").status == 200
        until(lambda: all(map(hung_up, links)))
    finally:
        for link in links:
            link.close()
