"""/openapi.json (OpenAPI 3.1), generated from the types in schemas.py, so that it fits the bodies."""

import types
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from attrs import frozen

from agent import __version__
from agent.model.transfer import Status
from agent.model.upload import UploadFileState
from web import schemas

Schema = dict[str, object]

_PLAIN: dict[object, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    types.NoneType: "null",
}
_JSON, _TEXT, _PROBLEM = "application/json", "text/plain", "application/problem+json"


@frozen
class Operation:
    """One request; `answers` holds, by status, the type of the body (for text its media type)."""

    summary: str
    answers: Mapping[int, object]
    parameters: tuple[str, ...] = ()
    body: type | None = None


_ACCEPTED = {202: schemas.Accepted}
_ROUTE_COMMAND = {**_ACCEPTED, 404: schemas.ProblemBody}
_FILE_COMMAND = {**_ROUTE_COMMAND, 409: schemas.ProblemBody}
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("get", "/"): Operation("The page; JSON where that is preferred", {200: schemas.Alive}),
    ("get", "/api/status"): Operation(
        "Files that wait, are in progress, or ended", {200: schemas.StatusBody}
    ),
    ("get", "/api/storage"): Operation(
        "Free space; 507 warns, 503 is an error",
        dict.fromkeys((200, 507, 503), schemas.StorageBody),
    ),
    ("get", "/api/health"): Operation("OK unless a destination is in an outage", {200: _TEXT, 503: _TEXT}),
    ("get", "/api/files"): Operation(
        "Every tracked file and the last completed ones, oldest first, 1000 in an answer",
        {200: schemas.FilesBody},
        ("status", "route", "search", "limit", "cursor", "verbose"),
    ),
    ("get", "/api/routes"): Operation("Each route", {200: schemas.RoutesBody}),
    ("get", "/api/history"): Operation(
        "Delivered and failed transfers, newest first",
        {200: schemas.HistoryBody},
        ("since", "until", "route", "limit", "cursor"),
    ),
    ("get", "/api/explain"): Operation(
        "Why a file is or is not moving, by which rule it is not taken, or how its last transfer ended",
        {200: schemas.LiveFile | schemas.ExcludedBody | schemas.EndedBody, 404: schemas.ProblemBody},
        ("path",),
    ),
    ("post", "/api/routes/{name}/pause"): Operation("Start no more transfers on this route", _ROUTE_COMMAND),
    ("post", "/api/routes/{name}/resume"): Operation("Resume transfers on this route", _ROUTE_COMMAND),
    ("post", "/api/files/{file_id}/retry"): Operation("Try a failed file again", _FILE_COMMAND),
    ("post", "/api/files/{file_id}/cancel"): Operation("Cancel the transfer of a file", _FILE_COMMAND),
    ("post", "/api/retry"): Operation("Try all failed files again", _ACCEPTED),
    ("post", "/api/reload"): Operation(
        "Read the configuration again", {202: schemas.Accepted, 422: schemas.ProblemBody}
    ),
    ("post", "/uploads/"): Operation(
        "Copy the files of a folder to a bucket, new and changed ones included until the job ends",
        {
            201: schemas.UploadCreated,
            400: schemas.ProblemBody,
            409: schemas.ProblemBody,
            422: schemas.ProblemBody,
            503: schemas.ProblemBody,
        },
        body=schemas.UploadRequest,
    ),
    ("get", "/uploads/"): Operation(
        "Upload jobs, newest first", {200: schemas.UploadsBody}, ("limit", "cursor")
    ),
    ("get", "/uploads/{upload_id}"): Operation(
        "The state of an upload job", {200: schemas.UploadEntry, 404: schemas.ProblemBody}
    ),
    ("get", "/uploads/{upload_id}/files"): Operation(
        "The files of an upload job, in the order in which they were found",
        {200: schemas.UploadFilesBody, 404: schemas.ProblemBody},
        ("state", "limit", "cursor"),
    ),
    ("delete", "/uploads/{upload_id}"): Operation(
        "Stop an upload job; delivered files stay",
        {202: schemas.UploadStopped, 404: schemas.ProblemBody, 409: schemas.ProblemBody},
    ),
    ("get", "/livez"): Operation("The program runs", {200: _TEXT}),
    ("get", "/readyz"): Operation("Every destination is usable", {200: _TEXT, 503: _TEXT}, ("verbose",)),
    ("get", "/metrics"): Operation("Prometheus text format", {200: _TEXT}),
    ("get", "/openapi.json"): Operation("This document", {200: object}),
    ("get", "/ws"): Operation(
        "A WebSocket (RFC 6455): a SnapshotMessage, then UpdateMessages; close code 1013: connect again",
        {101: None},
        ("window",),
    ),
}

_PARAMETERS: dict[str, Schema] = {
    "status": {"type": "string", "enum": [each.value for each in Status]},
    "route": {"type": "string"},
    "state": {"type": "string", "enum": [each.value for each in UploadFileState]},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
    "cursor": {"type": "string", "description": "next_cursor of an earlier answer"},
    "since": {"type": "string", "description": "RFC 3339, or seconds since the epoch"},
    "until": {"type": "string", "description": "RFC 3339, or seconds since the epoch; not included"},
    "path": {"type": "string", "description": "absolute, or relative to the source"},
    "search": {"type": "string", "description": "part of a path or of a route's name, in any case"},
    "verbose": {
        "type": "string",
        "description": "a line for each destination; each file as a LiveFile",
    },
    "window": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "description": "at most so many files in a message; a snapshot in place of an update with more",
    },
}


def document() -> Schema:
    """The whole description."""
    paths: dict[str, Schema] = {}
    components: dict[str, Schema] = {}
    for shape in (schemas.SnapshotMessage, schemas.UpdateMessage):
        schema_of(shape, components)
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = _operation(path, operation, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "transfer-agent", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def schema_of(shape: object, components: dict[str, Schema]) -> Schema:
    """The JSON Schema (2020-12) of a type; each TypedDict goes into `components` and is referred to."""
    if is_typeddict(shape) and isinstance(shape, type):
        return _object(shape, components)
    if get_origin(shape) is not None:
        return _generic(shape, components)
    return {} if shape is object else {"type": _PLAIN[shape]}


def _generic(shape: object, components: dict[str, Schema]) -> Schema:
    origin, arguments = get_origin(shape), get_args(shape)
    if origin is Annotated:
        return _annotated(arguments[1])
    if origin is Literal:
        return {"enum": list(arguments)}
    parts = [schema_of(each, components) for each in arguments]
    if origin is list:
        return {"type": "array", "items": parts[0]}
    if origin is dict:
        return {"type": "object", "additionalProperties": parts[1]}
    return parts[0] if origin is NotRequired else {"anyOf": parts}


def _object(shape: type, components: dict[str, Schema]) -> Schema:
    name = shape.__name__
    if name not in components:
        hints = get_type_hints(shape, include_extras=True)
        required: frozenset[str] = shape.__required_keys__  # type: ignore[attr-defined]
        components[name] = {
            "type": "object",
            "properties": {key: schema_of(hint, components) for key, hint in hints.items()},
            "required": [key for key in hints if key in required],
        }
        if shape.__doc__:
            components[name]["description"] = shape.__doc__
    return {"$ref": f"#/components/schemas/{name}"}


def _annotated(meaning: object) -> Schema:
    if isinstance(meaning, type) and issubclass(meaning, Enum):
        return {"type": "string", "enum": [each.value for each in meaning]}
    return {"type": "string", "format": meaning}


def _operation(path: str, operation: Operation, components: dict[str, Schema]) -> Schema:
    named = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in named
    ]
    parameters += [
        {"name": name, "in": "query", "required": name == "path", "schema": _PARAMETERS[name]}
        for name in operation.parameters
    ]
    answers: Schema = {str(code): _answer(shape, components) for code, shape in operation.answers.items()}
    answers["default"] = _answer(schemas.ProblemBody, components)
    described: Schema = {"summary": operation.summary, "parameters": parameters, "responses": answers}
    if operation.body is not None:
        content = {_JSON: {"schema": schema_of(operation.body, components)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _answer(shape: object, components: dict[str, Schema]) -> Schema:
    if shape is None:
        return {"description": "switching protocols"}
    if shape == _TEXT:
        return {"description": "text", "content": {_TEXT: {"schema": {"type": "string"}}}}
    media_type = _PROBLEM if shape is schemas.ProblemBody else _JSON
    name = getattr(shape, "__name__", "")
    return {"description": name, "content": {media_type: {"schema": schema_of(shape, components)}}}
