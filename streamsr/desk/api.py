"""Answers the desk's HTTP interface, as `streamsr.desk.routes` describes it."""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from streamsr import __version__
from streamsr.desk.child import command, stopped
from streamsr.desk.choices import CONTAINERS, LOOK, OPTIONS, kind_of, qualities, words
from streamsr.desk.names import free_output
from streamsr.desk.places import Entry, Places
from streamsr.desk.queue import Job, State
from streamsr.desk.routes import openapi
from streamsr.desk.runner import Runner
from streamsr.desk.store import Store
from streamsr.desk.upload import NoRoom, received, room
from streamsr.errors import SinkError, SourceError, one_line, quoted
from streamsr.jobs.outputs import output_name
from streamsr.options import SCALES
from streamsr.web.door import HEADERS
from xlsr_model import system

LONGEST_BODY = 1 << 16
"""Bytes of a request in JSON."""

MOST_LOOKS = 2
"""Pictures that are made at a time."""

Checked = Callable[[Sequence[str]], None]


class Refused(Exception):  # noqa: N818 - an answer
    """A request that is answered by a status and a line."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the desk reads and writes.

    inputs   all folders that files may come from
    shown    those of them that are offered
    outputs  ``output`` alone
    output   where finished files go
    """

    inputs: Places
    shown: Sequence[Path]
    outputs: Places
    output: Path


class Api:
    """The handlers of ROUTES; all run in the event loop of the runner.

    checked  raises ValueError for words that ``streamsr upscale`` does not understand, with what it
             would say
    """

    def __init__(self, runner: Runner, store: Store, folders: Folders, checked: Checked) -> None:
        self._runner = runner
        self._store = store
        self._folders = folders
        self._checked = checked
        self._looks = asyncio.Semaphore(MOST_LOOKS)

    def handler(self, name: str) -> Callable[[Request], Any]:  # Any: a coroutine of a response
        """What answers a route, with our errors as their status and line."""
        method = getattr(self, name)

        async def answered(request: Request) -> Response:
            try:
                return _with_headers(await method(request))
            except Refused as refused:
                return _json({"error": str(refused)}, refused.status)
            except KeyError:
                return _json({"error": "there is no such job"}, 404)
            except SourceError as error:
                return _json({"error": one_line(f"streamsr: {error}")}, 404)
            except SinkError as error:
                return _json({"error": one_line(f"streamsr: {error}")}, 507)
            except ClientDisconnect:  # nobody hears this
                return _json({"error": "broke off"}, 400)

        return answered

    async def desk(self, _request: Request) -> Response:
        try:
            free = room(self._store.dropped)
        except OSError:
            free = 0
        return _json(
            {
                "version": __version__,
                "roots": [
                    _entry(Entry(root, folder=True), str(root)) for root in self._folders.shown
                ],
                "output": str(self._folders.output),
                "room_bytes": free,
                "models": LOOK["model"]["enum"],
                "qualities": qualities(),
                "scales": list(SCALES),
                "containers": list(CONTAINERS),
                "trouble": one_line(self._runner.trouble),
            }
        )

    async def folder(self, request: Request) -> Response:
        path = _query(request).get("path", "")
        entries = await asyncio.to_thread(self._folders.inputs.entries, path)
        return _json({"path": path, "entries": [_entry(entry) for entry in entries]})

    async def drop(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        expected = int(length) if length.isdecimal() else None
        name = _query(request).get("name", "")
        try:
            path, size = await received(request.stream(), name, expected, self._store.dropped)
        except ValueError as error:
            raise Refused(400, f"streamsr: {error}") from error
        except NoRoom as error:
            answer = _json({"error": f"streamsr: {error}"}, 507)
            answer.headers["Connection"] = "close"  # the rest is not read
            return answer
        return _json({"path": str(path), "bytes": size}, 201)

    async def look(self, request: Request) -> Response:
        body = await _body(request, {"path", "at_s", "options"})
        path = self._folders.inputs.resolved(_text(body, "path"))
        at_s = body.get("at_s", 0)
        if type(at_s) not in (int, float) or not 0 <= at_s < 1e9:
            raise Refused(400, f"at_s: expected seconds, got {quoted(at_s)}")
        chosen = self._words(body, LOOK)
        async with self._looks, command(("look", f"--at={at_s:f}", *chosen, str(path))) as process:
            gone = asyncio.create_task(_disconnected(request))
            work = asyncio.create_task(process.communicate())
            try:
                await asyncio.wait((gone, work), return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    raise ClientDisconnect
                content, said = work.result()
            finally:
                gone.cancel()
                await stopped(process)
                await asyncio.gather(work, return_exceptions=True)
        if process.returncode:
            lines = said.decode(errors="replace").splitlines()
            raise Refused(400, lines[-1] if lines else "streamsr: the picture could not be made")
        return Response(content, media_type="application/octet-stream")

    async def jobs(self, _request: Request) -> Response:
        shown = [job for job in self._runner.jobs if job.state is not State.CANCELLED]
        trouble = one_line(self._runner.trouble)
        return _json({"jobs": [self._shown(job) for job in shown], "trouble": trouble})

    async def add(self, request: Request) -> Response:
        body = await _body(request, {"path", "container", "options"})
        container = body.get("container", "")
        if container not in ("", *CONTAINERS):
            raise Refused(400, f"container: {quoted(container)} is not one of {CONTAINERS}")
        chosen = self._words(body, OPTIONS)
        source = self._folders.inputs.resolved(_text(body, "path"))
        await asyncio.to_thread(self._folders.inputs.check, source)
        name = await asyncio.to_thread(output_name, source)
        if container:
            name = str(Path(name).with_suffix(f".{container}"))
        # Nothing is awaited from here on, so that two requests do not get one name.
        taken = {job.output for job in self._runner.jobs}
        output = free_output(self._folders.output, name, taken)
        ours = source.parent.parent == self._store.dropped.resolve()
        return _json(self._shown(self._runner.add(source, output, chosen, ours=ours)), 201)

    async def job(self, request: Request) -> Response:
        return _json(self._shown(self._runner.job(_number(request))))

    async def change(self, request: Request) -> Response:
        number = _number(request)
        self._runner.job(number)
        body = await _body(request, {"state", "anew", "place"})
        state, anew, place = body.get("state"), body.get("anew", False), body.get("place")
        if state not in (None, State.PAUSED, State.WAITING):
            raise Refused(400, f"state: {quoted(state)} is neither paused nor waiting")
        if type(anew) is not bool or not isinstance(place, int | None) or type(place) is bool:
            raise Refused(400, "expected anew as true or false, and place as an integer")
        try:
            if state == State.PAUSED:
                self._runner.pause(number)
            elif state == State.WAITING:
                self._runner.go_on(number, anew=anew)
        except ValueError as error:
            raise Refused(409, f"the job {error}") from error
        if place is not None:
            self._runner.move(number, place)
        return _json(self._shown(self._runner.job(number)))

    async def remove(self, request: Request) -> Response:
        self._runner.remove(_number(request))
        return Response(status_code=204)

    async def before(self, request: Request) -> Response:
        job = self._runner.job(_number(request))
        return self._served(request, self._folders.inputs, job.source)

    async def after(self, request: Request) -> Response:
        job = self._runner.job(_number(request))
        if job.state is not State.DONE:
            raise Refused(404, f"the job is {job.state}")
        return self._served(request, self._folders.outputs, job.output)

    async def openapi(self, _request: Request) -> Response:
        return _json(openapi())

    def _words(self, body: dict[str, Any], allowed: dict[str, Any]) -> tuple[str, ...]:
        try:
            chosen = words(body.get("options", {}), allowed)
            self._checked(chosen)
        except ValueError as error:
            raise Refused(400, one_line(str(error))) from error
        return chosen

    def _served(self, request: Request, places: Places, path: str) -> Response:
        download = _query(request).get("download") == "1"
        return _Served(places.opened(path), path, download=download)

    def _shown(self, job: Job) -> dict[str, Any]:
        """A job as the interface has it."""
        progress = self._runner.progress
        now = progress if progress is not None and progress.number == job.number else None
        frames = job.done + (now.frames if now is not None and job.state is State.RUNNING else 0)
        fps = now.fps if now is not None and job.state is State.RUNNING else 0.0
        left = None if job.total is None else max(job.total - frames, 0)
        return {
            "number": job.number,
            "name": one_line(Path(job.source).name),
            "source": job.source,
            "output": job.output,
            "options": list(job.options),
            "state": job.state.value,
            "watched": job.watched is not None,
            "frames": frames,
            "total": job.total,
            "fps": round(fps, 2),
            "left_s": round(left / fps, 1) if left is not None and fps else None,
            "how": job.how,
            "error": job.error,
            "said": list(job.said),
            "before": kind_of(job.source),
            "after": kind_of(job.output),
        }


class _Served(FileResponse):
    """A file by its open handle, which is closed behind it."""

    def __init__(self, fd: int, path: str, *, download: bool) -> None:
        self._fd = fd
        kind = kind_of(path)
        super().__init__(
            system.path_of(fd, path),
            media_type=kind or "application/octet-stream",
            stat_result=os.fstat(fd),
        )
        if download or not kind:
            name = quote(os.fsencode(Path(path).name), safe="")
            self.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._fd)


def _with_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _json(content: Any, status: int = 200) -> Response:  # Any: JSON
    """In ASCII: names may hold bytes that are no text."""
    text = json.dumps(content)
    return Response(text, status, media_type="application/json", headers=HEADERS)


def _query(request: Request) -> dict[str, str]:
    """What follows ``?``, with bytes that are no UTF-8 as Python's file names have them."""
    text = request.scope["query_string"].decode("latin-1")
    return dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))


async def _body(request: Request, names: set[str]) -> dict[str, Any]:
    """A JSON object with no other names than these."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > LONGEST_BODY:
            raise Refused(413, f"expected at most {LONGEST_BODY} bytes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(400, "expected a JSON object") from None
    if not isinstance(found, dict) or not found.keys() <= names:
        raise Refused(400, f"expected a JSON object of {', '.join(sorted(names))}")
    return found


def _text(body: dict[str, Any], name: str) -> str:
    if not isinstance(body.get(name), str):
        raise Refused(400, f"expected {name} as a text")
    return str(body[name])


def _number(request: Request) -> int:
    """The job that the path names. Raises KeyError."""
    text = request.path_params["number"]
    if not text.isdecimal() or len(text) > 15:
        raise KeyError(text)
    return int(text)


def _entry(entry: Entry, name: str = "") -> dict[str, Any]:
    return {
        "name": one_line(name or entry.path.name),
        "path": str(entry.path),
        "folder": entry.folder,
        "bytes": entry.bytes,
        "query": quote(os.fsencode(entry.path), safe=""),
    }


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
