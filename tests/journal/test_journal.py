import errno
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select
from structlog.testing import capture_logs

from agent.journal import history, orphans, routes, schema, transfers
from agent.journal.errors import JournalDamaged, JournalError, JournalNewer
from agent.journal.journal import Journal, Transaction
from agent.journal.schema import REVISION, metadata
from agent.model.views import HistoryQuery
from tests.journal.journal_samples import begun, digests, find, make_newer
from tests.worker.copy.faulty import failing


def test_an_operation_that_fails_in_a_transaction_is_undone_alone(journal: Journal) -> None:
    with journal.transaction():
        begun(journal, "a")
        with pytest.raises(LookupError):
            journal.write(restart_and_fail, "a")
        begun(journal, "b")
        assert journal.read(history.page, HistoryQuery()).rows == ()
    assert [each.partial for each in journal.write(transfers.running, "/nas")] == [".a.partial", ".b.partial"]
    assert journal.write(orphans.at_destination, "/nas") == ()


def restart_and_fail(tx: Transaction, path: str) -> None:
    transfer = transfers.find(tx, "mxf", [path])[path]
    transfers.restart(tx, transfer.id, ".fresh")
    transfers.drop(tx, 999)


def test_a_transaction_that_sqlite_gave_up_is_not_taken_for_a_commit(journal: Journal) -> None:
    def begin_and_lose(before: str, after: str) -> None:
        with journal.transaction():
            begun(journal, before)
            journal.writer.exec_driver_sql("ROLLBACK")
            if after:
                begun(journal, after)

    for after in ("", "b"):
        with pytest.raises(JournalError, match="rolled back"):
            begin_and_lose("a", after)
    begun(journal, "c")
    assert [each.path for each in journal.write(transfers.running, "/nas")] == ["c"]


def test_a_full_disk_is_one_clear_line_and_passes(journal: Journal) -> None:
    transfer = begun(journal)
    limit_pages(journal, 1)
    with pytest.raises(JournalError, match=r"^the journal cannot be used: database or disk is full$"):
        journal.write(transfers.checkpoint, transfer.id, 0, digests(*range(5_000)))
    assert find(journal, "a.mxf") == transfer
    limit_pages(journal, 1_000_000)
    journal.write(transfers.checkpoint, transfer.id, 0, digests(*range(5_000)))
    assert len(find(journal, "a.mxf").blocks) == 5_000  # type: ignore[union-attr]


def limit_pages(journal: Journal, count: int) -> None:
    with journal.writer.begin():
        journal.writer.exec_driver_sql(f"PRAGMA max_page_count={count}")


def test_the_writer_is_durable_and_the_reader_cannot_write(journal: Journal) -> None:
    with journal.writer.begin() as _, journal.reader.begin() as _:
        ask = journal.writer.exec_driver_sql
        assert (ask("PRAGMA journal_mode").scalar(), ask("PRAGMA synchronous").scalar()) == ("wal", 2)
        assert (ask("PRAGMA fullfsync").scalar(), ask("PRAGMA checkpoint_fullfsync").scalar()) == (1, 1)
        ask = journal.reader.exec_driver_sql
        assert (ask("PRAGMA query_only").scalar(), ask("PRAGMA wal_autocheckpoint").scalar()) == (1, 0)


def damage_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def damage_all(path: Path) -> None:
    path.write_bytes(b"garbage!" * 2_500)


def damage_one_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2 * 4096 : 3 * 4096] = b"garbage!" * 512
    path.write_bytes(content)


def damage_tail(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 3 * 4096])


def make_foreign(path: Path) -> None:
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE music (title TEXT)")
    other.close()


def opened_and_examined(folder: Path) -> Journal:
    """As at a start."""
    journal = Journal.open(str(folder))
    try:
        journal.check_integrity()
    except JournalDamaged as damage:
        journal.recreate(str(damage))
    return journal


@pytest.mark.parametrize("spoil", [damage_header, damage_all, damage_one_page, damage_tail, make_foreign])
def test_a_damaged_or_foreign_file_is_set_aside_unaltered(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    journal = Journal.open(str(tmp_path))
    begun(journal)
    journal.close()
    file = tmp_path / "journal.db"
    spoil(file)
    spoilt = file.read_bytes()
    with capture_logs() as logs:
        journal = opened_and_examined(tmp_path)
    assert begun(journal).id == 1
    journal.close()
    aside = tmp_path / "journal.db.damaged-1"
    assert aside.read_bytes() == spoilt
    assert [(each["log_level"], each["moved_to"]) for each in logs] == [("warning", str(aside))]
    assert logs[0]["reason"]


def test_a_journal_of_a_newer_version_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    Journal.open(str(tmp_path)).close()
    file = tmp_path / "journal.db"
    make_newer(file)
    newer = file.read_bytes()
    with pytest.raises(JournalNewer, match=r"journal.db' was written by a newer version .*: start"):
        Journal.open(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]
    assert file.read_bytes() == newer


def test_a_damaged_journal_of_an_earlier_version_is_set_aside_before_it_is_migrated(tmp_path: Path) -> None:
    Journal.open(str(tmp_path)).close()
    file = tmp_path / "journal.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("UPDATE alembic_version SET version_num = 'journal_0001'")
        page = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'transfers'").fetchone()[0]
    content = bytearray(file.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"garbage!" * 512
    file.write_bytes(content)
    Journal.open(str(tmp_path)).close()
    assert (tmp_path / "journal.db.damaged-1").read_bytes() == content


def test_a_file_that_cannot_be_moved_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database")
    monkeypatch.setattr(Path, "rename", failing(errno.EROFS))
    with pytest.raises(JournalError, match=r"cannot be set aside: Read-only file system$"):
        Journal.open(str(tmp_path))


def test_nothing_set_aside_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "journal.db.damaged-1").write_bytes(b"first")
    (tmp_path / "journal.db.damaged-2-wal").write_bytes(b"second")
    (tmp_path / "journal.db").write_bytes(b"third, no database")
    Journal.open(str(tmp_path)).close()
    assert {each.name: each.read_bytes() for each in tmp_path.glob("*.damaged*")} == {
        "journal.db.damaged-1": b"first",
        "journal.db.damaged-2-wal": b"second",
        "journal.db.damaged-3": b"third, no database",
    }


def test_a_wal_that_someone_holds_open_is_set_aside_with_its_file(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
        other.execute("SELECT count(*) FROM transfers").fetchall()
        journal.close()
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage_one_page(tmp_path / "journal.db")
        opened_and_examined(tmp_path).close()
        names = {each.name for each in tmp_path.iterdir()}
    aside = {"journal.db.damaged-1" + part for part in ("", "-wal", "-shm")}
    assert names == {"journal.db", *aside}


def test_a_folder_that_cannot_hold_a_journal_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"^the journal cannot be used: unable to open database file$"):
        Journal.open(str(tmp_path / "missing"))


def test_another_program_that_holds_the_file_is_no_damage(journal: Journal, tmp_path: Path) -> None:
    journal.writer.exec_driver_sql("PRAGMA busy_timeout=0")
    journal.writer.rollback()
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="database is locked"):
        journal.write(routes.paused)
    other.close()
    assert journal.write(routes.paused) == frozenset()


def test_migrations_lead_to_exactly_the_schema_in_the_code(tmp_path: Path) -> None:
    Journal.open(str(tmp_path)).close()
    engine = create_engine(f"sqlite:///{tmp_path}/from_metadata.db")
    metadata.create_all(engine)
    engine.dispose()
    assert statements(tmp_path / "journal.db") == statements(tmp_path / "from_metadata.db")
    config = Config()
    config.set_main_option("script_location", "agent.journal:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


_LINE = re.compile(r"\n|, (?=\w+ [A-Z])")  # a column that a migration adds has no line of its own


def statements(file: Path) -> dict[str, list[str]]:
    """The lines of each CREATE statement; a column that a migration adds is the last one, so in any order."""
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    made = {name: sorted(line.strip().rstrip(",") for line in _LINE.split(sql)) for name, sql in rows}
    made.pop("alembic_version", None)
    return made


def test_prior_results_are_found_by_their_index(journal: Journal) -> None:
    columns = schema.history.c
    ask = select(columns.id).where(columns.route == "r", columns.path == "p", columns.suppresses_retry)
    with journal.writer.begin():
        sql = str(ask.compile(journal.writer, compile_kwargs={"literal_binds": True}))
        (plan,) = journal.writer.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").scalars("detail")
    assert "USING INDEX ux_history_suppresses_retry" in plan


WRITER = """
import sys
from agent.journal import transfers
from agent.journal.journal import Journal
from agent.model.source_file import FileVersion, Signature
journal = Journal.open(sys.argv[1])
file = FileVersion("1", "mxf", "a.mxf", Signature(1, 2, 3, 4, 5), 1.0)
transfer = journal.write(transfers.begin_or_resume, {"p": file}, "/src", "/nas", 1.0)["a.mxf"]
for block in range(1_000_000):
    journal.write(transfers.checkpoint, transfer.id, block, block.to_bytes(16))
    print(block, flush=True)
"""


def test_a_kill_loses_nothing_whose_write_returned(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 50:
            pass
        writer.send_signal(signal.SIGKILL)
        written = 50 + len(writer.stdout.read().splitlines())
    journal = Journal.open(str(tmp_path))
    transfer = find(journal, "a.mxf")
    assert transfer is not None
    assert len(transfer.blocks) >= written + 1
    assert transfer.blocks == tuple(block.to_bytes(16) for block in range(len(transfer.blocks)))
    journal.close()


def test_nobody_else_may_read_any_file_of_the_journal(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    begun(journal)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    journal.close()
    assert modes == dict.fromkeys(("journal.db", "journal.db-wal", "journal.db-shm"), 0o600)
