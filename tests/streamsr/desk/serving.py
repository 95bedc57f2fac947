"""The desk in the test's own process, with a program that does as it is told in place of the
command."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from streamsr.cli.desk import sent
from streamsr.desk.api import Api, Folders
from streamsr.desk.app import desk_app
from streamsr.desk.places import Places
from streamsr.desk.runner import Runner
from streamsr.desk.store import Store
from streamsr.web.server import Server
from tests.streamsr.desk.acts import FAKE
from tests.support.until import until


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> str:
        return str(self.json["error"])


@dataclass
class Desk:
    """A desk that is served, and its folders."""

    folder: Path
    port: int
    token: str
    runner: Runner

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        **headers: str,
    ) -> Answer:
        """One request; ``body`` is sent as JSON unless it is bytes."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        token = self.token if token is None else token
        mark = "&" if "?" in path else "?"
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, f"{path}{mark}token={token}", content, headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()

    def add(self, name: str, content: bytes = b"film", **more: Any) -> int:
        """A job for a new file in the root; its number."""
        (self.root / name).write_bytes(content)
        answer = self.ask("POST", "/api/jobs", {"path": str(self.root / name), **more})
        assert answer.status == 201, answer.content
        return int(answer.json["number"])

    def job(self, number: int) -> dict[str, Any]:
        return dict(self.ask("GET", f"/api/jobs/{number}").json)

    def until(self, number: int, state: str) -> dict[str, Any]:
        until(lambda: self.job(number)["state"] == state, seen=lambda: self.job(number))
        return self.job(number)

    def drop(self, name: str | bytes, content: bytes) -> Answer:
        return self.ask("PUT", f"/api/dropped?name={quote(name)}", content)


@contextmanager
def serving(folder: Path, *, state: Path | None = None) -> Iterator[Desk]:
    for name in ("root", "output"):
        (folder / name).mkdir(exist_ok=True, parents=True)
    root, output = folder / "root", folder / "output"
    with Store(state or folder / "state") as store:
        inputs = Places([root, store.dropped])
        runner = Runner(store, program=FAKE, allowed=lambda job: inputs.check(job.source))
        folders = Folders(inputs, [root], Places([output]), output)
        token = store.token()
        app = desk_app(Api(runner, store, folders, sent), token=token, works=[runner.run])
        with Server(app, host="127.0.0.1", port=0, token=token) as server:
            port = int(server.url.split(":")[2].split("/")[0])
            yield Desk(folder, port, token, runner)
