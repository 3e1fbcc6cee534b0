"""Probing a destination folder: device, marker, permissions, space."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from agent.fs import expected_mounts, platform, publisher
from agent.fs.publisher import Publisher
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.protocol.requests import DestinationRef
from agent.worker.destinations.folder import FolderDestination, probe
from tests.worker.copy.faulty import failing
from tests.worker.copy.folders import unprivileged

PROBE = ".transfer-agent.0123456789abcdef.partial"
SHARED_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs on every Linux


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A destination beside a foreign folder, with links into that folder."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "clip.mxf").write_bytes(b"foreign")
    (tmp_path / "nas").mkdir()
    return tmp_path / "nas"


# The folder that was accepted


def test_another_device_than_the_accepted_one_is_an_unmounted_destination(root: Path) -> None:
    other = Path(SHARED_MEMORY).stat().st_dev
    with pytest.raises(Fault) as fault, FolderDestination.open(DestinationRef(str(root), other), Publisher()):
        raise AssertionError("it must not be opened")
    assert (fault.value.kind, fault.value.reason) == (FaultKind.DESTINATION, OutageReason.UNMOUNTED)


@pytest.mark.parametrize(
    ("root_name", "reason"),
    [("missing", OutageReason.UNMOUNTED), ("outside/clip.mxf", OutageReason.UNREACHABLE)],
)
def test_a_root_that_is_gone_or_no_folder_is_an_outage_for_copies_and_probes(
    root: Path, root_name: str, reason: OutageReason
) -> None:
    path = str(root.parent / root_name)
    with pytest.raises(Fault) as refused, FolderDestination.open(DestinationRef(path, 0), Publisher()):
        raise AssertionError("it must not be opened")
    with pytest.raises(Fault) as probed:
        probe(path, None, try_writing=PROBE)
    assert refused.value.reason is probed.value.reason is reason


def test_a_root_that_does_not_respond_is_an_outage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = DestinationRef(str(root), root.stat().st_dev)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", failing(errno.ESTALE))
        with pytest.raises(Fault) as fault, FolderDestination.open(place, Publisher()):
            raise AssertionError("it must not be opened")
    assert fault.value.reason is OutageReason.UNREACHABLE


# The probe


def test_the_probe_tells_where_a_mount_is_expected_links_resolved(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "fstab").write_text(f"nas:/export {root} nfs defaults 0 0\n")
    monkeypatch.setattr(expected_mounts, "FSTAB", str(tmp_path / "fstab"))
    assert probe(str(tmp_path / "link"), None, try_writing=None).expected_mount == str(root)


@pytest.mark.parametrize("try_writing", [None, PROBE])
def test_a_usable_folder_reports_mount_point_and_space_and_keeps_no_file(
    root: Path, try_writing: str | None
) -> None:
    probed = probe(str(root), None, try_writing=try_writing)
    assert probed.device == root.stat().st_dev
    assert probed.mount_point == platform.mount_point(str(root))
    assert 0 < (probed.free_bytes or 0) <= (probed.total_bytes or 0)
    assert list(root.iterdir()) == []


def test_a_marker_must_exist_in_the_root(root: Path) -> None:
    for marker in (".mounted", "media/.mounted", "clip.mxf/.mounted"):
        (root / "clip.mxf").touch()
        with pytest.raises(Fault) as fault:
            probe(str(root), marker, try_writing=None)
        assert fault.value.reason is OutageReason.MARKER_MISSING
        assert marker in str(fault.value)
    (root / "media").mkdir()
    (root / "media" / ".mounted").touch()
    probe(str(root), "media/.mounted", try_writing=None)


def test_a_read_only_file_system_is_an_outage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "is_read_only", lambda _fd: True)
    with pytest.raises(Fault) as fault:
        probe(str(root), None, try_writing=PROBE)
    assert fault.value.reason is OutageReason.READ_ONLY


def test_a_folder_that_we_may_not_write_into_is_denied() -> None:
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:  # others may not look into tmp_path
        Path(folder).chmod(0o555)
        with unprivileged(), pytest.raises(Fault, match="no permission to write") as fault:
            probe(folder, None, try_writing=None)
    assert fault.value.reason is OutageReason.DENIED


def test_a_folder_that_only_fails_on_a_write_is_detected_and_kept_clean(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "sync_data", failing(errno.ENOSPC))
    probe(str(root), None, try_writing=None)
    with pytest.raises(Fault) as fault:
        probe(str(root), None, try_writing=PROBE)
    assert fault.value.reason is OutageReason.FULL
    assert list(root.iterdir()) == []


def test_a_probe_removed_by_a_search_for_orphans_is_no_outage(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_data = platform.sync_data

    def swept(descriptor: int) -> None:
        sync_data(descriptor)
        (root / PROBE).unlink()

    monkeypatch.setattr(platform, "sync_data", swept)
    probe(str(root), None, try_writing=PROBE)
    assert list(root.iterdir()) == []


def test_a_probe_replaces_nothing(root: Path) -> None:
    (root / PROBE).write_bytes(b"foreign")
    with pytest.raises(FileExistsError):
        probe(str(root), None, try_writing=PROBE)
    assert (root / PROBE).read_bytes() == b"foreign"


def test_a_probe_that_writes_tells_how_files_get_their_names_and_leaves_nothing(root: Path) -> None:
    probed = probe(str(root), None, try_writing=PROBE, try_publishing=PROBE + "2")
    assert probed.publish_strategy == "rename"
    assert list(root.iterdir()) == []


def test_without_hard_links_and_a_rename_that_does_not_replace_a_placeholder_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "move_exclusively", failing(errno.EINVAL))
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    probed = probe(str(root), None, try_writing=PROBE, try_publishing=PROBE + "2")
    assert probed.publish_strategy == "placeholder"
    assert list(root.iterdir()) == []
