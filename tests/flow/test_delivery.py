"""Files arrive."""
from pathlib import Path

from agent.terms import Status
from flow.houses import running, write_config


async def test_a_file_is_moved(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "source/a.mxf").write_bytes(b"x" * 100)
    async with running(tmp_path) as house:
        file = await house.until_file("a.mxf", Status.COMPLETED)
        assert file.verified_level == "read_back"
        assert await house.stop() == 0
    assert (tmp_path / "nas/a.mxf").read_bytes() == b"x" * 100
    assert not (tmp_path / "source/a.mxf").exists()
