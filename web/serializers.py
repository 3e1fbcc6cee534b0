"""Views to JSON: pure functions, one for each body in schemas.py."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import overload

from agent.model import page_window
from agent.model.health import GIB_BYTES, HealthLevel, RouteHealth, overall_health, route_health, worst
from agent.model.text import as_unicode
from agent.model.transfer import Status
from agent.model.upload import UploadFile, UploadJob
from agent.model.views import (
    Event,
    FileView,
    HistoryPage,
    HistoryRow,
    RouteView,
    Snapshot,
    Update,
    UploadFilesPage,
    UploadsPage,
)
from web import schemas

UNKNOWN_GB = -1
ENTRIES_AT_ONCE = 100  # list entries in one part: encoding them takes about a millisecond

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)
_EPOCH = datetime.fromtimestamp(0, UTC)
_FIRST_S = (datetime.min.replace(tzinfo=UTC) - _EPOCH).total_seconds()
_LAST_S = (datetime.max.replace(tzinfo=UTC, microsecond=0) - _EPOCH).total_seconds()
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)  # a time without a zone is formatted twice as fast


def encode(body: Mapping[str, object]) -> bytes:
    """JSON (RFC 8259) that any client can read, whatever bytes a file name holds."""
    return b"".join(pieces(body))


def pieces(body: Mapping[str, object]) -> list[bytes]:
    """The same in parts, each short: the JSON encoder holds the interpreter's lock until it returns.

    Between two parts of a long list other threads can run.
    """
    found = [b"{"]
    for key, value in body.items():
        found.append(f"{_write(key)}:".encode())
        found += _entries(value) if isinstance(value, list) else [_write(value).encode()]
        found.append(b",")
    found[-1:] = [b"}"] if body else [b"{}"]
    return found


def _entries(values: list[object]) -> Iterator[bytes]:
    yield b"["
    for start in range(0, len(values), ENTRIES_AT_ONCE):
        part = _write(values[start : start + ENTRIES_AT_ONCE])[1:-1]
        yield f"{',' if start else ''}{part}".encode()
    yield b"]"


def _write(value: object) -> str:
    return as_unicode(_ENCODER.encode(value))


@overload
def rfc3339(at: float) -> str: ...
@overload
def rfc3339(at: float | None) -> str | None: ...
def rfc3339(at: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds; a time beyond the years 1 to 9999 shows as their end."""
    if at is None:
        return None
    when = _NAIVE_EPOCH + timedelta(0, min(max(at, _FIRST_S), _LAST_S))
    return when.isoformat("T", "milliseconds") + "Z"


def progress(file: FileView) -> float:
    """Copied part of the file in percent, 0.0 to 100.0."""
    if file.current.status is Status.COMPLETED:
        return 100.0
    if file.size_bytes == 0:
        return 0.0
    return round(min(100.0, 100.0 * file.current.copied_bytes / file.size_bytes), 1)


def file_entry(file: FileView) -> schemas.FileEntry:
    current = file.current
    return {
        "file_path": file.file_path,
        "status": current.status.value,
        "file_size": file.size_bytes,
        "last_write_time": rfc3339(file.mtime_at),
        "copy_progress": progress(file),
        "retry_count": current.attempts,
        "error_message": current.error,
        "id": file.id,
        "route": current.route,
        "destination_path": current.destination_path,
        "bytes_verified": current.verified_bytes,
        "verified_level": current.verified_level,
        "hash": current.hash,
        "kept_because": current.kept_because,
        "discovered_at": rfc3339(file.discovered_at),
        "started_at": rfc3339(current.started_at),
        "completed_at": rfc3339(current.completed_at),
    }


def live_file(file: FileView) -> schemas.LiveFile:
    current = file.current
    return {
        **file_entry(file),
        "path": file.path,
        "bytes_copied": current.copied_bytes,
        "why": current.why,
        "until": rfc3339(current.until_at),
    }


def route_entry(route: RouteView) -> schemas.RouteEntry:
    outage = route.outage
    return {
        "name": route.name,
        "source": route.source,
        "destination": route.destination,
        "rules": route.rules,
        "paused": route.paused,
        "counts": route.counts,
        "queue_bytes": route.queue_bytes,
        "rate_bytes_s": route.rate_bytes_s,
        "outage": None
        if outage is None
        else {"reason": outage.reason.value, "since": rfc3339(outage.since_at), "detail": outage.detail},
        "checked": route.checked,
        "source_error": route.source_error,
        "source_free_bytes": route.source_free_bytes,
        "destination_free_bytes": route.destination_free_bytes,
        "destination_total_bytes": route.destination_total_bytes,
        "low_space_bytes": route.low_space_bytes,
        "unreadable_folders": [
            {"folder": each.folder, "reason": each.reason} for each in route.unreadable_folders
        ],
        "held": [{"why": each.why, "files": each.files} for each in route.held],
        "upload_id": route.upload_id,
    }


def storage_body(routes: Sequence[RouteView]) -> schemas.StorageBody:
    verdicts = [route_health(route) for route in overall_health(routes)]
    verdict = worst(verdicts)
    body: schemas.StorageBody = {
        "sourceFreeGB": _gib(verdict.source_free_bytes),
        "destinationFreeGB": _gib(verdict.destination_free_bytes),
        "status": verdict.level.value,
        "routes": [_route_storage(each) for each in verdicts],
    }
    if verdict.level is not HealthLevel.OK:
        body["message"] = f"{verdict.name}: {verdict.message}" if verdict.name else verdict.message
    return body


def _route_storage(verdict: RouteHealth) -> schemas.RouteStorage:
    return {
        "name": verdict.name,
        "status": verdict.level.value,
        "message": verdict.message,
        "sourceFreeGB": _gib(verdict.source_free_bytes),
        "destinationFreeGB": _gib(verdict.destination_free_bytes),
    }


def _gib(free_bytes: int | None) -> int:
    return UNKNOWN_GB if free_bytes is None else free_bytes // GIB_BYTES


def history_entry(row: HistoryRow) -> schemas.HistoryEntry:
    return {
        "transfer_id": row.transfer_id,
        "route": row.route,
        "path": row.path,
        "file_path": row.file_path,
        "result": row.result,
        "file_size": row.size_bytes,
        "destination_path": row.destination_path,
        "verified_level": row.verified_level,
        "hash": row.hash,
        "attempts": row.attempts,
        "error_message": row.error,
        "discovered_at": rfc3339(row.discovered_at),
        "started_at": rfc3339(row.started_at),
        "completed_at": rfc3339(row.completed_at),
    }


def history_body(page: HistoryPage) -> schemas.HistoryBody:
    body: schemas.HistoryBody = {"history": [history_entry(row) for row in page.rows]}
    if page.next_before_id is not None:
        body["next_cursor"] = str(page.next_before_id)
    return body


def snapshot_message(snapshot: Snapshot, limit: int | None = None) -> schemas.SnapshotMessage:
    """With a limit: at most so many of the files, and their number in `total`."""
    files = snapshot.files if limit is None else page_window.select(snapshot.files, limit)
    body: schemas.SnapshotMessage = {
        "type": "snapshot",
        "seq": snapshot.seq,
        "files": [live_file(file) for file in files],
        "routes": [route_entry(route) for route in snapshot.routes],
        "storage": storage_body(snapshot.routes),
        "events": [_event(event) for event in snapshot.events],
    }
    if limit is not None:
        body["total"] = len(snapshot.files)
    return body


def update_message(update: Update) -> schemas.UpdateMessage:
    return {
        "type": "update",
        "seq": update.seq,
        "changed": [live_file(file) for file in update.changed],
        "removed": list(update.removed),
        "routes": [route_entry(route) for route in update.routes],
        "events": [_event(event) for event in update.events],
    }


def _event(event: Event) -> schemas.EventEntry:
    return {"at": rfc3339(event.at), "level": event.level, "text": event.text}


def upload_entry(job: UploadJob) -> schemas.UploadEntry:
    return {
        "upload_id": job.id,
        "progress": job.progress,
        "state": job.state.value,
        "total_files": job.total_files,
        "completed_files": job.completed_files,
        "source_folder": job.source_folder,
        "destination_bucket": job.destination_bucket,
        "pattern": job.pattern,
        "error_message": job.error,
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
    }


def uploads_body(page: UploadsPage) -> schemas.UploadsBody:
    body: schemas.UploadsBody = {"uploads": [upload_entry(job) for job in page.jobs]}
    if page.next_before_id is not None:
        body["next_cursor"] = str(page.next_before_id)
    return body


def upload_files_body(page: UploadFilesPage) -> schemas.UploadFilesBody:
    body: schemas.UploadFilesBody = {"files": [_upload_file_entry(file) for file in page.files]}
    if page.next_after_id is not None:
        body["next_cursor"] = str(page.next_after_id)
    return body


def _upload_file_entry(file: UploadFile) -> schemas.UploadFileEntry:
    return {
        "path": file.path,
        "state": file.state.value,
        "file_size": file.size_bytes,
        "last_write_time": rfc3339(file.mtime_ns / 1e9),
        "key": file.key,
        "error_message": file.error,
        "created_at": rfc3339(file.created_at),
        "updated_at": rfc3339(file.updated_at),
    }
