"""What was delivered is read back from the storage; whatever is wrong with it is a verdict, not an end."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import xxhash
from attrs import evolve

from agent.fs import platform
from agent.model.errors import Fault, OutageReason
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import Copying, VerifyResult
from agent.protocol.requests import VerifyFile
from agent.worker.copy.verify import confirm_delivery, verify_file
from agent.worker.destinations import folder
from agent.worker.destinations.folder import find
from tests.worker.copy.faulty import FaultyDestination, Script, failing
from tests.worker.copy.folders import Ground, unprivileged

CONTENT = b"a" * BLOCK_BYTES + b"tail"
DIGEST = xxhash.xxh3_128_digest(CONTENT)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    ground = Ground.below(tmp_path)
    (ground.nas / "day").mkdir()
    (ground.nas / "day" / "clip.mxf").write_bytes(CONTENT)
    os.sync()
    return ground


def check(ground: Ground, *, name: str = "day/clip.mxf", content: bytes = CONTENT) -> VerifyResult:
    request = VerifyFile(ground.place, name, len(content), xxhash.xxh3_128_digest(content))
    with ground.destination() as destination:
        return verify_file(request, destination, lambda _: None)


def test_what_is_as_it_was_delivered_is_verified_past_the_cache(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[tuple[int, int]] = []
    drop = platform.drop_cache

    def note(descriptor: int, offset: int, length: int) -> None:
        dropped.append((offset, length))
        drop(descriptor, offset, length)

    monkeypatch.setattr(platform, "drop_cache", note)
    assert check(ground) == VerifyResult("verified", "", "read_back")
    assert dropped == [(0, BLOCK_BYTES), (BLOCK_BYTES, 4)]


def test_content_that_stays_in_the_cache_is_reported_as_read_from_there(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "is_resident", lambda *_: True)
    assert check(ground) == VerifyResult("verified", "", "read_back_cached")


def test_an_empty_file_is_verified_too(ground: Ground) -> None:
    (ground.nas / "empty").touch()
    assert check(ground, name="empty", content=b"").verdict == "verified"


def test_another_size_is_named_before_anything_is_read(ground: Ground) -> None:
    os.truncate(ground.nas / "day" / "clip.mxf", 10)
    assert check(ground) == VerifyResult("altered", f"size: 10 bytes instead of {len(CONTENT)}")


def test_one_bit_is_enough_to_be_altered(ground: Ground) -> None:
    other = CONTENT[:-1] + b"m"
    (ground.nas / "day" / "clip.mxf").write_bytes(other)
    os.sync()
    found = xxhash.xxh3_128_hexdigest(other)
    assert check(ground) == VerifyResult("altered", f"hash: {found} instead of {DIGEST.hex()}", "read_back")


@pytest.mark.parametrize("name", ["clip.mxf", "night/clip.mxf"])
def test_what_does_not_stand_there_is_missing(ground: Ground, name: str) -> None:
    assert check(ground, name=name) == VerifyResult("missing")


def test_a_link_or_a_folder_in_its_place_is_not_followed(ground: Ground) -> None:
    (ground.nas / "link").symlink_to(ground.nas / "day" / "clip.mxf")
    nothing = VerifyResult("unreadable", "no regular file, or no permission to read it")
    assert check(ground, name="link") == check(ground, name="day") == nothing


def test_a_file_in_the_place_of_its_folder_makes_it_unreadable(ground: Ground) -> None:
    found = check(ground, name="day/clip.mxf/more")
    assert found.verdict == "unreadable"
    assert "Not a directory" in found.detail


def test_what_may_not_be_read_is_unreadable() -> None:
    with TemporaryDirectory() as folder:  # tmp_path is closed to nobody's eyes
        Path(folder).chmod(0o755)
        ground = Ground.below(Path(folder))
        (ground.nas / "clip.mxf").touch(mode=0)
        with unprivileged():
            checked = check(ground, name="clip.mxf", content=b"")
    assert checked == VerifyResult("unreadable", "no regular file, or no permission to read it")


def test_an_error_while_reading_is_the_verdict_on_this_file(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pread", failing(errno.EIO))
    assert check(ground) == VerifyResult("unreadable", "destination: Input/output error")


def test_a_folder_that_cannot_be_asked_is_the_verdict_too(ground: Ground) -> None:
    request = VerifyFile(ground.place, "day/clip.mxf", len(CONTENT), DIGEST)
    with ground.destination() as inner:
        destination = FaultyDestination(inner, Script(stop_on="find"))
        checked = verify_file(request, destination, lambda _: None)
    assert checked == VerifyResult("unreadable", "destination: No space left on device")


def test_a_long_read_shows_that_it_lives(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.worker.copy.pipeline.REPORT_S", 0.0)
    replies: list[object] = []
    with ground.destination() as destination:
        verify_file(
            VerifyFile(ground.place, "day/clip.mxf", len(CONTENT), DIGEST), destination, replies.append
        )
    assert replies == [Copying(size, size) for size in (BLOCK_BYTES, len(CONTENT))]


def test_a_destination_to_read_from_need_not_be_writable(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "is_read_only", lambda _: True)
    probed = find(str(ground.nas), None)
    assert (probed.device, bool(probed.free_bytes)) == (ground.place.device, True)


@pytest.mark.parametrize(
    ("folder", "marker", "reason"),
    [("nas", "here", OutageReason.MARKER_MISSING), ("gone", None, OutageReason.UNMOUNTED)],
)
def test_a_destination_that_is_not_the_right_one_is_an_outage(
    ground: Ground, folder: str, marker: str | None, reason: OutageReason
) -> None:
    with pytest.raises(Fault) as caught:
        find(str(evolve(ground, nas=ground.nas.parent / folder).nas), marker)
    assert caught.value.reason is reason


def test_where_only_the_size_was_proven_only_the_size_is_compared(ground: Ground) -> None:
    request = VerifyFile(ground.place, "day/clip.mxf", len(CONTENT), None)
    (ground.nas / "day" / "clip.mxf").write_bytes(bytes(len(CONTENT)))
    with ground.destination() as destination:
        assert confirm_delivery(request, destination, lambda _: None) == VerifyResult("verified", "", "size")
        request = evolve(request, size_bytes=1)
        assert confirm_delivery(request, destination, lambda _: None).verdict == "altered"


def test_an_outage_is_no_verdict_on_a_delivery(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    request = VerifyFile(ground.place, "day/clip.mxf", len(CONTENT), DIGEST)
    with ground.destination() as destination:
        monkeypatch.setattr(os, "pread", failing(errno.EIO))
        with pytest.raises(Fault) as fault:
            confirm_delivery(request, destination, lambda _: None)
    assert fault.value.reason is OutageReason.IO_ERROR
