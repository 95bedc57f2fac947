"""The HTTP interface: every route is described, and answers as its description says."""

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
pytest.importorskip("starlette", reason="the extra [web] is not installed")

from streamsr.desk import upload
from streamsr.desk.routes import ROUTES, SCHEMAS, Route
from tests.conftest import ROOT
from tests.streamsr.desk.serving import Answer, Desk, serving
from tests.support.media import make_video
from tests.support.until import until


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with serving(tmp_path) as served:
        yield served


def problems(value: Any, schema: Any, at: str = "it") -> Iterator[str]:
    """Where a JSON value is not as this part of JSON schema has it, in which ours are written."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    kinds = {
        "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
        "number": (int, float), "null": type(None),
    }  # fmt: skip
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(
        isinstance(value, kinds[kind]) and (kind == "boolean") >= isinstance(value, bool)
        for kind in wanted
    ):
        yield f"{at} is {value!r}, not {wanted}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} is {value!r}"
    if isinstance(value, dict) and "properties" in schema:
        missing = set(schema["required"]) - value.keys()
        more = value.keys() - schema["properties"].keys()
        if missing or more:
            yield f"{at} lacks {missing} and has {more}"
        for name in value.keys() & schema["properties"].keys():
            yield from problems(value[name], schema["properties"][name], f"{at}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from problems(item, schema["items"], f"{at}[{index}]")


def as_described(route: Route, answer: Answer) -> None:
    assert answer.status in route.answers, (route, answer)
    _, schema = route.answers[answer.status]
    if isinstance(schema, dict):
        assert answer.headers["content-type"] == "application/json"
        found = list(problems(answer.json, schema))
        assert not found, found
    if schema is None:
        assert answer.content == b""


def test_every_route_answers_as_it_is_described(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer that a route is said to give is given here."""
    film = make_video(desk.root / "film.mp4")
    (desk.root / "bad.mp4").write_bytes(b"no film")
    outside = make_video(tmp_path / "outside.mp4")
    done = desk.add("a.mp4")
    desk.until(done, "done")
    slow = desk.add("slow.mp4")
    first, second = desk.add("b.mp4"), desk.add("c.mp4")
    large = {"path": "x" * 100_000}
    root, here = quote(str(desk.root)), quote(str(tmp_path))
    calls: list[tuple[str, str, Any, int]] = [
        ("GET", "/api/desk", None, 200),
        ("GET", f"/api/folder?path={root}", None, 200),
        ("GET", f"/api/folder?path={here}", None, 404),
        ("GET", "/api/folder?path=relative", None, 404),
        ("PUT", "/api/dropped?name=d.mp4", b"film", 201),
        ("PUT", "/api/dropped?name=d.txt", b"text", 400),
        ("POST", "/api/look", {"path": str(film)}, 200),
        ("POST", "/api/look", {"path": str(desk.root / "bad.mp4")}, 400),
        ("POST", "/api/look", {"path": str(outside)}, 404),
        ("POST", "/api/look", large, 413),
        ("GET", "/api/jobs", None, 200),
        ("POST", "/api/jobs", {"path": str(film), "options": {"scale": 2}}, 201),
        ("POST", "/api/jobs", {"path": str(film), "options": {"scale": 5}}, 400),
        ("POST", "/api/jobs", {"path": str(outside)}, 404),
        ("POST", "/api/jobs", large, 413),
        ("GET", f"/api/jobs/{slow}", None, 200),
        ("GET", "/api/jobs/999", None, 404),
        ("PATCH", f"/api/jobs/{second}", {"place": 0, "state": "paused"}, 200),
        ("PATCH", f"/api/jobs/{second}", {"state": "done"}, 400),
        ("PATCH", f"/api/jobs/{done}", {"state": "waiting"}, 409),
        ("PATCH", "/api/jobs/999", {"state": "waiting"}, 404),
        ("PATCH", f"/api/jobs/{second}", large, 413),
        ("GET", f"/api/jobs/{done}/before", None, 200),
        ("GET", f"/api/jobs/{done}/after", None, 200),
        ("GET", f"/api/jobs/{slow}/after", None, 404),
        ("GET", "/api/jobs/999/before", None, 404),
        ("DELETE", f"/api/jobs/{first}", None, 204),
        ("DELETE", f"/api/jobs/{first}", None, 404),
        ("GET", "/openapi.json", None, 200),
    ]  # fmt: skip
    seen = set()
    for method, path, body, status in calls:
        answer = desk.ask(method, path, body)
        assert answer.status == status, (method, path, answer)
        route = route_of(method, path)
        as_described(route, answer)
        seen.add((route.name, status))
    for side in ("before", "after"):
        for wanted, status in (("bytes=1-2", 206), ("bytes=900-", 416), ("bytes=x", 400)):
            answer = desk.ask("GET", f"/api/jobs/{done}/{side}", Range=wanted)
            assert answer.status == status
            seen.add((side, status))
    monkeypatch.setattr(upload, "room", lambda _folder: 3)
    assert desk.drop("d.mp4", b"film").error.startswith("streamsr: d.mp4: 0 MB; 0 MB are free")
    seen.add(("drop", 507))
    (tmp_path / "state").rename(tmp_path / "gone")  # the queue cannot be kept any more
    for method, path, body in (
        ("POST", "/api/jobs", {"path": str(film)}),
        ("PATCH", f"/api/jobs/{second}", {"place": 0}),
        ("DELETE", f"/api/jobs/{second}", None),
    ):
        answer = desk.ask(method, path, body)
        assert answer.status == 507, answer
        as_described(route_of(method, path), answer)
        seen.add((route_of(method, path).name, 507))
    (tmp_path / "gone").rename(tmp_path / "state")
    assert seen == {(route.name, status) for route in ROUTES for status in route.answers}


def route_of(method: str, path: str) -> Route:
    parts = urlsplit(path).path.split("/")
    for route in ROUTES:
        other = route.path.split("/")
        same = [theirs in (ours, "{number}") for ours, theirs in zip(parts, other, strict=False)]
        if route.method == method and len(other) == len(parts) and all(same):
            return route
    raise AssertionError(path)


def test_the_description_has_every_route_and_no_other(desk: Desk) -> None:
    described = desk.ask("GET", "/openapi.json").json
    assert described["openapi"].startswith("3.1")
    operations = {
        (method.upper(), path): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        statuses = {str(status) for status in route.answers} | {"403"}
        assert set(operations[route.method, route.path]["responses"]) == statuses
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    text = json.dumps(described)
    for name in SCHEMAS:
        assert f"#/components/schemas/{name}" in text


def test_what_is_no_route_is_not_found(desk: Desk) -> None:
    for path in ("/api", "/api/jobs/", "/desk.py", "/../desk.py", "/..%2fdesk.py", "/page/desk.js"):
        assert desk.ask("GET", path).status in (307, 404), path
    assert desk.ask("POST", "/api/desk").status == 405


def test_another_program_sends_a_job_and_has_its_film(desk: Desk) -> None:
    """By the header that programs use, and without the address's token."""
    film = make_video(desk.root / "film.avi")
    bearer = {"Authorization": f"Bearer {desk.token}"}
    body = {"path": str(film), "container": "mp4", "options": {"sharpen": 0.5, "audit": True}}
    answer = desk.ask("POST", "/api/jobs", body, token="", **bearer)
    assert answer.status == 201
    assert answer.json["output"] == str(desk.output / "film.mp4")
    assert answer.json["options"] == ["--sharpen=0.5", "--audit"]
    desk.until(answer.json["number"], "done")
    path = f"/api/jobs/{answer.json['number']}/after?download=1"
    assert desk.ask("GET", path, token="", **bearer).content == b"film.avi"
    assert desk.ask("GET", "/api/jobs", token="", Authorization="Bearer x").status == 403


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 2, "to": "1080p"}, "--scale and --to exclude each other"),
        ({"to": "nonsense"}, "--to: expected a size such as 1080p"),
        ({"crf": 99}, "99 is not in the range 0<=x<=63"),
        ({"crf": True}, "crf: expected a integer"),
        ({"sharpen": 2}, "2.0 is not in the range 0<=x<=1"),
        ({"sharpen": "1"}, "sharpen: expected a number"),
        ({"model": "/etc/passwd"}, "is not one of auto"),
        ({"delegate": "/tmp/evil.so"}, "is no option here"),
        ({"stats-json": "/tmp/x"}, "is no option here"),
        ({"encoder-option": "x=y"}, "is no option here"),
        ({"preset": "a\nb"}, "is not a name"),
        ({"preset": "--overwrite"}, ""),
        ([], "expected an object"),
    ],
)
def test_options_are_refused_in_the_commands_words(desk: Desk, options: Any, words: str) -> None:
    (desk.root / "a.mp4").write_bytes(b"film")
    body = {"path": str(desk.root / "a.mp4"), "options": options}
    answer = desk.ask("POST", "/api/jobs", body)
    if not words:  # a word of its own, and no option: the command says what is wrong with it
        assert answer.json["options"] == ["--preset=--overwrite"]
        return
    assert answer.status == 400
    assert words in answer.error


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"5", b'{"path": 5}', b'{"path": "x", "more": 1}', b"[" * 60_000, b"\xff"],
)
def test_what_is_no_request_is_refused(desk: Desk, body: bytes) -> None:
    for method, path in (("POST", "/api/jobs"), ("POST", "/api/look")):
        assert desk.ask(method, path, body).status == 400


NAMES = [
    "plain.mp4", "with space.mp4", "ünïcödé 電影.mp4", "new\nline.mp4", "<img src=x onerror=1>.mp4",
    "-o.mp4", "--resume.mkv", "a'b\"c`$(id).mp4", "%2e%2e%2f.mp4", "tab\t.mp4", "\x1b[31mred.mp4",
    "x" * 200 + ".mp4", "é" * 120 + ".mp4", os.fsdecode(b"not\xfftext.mp4"), "A&B=C?.mp4", "#.mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_kind_are_dropped_listed_done_and_had_again(desk: Desk, name: str) -> None:
    content = os.fsencode(name) * 3
    dropped = desk.drop(os.fsencode(name), content)
    assert dropped.status == 201, dropped.content
    assert os.path.basename(dropped.json["path"]) == name
    (desk.root / "folder").mkdir()
    (desk.root / "folder" / name).write_bytes(content)
    listed = desk.ask("GET", f"/api/folder?path={quote(str(desk.root / 'folder'))}").json["entries"]
    assert [entry["path"] for entry in listed] == [str(desk.root / "folder" / name)]
    assert "\n" not in listed[0]["name"]
    assert desk.ask("GET", f"/api/folder?path={listed[0]['query']}").status == 404  # no folder
    outputs = []
    for path in (dropped.json["path"], listed[0]["path"]):
        number = desk.ask("POST", "/api/jobs", {"path": path}).json["number"]
        job = desk.until(number, "done")
        outputs.append(job["output"])
        assert desk.ask("GET", f"/api/jobs/{number}/before?download=1").content == content
        after = desk.ask("GET", f"/api/jobs/{number}/after?download=1")
        assert after.content == os.fsencode(name)
        assert after.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert len(set(outputs)) == 2
    assert all(os.path.dirname(output) == str(desk.output) for output in outputs)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a.mp4", "a/b.mp4", "/etc/a.mp4", "a\0.mp4", "x" * 256 + ".mp4", "a.txt"],
)
def test_a_name_that_no_file_of_ours_can_have_is_refused(desk: Desk, name: str) -> None:
    answer = desk.drop(name, b"film")
    assert answer.status == 400
    assert os.listdir(desk.folder / "state" / "dropped") == []


def test_a_file_that_breaks_off_leaves_nothing(desk: Desk) -> None:
    with socket.create_connection(("127.0.0.1", desk.port), timeout=60) as link:
        head = f"PUT /api/dropped?name=a.mp4&token={desk.token} HTTP/1.1\r\nHost: localhost\r\n"
        link.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b"x" * 5000)
        dropped = desk.folder / "state" / "dropped"
        until(lambda: [name for each in dropped.iterdir() for name in os.listdir(each)])
    until(lambda: os.listdir(dropped) == [])


def test_a_part_of_a_film_is_that_part(desk: Desk) -> None:
    content = bytes(range(256)) * 500
    number = desk.add("a.mp4", content)
    desk.until(number, "done")
    path = f"/api/jobs/{number}/before"
    whole = desk.ask("GET", path)
    assert (whole.content, whole.headers["accept-ranges"]) == (content, "bytes")
    assert whole.headers["content-type"] == "video/mp4"
    for wanted, begin, end in (("0-99", 0, 100), ("70000-", 70000, None), ("-5", -5, None)):
        part = desk.ask("GET", path, Range=f"bytes={wanted}")
        assert part.status == 206
        assert part.content == content[begin:end]


def test_what_a_browser_would_run_is_only_downloaded(desk: Desk) -> None:
    """A page in our name would have our token."""
    number = desk.add("a.vob", b"<script>alert(1)</script>")
    desk.until(number, "done")
    answer = desk.ask("GET", f"/api/jobs/{number}/before")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_file_that_vanishes_is_said_and_the_queue_goes_on(desk: Desk) -> None:
    slow = desk.add("slow.mp4")
    gone, other = desk.add("gone.mp4"), desk.add("other.mp4")
    (desk.root / "gone.mp4").unlink()
    (desk.root / "release").touch()
    assert "gone.mp4: No such file" in desk.until(gone, "failed")["error"]
    for number in (slow, other):
        desk.until(number, "done")
    (desk.output / "other.mp4").unlink()
    answer = desk.ask("GET", f"/api/jobs/{other}/after")
    assert (answer.status, "No such file" in answer.error) == (404, True)


def test_a_file_that_becomes_a_link_to_outside_is_not_begun_and_not_shown(desk: Desk) -> None:
    slow, linked = desk.add("slow.mp4"), desk.add("linked.mp4")
    secret = desk.folder / "secret.mp4"
    secret.write_bytes(b"secret")
    (desk.root / "linked.mp4").unlink()
    (desk.root / "linked.mp4").symlink_to(secret)
    (desk.root / "release").touch()
    desk.until(slow, "done")
    assert "is not in a folder of this desk" in desk.until(linked, "failed")["error"]
    assert desk.ask("GET", f"/api/jobs/{linked}/before").status == 404
    assert "linked.mp4" not in (desk.root / "begun").read_text()


def test_two_pages_at_once_see_the_same_queue(desk: Desk) -> None:
    slow, b, c = (desk.add(name) for name in ("slow.mp4", "b.mp4", "c.mp4"))
    assert desk.ask("PATCH", f"/api/jobs/{c}", {"place": 1}).status == 200
    assert desk.ask("PATCH", f"/api/jobs/{c}", {"place": 1}).status == 200  # the other page as well
    assert desk.ask("DELETE", f"/api/jobs/{b}").status == 204
    assert desk.ask("DELETE", f"/api/jobs/{b}").status == 404
    assert desk.ask("PATCH", f"/api/jobs/{b}", {"state": "paused"}).status == 404
    shown = desk.ask("GET", "/api/jobs").json["jobs"]
    assert [job["number"] for job in shown] == [slow, c]
    (desk.root / "release").touch()


def test_a_look_that_nobody_waits_for_is_stopped(desk: Desk) -> None:
    """The page asks again when something else is chosen."""
    film = make_video(desk.root / "film.mp4", pts=range(3))
    body = json.dumps({"path": str(film)}).encode()
    head = f"POST /api/look?token={desk.token} HTTP/1.1\r\nHost: localhost\r\n"
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", desk.port), timeout=60) as link:
            link.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert desk.ask("POST", "/api/look", {"path": str(film)}).status == 200


def test_the_page_of_the_documents_has_every_route() -> None:
    text = (ROOT / "docs" / "desk.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([A-Z]+ /\S+)` \|", text, re.M)
    assert told == [f"{route.method} {route.path}" for route in ROUTES]
