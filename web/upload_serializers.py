"""Upload jobs to JSON, as wire.py does it for the rest."""

from agent.model.upload import UploadFile, UploadJob
from agent.model.views import UploadFilesPage, UploadsPage
from web import upload_schemas
from web.serializers import rfc3339


def upload_entry(job: UploadJob) -> upload_schemas.UploadEntry:
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


def uploads_body(page: UploadsPage) -> upload_schemas.UploadsBody:
    body: upload_schemas.UploadsBody = {"uploads": [upload_entry(job) for job in page.jobs]}
    if page.next_before_id is not None:
        body["next_cursor"] = str(page.next_before_id)
    return body


def upload_files_body(page: UploadFilesPage) -> upload_schemas.UploadFilesBody:
    body: upload_schemas.UploadFilesBody = {"files": [_file_entry(file) for file in page.files]}
    if page.next_after_id is not None:
        body["next_cursor"] = str(page.next_after_id)
    return body


def _file_entry(file: UploadFile) -> upload_schemas.UploadFileEntry:
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
