"""The journal's part about files that are carried together; what holds of every operation: see `Journal`."""

from collections.abc import Mapping, Sequence

from attrs import define

from agent.journal import transfer_table
from agent.journal.connections import Connections
from agent.model.source_file import FileVersion
from agent.model.transfer import TransferPhase, TransferResult, VerifyLevel


@define(eq=False)
class BatchJournal:
    """Each operation is for all of them or, when it raises, for none."""

    _db: Connections

    def begin(
        self, files: Mapping[str, FileVersion], source_root: str, destination: str, at: float
    ) -> dict[str, int]:
        """New transfers for files of one route, given by their partials: the ids, by path.

        Files that have a running transfer are left out.
        """
        route, paths = next(iter(files.values())).route, [file.path for file in files.values()]
        with self._db.atomic() as db:
            known = {row["path"] for row in transfer_table.running(db, route, paths)}
            fresh = {partial: file for partial, file in files.items() if file.path not in known}
            if not fresh:
                return {}
            transfer_table.begin(db, fresh, source_root, destination, at)
            begun = transfer_table.running(db, route, [file.path for file in fresh.values()])
            ids: dict[str, int] = {row["path"]: row["id"] for row in begun}
        self._db.carried.newest_id = max(self._db.carried.newest_id, *ids.values())
        return ids

    def mark_verified(self, verified: Sequence[tuple[int, str, str, VerifyLevel]]) -> None:
        """Verified, and about to be given these names: transfer id, name, hash and level of each."""
        changes = [
            {
                "its_id": transfer_id,
                "phase": TransferPhase.VERIFIED,
                "name": name,
                "hash": digest,
                "level": level,
            }
            for transfer_id, name, digest, level in verified
        ]
        with self._db.atomic() as db:
            transfer_table.change(db, self._db.carried, changes)

    def mark_published(self, published: Sequence[tuple[int, str, bool]]) -> None:
        """They stand, durably: transfer id, name, and whether it stood there already."""
        changes = [
            {
                "its_id": transfer_id,
                "phase": TransferPhase.PUBLISHED,
                "name": name,
                "already_present": already_present,
            }
            for transfer_id, name, already_present in published
        ]
        with self._db.atomic() as db:
            transfer_table.change(db, self._db.carried, changes)

    def finish(self, endings: Sequence[TransferResult]) -> None:
        """The transfers have ended: they move to the history."""
        with self._db.atomic() as db:
            transfer_table.end(db, self._db.carried, endings)
