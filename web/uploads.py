"""/uploads/: upload jobs, each of which copies a folder to a bucket."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus

from attrs import frozen
from quart import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, UnprocessableEntity

from agent.config import field_parsers
from agent.control.service import Control
from agent.model.upload import CreateUpload
from agent.model.views import UploadFilesQuery, UploadsQuery
from web import query, schemas, serializers
from web.api import answer

JOBS_LIMIT = 100
FILES_LIMIT = 1000
TEXT_CHARACTERS = 4096
MEMBERS = ("source_folder", "destination_bucket", "pattern")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def blueprint(control: Control) -> Blueprint:
    handlers = _Uploads(control)
    found = Blueprint("uploads", __name__, url_prefix="/uploads")
    found.post("/", strict_slashes=False)(handlers.add)
    found.get("/", strict_slashes=False)(handlers.jobs)
    found.get("/<upload_id>")(handlers.job)
    found.get("/<upload_id>/files")(handlers.files)
    found.delete("/<upload_id>")(handlers.stop)
    return found


@frozen
class _Uploads:
    _control: Control

    async def add(self) -> Response:
        upload_id = await self._control.uploads.add(read_create_upload(await request.get_data()))
        body: schemas.UploadCreated = {"upload_id": upload_id, "status": "created"}
        created = answer(body, HTTPStatus.CREATED)
        created.headers["Location"] = f"/uploads/{upload_id}"
        return created

    async def jobs(self) -> Response:
        uploads_query = UploadsQuery(query.limit(request.args, JOBS_LIMIT), query.row_cursor(request.args))
        return answer(serializers.uploads_body(await self._control.uploads.page(uploads_query)))

    async def job(self, upload_id: str) -> Response:
        return answer(serializers.upload_entry(await self._control.uploads.find(upload_id)))

    async def files(self, upload_id: str) -> Response:
        files_query = UploadFilesQuery(
            upload_id=upload_id,
            state=query.upload_file_state(request.args),
            limit=query.limit(request.args, FILES_LIMIT),
            after_id=query.row_cursor(request.args) or 0,
        )
        return answer(serializers.upload_files_body(await self._control.uploads.files(files_query)))

    async def stop(self, upload_id: str) -> Response:
        await self._control.uploads.stop(upload_id)
        body: schemas.UploadStopped = {"upload_id": upload_id, "status": "stopped"}
        return answer(body, HTTPStatus.ACCEPTED)


def read_create_upload(body: str | bytes) -> CreateUpload:
    """Raises: BadRequest: no JSON object. UnprocessableEntity: a member is missing, unknown or invalid."""
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        example = '{"source_folder": "/media/day1", "destination_bucket": "archive"}'
        raise BadRequest(f"the body must be a JSON object such as {example}")
    for name in members:
        if name not in MEMBERS:
            raise UnprocessableEntity(f"{name}: unknown; known are {', '.join(MEMBERS)}")
    return CreateUpload(_folder(members), _bucket(members), _pattern(members))


def _folder(members: Mapping[str, object]) -> str:
    folder = _text(members, "source_folder")
    if not folder.startswith("/"):
        raise UnprocessableEntity("source_folder: must be an absolute path, beginning with /")
    return folder


def _bucket(members: Mapping[str, object]) -> str:
    bucket = _text(members, "destination_bucket")
    if not _BUCKET.fullmatch(bucket):
        raise UnprocessableEntity(
            "destination_bucket: must be the name of a bucket alone, such as archive: no s3://, no folders"
        )
    return bucket


def _pattern(members: Mapping[str, object]) -> str | None:
    if members.get("pattern") is None:
        return None
    pattern = _text(members, "pattern")
    try:
        field_parsers.globs([pattern])
    except ValueError as error:
        raise UnprocessableEntity(f"pattern: {error}; a glob such as *.mxf or day1/**/*.mov") from error
    return pattern


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not _is_name(value):
        raise UnprocessableEntity(f"{name}: must be given, as text of 1 to {TEXT_CHARACTERS} characters")
    return value


def _is_name(value: str) -> bool:
    """True for a legal file name; its bytes that are not UTF-8 arrive as surrogates (PEP 383)."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return "\0" not in value and 0 < len(value) <= TEXT_CHARACTERS
