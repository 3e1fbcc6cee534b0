"""/uploads/: jobs that somebody asks for, each a folder to be sent into a bucket."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus

from attrs import frozen
from quart import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, UnprocessableEntity

from agent.config import field_parsers
from agent.control.uploads import CreateUpload
from agent.model.views import UploadFilesQuery, UploadsQuery
from web import query, upload_schemas, upload_serializers
from web.agent_api import UploadApi
from web.api import answer

JOBS_LIMIT = 100
FILES_LIMIT = 1000
TEXT_CHARACTERS = 4096
MEMBERS = ("source_folder", "destination_bucket", "pattern")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def blueprint(desk: UploadApi) -> Blueprint:
    room = _Uploads(desk)
    found = Blueprint("uploads", __name__, url_prefix="/uploads")
    found.post("/", strict_slashes=False)(room.add)
    found.get("/", strict_slashes=False)(room.jobs)
    found.get("/<upload_id>")(room.job)
    found.get("/<upload_id>/files")(room.files)
    found.delete("/<upload_id>")(room.stop)
    return found


@frozen
class _Uploads:
    _desk: UploadApi

    async def add(self) -> Response:
        upload_id = await self._desk.add(read_order(await request.get_data()))
        body: upload_schemas.UploadCreated = {"upload_id": upload_id, "status": "created"}
        made = answer(body, HTTPStatus.CREATED)
        made.headers["Location"] = f"/uploads/{upload_id}"
        return made

    async def jobs(self) -> Response:
        asked = UploadsQuery(query.limit(request.args, JOBS_LIMIT), query.row_cursor(request.args))
        return answer(upload_serializers.uploads_body(await self._desk.page(asked)))

    async def job(self, upload_id: str) -> Response:
        return answer(upload_serializers.upload_entry(await self._desk.find(upload_id)))

    async def files(self, upload_id: str) -> Response:
        asked = UploadFilesQuery(
            upload_id=upload_id,
            state=query.upload_file_state(request.args),
            limit=query.limit(request.args, FILES_LIMIT),
            after_id=query.row_cursor(request.args) or 0,
        )
        return answer(upload_serializers.upload_files_body(await self._desk.files(asked)))

    async def stop(self, upload_id: str) -> Response:
        await self._desk.stop(upload_id)
        body: upload_schemas.UploadStopped = {"upload_id": upload_id, "status": "stopped"}
        return answer(body, HTTPStatus.ACCEPTED)


def read_order(body: str | bytes) -> CreateUpload:
    """Raises: BadRequest: no JSON object. UnprocessableEntity: one that says something else."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        example = '{"source_folder": "/media/day1", "destination_bucket": "archive"}'
        raise BadRequest(f"the body must be a JSON object such as {example}")
    for name in told:
        if name not in MEMBERS:
            raise UnprocessableEntity(f"{name}: unknown; known are {', '.join(MEMBERS)}")
    return CreateUpload(_folder(told), _bucket(told), _pattern(told))


def _folder(told: Mapping[str, object]) -> str:
    folder = _text(told, "source_folder")
    if not folder.startswith("/"):
        raise UnprocessableEntity("source_folder: must be an absolute path, beginning with /")
    return folder


def _bucket(told: Mapping[str, object]) -> str:
    bucket = _text(told, "destination_bucket")
    if not _BUCKET.fullmatch(bucket):
        raise UnprocessableEntity(
            "destination_bucket: must be the name of a bucket alone, such as archive: no s3://, no folders"
        )
    return bucket


def _pattern(told: Mapping[str, object]) -> str | None:
    if told.get("pattern") is None:
        return None
    pattern = _text(told, "pattern")
    try:
        field_parsers.globs([pattern])
    except ValueError as error:
        raise UnprocessableEntity(f"pattern: {error}; a glob such as *.mxf or day1/**/*.mov") from error
    return pattern


def _text(told: Mapping[str, object], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not _is_name(value):
        raise UnprocessableEntity(f"{name}: must be given, as text of 1 to {TEXT_CHARACTERS} characters")
    return value


def _is_name(value: str) -> bool:
    """Whether a file could be called so; bytes that are no UTF-8 come as surrogates (PEP 383)."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return "\0" not in value and 0 < len(value) <= TEXT_CHARACTERS
