"""The player in a folder that others change too."""

from pathlib import Path

import pytest

from agent.simulate.content import literal
from agent.simulate.player import Player
from agent.simulate.steps import Close, Create, Open, Rename, Write, WriteStep
from tests.simulate.played import a_run, play


def ignore(_: WriteStep) -> None: ...


def test_a_file_created_meanwhile_is_not_renamed_over(tmp_path: Path) -> None:
    def write_same_name(step: WriteStep) -> None:
        if isinstance(step, Close):
            (tmp_path / "clip.mxf").write_bytes(b"footage")

    with pytest.raises(FileExistsError) as refused:
        play(tmp_path, a_run("rename-at-end"), write_same_name)
    assert refused.value.filename == f"{tmp_path}/clip.mxf"
    assert (tmp_path / "clip.mxf").read_bytes() == b"footage"


def test_the_expected_content_of_a_file_that_was_deleted_is_still_known(tmp_path: Path) -> None:
    def delete(step: WriteStep) -> None:
        if isinstance(step, Close):
            (tmp_path / step.path).unlink()

    played = play(tmp_path, a_run("mov"), delete)
    assert played.files() == {}
    assert played.expected == play_elsewhere(tmp_path / "elsewhere")


def play_elsewhere(folder: Path) -> dict[str, str]:
    folder.mkdir()
    return play(folder, a_run("mov")).expected


def test_a_file_that_is_gone_cannot_be_opened_again(tmp_path: Path) -> None:
    steps = [Create(0, "a"), Close(0, "a"), Rename(0, "a", "b"), Open(0, "a")]
    with pytest.raises(FileNotFoundError) as refused:
        Player(str(tmp_path), ignore, paced=False).play(steps)
    assert refused.value.filename == f"{tmp_path}/a"


def test_a_symbolic_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "footage").write_bytes(b"footage")
    (tmp_path / "a").symlink_to(tmp_path / "footage")
    with pytest.raises(OSError, match="symbolic links"):
        Player(str(tmp_path), ignore, paced=False).play([Open(0, "a"), Write(0, "a", 0, literal(b"x"))])
    assert (tmp_path / "footage").read_bytes() == b"footage"


def test_files_are_closed_when_a_run_ends_early(tmp_path: Path) -> None:
    def stop(step: WriteStep) -> None:
        if isinstance(step, Write):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, a_run("mmap"), stop)
    own = [fd.resolve() for fd in Path("/proc/self/fd").iterdir()]
    assert tmp_path / "clip.bin" not in own
