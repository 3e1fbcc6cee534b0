"""The installation id: made once, whole or not at all, and never guessed."""

import errno
import os
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.fs.platform import sync_folder
from agent.journal.database import JournalError
from agent.journal.state_folder import read_or_make_identity
from tests.worker.copy.faulty import failing
from tests.worker.copy.folders import nothing_left_over


def test_an_id_is_made_once_and_then_stays(tmp_path: Path) -> None:
    with nothing_left_over():
        made, is_new = read_or_make_identity(str(tmp_path))
        assert re.fullmatch(r"[0-9a-f]{32}", made)
        assert is_new
        assert read_or_make_identity(str(tmp_path)) == (made, False)
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


def test_two_installations_have_two_ids(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert read_or_make_identity(str(tmp_path / "one")) != read_or_make_identity(str(tmp_path / "two"))


@pytest.mark.parametrize("content", [b"", b"0123456789abcdef", b"\xff" * 32, b"F" * 32])
def test_what_is_no_id_is_replaced_with_a_warning(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity").write_bytes(content)
    with capture_logs() as logs:
        made, is_new = read_or_make_identity(str(tmp_path))
    assert is_new
    assert (tmp_path / "identity").read_text() == f"{made}\n"
    assert [line["log_level"] for line in logs] == ["warning"]


def test_a_draft_that_a_crash_left_behind_is_no_id(tmp_path: Path) -> None:
    (tmp_path / "identity.new").write_text("half")
    made, is_new = read_or_make_identity(str(tmp_path))
    assert is_new
    assert read_or_make_identity(str(tmp_path)) == (made, False)
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


def test_it_is_durable_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(fd: int) -> None:
        steps.append("fsync")
        fsync(fd)

    def note_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    def note_folder(fd: int) -> None:
        steps.append("folder")
        sync_folder(fd)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    monkeypatch.setattr("agent.fs.atomic_write.sync_folder", note_folder)
    read_or_make_identity(str(tmp_path))
    assert steps[:3] == ["fsync", "rename", "folder"]


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(JournalError, match=r"identity' cannot be used: No space left on device$"):
            read_or_make_identity(str(tmp_path))
    assert not (tmp_path / "identity").exists()
    assert read_or_make_identity(str(tmp_path))[1]
