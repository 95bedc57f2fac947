"""The table of the desk's HTTP interface, and its description as OpenAPI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamsr import __version__
from streamsr.desk.choices import CONTAINERS, LOOK, OPTIONS, Schema
from streamsr.desk.queue import State

MEDIA = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Route:
    """One request that the desk answers.

    name     of the method of `streamsr.desk.api.Api` that does
    query    parameters after ``?`` by name
    body     schema of the JSON that is sent; None where nothing is, MEDIA where bytes are
    answers  by status: what it means, and its schema, MEDIA, or None for no content
    """

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, tuple[str, Schema | str | None]]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Schema | str | None = None


def _object(properties: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _all(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return _object(properties, tuple(properties))


STRING: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
MAYBE: Schema = {"type": ["number", "null"]}

SCHEMAS: dict[str, Schema] = {
    "Error": _all(error={**STRING, "description": "one line, as the command line says it"}),
    "Job": _all(
        number=COUNT,
        name={**STRING, "description": "of the file"},
        source=STRING,
        output=STRING,
        options={"type": "array", "items": STRING},
        state={"type": "string", "enum": [state.value for state in State]},
        watched={"type": "boolean", "description": "found in a watched folder"},
        frames=COUNT,
        total={"type": ["integer", "null"]},
        fps={"type": "number"},
        left_s=MAYBE,
        how={**STRING, "description": "the network and the engine"},
        error=STRING,
        said={"type": "array", "items": STRING},
        before={**STRING, "description": "media type of the input, empty where browsers have none"},
        after={**STRING, "description": "the same of the output"},
    ),
    "Entry": _all(name=STRING, path=STRING, folder={"type": "boolean"}, bytes=COUNT, query=STRING),
}

BAD = {400: ("not understood, or not allowed", _ref("Error"))}
GONE = {404: ("there is no such job or file", _ref("Error"))}
STATE = {409: ("the job's state does not allow it", _ref("Error"))}
FULL = {507: ("the disk is full, or does not take it", _ref("Error"))}
LARGE = {413: ("too much is sent", _ref("Error"))}
JOB = _ref("Job")

ROUTES = (
    Route(
        "GET",
        "/api/desk",
        "desk",
        "What this desk is and offers",
        {
            200: (
                "as it is now",
                _all(
                    version=STRING,
                    roots={"type": "array", "items": _ref("Entry")},
                    output=STRING,
                    room_bytes=COUNT,
                    models={"type": "array", "items": STRING},
                    qualities={"type": "array", "items": STRING},
                    scales={"type": "array", "items": COUNT},
                    containers={"type": "array", "items": STRING},
                    trouble=STRING,
                ),
            )
        },
    ),
    Route(
        "GET",
        "/api/folder",
        "folder",
        "Folders, films and pictures of a folder that the desk was given",
        {
            200: ("by name", _all(path=STRING, entries={"type": "array", "items": _ref("Entry")})),
            **GONE,
        },
        query={"path": "absolute; bytes that are no UTF-8 stay percent-encoded"},
    ),
    Route(
        "PUT",
        "/api/dropped",
        "drop",
        "Send a file; the desk keeps the copy until its job is removed, a day without one",
        {201: ("it is there", _all(path=STRING, bytes=COUNT)), **BAD, **FULL},
        query={"name": "of the file, without folders"},
        body=MEDIA,
    ),
    Route(
        "POST",
        "/api/look",
        "look",
        "One picture before and after",
        {
            200: (
                "a line of JSON (duration_s, from, to, shape, how), then the length of the first "
                "JPEG in 4 bytes, little-endian, and two JPEGs: before and after",
                MEDIA,
            ),
            **BAD,
            **GONE,
            **LARGE,
        },
        body=_object(
            {
                "path": STRING,
                "at_s": {"type": "number", "minimum": 0},
                "options": _object(LOOK),
            },
            ["path"],
        ),
    ),
    Route(
        "GET",
        "/api/jobs",
        "jobs",
        "The queue, in its order",
        {200: ("all of it", _all(jobs={"type": "array", "items": JOB}, trouble=STRING))},
    ),
    Route(
        "POST",
        "/api/jobs",
        "add",
        "Put a file at the end of the queue",
        {201: ("it waits", JOB), **BAD, **GONE, **LARGE, **FULL},
        body=_object(
            {
                "path": STRING,
                "container": {"type": "string", "enum": ["", *CONTAINERS]},
                "options": _object(OPTIONS),
            },
            ["path"],
        ),
    ),
    Route("GET", "/api/jobs/{number}", "job", "One job", {200: ("as it is", JOB), **GONE}),
    Route(
        "PATCH",
        "/api/jobs/{number}",
        "change",
        "Pause a job, let it go on, begin it anew, or give it another place",
        {200: ("done", JOB), **BAD, **GONE, **STATE, **LARGE, **FULL},
        body=_object(
            {
                "state": {"type": "string", "enum": [State.PAUSED.value, State.WAITING.value]},
                "anew": {"type": "boolean", "description": "drop what an earlier run has finished"},
                "place": {"type": "integer", "description": "among those to do, from 0"},
            }
        ),
    ),
    Route(
        "DELETE",
        "/api/jobs/{number}",
        "remove",
        "Stop a job and take it out of the queue; a finished output stays",
        {204: ("done", None), **GONE, **FULL},
    ),
    *(
        Route(
            "GET",
            f"/api/jobs/{{number}}/{name}",
            name,
            f"The {what} of a job, in ranges where they are asked for",
            {
                200: ("all of it", MEDIA),
                206: ("the range", MEDIA),
                **BAD,
                **GONE,
                416: ("no such range", MEDIA),
            },
            query={"download": "1: under its own name"},
        )
        for name, what in (("before", "input"), ("after", "output"))
    ),
    Route("GET", "/openapi.json", "openapi", "This description", {200: ("OpenAPI 3.1", {})}),
)


def openapi() -> dict[str, Any]:
    """The description of ROUTES."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "streamsr desk", "version": __version__},
        "security": [{"bearer": []}, {"query": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": said, "schema": STRING}
        for name, said in route.query.items()
    ]
    if "{number}" in route.path:
        parameters.append({"name": "number", "in": "path", "required": True, "schema": COUNT})
    answers = {
        **route.answers,
        403: ("no token, or from another site", "text/plain"),
    }
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            str(status): {"description": said, **_content(schema)}
            for status, (said, schema) in sorted(answers.items())
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, **_content(route.body)}
    return operation


def _content(schema: Schema | str | None) -> dict[str, Any]:
    if schema is None:
        return {}
    if isinstance(schema, str):
        return {"content": {schema: {}}}
    return {"content": {"application/json": {"schema": schema}}}
