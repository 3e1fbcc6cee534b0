"""Which folder somebody names, and whether it may be read."""

from pathlib import Path

import pytest

from agent.model.errors import Fault, FaultKind
from agent.protocol.replies import FolderResolved
from agent.worker.source.source_folder import resolve_allowed_folder


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "media/day1").mkdir(parents=True)
    (tmp_path / "media-too").mkdir()
    return tmp_path / "media"


def test_a_root_and_what_is_below_it_may_be_read(media: Path) -> None:
    roots = ("/nowhere", str(media))
    for folder in (media, media / "day1"):
        assert resolve_allowed_folder(str(folder), roots) == FolderResolved(str(folder), is_allowed=True)


def test_what_only_looks_as_if_it_were_below_a_root_may_not(media: Path) -> None:
    outside = media.parent / "media-too"
    (media / "link").symlink_to(outside)
    for path in (outside, media / "link", media / "../media-too", media.parent):
        assert not resolve_allowed_folder(str(path), (str(media),)).is_allowed
    assert not resolve_allowed_folder(str(media), ()).is_allowed


def test_links_are_resolved_on_both_sides(media: Path) -> None:
    (media.parent / "alias").symlink_to(media)
    alias = media.parent / "alias"
    assert resolve_allowed_folder(str(alias / "day1"), (str(media),)) == FolderResolved(
        str(media / "day1"), is_allowed=True
    )
    assert resolve_allowed_folder(str(media / "day1"), (str(alias),)).is_allowed


def test_the_root_of_the_file_system_may_be_one(media: Path) -> None:
    assert resolve_allowed_folder(str(media), ("/",)).is_allowed


def test_what_is_no_folder_is_not_found(media: Path) -> None:
    (media / "clip.mxf").write_bytes(b"content")
    (media / "loop").symlink_to("loop")
    for name in ("missing", "clip.mxf", "clip.mxf/below"):
        with pytest.raises(Fault) as caught:
            resolve_allowed_folder(str(media / name), (str(media),))
        assert caught.value.kind is FaultKind.SOURCE_GONE
    with pytest.raises(Fault) as caught:
        resolve_allowed_folder(str(media / "loop"), (str(media),))
    assert caught.value.kind is FaultKind.SOURCE
