"""The journal's part about upload jobs; what holds of every operation stands in `Journal`."""

from collections.abc import Sequence

from attrs import define

from agent.journal import upload_table
from agent.journal.connections import Connections
from agent.model.upload import UploadFile, UploadJob
from agent.model.views import UploadFilesPage, UploadFilesQuery, UploadsPage, UploadsQuery


@define(eq=False)
class UploadJournal:
    """Those that only read may run in one other thread beside the rest: `find`, `page`, `files_page`."""

    _db: Connections

    def add(self, job: UploadJob) -> None:
        """A job that nobody knows yet."""
        with self._db.atomic() as db:
            upload_table.add(db, job)

    def needing_cleanup(self) -> tuple[UploadJob, ...]:
        """Those that run, or have ended and left something to be put away, oldest first."""
        with self._db.atomic() as db:
            return upload_table.read_unclosed(db)

    def files(self, upload_id: str) -> tuple[UploadFile, ...]:
        with self._db.atomic() as db:
            return upload_table.read_files(db, upload_id)

    def upsert(self, job: UploadJob, changed: Sequence[UploadFile], gone: Sequence[str]) -> bool:
        """How the job and these files of it stand now; `gone`: paths that are not there any more.

        A job that has ended in the meantime keeps its end. Returns whether the job was known: a journal that
        was set aside has taken it along, and then all of its files have to be noted.
        """
        with self._db.atomic() as db:
            return upload_table.note(db, job, changed, gone)

    def stop(self, upload_id: str, reason: str, at: float) -> bool:
        """It fails for this reason, unless it has ended. Returns whether it had not."""
        with self._db.atomic() as db:
            return upload_table.stop(db, upload_id, reason, at)

    def add_orphans(self, route: str) -> None:
        """What this route's copies had begun when it closed is left over."""
        with self._db.atomic() as db:
            upload_table.leave(db, route)

    def mark_cleaned(self, upload_id: str, route: str) -> None:
        """Nothing is left to do for this job and its route."""
        with self._db.atomic() as db:
            upload_table.close(db, upload_id, route)
        self._db.carried.paused.discard(route)

    def find(self, upload_id: str) -> UploadJob | None:
        with self._db.read_only() as db:
            return upload_table.read(db, upload_id)

    def page(self, query: UploadsQuery) -> UploadsPage:
        with self._db.read_only() as db:
            return upload_table.read_page(db, query)

    def files_page(self, query: UploadFilesQuery) -> UploadFilesPage:
        with self._db.read_only() as db:
            return upload_table.read_files_page(db, query)
